"""Munchausen RL: M-DQN and M-IQN (Vieillard et al. 2020, arXiv 2007.14430).

Soft Q-learning that adds to the reward the scaled log-probability of the action, under the softmax
of the target network's values. Alpha, the temperature, the clipping and the optimizer are the
paper's; all other settings are those of `dqn` and `iqn`, with epsilon-greedy actions.
"""

from typing import Annotated, Any, NamedTuple

import jax

from purejaxrl_suite import nets
from purejaxrl_suite.agents import iqn
from purejaxrl_suite.agents.shared.q_learning import Errors, QLearningRule, check, q_learning, taken
from purejaxrl_suite.buffers import Batch, MakesReplay, uniform
from purejaxrl_suite.core import types, validate
from purejaxrl_suite.core.types import Agent, Array, ExtraLoss, Key, Network, PyTree
from purejaxrl_suite.core.validate import Range
from purejaxrl_suite.ops import losses, value


class MunchausenConfig(NamedTuple):
    """What changes the compiled program.

    Attributes:
        num_envs: parallel environments of one member (N).
        rollout_length: steps in each of them between updates (T).
        gradient_steps: in an update: the replay ratio is gradient_steps / (N * T).
        batch_size: transitions in a gradient step.
        capacity: transitions that the replay holds.
        max_n_step: the largest n_step that hypers may ask for.
        probe_size: replayed transitions that the probe looks at.
        distributional: M-IQN, else M-DQN.
        quantiles: learnt quantiles, at fractions drawn at random (N in the paper).
        target_quantiles: quantiles of the target, at random fractions (N').
        policy_quantiles: quantiles whose mean is an action's value (K).
    """

    num_envs: Annotated[int, Range(1)] = 1
    rollout_length: Annotated[int, Range(1)] = 4
    gradient_steps: Annotated[int, Range(1)] = 1
    batch_size: Annotated[int, Range(1, "capacity")] = 32
    capacity: Annotated[int, Range(1)] = 100_000
    max_n_step: Annotated[int, Range(1)] = 1
    probe_size: Annotated[int, Range(1)] = 256
    distributional: bool = False
    quantiles: Annotated[int, Range(1)] = 64
    target_quantiles: Annotated[int, Range(1)] = 64
    policy_quantiles: Annotated[int, Range(1)] = 32


class MunchausenHypers(NamedTuple):
    """What may be swept, annealed or differentiated without recompiling.

    Attributes:
        learning_rate: of Adam.
        adam_epsilon: of Adam's denominator.
        gamma: discount per step.
        n_step: rewards in a return, at most max_n_step.
        epsilon: probability of a random action when learning begins.
        final_epsilon: the same after the decay.
        epsilon_decay: fraction of training over which it decays linearly, after min_history.
        min_history: transitions before learning begins; until then actions are random.
        target_update_period: gradient steps between changes of the target network.
        target_update_rate: how far it then moves to the online network; 1 copies.
        recent: fraction of the capacity that is sampled, newest first.
        alpha: weight of the log-policy in the reward; 0 is soft Q-learning.
        temperature: of the softmax policy.
        lowest: lower bound of the scaled log-policy.
        kappa: errors below it count quadratically.
    """

    learning_rate: Annotated[float, Range(0)] = 5e-5
    adam_epsilon: Annotated[float, Range(above=0)] = 3.125e-4
    gamma: Annotated[float, Range(0, 1)] = 0.99
    n_step: Annotated[float, Range(1, "max_n_step", integer=True)] = 1.0
    epsilon: Annotated[float, Range(0, 1)] = 1.0
    final_epsilon: Annotated[float, Range(0, 1)] = 0.01
    epsilon_decay: Annotated[float, Range(0, 1)] = 0.1
    min_history: Annotated[float, Range(1, "capacity", integer=True)] = 1000.0
    target_update_period: Annotated[float, Range(1, integer=True)] = 1000.0
    target_update_rate: Annotated[float, Range(0, 1)] = 1.0
    recent: Annotated[float, Range(above=0, high=1)] = 1.0
    alpha: Annotated[float, Range(0, 1)] = 0.9
    temperature: Annotated[float, Range(above=0)] = 0.03
    lowest: Annotated[float, Range(high=0)] = -1.0
    kappa: Annotated[float, Range(above=0)] = 1.0


