"""QR-DQN: quantile regression (Dabney et al. 2018, arXiv 1710.10044).

DQN with quantiles of the return at fixed fractions in place of its mean, learnt by the quantile
Huber loss. The learning rate, Adam's epsilon and the quantiles are the paper's; all other settings
are those of `dqn`.
"""

from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp

from purejaxrl_suite import nets
from purejaxrl_suite.agents.shared.q_learning import Errors, QLearningRule, check, q_learning, taken
from purejaxrl_suite.buffers import Batch, MakesReplay, uniform
from purejaxrl_suite.core import types, validate
from purejaxrl_suite.core.types import Agent, Array, ExtraLoss, Key, PyTree
from purejaxrl_suite.core.validate import Range
from purejaxrl_suite.ops import distributional, value


class QRDQNConfig(NamedTuple):
    """What changes the compiled program.

    Attributes:
        num_envs: parallel environments of one member (N).
        rollout_length: steps in each of them between updates (T).
        gradient_steps: in an update: the replay ratio is gradient_steps / (N * T).
        batch_size: transitions in a gradient step.
        capacity: transitions that the replay holds.
        max_n_step: the largest n_step that hypers may ask for.
        probe_size: replayed transitions that the probe looks at.
        quantiles: of a distribution.
        double: the online network chooses the action whose returns the target network gives.
    """

    num_envs: Annotated[int, Range(1)] = 1
    rollout_length: Annotated[int, Range(1)] = 4
    gradient_steps: Annotated[int, Range(1)] = 1
    batch_size: Annotated[int, Range(1, "capacity")] = 32
    capacity: Annotated[int, Range(1)] = 100_000
    max_n_step: Annotated[int, Range(1)] = 1
    probe_size: Annotated[int, Range(1)] = 256
    quantiles: Annotated[int, Range(1)] = 200
    double: bool = False


class QRDQNHypers(NamedTuple):
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


def qr_dqn(
    env: types.Environment,
    config: QRDQNConfig | None = None,
    network: types.Network | None = None,
    hypers: QRDQNHypers | None = None,
    *,
    extra_loss: ExtraLoss | None = None,
    replay: MakesReplay = uniform,
) -> Agent:
    """Build QR-DQN for the spaces of an environment.

    Args:
        env: whose spaces the agent is built for.
        config: what changes the program; None for the defaults.
        network: puts out quantiles f32[B, A, quantiles]; None for `nets.q_network`.
        hypers: what may be swept; None for the defaults.
        extra_loss: a term to add to the loss; its target is samples f32[B, quantiles] of the
            return.
        replay: makes the replay, with the arguments of `buffers.uniform`.

    Returns:
        The agent, for `run`, `sweep` and `make_train`.

    Raises:
        ValueError: actions are not Discrete, the network has a memory, or sizes do not fit.

    Example:
        >>> env = pjs.make("Breakout-MinAtar")
        >>> result = pjs.run(pjs.qr_dqn(env), env, seeds=4, steps=1e5)
    """
    validate.parts(env, network, types.Network)
    config, hypers = validate.settings(config, hypers, (QRDQNConfig(), QRDQNHypers()))
    action = check("qr_dqn", env)
    network = network or nets.q_network(
        env.observation, action, atoms=config.quantiles, layer_norm=False
    )
    return q_learning(
        "qr_dqn",
        env,
        config=config,
        hypers=hypers,
        network=network,
        rule=qr_dqn_rule(network, quantiles=config.quantiles, double=config.double),
        extra_loss=extra_loss,
        replay=replay,
    )


def qr_dqn_rule(network: types.Network, *, quantiles: int, double: bool) -> QLearningRule:
    """Make the rule of a network of quantiles; arguments as in `QRDQNConfig`."""

    def q_values(hypers: Any, params: PyTree, obs: Array, chance: Any) -> Array:
        return jnp.mean(network.apply(params, obs)[0], axis=-1)

    def targets(key: Key, hypers: Any, online: PyTree, target: PyTree, batch: Batch) -> Array:
        """Compute samples f32[B, quantiles] of the return."""
        judge = q_values(hypers, online if double else target, batch.next_obs, None)
        following = network.apply(target, batch.next_obs)[0]
        return jax.vmap(value.q_target)(
            batch.reward, batch.discount, batch.terminated, following, judge
        )

    def errors(
        key: Key, hypers: QRDQNHypers, params: PyTree, batch: Batch, target: Array, taps: Any
    ):
        values, internals = network.apply(params, batch.obs, (), taps)
        chosen = taken(values, batch.action)
        fractions = distributional.midpoints(quantiles)
        loss = jax.vmap(distributional.quantile_huber, (0, None, 0, None))
        sizes = loss(chosen, fractions, target, hypers.kappa)
        return Errors(sizes, jnp.mean(chosen, axis=-1), values, internals)

    return QLearningRule(q_values, targets, errors)
