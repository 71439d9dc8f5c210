"""FRODO: meta-gradients with an objective that is discovered online (Xu et al. 2020, arXiv
2007.08433).

An actor-critic learns from targets that are learnt: an LSTM that runs backward over a rollout gives
the return of each step from the rewards, discounts and values after it. After M updates the next
rollout judges the targets, by the loss of an ordinary actor-critic with lambda returns, and the
meta-gradient goes through all M updates. Targets also have to agree with themselves a step later.
There is one lifetime, which never ends: agent and targets learn together. Sizes, rates and
coefficients are our setting.
"""

from functools import partial
from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from purejaxrl_suite import nets
from purejaxrl_suite.core import types, validate
from purejaxrl_suite.core.types import Agent, Array, Key, PyTree, Transition
from purejaxrl_suite.core.validate import Range
from purejaxrl_suite.meta import inner
from purejaxrl_suite.meta.inner import InnerHypers, Lesson, Look, Rule
from purejaxrl_suite.meta.learner import Lives, System, meta_learner
from purejaxrl_suite.meta.lifetime import Window
from purejaxrl_suite.meta.optimizers import differentiable
from purejaxrl_suite.nets import lstm
from purejaxrl_suite.ops import optimizers


class FRODOConfig(NamedTuple):
    """What changes the compiled program.

    Attributes:
        num_envs: parallel environments of the agent (N).
        rollout_length: steps in each of them between its updates (T).
        updates: of the agent between two steps of the targets (M).
        units: of the targets' LSTM.
        through_inputs: meta-gradients also go through the values that targets read, which makes
            them exact; else not, as in released code of similar systems.
        optimizer: rate -> the optimizer of the agent's parameters.
        remat: keep little for the derivative and compute the rest again.
        collect_first: act with one policy in all rollouts of a window.
    """

    num_envs: Annotated[int, Range(1)] = 16
    rollout_length: Annotated[int, Range(1)] = 20
    updates: Annotated[int, Range(1)] = 3
    units: Annotated[int, Range(1)] = 32
    through_inputs: bool = True
    optimizer: Any = optax.sgd
    remat: bool = True
    collect_first: bool = False


class FRODOHypers(NamedTuple):
    """What may be swept, annealed or differentiated without recompiling.

    Attributes:
        meta_learning_rate: of Adam, for the targets.
        learning_rate: of the agent.
        gamma: discount per step, which targets read.
        gae_lambda: of the returns that judge the targets.
        entropy_coefficient: weight of the entropy bonus, of the agent and where targets are judged.
        value_coefficient: weight of the value loss, of both.
        consistency_coefficient: weight of the targets' difference from themselves a step later.
        max_gradient_norm: the meta-gradient is scaled down to this global norm.
    """

    meta_learning_rate: Annotated[float, Range(0)] = 1e-3
    learning_rate: Annotated[float, Range(0)] = 0.1
    gamma: Annotated[float, Range(0, 1)] = 0.99
    gae_lambda: Annotated[float, Range(0, 1)] = 0.95
    entropy_coefficient: Annotated[float, Range(0)] = 0.01
    value_coefficient: Annotated[float, Range(0)] = 0.5
    consistency_coefficient: Annotated[float, Range(0)] = 0.1
    max_gradient_norm: Annotated[float, Range(above=0)] = 1.0


def frodo(
    env: types.Environment,
    config: FRODOConfig | None = None,
    network: types.Network | None = None,
    hypers: FRODOHypers | None = None,
) -> Agent:
    """Build FRODO for the spaces of an environment.

    Args:
        env: whose spaces the agent is built for.
        config: what changes the program; None for the defaults.
        network: of the actor-critic, without a memory; None for a table where observations are
            numbers of states, else `nets.actor_critic`.
        hypers: what may be swept; None for the defaults.

    Returns:
        The agent, for `run`, `sweep` and `make_train`.

    Raises:
        ValueError: the network has a memory, or derivatives of the optimizer are not finite.

    Example:
        >>> env = pjs.make("Meta-Catch")
        >>> result = pjs.run(pjs.frodo(env), env, seeds=16, steps=2e6, evaluate_every=100)
    """
    validate.parts(env, network, types.Network)
    config, hypers = validate.settings(config, hypers, (FRODOConfig(), FRODOHypers()))
    made = system(env, config, network, hypers)
    lives = Lives(1, config.updates, remat=config.remat, collect_first=config.collect_first)
    return meta_learner(env, made, lives, hypers=hypers, config=config)


def system(
    env: types.Environment,
    config: FRODOConfig | None = None,
    network: types.Network | None = None,
    hypers: FRODOHypers | None = None,
) -> System:
    """Make what `frodo` trains: its agent learns from targets that have been learnt.

    Args:
        env: as in `frodo`.
        config: as in `frodo`.
        network: as in `frodo`.
        hypers: as in `frodo`.

    Returns:
        The system.

    Raises:
        ValueError: as in `frodo`.
    """
    validate.parts(env, network, types.Network)
    config, hypers = validate.settings(config, hypers, (FRODOConfig(), FRODOHypers()))
    network = network or inner.default_network(env)
    inner.check_network(network)
    differentiable("config.optimizer", config.optimizer(hypers.learning_rate))
    agent = inner.inner_agent(
        env,
        Rule(partial(_teach, config.through_inputs)),
        network,
        name="agent with learned targets",
        hypers=_inner((), hypers),
        num_envs=config.num_envs,
        rollout_length=config.rollout_length,
        optimizer=config.optimizer,
    )
    return System(
        name="frodo",
        agent=agent,
        init=partial(_init, config.units),
        inner=_inner,
        objective=partial(judge, network, env.action),
        optimizer=_optimizer,
    )


