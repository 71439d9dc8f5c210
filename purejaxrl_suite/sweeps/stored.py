"""Runs from their folders: finished ones, and of those that are not what there is so far."""

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
    """What a folder holds.

    result: of the run; where it is not finished, its curves end with the last row that any member
    has, NaN where one has less, and its members are those of the last checkpoints. done:
    share of the whole.
    """

    result: Result
    done: float


def stored(laid: Layout, folder: str | Path, identity: Mapping[str, Any] | None = None) -> Stored:
    """Read the folder of a run; states are read when they are asked for.

    laid: as it was trained. identity: what the folder must be of, that of `laid` by default, which
    traces its programs. Raises ValueError naming what differs where the folder is of something
    else, and if no segment is finished.
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
    """Where each chunk of each group is kept: in the folder, or in memory.

    sizes, each: members of a chunk and updates of a row, of each group.
    """

    def one(g: int, k: int) -> Any:
        return InMemory() if sweep is None else sweep.chunk(g, k, keep, each[g])

    counts = [
        -(-len(group.members.seeds) // size) for group, size in zip(laid.groups, sizes, strict=True)
    ]
    return tuple(tuple(one(g, k) for k in range(count)) for g, count in enumerate(counts))
