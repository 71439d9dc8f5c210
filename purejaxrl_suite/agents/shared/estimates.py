"""Make `Agent.estimate` for the usual kinds of networks."""

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
    """Make estimates from an `ActorCritic`: the value and, of discrete actions, the policy."""

    def estimate(hypers: Any, state: Any, memory: Memory, obs: Array, action: Any = None):
        output, _ = network.apply(state.learner.params, obs, memory, {})
        if not isinstance(space, Discrete):
            return Estimates(output.value)
        probabilities = jnp.exp(distribution(space)(output.policy).log_probs)
        return Estimates(output.value, probabilities=probabilities)

    return estimate


def of_q(q_values: Callable[[Any, Any, Memory, Array], Array]) -> Estimate:
    """Make estimates from action values, a function (hypers, state, memory, obs) -> f32[N, A]."""

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
    """Make estimates from an `ActorCritics` output.

    greedy: its policy -> scaled actions f32[N, A]. judge: values f32[N, M] -> f32[N].
    """

    def estimate(hypers: Any, state: Any, memory: Memory, obs: Array, action: Any = None):
        params = state.learner.params
        policy = network.apply(params, obs)[0].policy
        unit = units.hold(greedy(policy)) if action is None else units.inside(action)
        q = judge(network.apply(params, obs, action=unit)[0].values)
        return Estimates(q, q)

    return estimate
