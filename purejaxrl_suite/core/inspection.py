"""Inspect an agent right after an update, for metrics and interventions of every agent."""

from typing import Any

import jax
import jax.numpy as jnp

from purejaxrl_suite.core.types import (
    Agent,
    Array,
    Inspection,
    Key,
    Learner,
    Probe,
    PyTree,
    Transition,
)

STEPS = 1024
"""About this many steps of the last rollout are inspected: the first environments, each whole."""


def inspected(transition: Transition) -> Transition:
    """Select of a rollout [T, N] the environments that are inspected: about `STEPS` steps."""
    return jax.tree.map(lambda x: x[:, : _environments(transition)], transition)


def _environments(transition: Transition) -> int:
    length, n = transition.reward.shape
    return min(n, max(1, STEPS // max(length, 1)))


def inspect_agent(
    agent: Agent, key: Key, hypers: Any, before: Any, after: Any, transition: Transition
) -> Inspection:
    """Make the inspection of an agent that learns with a network.

    Args:
        agent: the agent.
        key: for the batch that the probe draws from replay.
        hypers: the hyper-parameters in force.
        before: the agent's state before the update.
        after: the agent's state after it.
        transition: the rollout [T, N] of the update.
    """
    assert agent.network is not None
    environments = _environments(transition)
    steps = len(transition.reward) * environments

    # Functions, so that what is not asked for in an update is not computed in it.
    def probe(learner: Learner) -> Probe:
        return agent.probe(key, hypers, after._replace(learner=learner), inspected(transition))

    def observations() -> Array:
        obs = inspected(transition).obs
        return jnp.reshape(obs, (steps, *obs.shape[2:]))

    def obs() -> Array:
        return agent.see(after, observations())

    def actions() -> tuple[Array, Array]:
        shown = observations()
        # Greedy actions do not use the noise.
        noise, memory = agent.noise(key, steps), agent.memory(steps)

        def greedy(state: Any) -> Array:
            return agent.act(noise, hypers, state, memory, shown, False)[1]

        return greedy(before), greedy(after)

    def sample(learner: Learner, i: Array) -> PyTree:
        alone = jax.tree.map(lambda x: jax.lax.dynamic_slice_in_dim(x, i, 1, 1), transition)
        state = after._replace(learner=learner)
        return agent.probe(jax.random.fold_in(key, i), hypers, state, alone).grads

    return Inspection(agent.network, probe, obs, actions, sample, environments)
