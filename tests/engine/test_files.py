"""Files: any name is only a name, damage is told by file, what is replaced is never half there."""

import os
import shutil

import jax
import numpy as np
import pandas
import pytest
import xarray as xr

from purejaxrl_suite.engine import curves, files
from purejaxrl_suite.engine.store import Chunk
from purejaxrl_suite.report import export

# What some reader of addresses, patterns or options would take for more than a name.
NAMES = [
    *("a#2", "#3", "?q", "a?b=c", "x::y", "s3::x", "zip::x", "100%", "%2e%2e", "file:", "memory:"),
    *("s3:", "...", "dots...", "~", "~root", "$HOME", "*", "[a]", "{a}", "-", "--out", "a.zip"),
    *("&", "a|b", "a;b", "a,b=c", "@", "ü", "日本", "1", "a.partial", " ", "a b", "new\nline"),
    *("tab\t", "'q\"", "x" * 255, ".hidden"),
]
BAD = ["back\\slash", "\udcff"]


@pytest.fixture(scope="module")
def dataset():
    values = np.arange(6, dtype=np.float32).reshape(2, 3)
    coords = {"seed": [0, 1], "step": [1, 2, 3]}
    return xr.Dataset({"episode_return": (("seed", "step"), values)}, coords)


def contents(folder):
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_any_name_is_only_a_name(dataset, tmp_path):
    for name in NAMES:
        # Beside each folder stands what its name begins with, up to what is special in it.
        for part in {name[:i].strip(".") for i in range(1, min(len(name), 9))} - {"", *NAMES}:
            (tmp_path / part).mkdir(exist_ok=True)
            (tmp_path / part / "kept").write_text(part)
    before = contents(tmp_path)
    for name in NAMES:
        folder = tmp_path / name / name  # the name of a folder, and of the one around it
        files.check_writable(folder)
        assert not (tmp_path / name).exists(), "checked without a trace"
        curves.write(folder / name, dataset)
        assert curves.read(folder / name).identical(dataset)
        files.write_json(folder / "a.json", {"name": name})
        assert files.read_json(folder / "a.json") == {"name": name}
        chunk = Chunk(folder / "chunk")
        chunk.append(0, 2, 1, {"loss": np.ones((1, 1), np.float32)})
        assert Chunk(folder / "chunk").curves()["loss"][0, 0] == 1
        assert not list(tmp_path.glob("**/*-[0-9]*.partial"))
        shutil.rmtree(tmp_path / name)
        assert contents(tmp_path) == before, f"{name!r} changed what is beside it"


@pytest.mark.parametrize("name", ["a#2", "s3::x", "%2e%2e", "new\nline", "...", "日本"])
def test_checkpoints_and_exports_take_any_name(dataset, tmp_path, name):
    chunk = Chunk(tmp_path / name / name)
    chunk.save(3, {"a": np.ones(3, np.float32)})
    chunk.close()
    update, found = chunk.restore({"a": jax.ShapeDtypeStruct((3,), np.float32)})
    chunk.close()
    assert update == 3 and found["a"].tolist() == [1, 1, 1]
    folder = tmp_path / name / "to" / name
    export.to_csv(dataset, folder / f"{name}.csv")
    assert len(pandas.read_csv(folder / f"{name}.csv")) == 6
    export.to_netcdf(dataset, folder / name)
    with (folder / name).open("rb") as file, xr.open_dataset(file, engine="scipy") as found:
        assert found.load().equals(dataset)
    assert {name, f"{name}.csv"} <= set(os.listdir(folder))
    assert os.listdir(tmp_path) == [name]


def test_exports_to_other_formats_take_any_name(dataset, tmp_path):
    pytest.importorskip("pyarrow")
    pytest.importorskip("tensorboardX")
    for name in ("a#2", "s3:", "file::x"):
        export.to_parquet(dataset, tmp_path / name / name)
        with (tmp_path / name / name).open("rb") as file:
            assert len(pandas.read_parquet(file)) == 6
        export.to_tensorboard({"/..": dataset, "..": dataset}, tmp_path / name / "tb")
        assert sorted(os.listdir(tmp_path / name)) == sorted([name, "tb"])
        assert sorted(os.listdir(tmp_path / name / "tb")) == ["_"]
    assert sorted(os.listdir(tmp_path)) == ["a#2", "file::x", "s3:"]


@pytest.mark.parametrize("name", BAD)
def test_names_that_checkpoints_cannot_have_are_refused(tmp_path, name):
    for folder in (tmp_path / name, tmp_path / name / "run"):
        for refuse in (files.check_writable, files.resolve, Chunk):
            with pytest.raises(ValueError, match="expected a path"):
                refuse(folder)
    assert not os.listdir(tmp_path)
