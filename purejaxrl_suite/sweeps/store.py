"""The folder of a sweep: curves and checkpoints of each chunk, safe against kill -9 at any moment.

    sweep.json                  what the sweep is; compared before anything is resumed
    curves.zarr                 the labelled curves, written when the sweep is finished
    group-000/chunk-000/
        curves.zarr             the rows of its members, one file per segment
        checkpoints/UPDATE/     the whole state after UPDATE updates (orbax, kept: the last few)

Order is what makes it safe: the rows of a segment are written before a checkpoint that counts them.
Whatever lies beyond the last complete checkpoint is computed again, to the same bits. Every file
appears under its name only when it is complete, and carries a checksum: what is damaged, or missing
though the last checkpoint counts it, is named and never taken for something else. So is what was
copied into the folder of another run, or into another chunk: all of it names the run it is of.
"""

import logging
import os
import shutil
import uuid
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from purejaxrl_suite.core import tree
from purejaxrl_suite.core.types import PyTree
from purejaxrl_suite.engine.rows import row_count
from purejaxrl_suite.sweeps import curves, files, row_files
from purejaxrl_suite.sweeps.curves import made_with
from purejaxrl_suite.sweeps.identity import changes, difference

if TYPE_CHECKING:
    import xarray


class Sweep:
    """The folder of a whole sweep."""

    def __init__(self, path: Path):
        """Nothing is written before `create`."""
        self.path = files.resolve(path)

    def clean(self) -> None:
        """Remove what dead processes began to write; for who has claimed the folder."""
        files.clean(self.path)
        for path in self.path.glob(f"group-*/chunk-*/checkpoints/*{_BEGUN}*"):
            shutil.rmtree(path, ignore_errors=True)
        for path in self.path.glob("group-*/chunk-*/curves.zarr/c/0/0/*.partial"):  # zarr's
            path.unlink(missing_ok=True)

    def open(self, identity: Mapping[str, Any]) -> dict[str, Any]:
        """The sizes `create` was told; raises ValueError naming what differs from `identity`.

        Digests of programs are compared where versions and the kind of device are those here.
        """
        saved = self._saved()
        same = not changes(saved["made with"], made_with()).keys() - {"XLA_FLAGS"}  # in no jaxpr
        found = difference(saved["identity"], identity, programs=same)
        if found is not None:
            raise ValueError(f"{self.path} is another experiment: {found}")
        sizes = saved["sizes"]
        count = len(sizes["chunk"])
        return {"row": [1] * count} | sizes  # older ones have a row for each update

    def go_on(self, identity: dict[str, Any], *, accept_changes: bool) -> None:
        """Take up a sweep that is to be trained further, after `open`.

        Raises ValueError naming versions, or the kind of device, that have changed since, unless
        that is accepted: then sweep.json says when, and from what to what.
        """
        saved, now = self._saved(), made_with()
        changed = changes(saved["made with"], now)
        if not changed:
            return
        if not accept_changes:
            text = ", ".join(
                f"{name} {there} there, {here} here" for name, (there, here) in changed.items()
            )
            raise ValueError(
                f"{self.path} was begun with {text}: bits may differ, so that goes on only with "
                "accept_changes=True (--accept-changes)"
            )
        when = datetime.now(UTC).isoformat(timespec="seconds")
        accepted = [*saved.get("accepted", ()), {"when": when, "changes": changed}]
        content = saved | {"identity": identity, "made with": now, "accepted": accepted}
        files.write_json(self.path / "sweep.json", content)

    def _saved(self) -> dict[str, Any]:
        record = self.path / "sweep.json"
        if not record.exists():
            raise ValueError(f"{self.path} holds no sweep: {record} is missing")
        return files.read_json(record)

    def create(self, identity: dict[str, Any], sizes: dict[str, Any], made_with: Any) -> None:
        """Write what the sweep is, and a name of its own, which its curves and states carry."""
        content = {"run": uuid.uuid4().hex, "identity": identity, "sizes": sizes}
        content["made with"] = made_with
        files.write_json(self.path / "sweep.json", content)

    def chunk(self, group: int, chunk: int, keep: int, row: int = 1) -> "Chunk":
        """The folder of one chunk, whose rows are over `row` updates."""
        name = f"group-{group:03}/chunk-{chunk:03}"

        def of() -> str:
            return f"{self._saved()['run']}/{name}"

        return Chunk(self.path / name, keep=keep, row=row, of=of)

    def write_curves(self, found: "xarray.Dataset") -> None:
        """Write the labelled curves: the sweep is finished."""
        path = self.path / "curves.zarr"
        curves.write(path, found.assign_attrs({curves.RUN: self._saved()["run"]}))

    def curves(self) -> "xarray.Dataset":
        """The labelled curves; ValueError naming what is missing, damaged or of another run."""
        found = curves.read(self.path / "curves.zarr")
        check_of(self.path / "curves.zarr", found.attrs.pop(curves.RUN, None), self._saved()["run"])
        return found

    def finished(self) -> bool:
        """Whether the labelled curves of the whole sweep are there."""
        return (self.path / "curves.zarr").exists()


