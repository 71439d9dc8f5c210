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
    names = sorted({name for parts in stored for part in parts for name in part})
    if not names:
        raise ValueError(f"{run}: no segment of this sweep is finished yet")
    groups, trained, total, seconds = [], 0.0, 0.0, 0.0
    for group, size, parts in zip(laid.groups, sizes, stored, strict=True):
        rows = {name: _rows(parts, name, size, group.updates) for name in names}
        rates = rows.pop("steps_per_second")[::size]
        steps = group.per_update * size
        seconds += float(np.nansum(steps / rates))
        trained += float(np.sum(steps * np.isfinite(rates)))
        total += steps * rates.size
        lost = np.fmax.reduce(rows["diverged"], axis=1, keepdims=True)
        rows = {n: x[: len(group.members.seeds)] for n, x in (rows | {"diverged": lost}).items()}
        groups.append(curves.GroupRows(rows, _mean(rates)))
    found = curves.dataset(laid, groups, float("nan"), seconds)
    found.attrs["steps_per_second"] = trained / seconds
    measured = np.isfinite(found["steps_per_second"].values)
    last = np.flatnonzero(measured.reshape(-1, measured.shape[-1]).any(axis=0))[-1]
    return Partial(found.isel(step=slice(0, int(last) + 1)), trained / total)


def _rows(parts: list[dict[str, np.ndarray]], name: str, size: int, updates: int) -> np.ndarray:
    """f32[chunks * size, updates] of a metric; NaN where a chunk has none."""
    missing = np.full((size, updates), np.nan, np.float32)
    rows = [np.broadcast_to(part.get(name, missing), (size, updates)) for part in parts]
    return np.concatenate(rows)


def _mean(rates: np.ndarray) -> np.ndarray:
    """Over chunks, of those that were measured; NaN where none was."""
    count = np.sum(np.isfinite(rates), axis=0)
    return np.where(count > 0, np.nansum(rates, axis=0) / np.maximum(count, 1), np.nan)
