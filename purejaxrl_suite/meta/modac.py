"""MODAC: discovery of options via meta-learned subgoals (Veeriah et al. 2021, arXiv 2102.06741).

A manager chooses among options and actions by the reward of the task, less a switching cost.
Options are policies that learn from rewards and terminations of their own, which are networks: what
an option is to achieve. These networks, the meta-parameters, learn from the task alone: after M
updates of manager and options the next rollout says how the actions of options and their ends would
have to change to be worth more, and the gradient of the former goes through the options' updates.
Options and their rewards and terminations never see the goal, so they are of use for others.

One agent learns all tasks, each episode has one, and it never begins anew. Sizes, rates, the bounds
of rewards (a tanh) and how often options end at first are our setting.
"""

from functools import partial
from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from purejaxrl_suite.core import types, validate
from purejaxrl_suite.core.types import Agent, Array, Key, PyTree
from purejaxrl_suite.core.validate import Range
from purejaxrl_suite.meta import inner
from purejaxrl_suite.meta.learner import Lives, System, meta_learner
from purejaxrl_suite.meta.lifetime import Window
from purejaxrl_suite.meta.optimizers import differentiable
from purejaxrl_suite.meta.options import (
    OptionHypers,
    Parts,
    at,
    choices_of,
    init_rule,
    look_of_manager,
    look_of_options,
    options_agent,
    parts_of,
)
from purejaxrl_suite.ops import optimizers


class MODACConfig(NamedTuple):
    """What changes the compiled program.

    Attributes:
        options: their number (K).
        num_envs: parallel environments of the agent (N), each episode with a task of its own.
        rollout_length: steps in each of them between its updates (T).
        updates: of the agent between two steps of rewards and terminations (M).
        units: of the hidden layer of rewards and of terminations; 0 makes them linear: tables where
            options see the number of a state.
        goal_entries: the last entries of an observation, which tell the goal: options do not see
            them.
        optimizer: rate -> the optimizer of the agent's parameters.
        remat: keep little for the derivative and compute the rest again.
        collect_first: act with one policy in all rollouts of a window.
    """

    options: Annotated[int, Range(1)] = 4
    num_envs: Annotated[int, Range(1)] = 64
    rollout_length: Annotated[int, Range(1)] = 20
    updates: Annotated[int, Range(1)] = 5
    units: Annotated[int, Range(0)] = 64
    goal_entries: Annotated[int, Range(0)] = 1
    optimizer: Any = optimizers.adam
    remat: bool = True
    collect_first: bool = False


class MODACHypers(NamedTuple):
    """What may be swept, annealed or differentiated without recompiling.

    Attributes:
        meta_learning_rate: of Adam, for rewards and terminations.
        learning_rate: of the manager.
        option_learning_rate: of the options.
        gamma: discount per step, of the task and of options.
        entropy_coefficient: weight of the entropy bonus, of manager and options.
        value_coefficient: weight of the value loss, of both.
        switching_cost: what each choice of the manager costs, in rewards of the task.
        max_gradient_norm: the meta-gradient is scaled down to this global norm.
    """

    meta_learning_rate: Annotated[float, Range(0)] = 1e-3
    learning_rate: Annotated[float, Range(0)] = 1e-3
    option_learning_rate: Annotated[float, Range(0)] = 1e-3
    gamma: Annotated[float, Range(0, 1)] = 0.99
    entropy_coefficient: Annotated[float, Range(0)] = 0.01
    value_coefficient: Annotated[float, Range(0)] = 0.5
    switching_cost: Annotated[float, Range(0)] = 0.02
    max_gradient_norm: Annotated[float, Range(above=0)] = 1.0


