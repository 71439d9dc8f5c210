"""Tables of logits and values, one row for each state: what tabular agents learn.

Observations are the number of the state, i32[1], so that a lifetime of rollouts is kept in a few
bytes a step; a row is looked up inside of the network.
"""

import jax

from purejaxrl_suite.core.argument import integer, number, wrong
from purejaxrl_suite.core.types import Array, Box, Internals, Key, Memory, Network, PyTree, Space
from purejaxrl_suite.nets.builders import check_discrete
from purejaxrl_suite.nets.heads import ActorCritic


def states_of(observation: Box) -> int:
    """Count the states of a space of observations i32[1] that are the number of a state.

    Raises:
        ValueError: observations are something else.
    """
    if len(observation.categories) != 1 or observation.shape != (1,):
        raise wrong("observation", "the number of a state, a Box with one category", observation)
    return observation.categories[0]


def tabular(
    observation: Box, action: Space, *, scale: float = 0.01, values: int | None = None
) -> Network:
    """Build a table of a policy and values; its output is `ActorCritic(logits, value f[B])`.

    Args:
        observation: numbers of states, i32[1].
        action: Discrete.
        scale: standard deviation of the first entries; 0 is the uniform policy.
        values: numbers V of each state, which makes the output's value f[B, V]; None is a value.

    Returns:
        The network; parameters are [S, A] and [S, V], or [S, 1], in JAX's default precision.

    Raises:
        ValueError: observations are no numbers of states, actions not discrete, the scale is
            negative, or there are no values.

    Example:
        >>> env = pjs.make("Meta-ABC")
        >>> pjs.nets.parameter_count(pjs.nets.tabular(env.observation, env.action))[""]
        125
    """
    states, actions = states_of(observation), check_discrete(action).n
    number("scale", scale, low=0.0)
    count = 1 if values is None else integer("values", values, 1)

    def init(key: Key) -> PyTree:
        keys = jax.random.split(key)
        drawn = {
            "policy": jax.random.normal(keys[0], (states, actions)),
            "value": jax.random.normal(keys[1], (states, count)),
        }
        return {"heads": {name: {"kernel": scale * table} for name, table in drawn.items()}}

    def read(params: PyTree, obs: Array) -> ActorCritic:
        heads = params["heads"]
        state = obs[..., 0]
        value = heads["value"]["kernel"][state]
        value = value[..., 0] if values is None else value
        return ActorCritic(heads["policy"]["kernel"][state], value)

    def apply(params: PyTree, obs: Array, memory: Memory = (), taps: PyTree = None):
        return read(params, obs), Internals({}, (), {}, 0.0)

    def unroll(params: PyTree, obs: Array, memory: Memory, starts: Array, taps: PyTree = None):
        return read(params, obs), Internals({}, (), {}, 0.0)

    return Network(init=init, apply=apply, unroll=unroll, wiring=())
