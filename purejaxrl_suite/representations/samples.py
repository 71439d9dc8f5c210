"""Minibatches of all agents in one form, as auxiliary terms read them."""

from functools import partial
from typing import NamedTuple

import jax.numpy as jnp

from purejaxrl_suite.core import tree
from purejaxrl_suite.core.types import Array, LossInputs


class Samples(NamedTuple):
    """A minibatch of B steps, without axes of time.

    obs, next_obs: [B, ...]; next_obs is 0 after a termination. action: [B, ...]. reward, discount:
    f32[B]. counts: bool[B], False for empty windows of a replay.
    """

    obs: Array
    next_obs: Array
    action: Array
    reward: Array
    discount: Array
    counts: Array


def samples_of(inputs: LossInputs) -> Samples:
    """Merge the axes of time and batch of a minibatch, and complete what the agent's has not."""
    batch, merged = inputs.batch, partial(tree.merge, axes=inputs.batch.reward.ndim)
    discount = getattr(batch, "discount", None)
    weight = getattr(batch, "weight", None)
    reward, ended = merged(batch.reward), merged(batch.terminated)
    next_obs = merged(batch.next_obs)
    over = jnp.reshape(ended, (-1, *(1,) * (next_obs.ndim - 1)))
    gamma = jnp.full(reward.shape, getattr(inputs.hypers, "gamma", jnp.nan))
    return Samples(
        obs=merged(batch.obs),
        next_obs=jnp.where(over, jnp.zeros_like(next_obs), next_obs),
        action=merged(batch.action),
        reward=reward,
        discount=gamma if discount is None else merged(discount),
        counts=jnp.ones(reward.shape, bool) if weight is None else merged(weight) > 0.0,
    )
