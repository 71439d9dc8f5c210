"""The folder of a sweep: curves and checkpoints of each chunk, safe against kill -9 at any moment.

    sweep.json                  what the sweep is; compared before anything is resumed
    curves.zarr                 the labelled curves, written when the sweep is finished
    group-000/chunk-000/
        curves.zarr             one array [B, updates] per metric, one file per segment
        checkpoints/UPDATE/     the whole state after UPDATE updates (orbax, kept: the last few)

Order is what makes it safe: the rows of a segment are written before a checkpoint that counts them.
Whatever lies beyond the last complete checkpoint is computed again, to the same bits. Every file
appears under its name only when it is complete.
"""

import shutil
import zlib
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import jax
import numpy as np

from purejaxrl_suite.core import tree
from purejaxrl_suite.core.types import PyTree
from purejaxrl_suite.engine import files


class Sweep:
    """The folder of a whole sweep."""

    def __init__(self, path: Path):
        """Nothing is written before `create`."""
        self.path = files.resolve(path)

    def check_new(self) -> None:
        """Raise ValueError if there is something in the folder already."""
        if (self.path / "sweep.json").exists():
            raise ValueError(
                f"{self.path} holds a sweep already: resume it, or choose another folder"
            )

    def open(self, identity: dict[str, Any]) -> dict[str, Any]:
        """The sizes `create` was told; raises ValueError naming what differs from `identity`."""
        record = self.path / "sweep.json"
        if not record.exists():
            raise ValueError(f"{self.path} holds no sweep (no sweep.json)")
        saved = files.read_json(record)
        for name, ours in _flat(identity).items():
            theirs = _flat(saved["identity"]).get(name, "missing")
            if theirs != ours:
                raise ValueError(
                    f"{self.path} is another sweep: {name} is {theirs} there, {ours} here"
                )
        return saved["sizes"]

    def create(self, identity: dict[str, Any], sizes: dict[str, Any], made_with: Any) -> None:
        """Write what the sweep is."""
        content = {"identity": identity, "sizes": sizes, "made with": made_with}
        files.write_json(self.path / "sweep.json", content)

    def chunk(self, group: int, chunk: int, keep: int) -> "Chunk":
        """The folder of one chunk."""
        return Chunk(self.path / f"group-{group:03}" / f"chunk-{chunk:03}", keep=keep)

    def finished(self) -> bool:
        """Whether the labelled curves of the whole sweep are there."""
        return (self.path / "curves.zarr").exists()


class InMemory:
    """What `Chunk` is, without a folder: keeps the last state and all rows."""

    durable = False

    def __init__(self):
        """Holds nothing yet."""
        self.rows: dict[str, list[np.ndarray]] = {}
        self.state: tuple[int, PyTree] | None = None

    def claimed(self) -> AbstractContextManager[None]:
        """Nobody else can train it."""
        return nullcontext()

    def clear(self) -> None:
        """Nothing to forget: a new one is empty."""

    def append(self, start: int, updates: int, length: int, rows: dict[str, np.ndarray]) -> None:
        """Keep rows {metric: f32[B, n]}."""
        for name, values in rows.items():
            self.rows.setdefault(name, []).append(values)

    def curves(self) -> dict[str, np.ndarray]:
        """All rows, {metric: f32[B, updates]}."""
        return {name: np.concatenate(parts, axis=1) for name, parts in self.rows.items()}

    def save(self, update: int, state: PyTree) -> None:
        """Keep the state in place of an earlier one."""
        self.state = update, state

    def restore(self, like: PyTree) -> tuple[int, PyTree] | None:
        """The state kept last."""
        return self.state

    def drop_states(self) -> None:
        """Forget the state, keep the rows."""
        self.state = None

    def close(self) -> None:
        """Nothing to wait for."""


