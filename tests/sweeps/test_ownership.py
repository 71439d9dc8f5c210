"""Whose a folder is: only runs are replaced, and what is copied among them is told."""

import shutil

import filelock
import numpy as np
import pytest

from purejaxrl_suite.sweeps import curves, files
from purejaxrl_suite.sweeps.folder import Entered, How, begin, enter
from purejaxrl_suite.sweeps.store import Sweep, claimed

IDENTITY, SIZES = {"agent": "ppo"}, {"chunk": [2]}


def start(path, identity=IDENTITY):
    sweep = Sweep(path)
    begin(sweep, identity, SIZES, {}, replaces=False)
    return sweep


def put(path, text="the only copy"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


@pytest.mark.parametrize("name", ["config.json", "uv.lock", "figures/a.png", "curves.zarr/x"])
def test_a_folder_of_something_else_is_not_begun_in(tmp_path, name):
    mine = put(tmp_path / "x" / name, '{"mine": 1}')
    with pytest.raises(ValueError, match="is not empty and holds no run"):
        enter(Sweep(tmp_path / "x"), IDENTITY, How())
    assert mine.read_text() == '{"mine": 1}'


@pytest.mark.parametrize("run", [False, True])
@pytest.mark.parametrize(
    "name",
    [
        *("curves.py", "uv.lock", "group-photo/a.jpg", "policy.best/policy.json", "members/a"),
        *("figures/own.png", "group-000/notes.txt", "figures/run/sweep.json", "a.partial"),
    ],
)
def test_what_no_run_has_written_is_never_replaced(tmp_path, name, run):
    if run:
        start(tmp_path / "x")
    mine = put(tmp_path / "x" / name)
    with pytest.raises(ValueError, match="which no run has written"):
        enter(Sweep(tmp_path / "x"), {"agent": "dqn"}, How(overwrite=True))
    assert mine.read_text() == "the only copy"


@pytest.mark.parametrize("name", ["config.json", "sweep.json", "figures/success.png"])
def test_names_alone_make_no_run_that_is_replaced(tmp_path, name):
    put(tmp_path / "x" / name, "{}")
    with pytest.raises(ValueError, match="which no run has written"):
        enter(Sweep(tmp_path / "x"), IDENTITY, How(overwrite=True))


def test_a_run_is_replaced_also_if_one_of_its_records_is_damaged(tmp_path):
    put(tmp_path / "x" / "Thumbs.db")  # a desktop's: nobody's data
    enter(Sweep(tmp_path / "x"), IDENTITY, How())
    start(tmp_path / "x")
    desktops = ".DS_Store", "figures/desktop.ini", "group-000/.DS_Store"
    for name in ("figures/success.png", "curves.csv", "curves.csv.json", *desktops):
        put(tmp_path / "x" / name)
    for _ in range(2):
        entered = enter(Sweep(tmp_path / "x"), {"agent": "dqn"}, How(overwrite=True))
        assert entered == Entered(None, replaces=True)
        put(tmp_path / "x" / "sweep.json", "{")


def test_what_was_copied_from_another_run_or_chunk_is_told(tmp_path):
    """A copy over a folder mixes runs: the same names and shapes, other numbers."""
    state = {"w": np.arange(3, dtype=np.float32)}
    for name in ("a", "b"):
        sweep = start(tmp_path / name)
        for number in (0, 1):
            chunk = sweep.chunk(0, number, 2)
            chunk.append(0, 4, 2, {"loss": np.full((2, 2), number, np.float32)})
            chunk.save(2, state)
            chunk.close()
    a, b = ((tmp_path / name / "group-000") for name in ("a", "b"))
    checkpoint = "chunk-000/checkpoints/2"
    shutil.copytree(a / checkpoint, b / checkpoint, dirs_exist_ok=True)
    shutil.copytree(b / "chunk-001/curves.zarr", b / "chunk-000/curves.zarr", dirs_exist_ok=True)
    chunk = Sweep(tmp_path / "b").chunk(0, 0, 2)
    with pytest.raises(ValueError, match="checkpoints/2 is of .* it was copied from elsewhere"):
        chunk.restore(state)
    with pytest.raises(ValueError, match=r"curves.zarr is of .*/chunk-001, expected .*/chunk-000"):
        chunk.curves()
    chunk.close()
    whole = tmp_path / "elsewhere"  # of a whole folder nothing is said
    shutil.copytree(tmp_path / "a", whole)
    chunk = Sweep(whole).chunk(0, 1, 2)
    assert chunk.curves()["loss"][0, 0] == 1
    found = chunk.restore(state)
    assert found is not None and found[0] == 2
    with pytest.raises(ValueError, match="holds the metrics loss, here they are reward"):
        chunk.append(2, 4, 2, {"reward": np.zeros((2, 2), np.float32)})
    chunk.close()


def test_labelled_curves_are_of_their_run(tmp_path):
    import xarray

    there, here = start(tmp_path / "a"), start(tmp_path / "b")
    found = xarray.Dataset({"loss": ("step", np.zeros(3))}, attrs={"agent": "ppo"})
    there.write_curves(found)
    assert there.curves().identical(found)
    shutil.copytree(there.path / "curves.zarr", here.path / "curves.zarr")
    with pytest.raises(ValueError, match="curves.zarr is of"):
        here.curves()
    assert curves.read(here.path / "curves.zarr").loss.size == 3


def test_a_finished_run_is_read_where_nobody_can_write(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied", "x.lock")

    monkeypatch.setattr(filelock.FileLock, "acquire", refuse)
    files.write_json(tmp_path / "x" / "sweep.json", {})
    with pytest.raises(PermissionError), claimed(tmp_path / "x"):
        pass
    put(tmp_path / "x" / "curves.zarr" / "zarr.json")
    with claimed(tmp_path / "x"):
        pass
