"""Agents that live: a policy, perhaps with values, and a rule that says what they learn from.

What is learnt from a rollout is a rule's to say: rewards, returns or targets, with parameters of
its own among the hyper-parameters. A rule is applied outside of the inner gradient, so that its
outputs are constants for the agent and functions for the meta-learner: meta-gradients are exact
over any number of updates.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from purejaxrl_suite import nets
from purejaxrl_suite.agents.shared import estimates
from purejaxrl_suite.core import tree, types
from purejaxrl_suite.core.argument import wrong
from purejaxrl_suite.core.types import (
    Agent,
    Array,
    Environment,
    Key,
    Learner,
    Memory,
    Network,
    PyTree,
    Transition,
)
from purejaxrl_suite.nets.tabular import states_of, tabular
from purejaxrl_suite.ops import descent, returns

Optimizer = Callable[[Any], optax.GradientTransformation]
"""(learning rate, perhaps traced) -> the optimizer of inner updates."""


Loss = Callable[[Array, Array], Array]
"""(targets, the critic's outputs), f[T, N, ...] each -> f[T, N], what the critic minimises."""


class InnerHypers(NamedTuple):
    """Hyper-parameters of an agent that lives, f[] each. rule: parameters of its rule."""

    learning_rate: Any
    gamma: Any
    entropy_coefficient: Any
    value_coefficient: Any
    rule: PyTree = ()


class Look(NamedTuple):
    """A rollout as a rule reads it: the agent's own outputs, before it learns from it.

    transition: [T, N]. policy: the network's output [T, N, ...]. log_prob: f[T, N], of the actions.
    value, next_value: f[T, N, ...], outputs of the critic at the observations and at their true
    successors.
    """

    transition: Transition
    policy: Any
    log_prob: Array
    value: Array
    next_value: Array


class Lesson(NamedTuple):
    """What a rule makes of a rollout.

    weight: f[T, N], of the logarithms of the probabilities of the actions. target: f[T, N, ...],
    of the critic; None without any. memory: of the rule, after the rollout. metrics: {name: f[]}.
    """

    weight: Array
    target: Array | None
    memory: PyTree
    metrics: Mapping[str, Array]


class Rule(NamedTuple):
    """What an agent learns from.

    teach: (hypers, memory, Look) -> Lesson; derivatives with respect to `hypers.rule` and to the
    agent's parameters in Look go through it. memory: (parameters of the rule, N) -> what it carries
    through a lifetime; () for none.
    """

    teach: Callable[[InnerHypers, PyTree, Look], Lesson]
    memory: Callable[[PyTree, int], PyTree] = lambda params, n: ()


class InnerState(NamedTuple):
    """State of an agent that lives. memory: of its rule."""

    learner: Learner
    memory: PyTree


def default_network(env: Environment) -> Network:
    """Make a table where observations are numbers of states, else an actor and a critic."""
    try:
        states_of(env.observation)
    except ValueError:
        return nets.actor_critic(env.observation, env.action)
    return tabular(env.observation, env.action)


def check_network(network: Network) -> None:
    """Raise ValueError for a network with a memory, which these agents do not keep."""
    if jax.tree.leaves(network.memory(1)):
        raise wrong("network", "one without a memory", "one with a memory")


def squared(target: Array, value: Array) -> Array:
    """Compute half the squared error of values, f[T, N]."""
    return 0.5 * jnp.square(target - value)


def inner_agent(
    env: Environment,
    rule: Rule,
    network: Network,
    *,
    name: str,
    hypers: InnerHypers,
    num_envs: int,
    rollout_length: int,
    optimizer: Optimizer,
    critic_loss: Loss = squared,
) -> Agent:
    """Make the agent that learns what a rule teaches.

    It minimises mean(-weight log pi(a | s) + value_coefficient critic_loss(target, v) -
    entropy_coefficient H), with one gradient step for each rollout.

    Args:
        env: whose spaces it is built for.
        rule: what it learns from.
        network: of an actor, whose critic is not read where the rule has no targets.
        name: of the agent.
        hypers: its own hyper-parameters.
        num_envs: N.
        rollout_length: T.
        optimizer: of its parameters; see `meta.differentiable`.
        critic_loss: of the targets.

    Returns:
        The agent.
    """
    distribution, sampler = nets.distribution(env.action), nets.sampler(env.action)

    def init(key: Key, hypers: InnerHypers) -> InnerState:
        params = network.init(key)
        state = optimizer(hypers.learning_rate).init(params)
        return InnerState(Learner(params, state), rule.memory(hypers.rule, num_envs))

    def act(noise: Any, hypers: Any, state: InnerState, memory: Memory, obs: Array, explore: bool):
        output, _ = network.apply(state.learner.params, obs, (), {})
        action = sampler.sample(noise, output.policy)
        return (), action if explore else distribution(output.policy).mode(), {}

    def loss(hypers: InnerHypers, transition: Transition, lesson: Lesson, params: PyTree):
        output = outputs(network, params, transition.obs)
        policy = distribution(output.policy)
        samples = {
            "policy_loss": -lesson.weight * policy.log_prob(transition.action),
            "entropy": policy.entropy(),
        }
        if lesson.target is not None:
            samples["value_loss"] = critic_loss(lesson.target, output.value)
        found = {name: jnp.mean(x) for name, x in samples.items()}
        total = found["policy_loss"] - hypers.entropy_coefficient * found["entropy"]
        return total + hypers.value_coefficient * found.get("value_loss", 0.0), found

    def taught(hypers: InnerHypers, state: InnerState, transition: Transition) -> Lesson:
        look = look_at(network, env.action, state.learner.params, transition)
        return rule.teach(hypers, state.memory, look)

    def update(key: Key, hypers: InnerHypers, state: InnerState, transition: Transition):
        lesson = taught(hypers, state, transition)
        objective = partial(loss, hypers, transition, lesson)
        gradient, found = jax.grad(objective, has_aux=True)(state.learner.params)
        learner = descent.move(optimizer(hypers.learning_rate), state.learner, gradient)
        metrics = {**found, "step_reward": jnp.mean(transition.reward), **lesson.metrics}
        return InnerState(learner, lesson.memory), metrics

    def probe(key: Key, hypers: InnerHypers, state: InnerState, transition: Transition):
        raise ValueError(f"agent: expected one that is measured alone, got {name}, which lives")

    return Agent(
        name=name,
        observation=env.observation,
        action=env.action,
        hypers=hypers,
        num_envs=num_envs,
        rollout_length=rollout_length,
        init=init,
        act=act,
        update=update,
        probe=probe,
        noise=sampler.noise,
        estimate=estimates.of_actor_critic(network, env.action),
        gradient_steps=1,
    )


def outputs(network: Network, params: PyTree, obs: Array) -> Any:
    """Apply a network without memory to observations [T, N, ...]; outputs [T, N, ...]."""
    found, _ = network.apply(params, tree.merge(obs), (), {})
    return jax.tree.map(lambda x: jnp.reshape(x, (*obs.shape[:2], *x.shape[1:])), found)


def look_at(network: Network, action: types.Space, params: PyTree, transition: Transition) -> Look:
    """Look at a rollout with parameters, as a function of them."""
    output = outputs(network, params, transition.obs)
    log_prob = nets.distribution(action)(output.policy).log_prob(transition.action)
    following = outputs(network, params, transition.next_obs).value
    return Look(transition, output.policy, log_prob, value=output.value, next_value=following)


def lambda_estimates(
    gamma: Array | float, gae_lambda: Array | float, look: Look
) -> tuple[Array, Array]:
    """Compute advantages and lambda returns of a rollout, f[T, N] each."""
    t = look.transition
    steps = t.reward, look.value, look.next_value, t.terminated, t.done
    estimate = partial(returns.gae, gamma=gamma, lambda_=gae_lambda)
    advantage = jax.vmap(estimate, 1, 1)(*steps)
    return advantage, advantage + look.value


def sums(reward: Array, ends: Array, gamma: Array | float) -> Array:
    """Compute the discounted sums f[T, N] of rewards until an end, or until that of the rollout."""
    until = partial(returns.lambda_returns, gamma=gamma, lambda_=1.0)
    return jax.vmap(until, 1, 1)(reward, jnp.zeros_like(reward), ends, ends)


def adapted(agent: Agent, hypers: Any, convert: Callable[[Any], InnerHypers]) -> Agent:
    """Give an agent that lives Hypers of its own, which may be swept.

    Args:
        agent: from `inner_agent`.
        hypers: the Hypers, a NamedTuple of floats.
        convert: Hypers -> those of the agent.

    Returns:
        The agent.
    """

    def act(noise: Any, hypers: Any, state: Any, memory: Memory, obs: Array, explore: bool):
        return agent.act(noise, convert(hypers), state, memory, obs, explore)

    def update(key: Key, hypers: Any, state: Any, transition: Transition):
        return agent.update(key, convert(hypers), state, transition)

    return agent._replace(
        hypers=hypers,
        init=lambda key, hypers: agent.init(key, convert(hypers)),
        act=act,
        update=update,
    )
