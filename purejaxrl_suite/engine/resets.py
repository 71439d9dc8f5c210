"""Start states of episodes: drawn rarely, many at once, and used where episodes end.

Auto-reset by select would recompute the reset of every environment at every step (10x slower on
DoorKey, 46x on FourRooms). Here start states are drawn into a pool [K, N], and the k-th end of an
episode takes environment i to pool[k mod K, i]: a start is reused only if an environment ends more
than K episodes while the pool lasts. `reset_pool=0` resets exactly, at every step, for reference.

A rollout of SPACING steps or more draws a pool of its own, of K = `reset_pool`. Shorter ones, such
as the single steps of SAC, would draw a start for nearly every step: they share a pool that lasts
for LASTING steps of each environment and holds `reset_pool` starts for every SPACING of them. At a
`reset_pool` of 1 that is 16 starts for 128 steps, so none is reused where episodes have eight steps
on average (Catch has nine).
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from purejaxrl_suite.core import tree
from purejaxrl_suite.core.types import Agent, Array, Clock, Environment, Key, PyTree
from purejaxrl_suite.engine.parallel import Parallel, parallel

LASTING = 128
"""Least number of steps of each environment for which rollouts share a pool."""
SPACING = 8
"""Steps per start state in a shared pool; rollouts of as many steps or more have their own pool."""

Fresh = Callable[[Array, Any], tuple[PyTree, Array]]
"""(ends i32[N], x of a step) -> start states of N environments and their observations."""


class Pool(NamedTuple):
    """Start states that rollouts share.

    states: [K, N, ...]. shown: their observations [K, N, ...]. ends: i32[N], how many episodes of
    each environment have ended since they were drawn.
    """

    states: PyTree
    shown: Array
    ends: Array


def lasts(agent: Agent, env: Environment, reset_pool: int) -> int:
    """Count the updates that a pool lasts: 1 if each rollout draws its own, or if there is none.

    It is 1 for a stream, whose environment changes with the clock.
    """
    alone = reset_pool == 0 or env.phase is not None or agent.rollout_length >= SPACING
    return 1 if alone else -(-LASTING // agent.rollout_length)


@jax.named_scope("resets")
def draw(agent: Agent, env: Environment, key: Key, params: PyTree, reset_pool: int) -> Pool:
    """Draw a pool that several rollouts share."""
    n = agent.num_envs
    states, shown = _drawn(parallel(env), key, params, (reset_pool * LASTING // SPACING, n))
    return tree.strong(Pool(states, shown, jnp.zeros(n, jnp.int32)))


def renew(
    agent: Agent,
    env: Environment,
    key: Key,
    params: PyTree,
    pool: Pool,
    clock: Clock,
    reset_pool: int,
) -> Pool:
    """Return the pool for the update at which the clock stands, a new one if its time is over."""
    due = clock.update % lasts(agent, env, reset_pool) == 0

    def anew() -> Pool:
        return draw(agent, env, key=key, params=params, reset_pool=reset_pool)

    return jax.lax.cond(due, anew, lambda: pool)


def taken(envs: Parallel, states: PyTree, shown: Array) -> Fresh:
    """Make the function that takes start states from those [K, N, ...] of a pool."""

    def take(row: Array, x: PyTree) -> PyTree:
        return tree.index(x, (row, jnp.arange(len(row))))

    def fresh(ends: Array, _: Any) -> tuple[PyTree, Array]:
        row = ends % len(shown)
        return envs.each(take, row, states), take(row, shown)

    return fresh


@jax.named_scope("resets")
def own(
    agent: Agent, envs: Parallel, key: Key, params: PyTree, reset_pool: int
) -> tuple[Fresh, Any]:
    """Make the function that gives start states in one rollout, and its x for each step."""
    length, n = agent.rollout_length, agent.num_envs
    if reset_pool == 0:
        return lambda ends, keys: envs.init(keys, params), jax.random.split(key, (length, n))
    states, shown = _drawn(envs, key, params, (reset_pool, n))
    if reset_pool == 1:
        first = tree.index((states, shown), 0)
        return lambda ends, _: first, None
    return taken(envs, states, shown), None


def _drawn(
    envs: Parallel, key: Key, params: PyTree, shape: tuple[int, int]
) -> tuple[PyTree, Array]:
    """Draw start states [K, N, ...] and their observations."""
    return jax.vmap(envs.init, (0, None))(jax.random.split(key, shape), params)
