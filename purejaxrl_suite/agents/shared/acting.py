"""Agents that only act, by chance or by a rule: they are evaluated and make data."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from purejaxrl_suite.core import spaces
from purejaxrl_suite.core.types import (
    Act,
    Agent,
    Array,
    Box,
    Environment,
    Key,
    Memory,
    PyTree,
    Space,
)
from purejaxrl_suite.ops import exploration


def only_acting(
    name: str,
    env: Environment,
    *,
    act: Act,
    noise: Callable[[Key, int], PyTree],
    init: Callable[[Key, Any], Any] = lambda key, hypers: (),
    discounted: bool = False,
) -> Agent:
    """Make an agent that cannot be trained, for `evaluate`, `Policy` and data sets.

    Args:
        name: of the agent.
        env: whose spaces it acts in.
        act: as in `Agent`.
        noise: as in `Agent`.
        init: (key, hypers) -> what `act` takes as the agent's state.
        discounted: whether steps of the environment have discounts.

    Returns:
        The agent; ValueError says so where it is to learn.
    """

    def learn(*arguments: Any) -> Any:
        raise ValueError(f"agent: expected one that learns, {name} only acts")

    return Agent(
        name=name,
        observation=env.observation,
        action=env.action,
        hypers=(),
        num_envs=1,
        rollout_length=1,
        init=init,
        act=act,
        update=learn,
        probe=learn,
        noise=noise,
        discounted=discounted,
    )


def at_random(observation: Box, action: Space) -> tuple[Act, Callable[[Key, int], Array]]:
    """Make the functions `act` and `noise` of an agent whose actions are uniform, if possible ones.

    observation: which says what actions a task lacks. action: with finite bounds, if it is a Box.
    """

    def noise(key: Key, batch: int) -> Array:
        if not isinstance(action, Box):
            return exploration.uniform(key, batch)
        shape = 1, *action.shape
        low, high = (jnp.broadcast_to(jnp.asarray(x, action.dtype), shape) for x in action[2:4])
        unit = jax.random.uniform(key, (batch, *action.shape), low.dtype)
        return jnp.clip(low + unit * (high - low), low, high)

    def act(noise: Array, hypers: Any, state: Any, memory: Memory, obs: Array, explore: bool):
        if isinstance(action, Box):
            return memory, noise, {}
        valid = spaces.valid_actions(observation, action, obs)
        values = jnp.zeros((obs.shape[0], action.n))
        return memory, exploration.epsilon_greedy(noise, values, 1.0, valid), {}

    return act, noise
