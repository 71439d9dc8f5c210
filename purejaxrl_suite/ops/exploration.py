"""Choosing actions from values."""

import jax
import jax.numpy as jnp

from purejaxrl_suite.core.types import Array, Key


def epsilon_greedy(key: Key, q_values: Array, epsilon: Array | float) -> Array:
    """Actions i32[N]: uniform with probability epsilon, else the first of the greatest values.

    q_values: f32[N, A]. epsilon: f32[] or f32[N]. Batched, so that one draw each serves all N
    environments.
    """
    key_explore, key_action = jax.random.split(key)
    batch, actions = q_values.shape
    explore = jax.random.uniform(key_explore, (batch,)) < epsilon
    random = jax.random.randint(key_action, (batch,), 0, actions, dtype=jnp.int32)
    return jnp.where(explore, random, jnp.argmax(q_values, axis=-1).astype(jnp.int32))
