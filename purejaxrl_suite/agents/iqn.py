"""IQN: implicit quantile networks (Dabney et al. 2018, arXiv 1806.06923).

QR-DQN at fractions that are drawn anew for every use. The learning rate, Adam's epsilon and the
numbers of fractions are the paper's; all other settings are those of `dqn`. Without exploration,
actions are chosen at the network's own fractions, midpoints of equal intervals, instead of at
random ones (our setting).
"""

from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp

from purejaxrl_suite import nets
from purejaxrl_suite.agents.shared.q_learning import Errors, QLearningRule, check, q_learning, taken
from purejaxrl_suite.buffers import Batch, MakesReplay, uniform
from purejaxrl_suite.core import types, validate
from purejaxrl_suite.core.types import Agent, Array, ExtraLoss, Key, Network, PyTree
from purejaxrl_suite.core.validate import Range
from purejaxrl_suite.ops import distributional, value


class IQNConfig(NamedTuple):
    """What changes the compiled program.

    Attributes:
        num_envs: parallel environments of one member (N).
        rollout_length: steps in each of them between updates (T).
        gradient_steps: in an update: the replay ratio is gradient_steps / (N * T).
        batch_size: transitions in a gradient step.
        capacity: transitions that the replay holds.
        max_n_step: the largest n_step that hypers may ask for.
        probe_size: replayed transitions that the probe looks at.
        quantiles: learnt quantiles, at fractions drawn at random (N in the paper).
        target_quantiles: quantiles of the target, at random fractions (N').
        policy_quantiles: quantiles whose mean is an action's value (K).
        double: the online network chooses the action whose returns the target network gives.
    """

    num_envs: Annotated[int, Range(1)] = 1
    rollout_length: Annotated[int, Range(1)] = 4
    gradient_steps: Annotated[int, Range(1)] = 1
    batch_size: Annotated[int, Range(1, "capacity")] = 32
    capacity: Annotated[int, Range(1)] = 100_000
    max_n_step: Annotated[int, Range(1)] = 1
    probe_size: Annotated[int, Range(1)] = 256
    quantiles: Annotated[int, Range(1)] = 64
    target_quantiles: Annotated[int, Range(1)] = 64
    policy_quantiles: Annotated[int, Range(1)] = 32
    double: bool = False


class IQNHypers(NamedTuple):
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
        kappa: errors below it count quadratically; 0 is plain quantile regression.
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
    kappa: Annotated[float, Range(0)] = 1.0


def iqn(
    env: types.Environment,
    config: IQNConfig | None = None,
    network: types.Network | None = None,
    hypers: IQNHypers | None = None,
    *,
    extra_loss: ExtraLoss | None = None,
    replay: MakesReplay = uniform,
) -> Agent:
    """Build IQN for the spaces of an environment.

    Args:
        env: whose spaces the agent is built for.
        config: what changes the program; None for the defaults.
        network: None for `nets.implicit_quantile_network`.
        hypers: what may be swept; None for the defaults.
        extra_loss: a term to add to the loss; its target is samples f32[B, target_quantiles] of the
            return.
        replay: makes the replay, with the arguments of `buffers.uniform`.

    Returns:
        The agent, for `run`, `sweep` and `make_train`.

    Raises:
        ValueError: actions are not Discrete or sizes do not fit.

    Example:
        >>> env = pjs.make("Breakout-MinAtar")
        >>> result = pjs.run(pjs.iqn(env), env, seeds=4, steps=1e5)
    """
    validate.parts(env, network, types.Network)
    config, hypers = validate.settings(config, hypers, (IQNConfig(), IQNHypers()))
    action = check("iqn", env)
    network = network or nets.implicit_quantile_network(env.observation, action)

    def chance(key: Key, batch: int) -> Array:
        return jax.random.uniform(key, (batch, config.policy_quantiles))

    def q_values(hypers: IQNHypers, params: PyTree, obs: Array, chance: Array | None) -> Array:
        return means(network, params, obs, chance)

    def targets(key: Key, hypers: IQNHypers, online: PyTree, target: PyTree, batch: Batch) -> Array:
        """Compute samples f32[B, target_quantiles] of the return."""
        choose_key, value_key = jax.random.split(key)
        taus = chance(choose_key, len(batch.reward))
        judge = means(network, online if config.double else target, batch.next_obs, taus)
        taus = jax.random.uniform(value_key, (len(batch.reward), config.target_quantiles))
        following = network.apply(target, batch.next_obs, (), {}, taus)[0]
        return jax.vmap(value.q_target)(
            batch.reward, batch.discount, batch.terminated, following, judge
        )

    def errors(key: Key, hypers: IQNHypers, params: PyTree, batch: Batch, target: Array, taps: Any):
        taus = jax.random.uniform(key, (len(batch.reward), config.quantiles))
        return quantile_errors(
            network, params, batch=batch, taus=taus, target=target, kappa=hypers.kappa, taps=taps
        )

    rule = QLearningRule(q_values, targets, errors, chance)
    return q_learning(
        "iqn",
        env,
        config=config,
        hypers=hypers,
        network=network,
        rule=rule,
        extra_loss=extra_loss,
        replay=replay,
    )


def means(network: Network, params: PyTree, obs: Array, taus: Array | None) -> Array:
    """Average action values f32[B, A] over the fractions f32[B, K]; None for the network's own."""
    return jnp.mean(network.apply(params, obs, (), {}, taus)[0], axis=-1)


def quantile_errors(
    network: Network,
    params: PyTree,
    batch: Batch,
    taus: Array,
    target: Array,
    kappa: Array | float,
    taps: Any,
) -> Errors:
    """Compute `QLearningRule.errors` of an implicit quantile network at fractions f32[B, N]."""
    quantiles, internals = network.apply(params, batch.obs, (), taps, taus)
    chosen = taken(quantiles, batch.action)
    loss = jax.vmap(distributional.quantile_huber, (0, 0, 0, None))
    losses = loss(chosen, taus, target, kappa)
    return Errors(losses, jnp.mean(chosen, axis=-1), quantiles, internals)
