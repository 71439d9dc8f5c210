"""Agents with a learned update rule, for every environment with discrete actions.

The rule is a constant of the program; the agent has a policy and a prediction of its own network,
and makes one gradient step for each rollout, as it did where the rule was learnt (`meta.lpg`).
"""

from functools import partial
from typing import Annotated, Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from purejaxrl_suite.core import types, validate
from purejaxrl_suite.core.argument import instance, wrong
from purejaxrl_suite.core.types import Agent
from purejaxrl_suite.core.validate import Range
from purejaxrl_suite.meta import inner, lpg_rule
from purejaxrl_suite.meta.inner import InnerHypers, Rule
from purejaxrl_suite.meta.lpg_rule import LearnedRule
from purejaxrl_suite.ops import optimizers


class LearnedConfig(NamedTuple):
    """What changes the compiled program.

    Attributes:
        num_envs: parallel environments (N).
        rollout_length: steps in each of them between updates (T).
        optimizer: rate -> the optimizer.
    """

    num_envs: Annotated[int, Range(1)] = 64
    rollout_length: Annotated[int, Range(1)] = 20
    optimizer: Any = optimizers.adam


class LearnedHypers(NamedTuple):
    """What may be swept, annealed or differentiated without recompiling.

    Attributes:
        learning_rate: of the optimizer; tables learn by `optax.sgd` at rates as in `LPGHypers`.
        prediction_coefficient: weight of the predictions' loss.
        gamma: discount, which the rule reads: that with which it was learnt.
    """

    learning_rate: Annotated[float, Range(0)] = 5e-4
    prediction_coefficient: Annotated[float, Range(0)] = 0.5
    gamma: Annotated[float, Range(0, 1)] = 0.995


class BuildsLearned(Protocol):
    """Build an agent with a learned rule, as any other agent of the suite is built."""

    def __call__(
        self,
        env: types.Environment,
        config: LearnedConfig | None = None,
        network: types.Network | None = None,
        hypers: LearnedHypers | None = None,
    ) -> Agent:
        """Return the agent."""
        ...


def learned(rule: LearnedRule) -> BuildsLearned:
    """Make the builder of agents that learn by a rule.

    Args:
        rule: from `read_rule`, `random_rule` or `pjs.lpg_rule`.

    Returns:
        (env, config, network, hypers) -> the agent, for `run`, `sweep` and `meta.live`. By default
        gamma is that of the rule, and the network a table where observations are numbers of states,
        else `nets.actor_critic`; its value has as many numbers as the rule's predictions.

    Raises:
        ValueError: it is no rule.

    Example:
        >>> from purejaxrl_suite import meta
        >>> build = meta.learned(meta.random_rule(bins=8, units=16))
        >>> env = pjs.make("CartPole-v1")
        >>> result = pjs.run(build(env), env, seeds=4, steps=1e5)
    """
    instance("rule", rule, LearnedRule)
    params = jax.tree.map(lambda x: np.asarray(x, np.float32), rule.params)
    defaults = LearnedConfig(), LearnedHypers(gamma=rule.gamma)

    def lpg_agent(
        env: types.Environment,
        config: LearnedConfig | None = None,
        network: types.Network | None = None,
        hypers: LearnedHypers | None = None,
    ) -> Agent:
        validate.parts(env, network, types.Network)
        if not isinstance(env.action, types.Discrete):
            raise wrong("env.action", "Discrete", env.action)
        config, hypers = validate.settings(config, hypers, defaults)
        network = network or lpg_rule.default_network(env, rule.bins)
        lpg_rule.check_predictions(env, network, rule.bins)
        convert = partial(_convert, jax.tree.map(jnp.asarray, params))
        agent = inner.inner_agent(
            env,
            Rule(partial(lpg_rule.teach, False)),
            network,
            name="lpg_rule",
            hypers=convert(hypers),
            num_envs=config.num_envs,
            rollout_length=config.rollout_length,
            optimizer=config.optimizer,
            critic_loss=lpg_rule.prediction_loss,
        )
        made = inner.adapted(agent, hypers, convert)
        return made._replace(config=config, estimate=None)

    return lpg_agent


def _convert(params: Any, hypers: LearnedHypers) -> InnerHypers:
    return InnerHypers(
        learning_rate=hypers.learning_rate,
        gamma=hypers.gamma,
        entropy_coefficient=0.0,
        value_coefficient=hypers.prediction_coefficient,
        rule=params,
    )
