"""The curves of a sweep that is still running, or was stopped: what its chunks hold so far."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from purejaxrl_suite.engine.layout import Layout


class Partial(NamedTuple):
    """curves: as of a finished sweep, NaN where nothing is stored yet. done: share of the whole."""

    curves: Any
    done: float


def partial_curves(laid: "Layout", run: Path) -> Partial:
    """Read what the folder holds; ValueError if no segment is finished."""
    from purejaxrl_suite.engine import curves
    from purejaxrl_suite.engine.store import Sweep

    sweep = Sweep(run)
    sizes = sweep.open(laid.identity())["chunk"]
    stored = [
        [sweep.chunk(g, k, keep=1).curves() for k in range(-(-len(group.members.seeds) // size))]
        for g, (group, size) in enumerate(zip(laid.groups, sizes, strict=True))
    ]
    if not any(part for parts in stored for part in parts):
        raise ValueError(f"{run}: no segment of this sweep is finished yet")
    gathered = curves.gather(laid, sizes, stored)
    found = curves.dataset(laid, gathered, float("nan"))
    measured = np.isfinite(found["steps_per_second"].values)
    last = np.flatnonzero(measured.reshape(-1, measured.shape[-1]).any(axis=0))[-1]
    return Partial(found.isel(step=slice(0, int(last) + 1)), gathered.done)
