"""Files: any name is only a name, damage is told by file, what is replaced is never half there."""

import errno
import os
import shutil
import socket
import subprocess
import sys
from fnmatch import fnmatch

import jax
import jax.numpy as jnp
import numpy as np
import pandas
import pytest
import xarray as xr

from benchmarks import damage
from purejaxrl_suite.report import export
from purejaxrl_suite.sweeps import curves, files, store
from purejaxrl_suite.sweeps.folder import LEFT
from purejaxrl_suite.sweeps.store import Chunk

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


def test_any_name_is_only_a_name(tmp_path):
    dataset = xr.Dataset({"a": ("x", np.arange(2.0))})
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


def test_a_checkpoint_gives_back_every_leaf_packed_or_not(tmp_path, monkeypatch):
    whole = {
        "a": np.arange(3, dtype=np.uint8),  # what follows lies at an odd place
        "b": {"c": np.float32(2.5).reshape(()), "d": np.zeros((0, 2), np.float32)},
        "e": np.arange(6, dtype=np.int16).reshape(2, 3),
        "f": jnp.arange(4, dtype=jnp.bfloat16).__array__(),
        "g": np.ones(2**15, np.float32),  # too large to be packed
        "h": np.array([True, False]),
    }
    like = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype), whole)
    for name, small in (("packed", store.SMALL), ("as older ones are", -1)):
        monkeypatch.setattr(store, "SMALL", small)
        for state, shapes in ((whole, like), ({store.PACKED: whole}, {store.PACKED: like})):
            chunk = Chunk(tmp_path / name / str(len(state)))
            chunk.save(3, state)
            chunk.close()
            found = chunk.restore(shapes)
            chunk.close()
            assert found is not None and found[0] == 3
            for x, y in zip(jax.tree.leaves(state), jax.tree.leaves(found[1]), strict=True):
                assert x.dtype == y.dtype and np.array_equal(x, y)


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