def munchausen(
    env: types.Environment,
    config: MunchausenConfig | None = None,
    network: types.Network | None = None,
    hypers: MunchausenHypers | None = None,
    *,
    extra_loss: ExtraLoss | None = None,
    replay: MakesReplay = uniform,
) -> Agent:
    """Build M-DQN, or M-IQN, for the spaces of an environment.

    Args:
        env: whose spaces the agent is built for.
        config: what changes the program; None for the defaults.
        network: None for `nets.q_network`, or for M-IQN `nets.implicit_quantile_network`.
        hypers: what may be swept; None for the defaults.
        extra_loss: a term to add to the loss; its target is that of `dqn` or `iqn`.
        replay: makes the replay, with the arguments of `buffers.uniform`.

    Returns:
        The agent, for `run`, `sweep` and `make_train`.

    Raises:
        ValueError: actions are not Discrete, the network has a memory, or sizes do not fit.

    Example:
        >>> env = pjs.make("Breakout-MinAtar")
        >>> result = pjs.run(pjs.munchausen(env), env, seeds=4, steps=1e5)
    """
    validate.parts(env, network, types.Network)
    config, hypers = validate.settings(config, hypers, (MunchausenConfig(), MunchausenHypers()))
    action = check("munchausen", env)
    if config.distributional:
        network = network or nets.implicit_quantile_network(env.observation, action)
        rule = _m_iqn(config, network)
    else:
        network = network or nets.q_network(env.observation, action, layer_norm=False)
        rule = _m_dqn(network)
    return q_learning(
        "munchausen",
        env,
        config=config,
        hypers=hypers,
        network=network,
        rule=rule,
        extra_loss=extra_loss,
        replay=replay,
    )


def _target(hypers: MunchausenHypers, batch: Batch, q: Array, values: Array, next_q: Array):
    """Compute targets f32[B] or f32[B, M] from the target network's values (next_obs: `values`)."""
    bound = jax.vmap(value.munchausen_target, (0,) * 7 + (None,) * 3)
    return bound(
        batch.reward,
        batch.discount,
        batch.terminated,
        batch.action,
        q,
        values,
        next_q,
        hypers.alpha,
        hypers.temperature,
        hypers.lowest,
    )


def _m_dqn(network: Network) -> QLearningRule:
    def q_values(hypers: MunchausenHypers, params: PyTree, obs: Array, chance: Any) -> Array:
        return network.apply(params, obs)[0]

    def targets(
        key: Key, hypers: MunchausenHypers, online: PyTree, target: PyTree, batch: Batch
    ) -> Array:
        q, next_q = (q_values(hypers, target, obs, None) for obs in (batch.obs, batch.next_obs))
        return _target(hypers, batch, q, next_q, next_q)

    def errors(
        key: Key, hypers: MunchausenHypers, params: PyTree, batch: Batch, target: Array, taps: Any
    ):
        values, internals = network.apply(params, batch.obs, (), taps)
        chosen = taken(values, batch.action)
        return Errors(losses.huber(chosen - target, hypers.kappa), chosen, values, internals)

    return QLearningRule(q_values, targets, errors)


def _m_iqn(config: MunchausenConfig, network: Network) -> QLearningRule:
    def chance(key: Key, batch: int) -> Array:
        return jax.random.uniform(key, (batch, config.policy_quantiles))

    def q_values(hypers: Any, params: PyTree, obs: Array, chance: Array | None) -> Array:
        return iqn.means(network, params, obs, chance)

    def targets(
        key: Key, hypers: MunchausenHypers, online: PyTree, target: PyTree, batch: Batch
    ) -> Array:
        q_key, next_key, value_key = jax.random.split(key, 3)
        size = len(batch.reward)
        q = q_values(hypers, target, batch.obs, chance(q_key, size))
        next_q = q_values(hypers, target, batch.next_obs, chance(next_key, size))
        taus = jax.random.uniform(value_key, (size, config.target_quantiles))
        values = network.apply(target, batch.next_obs, (), {}, taus)[0]
        return _target(hypers, batch, q, values, next_q)

    def errors(
        key: Key, hypers: MunchausenHypers, params: PyTree, batch: Batch, target: Array, taps: Any
    ):
        taus = jax.random.uniform(key, (len(batch.reward), config.quantiles))
        return iqn.quantile_errors(
            network, params, batch=batch, taus=taus, target=target, kappa=hypers.kappa, taps=taps
        )

    return QLearningRule(q_values, targets, errors, chance)
