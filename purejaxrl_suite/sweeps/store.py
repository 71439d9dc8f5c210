"""The folder of a sweep: curves and checkpoints of each chunk, safe against kill -9 at any moment.

    sweep.json                  the sweep's identity; compared before anything is resumed
    curves.zarr                 the labelled curves, written when the sweep is finished
    group-000/chunk-000/
        curves.zarr             the rows of its members, one file per segment
        checkpoints/UPDATE/     the whole state after UPDATE updates (orbax, kept: the last few)

The order of writes makes it safe: the rows of a segment are written before a checkpoint that covers
them. Everything after the last complete checkpoint is computed again, to the same bits. Every file
gets its name only when it is complete, and has a checksum: a file that is damaged, or missing
although the last checkpoint covers it, is an error that names it. So is a file that was copied from
the folder of another run, or from another chunk: every file names its run.
"""

import logging
import os
import shutil
import uuid
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from purejaxrl_suite.core import tree
from purejaxrl_suite.core.types import PyTree
from purejaxrl_suite.engine.exchange import Break
from purejaxrl_suite.engine.rows import row_count
from purejaxrl_suite.sweeps import curves, files, row_files
from purejaxrl_suite.sweeps.curves import made_with
from purejaxrl_suite.sweeps.identity import changes, difference

if TYPE_CHECKING:
    import xarray


class Sweep:
    """The folder of a whole sweep."""

    def __init__(self, path: Path):
        """Refer to a folder; `create` writes the first file."""
        self.path = files.resolve(path)

    def clean(self) -> None:
        """Remove unfinished files of dead processes; only after claiming the folder."""
        files.clean(self.path)
        for path in self.path.glob(f"group-*/chunk-*/checkpoints/*{_BEGUN}*"):
            shutil.rmtree(path, ignore_errors=True)
        for path in self.path.glob("group-*/chunk-*/curves.zarr/c/0/0/*.partial"):  # by zarr
            path.unlink(missing_ok=True)

    def open(self, identity: Mapping[str, Any]) -> dict[str, Any]:
        """Return the sizes given to `create`; raises ValueError naming a difference to `identity`.

        Digests of programs are compared if versions and the kind of device are the same.
        """
        saved = self._saved()
        same = not changes(saved["made with"], made_with()).keys() - {"XLA_FLAGS"}  # in no jaxpr
        found = difference(saved["identity"], identity, programs=same)
        if found is not None:
            raise ValueError(f"{self.path} is another experiment: {found}")
        sizes = saved["sizes"]
        count = len(sizes["chunk"])
        return {"row": [1] * count} | sizes  # older folders have a row for each update

    def go_on(self, identity: dict[str, Any], *, accept_changes: bool) -> None:
        """Resume a sweep that is to be trained further, after `open`.

        Accepted changes are recorded in sweep.json with their time.

        Raises:
            ValueError: versions or the kind of device, which are named, have changed, and changes
                are not accepted.
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
        """Write the sweep's identity, and a unique name, which its curves and states carry."""
        content = {"run": uuid.uuid4().hex, "identity": identity, "sizes": sizes}
        content["made with"] = made_with
        files.write_json(self.path / "sweep.json", content)

    def chunk(self, group: int, chunk: int, keep: int, row: int = 1) -> "Chunk":
        """Return the folder of one chunk, whose rows span `row` updates."""
        name = f"group-{group:03}/chunk-{chunk:03}"

        def of() -> str:
            return f"{self._saved()['run']}/{name}"

        return Chunk(self.path / name, keep=keep, row=row, of=of)

    def write_curves(self, found: "xarray.Dataset") -> None:
        """Write the labelled curves, which marks the sweep as finished."""
        path = self.path / "curves.zarr"
        curves.write(path, found.assign_attrs({curves.RUN: self._saved()["run"]}))

    def curves(self) -> "xarray.Dataset":
        """Read the labelled curves; ValueError naming a missing, damaged or foreign file."""
        found = curves.read(self.path / "curves.zarr")
        check_of(self.path / "curves.zarr", found.attrs.pop(curves.RUN, None), self._saved()["run"])
        return found

    def finished(self) -> bool:
        """Tell whether the labelled curves of the whole sweep exist."""
        return (self.path / "curves.zarr").exists()


