"""The state-associative model of synthetic returns (Raposo et al. 2021, arXiv 2102.12425).

A reward is predicted by a sum over the states before it in its episode, the gate of its state and a
bias: r_t ~ g(s_t) * sum over k < t of c(s_k) + b(s_t). c(s) is the synthetic return of s.
"""

import jax
import jax.numpy as jnp

from purejaxrl_suite.core.types import Array


def past_sums(remembered: Array, count: Array, present: Array, starts: Array) -> Array:
    """Sum what the states before each step contribute, within its episode: O(M + T).

    The memory is a ring of M states: of longer episodes, only the last M before a step count.

    Args:
        remembered: f32[M], contributions of the states before step 0, the latest last.
        count: i32[], how many of them are of the episode in progress.
        present: f32[T], contributions of the states of the steps.
        starts: bool[T], which steps start an episode, but for step 0, whose past `count` tells.

    Returns:
        f32[T]; exactly 0 where an episode starts.
    """
    m, steps = len(remembered), jnp.arange(len(present))
    known = jnp.where(jnp.arange(m) >= m - count, remembered, 0.0)
    each = jnp.concatenate([known, present])
    before = jnp.concatenate([jnp.zeros_like(each[:1]), jnp.cumsum(each)])
    since = jax.lax.cummax(jnp.where(starts, m + steps, 0))
    return before[m + steps] - before[jnp.maximum(since, steps)]


def remember(remembered: Array, count: Array, present: Array, done: Array) -> tuple[Array, Array]:
    """Move a memory of M states on by T steps.

    Args:
        remembered: [M, ...], the latest last.
        count: i32[], how many of them are of the episode in progress.
        present: [T, ...], the states of the steps.
        done: bool[T], with which steps an episode ended.

    Returns:
        The memory [M, ...], and its count.
    """
    m, length = len(remembered), len(present)
    since = length - 1 - jnp.max(jnp.where(done, jnp.arange(length), -1 - count))
    return jnp.concatenate([remembered, present])[length:], jnp.minimum(since, m)


def synthetic_reward(
    contribution: Array, reward: Array, alpha: Array | float, beta: Array | float
) -> Array:
    """Compute alpha c(s) + beta r, in place of the reward. With alpha 0 and beta 1 it is that."""
    return alpha * contribution + beta * reward
