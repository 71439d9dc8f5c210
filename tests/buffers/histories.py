"""Experience of which everything is known, for tests of replay.

The step of row r of environment e shows the observation 1000 e + r and has reward r + e / 8. The
successor of a cut step is shown nowhere else: 1000 e + r + 0.5.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from purejaxrl_suite.buffers import uniform
from purejaxrl_suite.core.types import Box, Discrete, Transition

OBSERVATION, ACTION = Box((1,)), Discrete(300)


def rollout(start, terminated, truncated):
    """Rows start ... of environments whose ends are given as bool[T, N]."""
    terminated, truncated = np.asarray(terminated, bool), np.asarray(truncated, bool)
    row = start + np.arange(len(terminated))[:, None]
    env = np.arange(terminated.shape[1])[None]
    obs = (1000.0 * env + row)[..., None]
    following = obs + np.where(terminated | truncated, 0.5, 1.0)[..., None]
    fields = obs, (row + env) % 300, row + env / 8, terminated, truncated, following
    dtypes = jnp.float32, jnp.int32, jnp.float32, jnp.bool_, jnp.bool_, jnp.float32
    return Transition(*(jnp.asarray(x, d) for x, d in zip(fields, dtypes, strict=True)), {})


def n_step(row, env, n, gamma, terminated, truncated):
    """(reward, discount, next_obs or None, steps) of a window, by walking it."""
    total = 0.0
    for k in range(n):
        total += gamma**k * (row + k + env / 8)
        obs = 1000.0 * env + row + k
        if terminated[row + k, env]:
            return total, gamma ** (k + 1), None, k + 1
        if truncated[row + k, env]:
            return total, gamma ** (k + 1), obs + 0.5, k + 1
    return total, gamma**n, obs + 1, n


@functools.cache
def compiled(**sizes):
    """A uniform replay of these histories, its functions compiled once for all tests."""
    replay = uniform(OBSERVATION, ACTION, **sizes)
    return replay._replace(
        add=jax.jit(replay.add),
        draw=jax.jit(replay.draw, static_argnums=2),
        read=jax.jit(replay.read),
        sequences=jax.jit(replay.sequences, static_argnums=2),
        stats_batch=jax.jit(replay.stats_batch, static_argnums=2),
    )
