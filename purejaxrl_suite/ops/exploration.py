"""Choose actions from values."""

import jax
import jax.numpy as jnp

from purejaxrl_suite.core.types import Array, Key


def uniform(key: Key, batch: int) -> Array:
    """Draw the noise of `epsilon_greedy`: f32[N] in [0, 1)."""
    return jax.random.uniform(key, (batch,))


def epsilon_greedy(
    noise: Array, q_values: Array, epsilon: Array | float, valid: Array | None = None
) -> Array:
    """Choose actions: uniformly with probability epsilon, else the first of the greatest values.

    Args:
        noise: f32[N] from `uniform`; one number decides both whether to explore and which action,
            as a uniform number below epsilon is again uniform.
        q_values: f32[N, A].
        epsilon: f32[] or f32[N].
        valid: bool[N, A], the actions to explore, at least one in each row; None is all of them.

    Returns:
        i32[N], the actions.
    """
    actions = q_values.shape[-1] if valid is None else jnp.sum(valid, axis=-1)
    fraction = noise / jnp.maximum(epsilon, jnp.finfo(jnp.float32).tiny)
    random = jnp.minimum(fraction * actions, actions - 1).astype(jnp.int32)
    if valid is not None:  # from the index among the valid actions to the index among all
        random = jnp.argmax(jnp.cumsum(valid, axis=-1) > random[:, None], axis=-1).astype(jnp.int32)
    return jnp.where(noise < epsilon, random, jnp.argmax(q_values, axis=-1).astype(jnp.int32))