class Chunk:
    """Curves and checkpoints of one chunk of members."""

    durable = True

    def __init__(self, path: Path, *, keep: int = 2):
        """Open or create the folder; `keep` checkpoints stay."""
        self.path, self.keep = files.resolve(path), keep
        self._open = self._rows = None

    @contextmanager
    def claimed(self) -> Iterator[None]:
        """While it is trained; raises ValueError where another process trains it already.

        The lock is the system's, so that it ends with the process, however that ends; on a file
        system without locks it is a file that names the process.
        """
        import filelock

        self.path.parent.mkdir(parents=True, exist_ok=True)
        lock = filelock.FileLock(self.path.with_suffix(".lock"))
        try:
            held = lock.acquire(timeout=0)
        except filelock.Timeout:
            raise ValueError(f"{self.path} is being trained by another process") from None
        with held:
            yield

    def clear(self) -> None:
        """Forget everything."""
        self.close()
        self._rows = None
        shutil.rmtree(self.path, ignore_errors=True)

    def append(self, start: int, updates: int, length: int, rows: dict[str, np.ndarray]) -> None:
        """Store rows {metric: f32[B, n] or f32[1, n]} of the updates from `start` on, of `updates`.

        All metrics are one array: a segment is one file, and one call of zarr.
        """
        import zarr
        from zarr.storage import LocalStore

        names = list(rows)
        size, count = np.broadcast_shapes(*(x.shape for x in rows.values()))
        block = np.stack([np.broadcast_to(rows[name], (size, count)) for name in names])
        if self._rows is None:
            path = self.path / "curves.zarr"
            if path.exists():
                self._rows = zarr.open_array(LocalStore(path), mode="r+")
            else:
                self._rows = zarr.create_array(
                    LocalStore(path),
                    shape=(len(names), size, updates),
                    chunks=(len(names), size, min(length, updates)),
                    dtype="float32",
                    fill_value=np.nan,
                    dimension_names=("metric", "member", "update"),
                    attributes={"metrics": names},
                )
        self._rows[:, :, start : start + count] = block

    def curves(self) -> dict[str, np.ndarray]:
        """Rows {metric: f32[B, updates]} stored so far, NaN where there are none."""
        import zarr
        from zarr.storage import LocalStore

        if not (self.path / "curves.zarr").exists():
            return {}
        stored = zarr.open_array(LocalStore(self.path / "curves.zarr", read_only=True), mode="r")
        names: Any = stored.attrs["metrics"]
        return dict(zip(names, np.asarray(stored), strict=True))

    def save(self, update: int, state: PyTree) -> None:
        """Start writing a checkpoint; it counts once it is complete.

        state: a tree of numpy arrays, which nobody changes until it is written.
        """
        import orbax.checkpoint as ocp

        host = _leaves(state)
        meta = {"update": update, "leaves": _describe(host), "checksums": _checksums(host)}
        host = {name: leaf for name, leaf in host.items() if leaf.size}  # orbax stores no others
        args = ocp.args.Composite(state=ocp.args.StandardSave(host), meta=ocp.args.JsonSave(meta))
        self._manager().save(update, args=args, force=True)

    def latest(self) -> int | None:
        """The update of the last complete checkpoint."""
        if not (self.path / "checkpoints").exists():
            return None
        return self._manager().latest_step()

    def restore(self, like: PyTree) -> tuple[int, PyTree] | None:
        """(update, state as numpy arrays) of the last checkpoint, None if there is none.

        like: a tree of the shapes and dtypes that are expected; of typed keys the data is stored.
        Raises ValueError naming what differs, or which part of the checkpoint is damaged.
        """
        update = self.latest()
        if update is None:
            return None
        where = f"checkpoint {self.path / 'checkpoints' / str(update)}"
        meta = self._read(where, update, meta=True)
        plain = jax.eval_shape(tree.key_data, like)
        expected = {name: np.empty(x.shape, x.dtype) for name, x in _leaves(plain).items()}
        _compare(where, meta["leaves"], _describe(expected))
        stored = {name: leaf for name, leaf in expected.items() if leaf.size}
        found = expected | self._read(where, update, like=stored)
        sums = _checksums(found)
        damaged = [name for name, value in meta["checksums"].items() if sums[name] != value]
        if damaged:
            raise ValueError(f"{where} is damaged in {', '.join(damaged[:3])}: {_WAY_OUT}")
        return update, _unflatten(like, found)

    def drop_states(self) -> None:
        """Delete the checkpoints, keep the curves."""
        self.close()
        shutil.rmtree(self.path / "checkpoints", ignore_errors=True)

    def close(self) -> None:
        """Wait until all checkpoints are complete; raises what went wrong with them."""
        if self._open is not None:
            self._open.close()
            self._open = None

    def _manager(self) -> Any:
        import orbax.checkpoint as ocp

        if self._open is None:
            (self.path / "checkpoints").mkdir(parents=True, exist_ok=True)
            # Each process writes the chunks that it owns by itself, whatever the others do.
            alone = jax.process_index()
            options = ocp.CheckpointManagerOptions(
                max_to_keep=self.keep,
                create=False,
                multiprocessing_options=ocp.options.MultiprocessingOptions(
                    primary_host=alone,
                    active_processes={alone},
                    barrier_sync_key_prefix=f"process-{alone}",
                ),
            )
            self._open = ocp.CheckpointManager(self.path / "checkpoints", options=options)
        return self._open

    def _read(self, where: str, update: int, *, meta: bool = False, like: PyTree = None) -> Any:
        import orbax.checkpoint as ocp

        try:
            if meta:
                args = ocp.args.Composite(meta=ocp.args.JsonRestore())
                return self._manager().restore(update, args=args)["meta"]
            args = ocp.args.Composite(state=ocp.args.StandardRestore(like))
            return self._manager().restore(update, args=args)["state"]
        except Exception as error:  # orbax and tensorstore raise many kinds
            reason = str(error).splitlines()[0][:200]
            raise ValueError(f"{where} cannot be read ({reason}): {_WAY_OUT}") from error


_WAY_OUT = "delete it to go back to the one before"


def _flat(content: Any, name: str = "") -> dict[str, Any]:
    """{dotted name: value} of nested dictionaries and lists of dictionaries."""
    if isinstance(content, list) and content and isinstance(content[0], dict):
        content = {str(i): entry for i, entry in enumerate(content)}
    if not isinstance(content, dict):
        return {name: content}
    found = {}
    for key, value in content.items():
        found |= _flat(value, f"{name}.{key}" if name else key)
    return found


def _leaves(state: PyTree) -> dict[str, Any]:
    return {
        jax.tree_util.keystr(path, simple=True, separator="."): leaf
        for path, leaf in jax.tree_util.tree_flatten_with_path(state)[0]
    }


def _unflatten(like: PyTree, leaves: dict[str, np.ndarray]) -> PyTree:
    return jax.tree.unflatten(jax.tree.structure(like), [leaves[name] for name in _leaves(like)])


def _describe(leaves: dict[str, np.ndarray]) -> dict[str, str]:
    return {name: f"{x.dtype}{list(x.shape)}" for name, x in leaves.items()}


def _checksums(leaves: dict[str, np.ndarray]) -> dict[str, int]:
    return {name: zlib.crc32(np.ravel(x).view(np.uint8)) for name, x in leaves.items()}


def _compare(where: str, saved: dict[str, str], ours: dict[str, str]) -> None:
    for name in (*saved, *ours):
        if saved.get(name) != ours.get(name):
            raise ValueError(
                f"{where} does not fit: {name} is {saved.get(name, 'missing')} there and "
                f"{ours.get(name, 'missing')} here"
            )