@contextmanager
def claimed(folder: Path | None) -> Iterator[None]:
    """While a folder is asked, trained and written; ValueError where another process does so.

    The lock is the system's, so that it ends with the process, however that ends; on a file system
    without locks it is a file that names the process. It lies beside the folder, which may be
    replaced meanwhile. The processes of one JAX job share a folder, the first claims it.
    """
    if folder is None or jax.process_index() > 0:
        yield
        return
    import filelock

    path = files.resolve(folder)
    unique = zlib.crc32(os.fsencode(path.name))  # of names that begin alike
    place = path.with_name(f".{path.name[:32]}.{unique:08x}.lock")
    lock = filelock.FileLock(place)
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
    except filelock.Timeout:
        if not place.exists():  # nobody holds it: it cannot be made, as in /proc
            files.check_writable(path)
        raise ValueError(f"{path} is being trained by another process") from None
    except OSError:
        if (path / "curves.zarr").exists():  # finished, and kept where nobody can write: is read
            yield
            return
        files.check_writable(path)  # says why not
        raise
    try:
        yield
    finally:
        with suppress(OSError):
            place.unlink()  # before it is released; who has opened it meanwhile asks again
        lock.release()


def check_of(path: Path, there: str | None, here: str) -> None:
    """Raise ValueError where a file was written by another run, or as another part of this one."""
    if there != here:
        raise ValueError(f"{path} is of {there}, expected {here}: it was copied from elsewhere")


