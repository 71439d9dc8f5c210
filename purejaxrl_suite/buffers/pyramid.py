"""Sums of many numbers that are kept while numbers change: proportional sampling in O(log C).

Each level holds the sums of groups of FAN numbers of the level below; the lowest holds the numbers.
A draw among 100,000 numbers looks at six rows of FAN, one in each level; an update adds up five.
Sums are added up anew and never corrected by differences, so no error accumulates.
"""

import jax
import jax.numpy as jnp

from purejaxrl_suite.core.types import Array

FAN = 8  # faster than 4, 16 or 64 on a CPU; 1/7 of the numbers is added to memory

Pyramid = tuple[Array, ...]


def init(size: int) -> Pyramid:
    """Zeros f32 [G, FAN] of each level, the numbers first; the highest has one row."""
    levels = [jnp.zeros((-(-size // FAN), FAN), jnp.float32)]
    while levels[-1].shape[0] > 1:
        levels.append(jnp.zeros((-(-levels[-1].shape[0] // FAN), FAN), jnp.float32))
    return tuple(levels)


def total(pyramid: Pyramid) -> Array:
    """The sum of all numbers, f32[]."""
    return jnp.sum(pyramid[-1])


def get(pyramid: Pyramid, index: Array) -> Array:
    """Numbers f32[B] at indices i32[B]."""
    return pyramid[0].at[index // FAN, index % FAN].get(mode="promise_in_bounds")


def put(pyramid: Pyramid, index: Array, value: Array) -> Pyramid:
    """Set numbers at indices i32[B] to values f32[B] >= 0, equal where an index is repeated."""
    row, levels = index, []
    for level in pyramid:
        row, column = row // FAN, row % FAN
        levels.append(level.at[row, column].set(value, mode="promise_in_bounds"))
        value = jnp.sum(levels[-1].at[row].get(mode="promise_in_bounds"), axis=-1)
    return tuple(levels)


def find(pyramid: Pyramid, share: Array) -> Array:
    """Indices i32[B] at shares f32[B] in [0, 1) of the total: index i owns number[i] / total.

    Never the index of a zero, unless all numbers are zero.
    """
    pyramid = jax.lax.stop_gradient(pyramid)  # an index has no derivative, and `nextafter` none
    rest = share * total(pyramid)
    index = jnp.zeros(share.shape, jnp.int32)
    for level in reversed(pyramid):
        index = jnp.minimum(index, level.shape[0] - 1)  # out of range only if all are zero
        sums = jnp.cumsum(level.at[index].get(mode="promise_in_bounds"), axis=-1)
        # Rounding may carry the rest past the row's own sum; below it, what is found is not a zero.
        rest = jnp.minimum(rest, jnp.nextafter(sums[:, -1], 0.0))
        passed = sums <= rest[:, None]
        rest = rest - jnp.max(jnp.where(passed, sums, 0.0), axis=-1)
        column = jnp.sum(passed, axis=-1, dtype=jnp.int32)
        index = index * FAN + jnp.minimum(column, FAN - 1)
    return index