def test_json_is_what_was_written_or_names_its_file(tmp_path):
    path = tmp_path / "a.json"
    content = {"name": "ü", "values": [0.1, float("inf"), 3], "nested": {"a": None}}
    files.write_json(path, content)
    assert files.read_json(path) == content
    written = path.read_bytes()
    for place in range(0, 8 * len(written), 5):
        flipped = bytearray(written)
        flipped[place // 8] ^= 1 << place % 8
        path.write_bytes(flipped)
        try:
            assert files.read_json(path) == content
        except ValueError as error:
            assert str(path) in str(error)
    for text in (b"", written[:-9], b"[1]", b'{"a": 1}', b"\xff"):
        path.write_bytes(text)
        with pytest.raises(ValueError, match="a.json is damaged"):
            files.read_json(path)
    path.unlink()
    with pytest.raises(ValueError, match="a.json is missing"):
        files.read_json(path)


def test_every_damage_to_a_chunk_and_its_curves_is_named_or_without_effect(dataset, tmp_path):
    rows = {"loss": np.ones((2, 2), np.float32), "kl": np.full((2, 2), np.nan, np.float32)}
    like = {"a": jax.ShapeDtypeStruct((2, 8), np.float32)}

    def read(folder):
        chunk = Chunk(folder / "chunk")
        try:
            update, state = chunk.restore(like, 4)
        finally:
            chunk.close()
        curve = curves.read(folder / "curves.zarr").episode_return
        return {**chunk.curves(), "state": state["a"], "update": update, "curve": curve}

    chunk = Chunk(tmp_path / "run" / "chunk", keep=1)
    for start in (0, 2):
        chunk.append(start, 4, 2, rows)
    chunk.save(4, {"a": np.arange(16, dtype=np.float32).reshape(2, 8)})
    chunk.close()
    curves.write(tmp_path / "run" / "curves.zarr", dataset)
    case = damage.Case("run", tmp_path / "run", (read,))
    found = list(damage.run_case(case, each=1, few=None, seed=3))
    assert [row for row in found if row["outcome"] not in ("unchanged", "named")] == []
    kinds = {row["file"] for row in found if row["outcome"] == "named"}
    assert {"chunk/curves.zarr/c/N/N/N", "chunk/checkpoints/N/meta/metadata"} <= kinds
    assert {"curves.zarr/zarr.json", "curves.zarr/episode_return/c/N/N"} <= kinds


def test_rows_that_the_last_checkpoint_counts_must_be_there(tmp_path):
    chunk, path = Chunk(tmp_path), tmp_path / "curves.zarr" / "c" / "0" / "0" / "1"
    for start in (0, 2):
        chunk.append(start, 6, 2, {"loss": np.ones((1, 2), np.float32)})
    assert np.isnan(chunk.curves()["loss"]).tolist() == [[False] * 4 + [True] * 2]
    path.unlink()
    assert np.isnan(chunk.curves()["loss"]).tolist() == [[False] * 2 + [True] * 4]
    chunk.save(4, {"a": np.ones(1, np.float32)})
    chunk.close()
    with pytest.raises(ValueError, match=f"{path} is missing"):
        chunk.curves()
    with pytest.raises(ValueError, match="checkpoints/6 is missing: the last state"):
        chunk.restore({"a": jax.ShapeDtypeStruct((1,), np.float32)}, until=6)


def test_a_folder_is_replaced_as_a_whole_or_not_at_all(tmp_path, monkeypatch):
    path, replace = tmp_path / "run", os.replace
    path.mkdir()
    (path / "old").write_text("old")

    def killed_at(number):
        calls = []

        def once(*names):
            calls.append(names)
            if len(calls) == number:
                raise KeyboardInterrupt
            replace(*names)

        monkeypatch.setattr(os, "replace", once)
        with pytest.raises(KeyboardInterrupt), files.replacing(path) as new:
            new.mkdir()
            (new / "new").write_text("new")
        monkeypatch.undo()
        files.recover(path)

    for number in (1, 2):
        killed_at(number)
        assert os.listdir(path) == ["old"] and os.listdir(tmp_path) == ["run"]
    with files.replacing(path) as new:
        new.mkdir()
        (new / "new").write_text("new")
    assert os.listdir(path) == ["new"] and os.listdir(tmp_path) == ["run"]


def test_what_dead_processes_began_is_removed_and_no_more(tmp_path):
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    host = socket.gethostname().replace(".", "_")
    dead, alive = f"a.json.{host}-{process.pid}.partial", f"a.json.{host}-{os.getpid()}.partial"
    other = f"a.json.another-{process.pid}.partial"
    for folder in (tmp_path, tmp_path / "group-000" / "chunk-000"):
        for name in (dead, alive, other, "b.partial"):
            (folder / name).mkdir(parents=True)
    begun = tmp_path.with_name(f"{tmp_path.name}.{host}-{process.pid}.partial")
    begun.mkdir()  # to take the folder's place
    (tmp_path / f"probe.{host}-{process.pid}.partial").touch()  # of `check_writable`
    files.clean(tmp_path)
    assert not begun.exists()
    for folder in (tmp_path, tmp_path / "group-000" / "chunk-000"):
        assert set(os.listdir(folder)) - {"group-000"} == {alive, other, "b.partial"}


def test_a_folder_that_cannot_be_written_is_told_with_the_cause(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("mine")
    for folder in (tmp_path / "file", tmp_path / "file" / "run"):
        with pytest.raises(ValueError, match="expected a folder to write to, got .*file"):
            files.check_writable(folder)
    with pytest.raises(ValueError, match="expected a path .* name too long"):
        files.check_writable(tmp_path / ("x" * 256))

    def full(number):
        (probe,) = os.listdir(tmp_path / "new" / "run")
        assert fnmatch(probe, *LEFT), "killed here, its folder is still a new one"
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ValueError, match="No space left on device"):
        files.check_writable(tmp_path / "new" / "run")
    assert os.listdir(tmp_path) == ["file"] and (tmp_path / "file").read_text() == "mine"