class InMemory:
    """What `Chunk` is, without a folder: keeps the last state and all rows."""

    durable = False

    def __init__(self):
        """Holds nothing yet."""
        self.rows: dict[str, list[np.ndarray]] = {}
        self.state: tuple[int, PyTree] | None = None

    def clear(self) -> None:
        """Nothing to forget: a new one is empty."""

    def append(self, start: int, updates: int, length: int, rows: dict[str, np.ndarray]) -> None:
        """Keep rows {metric: f32[B, n]}."""
        for name, values in rows.items():
            self.rows.setdefault(name, []).append(values)

    def curves(self, updates: int | None = None) -> dict[str, np.ndarray]:
        """All rows, {metric: f32[B, R]}."""
        return {name: np.concatenate(parts, axis=1) for name, parts in self.rows.items()}

    def save(self, update: int, state: PyTree) -> None:
        """Keep the state in place of an earlier one."""
        self.state = update, state

    def restore(self, like: PyTree, until: int | None = None) -> tuple[int, PyTree] | None:
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

    def __init__(
        self, path: Path, *, keep: int = 2, row: int = 1, of: Callable[[], str] = lambda: ""
    ):
        """Open or create the folder.

        keep: checkpoints that stay. row: updates of a row. of: what names its run and place.
        """
        self.path, self.keep, self.row, self.of = files.resolve(path), keep, row, of
        self._open = self._rows = None
        self._saved = False

    def clear(self) -> None:
        """Forget everything."""
        self.close()
        self._rows = None
        shutil.rmtree(self.path, ignore_errors=True)

    def append(self, start: int, updates: int, length: int, rows: dict[str, np.ndarray]) -> None:
        """Store rows {metric: f32[B, n] or f32[1, n]} of the updates from `start` on, of `updates`.

        length: updates of a segment. All metrics are one array: a segment is one file, and one call
        of zarr.
        """
        first, whole, length = map(self._rows_of, (start, updates, length))
        names = list(rows)
        size, count = np.broadcast_shapes(*(x.shape for x in rows.values()))
        block = np.stack([np.broadcast_to(rows[name], (size, count)) for name in names])
        if self._rows is None:
            if not self._array.exists():
                attributes = {"metrics": names, "of": self.of()}
                shape = size, whole
                row_files.create(self._array, attributes, shape, min(length, whole))
            self._rows = row_files.open_array(self._array, writable=True)
            self._check_rows(dict(self._rows.attrs), names)
        with files.naming(self._array):
            self._rows[:, :, first : first + count] = block

    def curves(self, updates: int | None = None) -> dict[str, np.ndarray]:
        """Rows {metric: f32[B, R]} stored so far, NaN where there are none yet.

        updates: of how many there must be rows; by default those that the last checkpoint counts.
        Raises ValueError naming the file that is missing or damaged.
        """
        needed = self._rows_of((self.latest() or 0) if updates is None else updates)
        if not self._array.exists():
            if needed:
                raise ValueError(f"{self._array} is missing")
            return {}
        check_of(self._array, row_files.open_array(self._array).attrs["of"], self.of())
        return row_files.read(self._array, needed)

    def _rows_of(self, updates: int) -> int:
        return row_count(updates, self.row)

    def _check_rows(self, attributes: dict[str, Any], names: list[str]) -> None:
        """Raise ValueError where the array that is there has other rows than are to be written."""
        check_of(self._array, attributes["of"], self.of())
        if attributes["metrics"] != names:
            there, here = (", ".join(one) for one in (attributes["metrics"], names))
            raise ValueError(f"{self._array} holds the metrics {there}, here they are {here}")

    @property
    def _array(self) -> Path:
        return self.path / "curves.zarr"

    def save(self, update: int, state: PyTree) -> None:
        """Start writing a checkpoint; it counts once it is complete.

        state: a tree of numpy arrays, which nobody changes until it is written.
        """
        import orbax.checkpoint as ocp

        host = _leaves(state)
        meta = {"update": update, "leaves": _describe(host), "checksums": _checksums(host)}
        meta["of"] = self.of()
        small = [name for name, x in host.items() if 0 < x.nbytes <= SMALL]
        meta["packed"] = packed = [] if PACKED in host else small
        meta["checksum"] = files.checksum(meta)  # as `files.read_json` reads it
        args = ocp.args.Composite(
            state=ocp.args.StandardSave(_pack(host, packed)), meta=ocp.args.JsonSave(meta)
        )
        self._seal()
        self._saved = True
        self._manager().save(update, args=args, force=True)

    def latest(self) -> int | None:
        """The update of the last complete checkpoint."""
        names = [path.name for path in (self.path / "checkpoints").glob("*")]
        return max((int(name) for name in names if name.isdigit()), default=None)

    def checkpoint(self, update: int) -> Path:
        """The folder of the checkpoint after an update."""
        return self.path / "checkpoints" / str(update)

    def _seal(self) -> None:
        """Wait for the last checkpoint and list its files, to know later which one is damaged."""
        if not self._saved:
            return
        self._saved = False
        self._manager().wait_until_finished()
        update = self.latest()
        if update is not None:
            path = self.checkpoint(update)
            files.write_json(path / FILES, files.manifest(path))

    def restore(self, like: PyTree, until: int | None = None) -> tuple[int, PyTree] | None:
        """(update, state as numpy arrays) of the last checkpoint, None if there is none.

        like: a tree of the shapes and dtypes that are expected; of typed keys the data is stored.
        until: the update after which it must be, where an older state is of no use.
        Raises ValueError naming what differs, or which file is missing or damaged.
        """
        update = self.latest()
        if until is not None and update != until:
            raise ValueError(f"{self.checkpoint(until)} is missing: the last state of its members")
        if update is None:
            return None
        path = self.checkpoint(update)
        meta = files.read_json(path / "meta" / "metadata")
        if meta["update"] != update:
            raise ValueError(f"{path} has another name than it was given: {meta['update']}")
        check_of(path, meta["of"], self.of())
        plain = jax.eval_shape(tree.key_data, like)
        expected = {name: np.empty(x.shape, x.dtype) for name, x in _leaves(plain).items()}
        _compare(f"checkpoint {path}", meta["leaves"], _describe(expected))
        packed = meta.get("packed", [])  # older ones have none
        found = expected | _unpack(self._read(update, _pack(expected, packed)), expected, packed)
        sums = _checksums(found)
        damaged = [name for name, value in meta["checksums"].items() if sums[name] != value]
        if damaged:
            _blame(path)
            raise ValueError(f"{path} is damaged in {', '.join(damaged[:3])}: {_WAY_OUT}")
        return update, _unflatten(like, found)

    def drop_states(self) -> None:
        """Delete the checkpoints, keep the curves."""
        self.close()
        shutil.rmtree(self.path / "checkpoints", ignore_errors=True)

    def close(self) -> None:
        """Wait until all checkpoints are complete; raises what went wrong with them."""
        try:
            self._seal()
        finally:
            if self._open is not None:
                self._open.close()
                self._open = None

    def _manager(self) -> Any:
        import orbax.checkpoint as ocp

        if self._open is None:
            logging.getLogger("absl").addFilter(_worth_telling)  # once, however often
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

    def _read(self, update: int, like: PyTree) -> Any:
        import orbax.checkpoint as ocp

        try:
            args = ocp.args.Composite(state=ocp.args.StandardRestore(like))
            return self._manager().restore(update, args=args)["state"]
        except Exception as error:  # orbax and tensorstore raise many kinds
            path = self.checkpoint(update)
            _blame(path)
            reason = str(error).splitlines()[0][:200]
            raise ValueError(f"{path} cannot be read ({reason}): {_WAY_OUT}") from error


