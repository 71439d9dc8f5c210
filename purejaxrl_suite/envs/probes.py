"""Probe environments, so small that every value is known.

An agent that fails here fails everywhere. The first five isolate one part of an agent each, after
Andy Jones, "Debugging RL, Without the Agonizing Pain" (andyljones.com/posts/rl-debugging.html). Run
them in order: the first that fails names the broken part. All have two actions (where the reward
ignores them, every policy is optimal) and observations f32[1].
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from purejaxrl_suite.core.types import (
    Array,
    Box,
    Discrete,
    Environment,
    Key,
    PyTree,
    Space,
    TimeStep,
)
from purejaxrl_suite.envs.common import timestep
from purejaxrl_suite.envs.recipe import recorded


@recorded
def constant_reward() -> Environment:
    """One step, observation 0, reward 1: V(0) = 1.

    Fails where the value loss or the optimizer is wrong.
    """
    return _one_step("constant_reward", _zero, lambda obs, action: jnp.ones(()))


@recorded
def observation_reward() -> Environment:
    """One step, observation o = -1 or 1, reward o: V(o) = o.

    Fails where the network does not see its input.
    """
    return _one_step("observation_reward", _sign, lambda obs, action: obs[0])


@recorded
def delayed_reward() -> Environment:
    """Two steps, observations 0 and 1, rewards 0 and 1: V(0) = discount, V(1) = 1.

    Fails where bootstrapping does.
    """

    def init(key: Key, params: PyTree) -> tuple[Array, Array]:
        return jnp.int32(0), jnp.zeros(1)

    def step(key: Key, params: PyTree, state: Array, action: Array) -> tuple[Array, TimeStep]:
        last = state == 1
        obs = jnp.ones(1)
        return state + 1, timestep(obs, jnp.where(last, 1.0, 0.0), last)

    space = Box((1,), "float32", 0.0, 1.0)
    return Environment(
        name="delayed_reward",
        observation=space,
        action=Discrete(2),
        time_limit=2,
        params=(),
        init=init,
        step=step,
    )


@recorded
def action_reward() -> Environment:
    """One step, observation 0, reward 1 for action 1, -1 for action 0: V* = 1, Q* = (-1, 1).

    Fails where the policy loss or the advantage is wrong.
    """
    return _one_step("action_reward", _zero, lambda obs, action: 2.0 * action - 1.0)


@recorded
def observation_action_reward() -> Environment:
    """One step, o = -1 or 1, reward 1 for action 1 at o = 1 and action 0 at o = -1, else -1.

    V*(o) = 1, Q*(o) = (-o, o). Fails where batches, actions and observations get out of step.
    """
    return _one_step(
        "observation_action_reward", _sign, lambda obs, action: obs[0] * (2.0 * action - 1.0)
    )


PROBES = (
    constant_reward,
    observation_reward,
    delayed_reward,
    action_reward,
    observation_action_reward,
)


@recorded
def tracking() -> Environment:
    """One step, o uniform in [-1, 1], continuous actions, reward -(action - o)^2.

    Actions are in [-1, 1]. The optimal action is o, V*(o) = 0; the best action that ignores o is 0,
    with mean reward -1/3.
    """

    def start(key: Key) -> Array:
        return jax.random.uniform(key, (1,), minval=-1.0, maxval=1.0)

    def reward(obs: Array, action: Array) -> Array:
        return -jnp.square(jnp.clip(action[0], -1.0, 1.0) - obs[0])

    return _one_step("tracking", start, reward, Box((1,), "float32", -1.0, 1.0))


class Recall(NamedTuple):
    """State of `recall`. cue: f32[], -1 or 1. time: i32[], steps taken."""

    cue: Array
    time: Array


@recorded
def recall() -> Environment:
    """Test memory: a cue, three blanks, then a question.

    Observations f32[2] are (cue, 0), (0, 0) three times, (0, 1). Only the fifth action is rewarded:
    1 if it recalls the cue (action 1 for cue 1, action 0 for cue -1), else -1. With memory V*(t) =
    discount^(4 - t); without, the best return is 0.
    """

    def init(key: Key, params: PyTree) -> tuple[Recall, Array]:
        cue = _sign(key)[0]
        return Recall(cue, jnp.int32(0)), jnp.stack([cue, jnp.zeros(())])

    def step(key: Key, params: PyTree, state: Recall, action: Array) -> tuple[Recall, TimeStep]:
        time = state.time + 1
        last = time == 5
        reward = jnp.where(last, state.cue * (2.0 * action - 1.0), 0.0)
        obs = jnp.array([0.0, 1.0]) * (time == 4)
        return Recall(state.cue, time), timestep(obs, reward, last)

    space = Box((2,), "float32", -1.0, 1.0)
    return Environment(
        name="recall",
        observation=space,
        action=Discrete(2),
        time_limit=5,
        params=(),
        init=init,
        step=step,
    )


def _one_step(
    name: str,
    start: Callable[[Key], Array],
    reward: Callable[[Array, Array], Array],
    action: Space | None = None,
) -> Environment:
    """Make an environment with episodes of one step; the state is the observation."""

    def init(key: Key, params: PyTree) -> tuple[Array, Array]:
        obs = start(key)
        return obs, obs

    def step(key: Key, params: PyTree, state: Array, action: Array) -> tuple[Array, TimeStep]:
        return state, timestep(state, reward(state, action), jnp.ones((), bool))

    space = Box((1,), "float32", -1.0, 1.0)
    return Environment(
        name=name,
        observation=space,
        action=action or Discrete(2),
        time_limit=1,
        params=(),
        init=init,
        step=step,
    )


def _zero(key: Key) -> Array:
    return jnp.zeros(1)


def _sign(key: Key) -> Array:
    return jax.random.rademacher(key, (1,), jnp.float32)
