"""Read runs from their folders, finished or not."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from purejaxrl_suite.sweeps import curves
from purejaxrl_suite.sweeps.folder import settle
from purejaxrl_suite.sweeps.layout import Layout
from purejaxrl_suite.sweeps.result import TRAINED, Result
from purejaxrl_suite.sweeps.store import InMemory, Sweep


class Stored(NamedTuple):
    """Content of a folder.

    result: of the run. If it is unfinished, its curves end with the last row of any member, NaN for
    members with fewer, and its members are those of the last checkpoints. done: share of the whole.
    """

    result: Result
    done: float


def stored(laid: Layout, folder: str | Path, identity: Mapping[str, Any] | None = None) -> Stored:
    """Read the folder of a run; states are read when they are needed.

    Args:
        laid: layout of the run.
        folder: of the run.
        identity: that the folder must have; None is that of `laid`, which traces its programs.

    Returns:
        The result so far, and the share that is done.

    Raises:
        ValueError: the folder is of another run (the message names the difference), or no segment
            is finished.
    """
    settle(Path(folder))
    sweep = Sweep(Path(folder))
    known = sweep.open(laid.identity() if identity is None else identity)
    sizes, each = known["chunk"], known["row"]
    chunks = chunks_of(laid, sizes, each, sweep, keep=1)
    if sweep.finished():
        found = sweep.curves()
        return Stored(Result(found, laid, tuple(sizes), chunks), 1.0)
    rows = [[chunk.curves() for chunk in of_group] for of_group in chunks]
    if not any(part for parts in rows for part in parts):
        raise ValueError(f"{folder}: no segment of this run is finished yet")
    gathered = curves.gather(laid, sizes, each, rows)
    found = curves.dataset(laid, gathered, float("nan"))
    measured = np.isfinite(found["steps_per_second"].values)
    last = np.flatnonzero(measured.reshape(-1, measured.shape[-1]).any(axis=0))[-1]
    found = found.isel(step=slice(0, int(last) + 1)).assign_attrs({TRAINED: gathered.done})
    return Stored(Result(found, laid, tuple(sizes), chunks), gathered.done)


def chunks_of(
    laid: Layout, sizes: list[int], each: list[int], sweep: Sweep | None, keep: int
) -> tuple[tuple[Any, ...], ...]:
    """Make the store of each chunk of each group, in the folder or in memory.

    Args:
        laid: layout of the sweep.
        sizes: members of a chunk, of each group.
        each: updates of a row, of each group.
        sweep: the folder; None is memory.
        keep: how many checkpoints are kept.

    Returns:
        The chunks of each group.
    """

    def one(g: int, k: int) -> Any:
        return InMemory() if sweep is None else sweep.chunk(g, k, keep, each[g])

    counts = [
        -(-len(group.members.seeds) // size) for group, size in zip(laid.groups, sizes, strict=True)
    ]
    return tuple(tuple(one(g, k) for k in range(count)) for g, count in enumerate(counts))