def _optimizer(hypers: FRODOHypers) -> optax.GradientTransformation:
    clip = optimizers.clip_by_global_norm(hypers.max_gradient_norm)
    return optax.chain(clip, optimizers.adam(hypers.meta_learning_rate))


def _inner(params: PyTree, hypers: FRODOHypers) -> InnerHypers:
    return InnerHypers(
        learning_rate=hypers.learning_rate,
        gamma=hypers.gamma,
        entropy_coefficient=hypers.entropy_coefficient,
        value_coefficient=hypers.value_coefficient,
        rule=params,
    )


INPUTS = 4
"""Numbers that the targets read of a step."""


def _init(units: int, key: Key, hypers: FRODOHypers) -> PyTree:
    keys = jax.random.split(key)
    head = jax.nn.initializers.lecun_normal()(keys[1], (units, 1))
    return {"lstm": lstm.init(keys[0], INPUTS, units), "head": {"kernel": head}}


def targets(
    params: PyTree, gamma: Array | float, transition: Transition, next_value: Array
) -> Array:
    """Compute the learned returns of the steps of a rollout, from what comes after each.

    Args:
        params: of the LSTM and its head.
        gamma: discount.
        transition: [T, N].
        next_value: f[T, N], of the true successors; not read where an episode terminated.

    Returns:
        f[T, N].
    """
    terminated = transition.terminated
    going = jnp.where(terminated, 0.0, next_value)
    discount = jnp.where(terminated, 0.0, gamma)
    x = jnp.stack([transition.reward, discount, going, transition.done], axis=-1)
    memory = lstm.empty(params["lstm"], x.shape[1])
    hidden = lstm.unroll(params["lstm"], x, memory, transition.done, backward=True)[1]
    return (hidden @ params["head"]["kernel"])[..., 0]


def _teach(through: bool, hypers: InnerHypers, memory: Any, look: Look) -> Lesson:
    """Teach learned returns: actions by their advantage over the values, values themselves."""
    following = look.next_value if through else jax.lax.stop_gradient(look.next_value)
    value = look.value if through else jax.lax.stop_gradient(look.value)
    found = targets(hypers.rule, hypers.gamma, look.transition, following)
    return Lesson(found - value, found, (), {"target": jnp.mean(found)})


def consistency(
    params: PyTree, gamma: Array | float, transition: Transition, next_value: Array
) -> Array:
    """Compute the mean squared difference of learned returns from themselves a step later, f[].

    G_t is compared with r_t + gamma G_{t+1}, a constant, and with r_t where the episode terminated.
    Steps after which the rollout is cut are left out: nothing of it is known there.

    Args:
        params: of the targets.
        gamma: discount.
        transition: [T, N].
        next_value: f[T, N], of the true successors, constants.

    Returns:
        The mean over steps that are compared, 0 if there are none.
    """
    found = targets(params, gamma, transition, next_value)
    later = jnp.concatenate([found[1:], jnp.zeros_like(found[:1])])
    last = jnp.arange(len(found))[:, None] == len(found) - 1
    known = transition.terminated | ~(transition.done | last)
    expected = transition.reward + jnp.where(transition.terminated, 0.0, gamma * later)
    gaps = jnp.square(found - jax.lax.stop_gradient(expected))
    return jnp.sum(jnp.where(known, gaps, 0.0)) / jnp.maximum(jnp.sum(known), 1)


def judge(
    network: types.Network,
    action: types.Space,
    params: PyTree,
    hypers: FRODOHypers,
    window: Window,
) -> tuple[Array, dict[str, Array]]:
    """Judge learned targets by a rollout of the agent that has learnt from them.

    Args:
        network: of the agent.
        action: space of its actions.
        params: of the targets.
        hypers: of FRODO.
        window: of the agent's lifetime.

    Returns:
        The loss f[], and metrics.
    """
    theta, transition = window.lifetime.run.agent.learner.params, window.transition
    look = inner.look_at(network, action, theta, transition)
    still = jax.lax.stop_gradient(look)
    advantage, target = inner.lambda_estimates(hypers.gamma, hypers.gae_lambda, still)
    policy_loss = -jnp.mean(look.log_prob * advantage)
    value_loss = 0.5 * jnp.mean(jnp.square(target - look.value))
    entropy = jnp.mean(nets.distribution(action)(look.policy).entropy())
    loss = policy_loss + hypers.value_coefficient * value_loss
    loss = loss - hypers.entropy_coefficient * entropy
    gap = consistency(params, hypers.gamma, transition, still.next_value)
    metrics = {"meta_policy_loss": policy_loss, "meta_value_loss": value_loss, "consistency": gap}
    return loss + hypers.consistency_coefficient * gap, metrics
