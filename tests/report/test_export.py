"""Curves handed on are read back, by the readers that people use."""

import json
import struct
import sys

import numpy as np
import pandas
import pytest
import xarray as xr

from purejaxrl_suite.report import export

RATES = [1e-3, 1e-2]


@pytest.fixture(scope="module")
def curves():
    """learning_rate 2 x seeds 2 x steps 3; one update ended no episode, one member diverged."""
    shape = (2, 2, 3)
    values = np.arange(12, dtype=np.float32).reshape(shape)
    values[1, 0, 1] = np.nan
    dims = ("learning_rate", "seed", "step")
    return xr.Dataset(
        {
            "episode_return": (dims, values, {"long_name": "episode return", "units": "reward"}),
            "entropy": (dims, -values, {"long_name": "entropy", "units": "nats"}),
            "diverged": (dims[:2], np.array([[False, False], [False, True]])),
            "steps_per_second": (("step",), np.array([1.0, 2.0, 3.0], np.float32)),
        },
        coords={"learning_rate": RATES, "seed": [4, 5], "step": [10, 20, 30]},
        attrs={"agent": "ppo", "environment": "Corridor", "hypers": '{"gamma": 0.99}'},
    )


def points(curves, rate, seed, metric="episode_return"):
    """{step: value} of what was measured."""
    one = curves[metric].sel(learning_rate=rate, seed=seed).dropna("step")
    return dict(zip(one.step.values.tolist(), one.values.tolist(), strict=True))


def check_frame(curves, found):
    assert list(found)[:5] == ["run", "environment", "learning_rate", "seed", "step"]
    assert len(found) == 12 and set(found.environment) == {"Corridor"}
    back = found.set_index(["learning_rate", "seed", "step"]).to_xarray()
    np.testing.assert_array_equal(back.episode_return, curves.episode_return)
    np.testing.assert_array_equal(back.entropy, curves.entropy)
    assert back.diverged.sel(learning_rate=1e-2, seed=5).values.all() and back.diverged.sum() == 3
    np.testing.assert_array_equal(back.steps_per_second.isel(seed=0, learning_rate=0), [1, 2, 3])


def test_csv(curves, tmp_path):
    export.to_csv(curves, tmp_path / "new" / "curves.csv")
    check_frame(curves, pandas.read_csv(tmp_path / "new" / "curves.csv"))


def test_parquet(curves, tmp_path):
    pytest.importorskip("pyarrow")
    export.to_parquet(curves, tmp_path / "curves.parquet")
    check_frame(curves, pandas.read_parquet(tmp_path / "curves.parquet"))


def test_a_frame_of_several_runs_and_only_their_own_steps(curves):
    one = curves.isel(learning_rate=0, drop=True)
    measured = one.steps_per_second.where(one.step != 20)
    other = one.assign(steps_per_second=measured).assign_attrs(environment="Maze")
    found = export.frame({"a": one, "b": other})
    assert found.groupby("run").step.unique().map(list).to_dict() == {
        "a": [10, 20, 30],
        "b": [10, 30],
    }
    assert set(found.environment[found.run == "b"]) == {"Maze"}


def test_netcdf_holds_the_dataset(curves, tmp_path):
    export.to_netcdf(curves, tmp_path / "curves.nc")
    with xr.open_dataset(tmp_path / "curves.nc", engine="scipy") as back:
        xr.testing.assert_identical(back.load(), curves)
    with pytest.raises(ValueError, match="expected one dataset"):
        export.to_netcdf({"a": curves}, tmp_path / "other.nc")


def test_netcdf_holds_seeds_and_steps_beyond_int32(curves, tmp_path):
    large = {"seed": [2**32 - 1, 2**31], "step": [10, 2**31, 5 * 10**12 + 1]}
    curves = curves.assign_coords(large).assign_attrs(environment_steps=2**60)
    export.to_netcdf(curves, tmp_path / "curves.nc")
    with xr.open_dataset(tmp_path / "curves.nc", engine="scipy") as back:
        assert (
            back.seed.values.tolist() == large["seed"]
            and back.attrs["environment_steps"] == 2.0**60
        )
        assert back.step.values.tolist() == large["step"]
        xr.testing.assert_equal(back.load(), curves)