@contextmanager
def claimed(folder: Path | None) -> Iterator[None]:
    """Lock a folder while it is read, trained and written; ValueError if another process has it.

    The lock is the system's, so it ends with the process in any case; on a file system without
    locks it is a file that names the process. It is beside the folder, which may be replaced
    meanwhile. The processes of one JAX job share a folder; the first claims it.
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
        if not place.exists():  # it cannot be made, as in /proc, so nobody holds it
            files.check_writable(path)
        raise ValueError(f"{path} is being trained by another process") from None
    except OSError:
        if (path / "curves.zarr").exists():  # a finished run in a read-only place is only read
            yield
            return
        files.check_writable(path)  # raises with the cause
        raise
    try:
        yield
    finally:
        with suppress(OSError):
            place.unlink()  # before the release; processes that have opened it try again
        lock.release()


def check_of(path: Path, there: str | None, here: str) -> None:
    """Raise ValueError if a file was written by another run, or as another part of this one."""
    if there != here:
        raise ValueError(f"{path} is of {there}, expected {here}: it was copied from elsewhere")


class InMemory:
    """A store like `Chunk` without a folder: it keeps the last state and all rows in memory."""

    durable = False

    def __init__(self):
        """Make an empty store."""
        self.rows: dict[str, list[np.ndarray]] = {}
        self.state: tuple[int, PyTree] | None = None
        self.breaks: list[dict[str, Any]] = []
        self.path = None

    def note(self, breaks: Iterable[Break]) -> None:
        """Note breaks of episodes on the host."""
        self.breaks += [one._asdict() for one in breaks]

    def noted(self) -> list[dict[str, Any]]:
        """Return the breaks."""
        return self.breaks

    def clear(self) -> None:
        """Do nothing: a new store is empty."""

    def append(self, start: int, updates: int, length: int, rows: dict[str, np.ndarray]) -> None:
        """Append rows {metric: f32[B, n]}."""
        for name, values in rows.items():
            self.rows.setdefault(name, []).append(values)

    def curves(self, updates: int | None = None) -> dict[str, np.ndarray]:
        """Return all rows, {metric: f32[B, R]}."""
        return {name: np.concatenate(parts, axis=1) for name, parts in self.rows.items()}

    def save(self, update: int, state: PyTree) -> None:
        """Keep the state, and drop an earlier one."""
        self.state = update, state

    def restore(self, like: PyTree, until: int | None = None) -> tuple[int, PyTree] | None:
        """Return the last state."""
        return self.state

    def drop_states(self) -> None:
        """Drop the state, keep the rows."""
        self.state = None

    def close(self) -> None:
        """Do nothing: there is nothing to wait for."""


class Chunk:
    """Curves and checkpoints of one chunk of members."""

    durable = True

    def __init__(
        self, path: Path, *, keep: int = 2, row: int = 1, of: Callable[[], str] = lambda: ""
    ):
        """Open or create the folder.

        keep: how many checkpoints are kept. row: updates of a row. of: () -> its run and place.
        """
        self.path, self.keep, self.row, self.of = files.resolve(path), keep, row, of
        self._open = self._rows = None
        self._saved = False

    def clear(self) -> None:
        """Delete everything."""
        self.close()
        self._rows = None
        shutil.rmtree(self.path, ignore_errors=True)

    def append(self, start: int, updates: int, length: int, rows: dict[str, np.ndarray]) -> None:
        """Store rows {metric: f32[B, n] or f32[1, n]} of the updates from `start` on.

        updates: of the whole training. length: updates of a segment. All metrics are one array, so
        a segment is one file and one call of zarr.
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
        """Read the rows {metric: f32[B, R]} stored so far, NaN where there are none yet.

        updates: for how many updates rows must exist; None is those of the last checkpoint.

        Raises:
            ValueError: a file, which is named, is missing or damaged.
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
        """Raise ValueError if the stored array has other rows than those to be written."""
        check_of(self._array, attributes["of"], self.of())
        if attributes["metrics"] != names:
            there, here = (", ".join(one) for one in (attributes["metrics"], names))
            raise ValueError(f"{self._array} holds the metrics {there}, here they are {here}")

    @property
    def _array(self) -> Path:
        return self.path / "curves.zarr"

    def note(self, breaks: Iterable[Break]) -> None:
        """Note breaks of episodes on the host in a file."""
        content = {"of": self.of(), "breaks": [*self.noted(), *(one._asdict() for one in breaks)]}
        files.write_json(self.path / BREAKS, content)

    def noted(self) -> list[dict[str, Any]]:
        """Read the breaks; ValueError if the file, which is named, is damaged."""
        if not (self.path / BREAKS).exists():
            return []
        found = files.read_json(self.path / BREAKS)
        check_of(self.path / BREAKS, found["of"], self.of())
        return found["breaks"]

    def save(self, update: int, state: PyTree) -> None:
        """Start writing a checkpoint, which is valid once it is complete.

        state: a tree of numpy arrays, which must not change until it is written.
        """
        import orbax.checkpoint as ocp

        host = _leaves(state)
        meta = {"update": update, "leaves": _describe(host), "checksums": _checksums(host)}
        meta["of"] = self.of()
        small = [name for name, x in host.items() if 0 < x.nbytes <= SMALL]
        meta["packed"] = packed = [] if PACKED in host else small
        meta["checksum"] = files.checksum(meta)  # for `files.read_json`
        args = ocp.args.Composite(
            state=ocp.args.StandardSave(_pack(host, packed)), meta=ocp.args.JsonSave(meta)
        )
        self._seal()
        self._saved = True
        self._manager().save(update, args=args, force=True)

    def latest(self) -> int | None:
        """Return the update of the last complete checkpoint."""
        names = [path.name for path in (self.path / "checkpoints").glob("*")]
        return max((int(name) for name in names if name.isdigit()), default=None)

    def checkpoint(self, update: int) -> Path:
        """Return the folder of the checkpoint after an update."""
        return self.path / "checkpoints" / str(update)

    def _seal(self) -> None:
        """Wait for the last checkpoint and list its files, so that a damaged one can be named."""
        if not self._saved:
            return
        self._saved = False
        self._manager().wait_until_finished()
        update = self.latest()
        if update is not None:
            path = self.checkpoint(update)
            files.write_json(path / FILES, files.manifest(path))

    def restore(self, like: PyTree, until: int | None = None) -> tuple[int, PyTree] | None:
        """Read the last checkpoint: (update, state as numpy arrays), None if there is none.

        Args:
            like: a tree of the expected shapes and dtypes; typed keys are stored as data.
            until: the update that it must be after, if an older state is of no use.

        Returns:
            The update and the state.

        Raises:
            ValueError: something differs, or a file is missing or damaged; the message names it.
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
        packed = meta.get("packed", [])  # older checkpoints have none
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
        """Wait until all checkpoints are complete; raises their errors."""
        try:
            self._seal()
        finally:
            if self._open is not None:
                self._open.close()
                self._open = None

    def _manager(self) -> Any:
        import orbax.checkpoint as ocp

        if self._open is None:
            logging.getLogger("absl").addFilter(_worth_telling)  # repeated calls add it once
            (self.path / "checkpoints").mkdir(parents=True, exist_ok=True)
            # Each process writes its own chunks, independently of the others.
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
        except Exception as error:  # orbax and tensorstore raise many types
            path = self.checkpoint(update)
            _blame(path)
            reason = str(error).splitlines()[0][:200]
            raise ValueError(f"{path} cannot be read ({reason}): {_WAY_OUT}") from error


