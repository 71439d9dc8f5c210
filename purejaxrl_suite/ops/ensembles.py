"""Values of an ensemble of critics. Chen et al. 2021, REDQ, arXiv 2101.05982."""

import jax
import jax.numpy as jnp

from purejaxrl_suite.core.types import Array, Key


def subset_minimum(key: Key, values: Array, subset: int) -> Array:
    """Take the minimum f32[B] of values f32[B, M] over a random subset of the critics.

    subset: critics in it, the same ones for the whole batch; 0 is all of them.
    """
    if subset:
        drawn = jax.random.permutation(jax.random.fold_in(key, 1), values.shape[-1])
        values = values[:, drawn[:subset]]
    return jnp.min(values, axis=-1)


def policy_value(values: Array, subset: int) -> Array:
    """Reduce values f32[B, M] to what the actor maximises, f32[B].

    It is their mean where targets are of a `subset` (REDQ), else their minimum (SAC).
    """
    return jnp.mean(values, axis=-1) if subset else jnp.min(values, axis=-1)
