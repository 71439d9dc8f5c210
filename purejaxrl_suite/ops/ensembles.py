"""Values of an ensemble of critics. Chen et al. 2021, REDQ, arXiv 2101.05982."""

import jax
import jax.numpy as jnp

from purejaxrl_suite.core.types import Array, Key


def subset_minimum(key: Key, values: Array, subset: int) -> Array:
    """Take the minimum over a random subset of the critics, the same one for the whole batch.

    Args:
        key: chooses the subset.
        values: f32[B, M], of M critics.
        subset: how many critics it has; 0 takes all.

    Returns:
        f32[B].
    """
    if subset:
        drawn = jax.random.permutation(jax.random.fold_in(key, 1), values.shape[-1])
        values = values[:, drawn[:subset]]
    return jnp.min(values, axis=-1)


def policy_value(values: Array, subset: int) -> Array:
    """Reduce values f32[B, M] to what the actor maximises, f32[B].

    It is their mean if targets use a `subset` (REDQ), else their minimum (SAC).
    """
    return jnp.mean(values, axis=-1) if subset else jnp.min(values, axis=-1)