def test_tensorboard(curves, tmp_path):
    pytest.importorskip("tensorboardX")
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    export.to_tensorboard(curves, tmp_path / "events")
    folders = {str(p.parent.relative_to(tmp_path / "events")) for p in tmp_path.rglob("*tfevents*")}
    assert folders == {f"learning_rate={x:g}/seed-{s}" for x in RATES for s in (4, 5)}
    for rate in RATES:
        events = accumulator.EventAccumulator(
            str(tmp_path / "events" / f"learning_rate={rate:g}" / "seed-4")
        )
        events.Reload()
        assert set(events.Tags()["scalars"]) == {"episode_return", "entropy", "steps_per_second"}
        found = {event.step: event.value for event in events.Scalars("episode_return")}
        assert found == points(curves, rate, 4)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy")  # MLflow's, of SQLAlchemy 2.1
def test_mlflow(curves, tmp_path):
    mlflow = pytest.importorskip("mlflow", reason="the extra `mlflow` is not installed")
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    export.to_mlflow(curves, "sweep", uri)
    client = mlflow.MlflowClient(uri)
    runs = client.search_runs([client.get_experiment_by_name("sweep").experiment_id])
    by_place = {
        (float(r.data.params["learning_rate"]), int(r.data.params["seed"])): r for r in runs
    }
    assert set(by_place) == {(x, s) for x in RATES for s in (4, 5)}
    run = by_place[1e-2, 4]
    assert run.info.status == "FINISHED" and run.data.params["gamma"] == "0.99"
    history = client.get_metric_history(run.info.run_id, "episode_return")
    assert {x.step: x.value for x in history} == points(curves, 1e-2, 4)


def test_what_stands_there_is_not_overwritten(curves, tmp_path):
    (tmp_path / "curves.csv").write_text("mine")
    with pytest.raises(ValueError, match="exists already"):
        export.to_csv(curves, tmp_path / "curves.csv")
    assert (tmp_path / "curves.csv").read_text() == "mine"


@pytest.mark.parametrize(
    ("module", "extra", "call"),
    [
        ("pyarrow", "parquet", lambda c, p: export.to_parquet(c, p)),
        ("tensorboardX", "tensorboard", lambda c, p: export.to_tensorboard(c, p)),
        ("wandb", "wandb", lambda c, p: export.to_wandb(c, "project")),
        ("mlflow", "mlflow", lambda c, p: export.to_mlflow(c, "experiment")),
    ],
)
def test_a_missing_extra_is_named(module, extra, call, curves, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ValueError, match=rf'pip install "purejaxrl_suite\[{extra}\]"'):
        call(curves, tmp_path / "out")
    assert not list(tmp_path.iterdir())


def wandb_records(path):
    """Records of an offline run: a file of wandb is a LevelDB log of protobuf messages."""
    from wandb.proto import wandb_internal_pb2

    data, place, parts = path.read_bytes(), 7, []
    while place + 7 <= len(data):
        room = 32768 - place % 32768
        if room < 7:  # a header is never split over blocks
            place += room
            continue
        length, kind = struct.unpack("<HB", data[place + 4 : place + 7])
        parts.append(data[place + 7 : place + 7 + length])
        place += 7 + length
        if kind in (1, 4):  # whole, or the last part
            record = wandb_internal_pb2.Record()
            record.ParseFromString(b"".join(parts))
            parts = []
            yield record


@pytest.mark.slow
def test_wandb(curves, tmp_path):
    few = curves.sel(learning_rate=[1e-2], seed=[4])
    export.to_wandb(few, "project", mode="offline", dir=str(tmp_path), group="sweep")
    sys.modules["wandb"].teardown()  # only then is the file of a finished run complete
    (path,) = tmp_path.rglob("*.wandb")
    records = list(wandb_records(path))
    (run,) = [r.run for r in records if r.WhichOneof("record_type") == "run"]
    assert run.project == "project" and run.run_group == "sweep"
    config = {item.key: json.loads(item.value_json) for item in run.config.update}
    assert config["seed"] == 4 and config["gamma"] == 0.99
    found = {}
    for record in records:
        if record.WhichOneof("record_type") == "history":
            items = {
                "".join(i.nested_key) or i.key: json.loads(i.value_json)
                for i in record.history.item
            }
            found[items["environment_steps"]] = items.get("episode_return")
    found = {step: value for step, value in found.items() if value is not None}
    assert found == points(curves, 1e-2, 4)
