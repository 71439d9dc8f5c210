"""`Agent.estimate` of networks of the usual kinds: what an agent expects of observations."""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp

from purejaxrl_suite.agents.shared.action_scaling import Units
from purejaxrl_suite.core.types import (
    Array,
    Discrete,
    Estimate,
    Estimates,
    Memory,
    Network,
    PyTree,
    Space,
)
from purejaxrl_suite.nets import distribution


def of_actor_critic(network: Network, space: Space) -> Estimate:
    """Read a network that puts out an `ActorCritic`: its value and, of discrete actions, policy."""

    def estimate(hypers: Any, state: Any, memory: Memory, obs: Array, action: Any = None):
        output, _ = network.apply(state.learner.params, obs, memory, {})
        if not isinstance(space, Discrete):
            return Estimates(output.value)
        probabilities = jnp.exp(distribution(space)(output.policy).log_probs)
        return Estimates(output.value, probabilities=probabilities)

    return estimate


def of_q(q_values: Callable[[Any, Any, Memory, Array], Array]) -> Estimate:
    """Read action values: a function (hypers, state, memory, obs) -> f32[N, A]."""

    def estimate(hypers: Any, state: Any, memory: Memory, obs: Array, action: Any = None):
        q = q_values(hypers, state, memory, obs)
        return Estimates(jnp.max(q, axis=-1), q)

    return estimate


def of_critics(
    network: Network,
    units: Units,
    greedy: Callable[[PyTree], Array],
    judge: Callable[[Array], Array],
) -> Estimate:
    """Read a network that puts out `ActorCritics`.

    greedy: its policy -> actions f32[N, A] in units. judge: values f32[N, M] -> f32[N].
    """

    def estimate(hypers: Any, state: Any, memory: Memory, obs: Array, action: Any = None):
        params = state.learner.params
        policy = network.apply(params, obs)[0].policy
        unit = units.hold(greedy(policy)) if action is None else units.inside(action)
        q = judge(network.apply(params, obs, action=unit)[0].values)
        return Estimates(q, q)

    return estimate
