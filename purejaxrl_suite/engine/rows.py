"""Rows of a history: what updates tell, one by one or by blocks of them.

A training of at most ROWS updates has a row for each. In a longer one a row is over a block of
consecutive updates, so that a history does not grow with their number. What a row says is decided
by the kind of what is told (`Kinds`): sums stay sums, and means over episodes are weighted by their
numbers, so that any window of whole blocks has the means and sums of its updates.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from purejaxrl_suite.core.types import Array, Clock, Environment, PyTree

ROWS = 1000
"""Rows of a history, at most."""
Row = Mapping[str, Array]


class Kinds(NamedTuple):
    """What is told in an update, by name; of what is not named, a row has the mean.

    A mean is over the updates of the block in which there is a number: NaN says that nothing was
    measured. Infinity is a number.

    counts: {mean over episodes: the number of them}, by which it is weighted. totals: what counts
    since the update before, and is added up. last: what counts since the start.
    """

    counts: Mapping[str, str] = {}
    totals: frozenset[str] = frozenset()
    last: frozenset[str] = frozenset()

    def is_mean(self, name: str) -> bool:
        """Whether it is a mean over updates."""
        return name not in self.counts and not self.is_total(name) and name not in self.last

    def is_total(self, name: str) -> bool:
        """Whether it is added up; so are its parts by layer, `NAME.LAYER`."""
        return name in self.totals or any(name.startswith(f"{one}.") for one in self.totals)


class Sums(NamedTuple):
    """Of a block so far: {name: f32[]} of values times weights (of `last`, values), and weights."""

    values: dict[str, Array]
    weights: dict[str, Array]


def empty(names: Iterable[str]) -> Sums:
    """Sums of no update."""
    zeros = {name: jnp.zeros(()) for name in names}
    return Sums({name: jnp.full((), jnp.nan) for name in zeros}, zeros)


def add(kinds: Kinds, sums: Sums, row: Row) -> Sums:
    """The sums with one more update."""
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
    """The row of a block.

    finite: bool[], whether the parameters are, after it. Where they are not, means over updates are
    NaN: they are not those of the updates before, as if nothing had been lost.
    """
    found = {}
    for name, value in sums.values.items():
        summed = kinds.is_total(name) or name in kinds.last
        found[name] = value if summed else value / sums.weights[name]
        if kinds.is_mean(name):
            found[name] = jnp.where(finite, found[name], jnp.nan)
    return found


def row_count(updates: Any, each: int) -> Any:
    """Count the rows of updates, int or i32[]: `each` in a row, in the last what is left."""
    return -(-updates // each)


def updates_per_row(env: Environment, updates: int) -> int:
    """How many updates a row is over, so that there are ROWS of them at most.

    In a stream a row is over updates of one phase, or over whole phases: its updates divide all of
    them, or are divided.
    """
    fewest = -(-updates // ROWS)
    if fewest == 1 or env.phase is None:
        return fewest
    phase = _phase_length(env.phase, env.params, updates)
    if phase < fewest:
        return fewest if phase == 0 else phase * -(-fewest // phase)
    return next(n for n in range(fewest, phase + 1) if phase % n == 0)


def _phase_length(phase: Callable[..., Any], params: PyTree, updates: int) -> int:
    """The most updates that divide all phases; 0 where there is but one."""

    def begins(update: Array) -> Array:
        return phase(params, Clock(update, jnp.int32(updates)))[1]

    starts = np.flatnonzero(jax.jit(jax.vmap(begins))(jnp.arange(updates, dtype=jnp.int32)))
    return math.gcd(*starts.tolist())
