"""Rows of a history: metrics of single updates, or aggregated over blocks of updates.

Training of at most ROWS updates has a row for each update. Longer training has a row for each block
of consecutive updates, so that a history does not grow with their number. How a metric is
aggregated depends on its kind (`Kinds`): sums stay sums, and means over episodes are weighted by
the number of episodes, so that any window of whole blocks has the means and sums of its updates.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from purejaxrl_suite.core.types import Array, Clock, Environment, PyTree

ROWS = 1000
"""The most rows of a history."""
Row = Mapping[str, Array]
Phase = Callable[[PyTree, Clock], tuple[PyTree, Array]]
"""As `Environment.phase`."""


class Kinds(NamedTuple):
    """How each metric is aggregated over a block of updates; metrics not named here are averaged.

    The average leaves out updates in which the metric is NaN, that is not measured; it does not
    leave out infinity.
    counts: {mean over episodes: the number of episodes}, the weight of its average.
    totals: counts since the update before, which are summed.
    last: counts since the start, of which the last is kept.
    """

    counts: Mapping[str, str] = {}
    totals: frozenset[str] = frozenset()
    last: frozenset[str] = frozenset()

    def is_mean(self, name: str) -> bool:
        """Tell whether a metric is averaged over updates."""
        return name not in self.counts and not self.is_total(name) and name not in self.last

    def is_total(self, name: str) -> bool:
        """Tell whether a metric is summed, by its name or as a part by layer, `NAME.LAYER`."""
        return name in self.totals or any(name.startswith(f"{one}.") for one in self.totals)


class Sums(NamedTuple):
    """Sums over a block so far, {name: f32[]}: of weighted values (`last`: values) and weights."""

    values: dict[str, Array]
    weights: dict[str, Array]


def empty(names: Iterable[str]) -> Sums:
    """Make the sums of no update."""
    zeros = {name: jnp.zeros(()) for name in names}
    return Sums({name: jnp.full((), jnp.nan) for name in zeros}, zeros)


def add(kinds: Kinds, sums: Sums, row: Row) -> Sums:
    """Add an update to the sums."""
    values, weights = {}, {}
    for name, x in row.items():
        known = ~jnp.isnan(x)
        weight = row[kinds.counts[name]] if name in kinds.counts else known.astype(jnp.float32)
        before, weights[name] = sums.values[name], sums.weights[name] + weight
        if name in kinds.last:
            values[name] = jnp.where(known, x, before)
        else:
            so_far = jnp.where(sums.weights[name] > 0, before, 0.0)
            values[name] = jnp.where(weight > 0, so_far + weight * x, before)
    return Sums(values, weights)


def whole(kinds: Kinds, sums: Sums, finite: Array) -> dict[str, Array]:
    """Compute the row of a block from its sums.

    finite: bool[], whether the parameters are finite after the block. If not, means over updates
    are NaN, so that a diverged member does not show the means of its earlier updates.
    """
    found = {}
    for name, value in sums.values.items():
        summed = kinds.is_total(name) or name in kinds.last
        found[name] = value if summed else value / sums.weights[name]
        if kinds.is_mean(name):
            found[name] = jnp.where(finite, found[name], jnp.nan)
    return found


def row_count(updates: Any, each: int) -> Any:
    """Count the rows of updates, int or i32[]: `each` in a row, the rest in the last."""
    return -(-updates // each)


def updates_per_row(env: Environment | None, updates: int) -> int:
    """Choose how many updates a row spans, so that there are at most ROWS rows.

    In a stream a row spans a part of one phase, or whole phases: its length divides that of all
    phases, or is a multiple of it.
    """
    fewest = -(-updates // ROWS)
    if fewest == 1 or env is None or env.phase is None:
        return fewest
    phase = _phase_length(env.phase, env.params, updates)
    if phase < fewest:
        return fewest if phase == 0 else phase * -(-fewest // phase)
    return next(n for n in range(fewest, phase + 1) if phase % n == 0)


def _phase_length(phase: Phase, params: PyTree, updates: int) -> int:
    """Find the largest number of updates that divides all phases; 0 if there is one phase."""

    def begins(update: Array) -> Array:
        return phase(params, Clock(update, jnp.int32(updates)))[1]

    starts = np.flatnonzero(jax.jit(jax.vmap(begins))(jnp.arange(updates, dtype=jnp.int32)))
    return math.gcd(*starts.tolist())
