"""What an ensemble of critics is believed to say. Chen et al. 2021, REDQ, arXiv 2101.05982."""

import jax
import jax.numpy as jnp

from purejaxrl_suite.core.types import Array, Key


def least(key: Key, values: Array, believed: int) -> Array:
    """What critics promise, f32[B] of values f32[B, M]: the least that any of some of them says.

    These are as many as are `believed`, drawn at random, the same for the whole batch; 0 is all.
    """
    if believed:
        drawn = jax.random.permutation(jax.random.fold_in(key, 1), values.shape[-1])
        values = values[:, drawn[:believed]]
    return jnp.min(values, axis=-1)


def judgement(values: Array, believed: int) -> Array:
    """What the actor of SAC climbs, f32[B]: the least of values f32[B, M], or in REDQ the mean."""
    return jnp.mean(values, axis=-1) if believed else jnp.min(values, axis=-1)
