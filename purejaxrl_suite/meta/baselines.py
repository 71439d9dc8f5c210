"""What learned rewards and targets are measured by: the same agents with those made by hand.

`actor_critic` is the agent of FRODO with lambda returns (Sutton and Barto 2018, section 12.1) in
place of learned targets. `reinforce` is that of learned intrinsic rewards with the reward of the
task (Williams 1992). Networks, optimizers and losses are those of `meta.inner`.
"""

from functools import partial
from typing import Annotated, Any, NamedTuple

import jax.numpy as jnp
import optax

from purejaxrl_suite.core import types, validate
from purejaxrl_suite.core.types import Agent
from purejaxrl_suite.core.validate import Range
from purejaxrl_suite.meta import inner
from purejaxrl_suite.meta.inner import InnerHypers, Lesson, Look, Rule


class ActorCriticConfig(NamedTuple):
    """What changes the compiled program.

    Attributes:
        num_envs: parallel environments (N).
        rollout_length: steps in each of them between updates (T).
        bootstrap: returns have the values of successors; else they end with the rollout.
        optimizer: rate -> the optimizer.
    """

    num_envs: Annotated[int, Range(1)] = 16
    rollout_length: Annotated[int, Range(1)] = 20
    bootstrap: bool = True
    optimizer: Any = optax.sgd


class ActorCriticHypers(NamedTuple):
    """What may be swept, annealed or differentiated without recompiling.

    Attributes:
        learning_rate: of the optimizer.
        gamma: discount per step.
        gae_lambda: of returns; without an effect where they do not bootstrap.
        entropy_coefficient: weight of the entropy bonus.
        value_coefficient: weight of the value loss.
    """

    learning_rate: Annotated[float, Range(0)] = 0.1
    gamma: Annotated[float, Range(0, 1)] = 0.99
    gae_lambda: Annotated[float, Range(0, 1)] = 0.95
    entropy_coefficient: Annotated[float, Range(0)] = 0.01
    value_coefficient: Annotated[float, Range(0)] = 0.5


class ReinforceConfig(NamedTuple):
    """What changes the compiled program.

    Attributes:
        num_envs: parallel environments (N).
        rollout_length: steps in each of them between updates (T).
        lifetime_return: returns go on across episodes, until the rollout ends; else they end with
            episodes.
        optimizer: rate -> the optimizer.
    """

    num_envs: Annotated[int, Range(1)] = 1
    rollout_length: Annotated[int, Range(1)] = 8
    lifetime_return: bool = False
    optimizer: Any = optax.sgd


class ReinforceHypers(NamedTuple):
    """What may be swept, annealed or differentiated without recompiling.

    Attributes:
        learning_rate: of the optimizer.
        gamma: discount per step.
        entropy_coefficient: weight of the entropy bonus.
    """

    learning_rate: Annotated[float, Range(0)] = 0.1
    gamma: Annotated[float, Range(0, 1)] = 0.9
    entropy_coefficient: Annotated[float, Range(0)] = 0.01


def actor_critic(
    env: types.Environment,
    config: ActorCriticConfig | None = None,
    network: types.Network | None = None,
    hypers: ActorCriticHypers | None = None,
) -> Agent:
    """Build the actor-critic with lambda returns, which makes one gradient step for each rollout.

    Args:
        env: whose spaces the agent is built for.
        config: what changes the program; None for the defaults.
        network: without a memory; None for a table where observations are numbers of states, else
            `nets.actor_critic`.
        hypers: what may be swept; None for the defaults.

    Returns:
        The agent, for `run`, `sweep` and `meta.live`.

    Raises:
        ValueError: the network has a memory.

    Example:
        >>> from purejaxrl_suite import meta
        >>> env = pjs.make("Meta-Catch")
        >>> meta.actor_critic(env, meta.ActorCriticConfig(rollout_length=2)).rollout_length
        2
    """
    validate.parts(env, network, types.Network)
    defaults = ActorCriticConfig(), ActorCriticHypers()
    config, hypers = validate.settings(config, hypers, defaults)
    rule = Rule(_lambda_returns if config.bootstrap else _rewards_alone)
    return _agent("actor_critic", env, rule, config, network, hypers, _of_actor_critic)


def reinforce(
    env: types.Environment,
    config: ReinforceConfig | None = None,
    network: types.Network | None = None,
    hypers: ReinforceHypers | None = None,
) -> Agent:
    """Build REINFORCE with the reward of the task, which makes one gradient step for each rollout.

    Args:
        env: whose spaces the agent is built for.
        config: what changes the program; None for the defaults.
        network: as in `actor_critic`.
        hypers: what may be swept; None for the defaults.

    Returns:
        The agent, for `run`, `sweep` and `meta.live`.

    Raises:
        ValueError: the network has a memory.
    """
    validate.parts(env, network, types.Network)
    config, hypers = validate.settings(config, hypers, (ReinforceConfig(), ReinforceHypers()))
    rule = Rule(partial(_returns, config.lifetime_return))
    return _agent("reinforce", env, rule, config, network, hypers, _of_reinforce)


def _agent(
    name: str,
    env: types.Environment,
    rule: Rule,
    config: Any,
    network: types.Network | None,
    hypers: Any,
    convert: Any,
) -> Agent:
    network = network or inner.default_network(env)
    inner.check_network(network)
    agent = inner.inner_agent(
        env,
        rule,
        network,
        name=name,
        hypers=convert(hypers),
        num_envs=config.num_envs,
        rollout_length=config.rollout_length,
        optimizer=config.optimizer,
    )
    return inner.adapted(agent, hypers, convert)._replace(config=config)


def _of_actor_critic(hypers: ActorCriticHypers) -> InnerHypers:
    return InnerHypers(
        learning_rate=hypers.learning_rate,
        gamma=hypers.gamma,
        entropy_coefficient=hypers.entropy_coefficient,
        value_coefficient=hypers.value_coefficient,
        rule=hypers.gae_lambda,
    )


def _of_reinforce(hypers: ReinforceHypers) -> InnerHypers:
    return InnerHypers(
        learning_rate=hypers.learning_rate,
        gamma=hypers.gamma,
        entropy_coefficient=hypers.entropy_coefficient,
        value_coefficient=0.0,
    )


def _lambda_returns(hypers: InnerHypers, memory: Any, look: Look) -> Lesson:
    advantage, target = inner.lambda_estimates(hypers.gamma, hypers.rule, look)
    return Lesson(advantage, target, (), {"target": jnp.mean(target)})


def _rewards_alone(hypers: InnerHypers, memory: Any, look: Look) -> Lesson:
    target = inner.sums(look.transition.reward, look.transition.done, hypers.gamma)
    return Lesson(target - look.value, target, (), {"target": jnp.mean(target)})


def _returns(whole: bool, hypers: InnerHypers, memory: Any, look: Look) -> Lesson:
    done = look.transition.done
    ends = jnp.zeros_like(done) if whole else done
    return Lesson(inner.sums(look.transition.reward, ends, hypers.gamma), None, (), {})