BREAKS = "breaks.json"
"""The list of breaks of episodes on the host, in the folder of a chunk."""
FILES = "files.json"
"""The list of the files of a checkpoint, in its folder."""
SMALL = 2**16
"""Leaves of up to so many bytes are written together as one array: orbax takes about 2 ms of
processor time for each array, whatever its size."""
PACKED = "packed leaves"
"""The name of that array."""
_BEGUN = ".orbax-checkpoint-tmp"
_WAY_OUT = "delete it to go back to the one before"
_WAY_OUT_OF = "delete {} to go back to the checkpoint before"


def _worth_telling(record: logging.LogRecord) -> bool:
    """Tell whether to show a record of orbax's logger.

    Hidden are records below warnings, unless the logger was given a level, and the warning that the
    previous checkpoint had to be waited for, since `_seal` waits on purpose.
    """
    if f"{os.sep}orbax{os.sep}" not in record.pathname:
        return True
    if str(record.msg).startswith("Waiting for previous save to complete"):
        return False
    return record.levelno >= logging.WARNING or logging.getLogger("absl").level != logging.NOTSET


def _blame(checkpoint: Path) -> None:
    """Raise ValueError naming the missing or damaged file of a checkpoint, if it is known.

    A killed process has not listed the files of its last checkpoint.
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
    """Make the arrays for orbax: the `packed` leaves as bytes of one array, and no empty ones."""
    whole = {name: x for name, x in leaves.items() if x.size and name not in packed}
    if not packed:
        return whole
    return whole | {PACKED: np.concatenate([_as_bytes(leaves[name]) for name in packed])}


def _unpack(
    arrays: dict[str, np.ndarray], like: dict[str, np.ndarray], packed: list[str]
) -> dict[str, np.ndarray]:
    """Undo `_pack`, with the shapes and dtypes of `like`."""
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