FILES = "files.json"
"""What lists the files of a checkpoint, in its folder."""
SMALL = 2**16
"""Bytes of a leaf up to which it is written into one array with all others of that kind: orbax
takes about 2 ms of processor time for each array, whatever its size."""
PACKED = "packed leaves"
"""The name of that array."""
_BEGUN = ".orbax-checkpoint-tmp"
_WAY_OUT = "delete it to go back to the one before"
_WAY_OUT_OF = "delete {} to go back to the checkpoint before"


def _worth_telling(record: logging.LogRecord) -> bool:
    """Whether a record of orbax's logger says more than that a checkpoint is written.

    Below warnings it does not, unless that logger was given a level; nor does the warning that the
    one before had to be waited for, since `_seal` waits on purpose.
    """
    if f"{os.sep}orbax{os.sep}" not in record.pathname:
        return True
    if str(record.msg).startswith("Waiting for previous save to complete"):
        return False
    return record.levelno >= logging.WARNING or logging.getLogger("absl").level != logging.NOTSET


def _blame(checkpoint: Path) -> None:
    """Raise ValueError naming the file of a checkpoint that is missing or damaged, if it is known.

    A process that was killed has not listed the files of its last checkpoint.
    """
    if (checkpoint / FILES).exists():
        try:
            files.verify(checkpoint, files.read_json(checkpoint / FILES))
        except ValueError as error:
            raise ValueError(f"{error}; {_WAY_OUT_OF.format(checkpoint)}") from error


def _leaves(state: PyTree) -> dict[str, Any]:
    return {
        jax.tree_util.keystr(path, simple=True, separator="."): leaf
        for path, leaf in jax.tree_util.tree_flatten_with_path(state)[0]
    }


def _pack(leaves: dict[str, np.ndarray], packed: list[str]) -> dict[str, np.ndarray]:
    """The arrays that orbax is given: the `packed` leaves as bytes of one, and no empty ones."""
    whole = {name: x for name, x in leaves.items() if x.size and name not in packed}
    if not packed:
        return whole
    return whole | {PACKED: np.concatenate([_as_bytes(leaves[name]) for name in packed])}


def _unpack(
    arrays: dict[str, np.ndarray], like: dict[str, np.ndarray], packed: list[str]
) -> dict[str, np.ndarray]:
    """The leaves of what `_pack` gave, in the shapes and dtypes of `like`."""
    if not packed:
        return arrays
    ends = np.cumsum([like[name].nbytes for name in packed])
    parts = np.split(arrays[PACKED], ends[:-1])
    return {name: x for name, x in arrays.items() if name != PACKED} | {
        name: part.copy().view(like[name].dtype).reshape(like[name].shape)  # aligned
        for name, part in zip(packed, parts, strict=True)
    }


def _as_bytes(x: np.ndarray) -> np.ndarray:
    return np.ravel(x).view(np.uint8)


def _unflatten(like: PyTree, leaves: dict[str, np.ndarray]) -> PyTree:
    return jax.tree.unflatten(jax.tree.structure(like), [leaves[name] for name in _leaves(like)])


def _describe(leaves: dict[str, np.ndarray]) -> dict[str, str]:
    return {name: f"{x.dtype}{list(x.shape)}" for name, x in leaves.items()}


def _checksums(leaves: dict[str, np.ndarray]) -> dict[str, int]:
    return {name: zlib.crc32(_as_bytes(x)) for name, x in leaves.items()}


def _compare(where: str, saved: dict[str, str], ours: dict[str, str]) -> None:
    for name in (*saved, *ours):
        if saved.get(name) != ours.get(name):
            raise ValueError(
                f"{where} does not fit: {name} is {saved.get(name, 'missing')} there and "
                f"{ours.get(name, 'missing')} here"
            )