def modac(
    env: types.Environment,
    config: MODACConfig | None = None,
    network: types.Network | None = None,
    hypers: MODACHypers | None = None,
) -> Agent:
    """Build MODAC for an environment whose episodes draw their tasks.

    Args:
        env: with discrete actions, whose observations tell the goal by their last entries.
            `Environment.sample_task` has no effect: one agent learns all tasks.
        config: what changes the program; None for the defaults.
        network: of the manager, over options and then actions, without a memory; None for a table
            where observations are numbers of states, else `nets.actor_critic`.
        hypers: what may be swept; None for the defaults.

    Returns:
        The agent, for `run`, `sweep` and `make_train`.

    Raises:
        ValueError: actions are not discrete, the network has a memory, derivatives of the optimizer
            are not finite, or options would see nothing.

    Example:
        >>> env = pjs.make("Meta-FourRooms")
        >>> result = pjs.run(pjs.modac(env), env, seeds=1, steps=1e7)
    """
    validate.parts(env, network, types.Network)
    config, hypers = validate.settings(config, hypers, (MODACConfig(), MODACHypers()))
    made = system(env, config, network, hypers)
    lives = Lives(1, config.updates, remat=config.remat, collect_first=config.collect_first)
    learner = meta_learner(env, made, lives, hypers=hypers, config=config)
    source = learner.online
    assert source is not None

    def online(agent: Agent, env: types.Environment, reset_pool: int) -> Any:
        return source(agent, env._replace(sample_task=None), reset_pool)

    return learner._replace(online=online)


def system(
    env: types.Environment,
    config: MODACConfig | None = None,
    network: types.Network | None = None,
    hypers: MODACHypers | None = None,
) -> System:
    """Make what `modac` trains: its agent lives with options whose subgoals have been learnt.

    Args:
        env: as in `modac`.
        config: as in `modac`.
        network: as in `modac`.
        hypers: as in `modac`.

    Returns:
        The system.

    Raises:
        ValueError: as in `modac`.
    """
    validate.parts(env, network, types.Network)
    config, hypers = validate.settings(config, hypers, (MODACConfig(), MODACHypers()))
    differentiable("config.optimizer", config.optimizer(hypers.learning_rate))
    parts = parts_of(env, config.options, config.goal_entries, network)
    agent = options_agent(
        env,
        parts,
        name="agent with options",
        hypers=_inner((), hypers),
        num_envs=config.num_envs,
        rollout_length=config.rollout_length,
        optimizer=config.optimizer,
    )

    def init(key: Key, hypers: MODACHypers) -> PyTree:
        return init_rule(env, config.options, config.units, config.goal_entries, key)

    return System(
        name="modac",
        agent=agent,
        init=init,
        inner=_inner,
        objective=partial(judge, parts),
        optimizer=_optimizer,
    )


def _optimizer(hypers: MODACHypers) -> optax.GradientTransformation:
    clip = optimizers.clip_by_global_norm(hypers.max_gradient_norm)
    return optax.chain(clip, optimizers.adam(hypers.meta_learning_rate))


def _inner(params: PyTree, hypers: MODACHypers) -> OptionHypers:
    return OptionHypers(
        learning_rate=hypers.learning_rate,
        option_learning_rate=hypers.option_learning_rate,
        gamma=hypers.gamma,
        entropy_coefficient=hypers.entropy_coefficient,
        value_coefficient=hypers.value_coefficient,
        switching_cost=hypers.switching_cost,
        rule=params,
    )


def judge(
    parts: Parts, params: PyTree, hypers: MODACHypers, window: Window
) -> tuple[Array, dict[str, Array]]:
    """Judge rewards and terminations by a rollout of the agent that has learnt from them.

    The policy gradient of the task's return, less switching costs, over what they decide: the
    actions of options, as functions of how options have learnt, and whether options went on or
    ended, directly. The manager's values are the baseline.

    Args:
        parts: of the agent.
        params: of rewards and terminations.
        hypers: of MODAC.
        window: of the agent's lifetime.

    Returns:
        The loss f[], and metrics.
    """
    theta, transition = window.lifetime.run.agent.learner.params, window.transition
    look = look_of_manager(parts, hypers, theta["manager"], transition)
    still = jax.lax.stop_gradient(look)
    advantage, _ = inner.lambda_estimates(hypers.gamma, 1.0, still)
    _, before, chosen = choices_of(transition)
    own = look_of_options(parts, theta["options"], transition)
    actions = jnp.where(own.acts, own.log_prob, 0.0)
    logits = at(parts.terminations(params, parts.hide(transition.obs), 2), before)
    ends = jax.nn.log_sigmoid(jnp.where(chosen, logits, -logits))
    ends = jnp.where(before < parts.options, ends, 0.0)
    losses = {
        "meta_action_loss": -jnp.mean(actions * advantage),
        "meta_termination_loss": -jnp.mean(ends * advantage),
    }
    return losses["meta_action_loss"] + losses["meta_termination_loss"], losses
