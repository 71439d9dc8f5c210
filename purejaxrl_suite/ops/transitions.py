"""Telling transitions from others: which others, and the loss (Moon et al. 2022, 2210.11057)."""

import jax
import jax.numpy as jnp

from purejaxrl_suite.core.types import Array

OTHER_ACTION, OTHER_NEXT = 0.5, 1.0
"""Weights of transitions with another action, and with another successor (arXiv 2503.06343)."""


def other_action_logits(actions: Array, count: int, where: Array) -> Array:
    """Compute the log-odds f32[B, A] of actions that were not taken, as frequent as in the batch.

    Where no other action was taken in the whole batch, all others are alike.

    Args:
        actions: i32[B].
        count: number of actions (A), 2 or more.
        where: bool[B], which samples count.

    Returns:
        Logits, -inf for the sample's own action.
    """
    taken = jax.nn.one_hot(actions, count)
    often = jnp.sum(taken * where[:, None].astype(jnp.float32), axis=0, keepdims=True)
    others = (1.0 - taken) * often
    none = jnp.sum(others, axis=1, keepdims=True) == 0.0
    return jnp.log(jnp.where(none, 1.0 - taken, others))


def classification_loss(real: Array, other_action: Array, other_next: Array) -> Array:
    """Compute the binary cross-entropy of logits of one transition and its two falsifications."""
    told = jax.nn.softplus(-real)
    falsified = OTHER_ACTION * jax.nn.softplus(other_action)
    return told + falsified + OTHER_NEXT * jax.nn.softplus(other_next)
