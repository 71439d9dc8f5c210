"""Delayed chains: the first action of an episode decides what its last step pays.

Oh et al. 2020, "Discovering reinforcement learning algorithms" (arXiv 2007.08794). The number of a
state says how far the chain is and which way was taken, so values can be handed back step by step;
that, and the size of the noise, are our setting.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from purejaxrl_suite.core.argument import integer, number, wrong
from purejaxrl_suite.core.types import Array, Discrete, Environment, Key, TimeStep
from purejaxrl_suite.envs.common import state_numbers, timestep


class ChainTask(NamedTuple):
    """Parameters of a chain. length: i32[], steps of an episode. good: i32[], the first action
    that pays 1 at the end. noise: f32[], steps before pay plus or minus this, as likely."""

    length: Any
    good: Any
    noise: Any


class ChainState(NamedTuple):
    """State of a chain. time: i32[]. way: i32[], the first action, 0 before it."""

    time: Array
    way: Array


def delayed_chain(lengths: Sequence[int] = (5, 30), noise: float = 0.0) -> Environment:
    """Make chains with two actions, of which the first one alone matters.

    A task draws length and good action, uniformly. The last step pays 1 or -1.

    Args:
        lengths: steps of the shortest and the longest chain.
        noise: what all steps before the last pay or take, as likely.

    Returns:
        The environment; by default the longest chain, in which action 1 is the good one.
        `info["success"]` is 1 where the last step pays.

    Raises:
        ValueError: a number is out of range.
    """
    if not isinstance(lengths, list | tuple) or len(lengths) != 2:
        raise wrong("lengths", "the shortest and the longest", lengths)
    shortest = integer("lengths[0]", lengths[0], 2)
    longest = integer("lengths[1]", lengths[1], shortest)
    number("noise", noise, low=0.0)

    def look(state: ChainState) -> Array:
        return jnp.where(state.time == 0, 0, 2 * state.time - 1 + state.way)[None]

    def sample_task(key: Key, params: ChainTask) -> ChainTask:
        of_length, of_action = jax.random.split(key)
        length = jax.random.randint(of_length, (), shortest, longest + 1, jnp.int32)
        good = jax.random.randint(of_action, (), 0, 2, jnp.int32)
        return ChainTask(length, good, jnp.asarray(params.noise, jnp.float32))

    def init(key: Key, params: ChainTask) -> tuple[ChainState, Array]:
        state = ChainState(jnp.int32(0), jnp.int32(0))
        return state, look(state)

    def step(
        key: Key, params: ChainTask, state: ChainState, action: Array
    ) -> tuple[ChainState, TimeStep]:
        way = jnp.where(state.time == 0, action, state.way).astype(jnp.int32)
        after = ChainState(jnp.minimum(state.time + 1, longest), way)
        last, right = after.time >= params.length, way == params.good
        sign = jnp.where(jax.random.bernoulli(key), 1.0, -1.0)
        reward = jnp.where(last, jnp.where(right, 1.0, -1.0), sign * params.noise)
        success = {"success": (last & right).astype(jnp.float32)}
        return after, timestep(look(after), reward.astype(jnp.float32), last, info=success)

    states = 2 * longest + 1
    return Environment(
        name="Meta-DelayedChain",
        observation=state_numbers(states),
        action=Discrete(2),
        time_limit=longest,
        params=ChainTask(np.int32(longest), np.int32(1), np.float32(noise)),
        init=init,
        step=step,
        limit=lambda params: params.length,
        sample_task=sample_task,
    )
