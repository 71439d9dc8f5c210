"""A bandit over settings of lifetimes: those that did well are drawn more often.

Oh et al. 2020 (arXiv 2007.08794) choose the rates of agents so while a rule is learnt, by a
softmax of the mean of the last ten results of each setting and a bonus for settings that were
tried seldom.
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from purejaxrl_suite.core.types import Array

RECENT = 10
"""Results of each setting that count."""


class Tried(NamedTuple):
    """What is known of C settings. count: i32[C], results so far. recent: f32[C, 10], the last."""

    count: Array
    recent: Array


def untried(settings: int) -> Tried:
    """Make what is known before any lifetime has ended."""
    return Tried(np.zeros(settings, np.int32), np.zeros((settings, RECENT), np.float32))  # pyright: ignore[reportArgumentType]


def logits(tried: Tried, temperature: Array | float, exploration: Array | float) -> Array:
    """Compute with what logits settings are drawn: (mean + exploration / sqrt(n)) / temperature.

    A setting without a result counts as one with a single result of 0.

    Args:
        tried: what is known.
        temperature: above 0.
        exploration: weight of the bonus.

    Returns:
        f32[C].
    """
    known = jnp.maximum(tried.count, 1)
    mean = jnp.sum(tried.recent, axis=-1) / jnp.minimum(known, RECENT)
    return (mean + exploration / jnp.sqrt(known)) / temperature


def noted(tried: Tried, choice: Array, ended: Array, result: Array) -> Tried:
    """Note the results of lifetimes that have ended, in their order.

    Args:
        tried: what is known.
        choice: i32[L], their settings.
        ended: bool[L], which have ended; the others change nothing.
        result: f32[L].

    Returns:
        What is known now.
    """
    settings = len(tried.count)
    of = (choice[:, None] == jnp.arange(settings)[None]) & ended[:, None]
    rank, total = jnp.cumsum(of, axis=0) - 1, jnp.sum(of, axis=0)
    kept = of & (rank >= total[None] - RECENT)  # so no place is written twice
    place = jnp.arange(settings)[None] * RECENT + (tried.count[None] + rank) % RECENT
    place = jnp.where(kept, place, settings * RECENT)
    results = jnp.broadcast_to(result[:, None], place.shape)
    recent = jnp.ravel(tried.recent).at[jnp.ravel(place)].set(jnp.ravel(results), mode="drop")
    count = (tried.count + total).astype(jnp.int32)
    return Tried(count, jnp.reshape(recent, tried.recent.shape))
