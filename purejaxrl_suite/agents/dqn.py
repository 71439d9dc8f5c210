"""DQN: deep Q-network (Mnih et al. 2013, arXiv 1312.5602; Mnih et al. 2015, Nature 518).

Q-learning on uniformly replayed experience with a target network. With `double` the action of the
target is chosen by the online network (van Hasselt et al. 2016, arXiv 1509.06461); n-step returns
are uncorrected. Defaults are Dopamine's for MinAtar with its 10M steps: Adam, squared errors, a
target that is copied every 1000 environment steps; values are bootstrapped through time limits.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from purejaxrl_suite import nets
from purejaxrl_suite.agents import replay_learning
from purejaxrl_suite.agents.replay_learning import ReplayState, Target
from purejaxrl_suite.buffers import Batch, uniform
from purejaxrl_suite.core import types, validate
from purejaxrl_suite.core.types import Agent, Array, Key, Memory, PyTree, Transition
from purejaxrl_suite.ops import exploration, losses, value
from purejaxrl_suite.ops.probe import probe as probe_loss


class DQNConfig(NamedTuple):
    """What changes the compiled program.

    Attributes:
        num_envs: parallel environments of one member (N).
        rollout_length: steps in each of them between updates (T).
        gradient_steps: in an update: the replay ratio is gradient_steps / (N * T).
        batch_size: transitions in a gradient step.
        capacity: transitions that the replay holds.
        max_n_step: the largest n_step that hypers may ask for.
        double: the online network chooses the action whose value the target network gives.
        huber: Huber loss, for errors clipped to 1 (Nature 2015); else errors are squared.
        probe_size: replayed transitions that the probe looks at.
    """

    num_envs: int = 1
    rollout_length: int = 4
    gradient_steps: int = 1
    batch_size: int = 32
    capacity: int = 100_000
    max_n_step: int = 1
    double: bool = False
    huber: bool = False
    probe_size: int = 256


class DQNHypers(NamedTuple):
    """What may be swept, annealed or differentiated without recompiling.

    Attributes:
        learning_rate: of Adam.
        adam_epsilon: of Adam's denominator.
        gamma: discount per step.
        n_step: rewards in a return, rounded.
        epsilon: probability of a random action when learning begins.
        final_epsilon: the same after the decay.
        epsilon_decay: fraction of training over which epsilon decays linearly.
        min_history: transitions before learning begins; until then actions are random.
        target_update_period: gradient steps between changes of the target network, rounded.
        target_update_rate: how far it then moves to the online network; 1 copies.
        recent: fraction of the capacity that is sampled, newest first.
    """

    learning_rate: float = 2.5e-4
    adam_epsilon: float = 3.125e-4
    gamma: float = 0.99
    n_step: float = 1.0
    epsilon: float = 1.0
    final_epsilon: float = 0.01
    epsilon_decay: float = 0.025
    min_history: float = 1000.0
    target_update_period: float = 250.0
    target_update_rate: float = 1.0
    recent: float = 1.0


def dqn(
    env: types.Environment,
    config: DQNConfig | None = None,
    network: types.Network | None = None,
    hypers: DQNHypers | None = None,
) -> Agent:
    """DQN for the spaces of `env`; `network` defaults to `nets.q_network` for them.

    Raises ValueError when actions are not Discrete, the network has a memory, or sizes do not fit.
    """
    if not isinstance(env.action, types.Discrete):
        raise ValueError(f"dqn needs Discrete actions, environment {env.name!r} has {env.action}")
    config, hypers = config or DQNConfig(), hypers or DQNHypers()
    network = network or nets.q_network(env.observation, env.action, layer_norm=False)
    validate.positive(config, *(name for name in config._fields if name not in ("double", "huber")))
    if jax.tree.leaves(jax.eval_shape(lambda: network.memory(1))):
        raise ValueError("network: expected one without a memory, dqn replays single steps")
    replay = uniform(
        env.observation,
        env.action,
        capacity=config.capacity,
        num_envs=config.num_envs,
        rollout_length=config.rollout_length,
        max_n=config.max_n_step,
        time_limit=env.time_limit,
    )

    def optimizer(hypers: DQNHypers) -> optax.GradientTransformation:
        return optax.adam(hypers.learning_rate, eps=hypers.adam_epsilon)

    def init(key: Key, hypers: DQNHypers) -> ReplayState:
        return replay_learning.start(network.init(key), optimizer(hypers), replay.init())

    def n_step(hypers: DQNHypers) -> Array:
        return jnp.clip(jnp.round(hypers.n_step), 1, config.max_n_step).astype(jnp.int32)

    def ready(hypers: DQNHypers, state: ReplayState) -> Array:
        return replay.ready(state.replay, hypers.min_history, n_step(hypers))

    def epsilon(hypers: DQNHypers, state: ReplayState) -> Array:
        return jnp.where(ready(hypers, state), hypers.epsilon, 1.0)

    def act(noise: Any, hypers: Any, state: ReplayState, memory: Memory, obs: Array, explore: bool):
        q_values, _ = network.apply(state.learner.params, obs, memory, {})
        chance = epsilon(hypers, state) if explore else 0.0
        return memory, exploration.epsilon_greedy(noise, q_values, chance), {}

    def values(params: PyTree, obs: Array) -> Array:
        return network.apply(params, obs, (), {})[0]

    def targets(state: ReplayState, batch: Batch) -> Array:
        """What the chosen values should be, f32[B]; outside the loss."""
        following = values(state.target, batch.next_obs)
        selector = values(state.learner.params, batch.next_obs) if config.double else following
        known = batch.reward, batch.discount, batch.terminated
        return jax.vmap(value.q_target)(*known, following, selector)

    def loss(params: PyTree, batch: Batch, target: Array, taps: Any):
        q_values, internals = network.apply(params, batch.obs, (), taps)
        chosen = jnp.take_along_axis(q_values, batch.action[:, None], axis=-1)[:, 0]
        errors = chosen - target
        sizes = losses.huber(errors) if config.huber else jnp.square(errors)
        error = jnp.mean(batch.weight * sizes)
        metrics = {"td_loss": error, "q_value": jnp.mean(chosen)}
        return error + internals.aux_loss, (metrics, internals.features)

    def update(key: Key, hypers: DQNHypers, state: ReplayState, transition: Transition):
        state = state._replace(replay=replay.add(state.replay, transition))
        n = n_step(hypers)

        def step(key: Key, state: ReplayState):
            drawn = replay.draw(key, state.replay, config.batch_size, n, hypers.recent)
            batch = replay.read(state.replay, drawn.slot, n, hypers.gamma)
            target = targets(state, batch)
            return replay_learning.descend(
                lambda params, taps: loss(params, batch, target, taps),
                optimizer(hypers),
                state.learner,
            )

        rule = Target(hypers.target_update_period, hypers.target_update_rate)
        state, metrics = replay_learning.learn(
            key, state, config.gradient_steps, ready(hypers, state), rule, step
        )
        steps = state.steps.astype(jnp.float32)
        return state, metrics | {"epsilon": epsilon(hypers, state), "gradient_steps": steps}

    def probe(key: Key, hypers: DQNHypers, state: ReplayState, transition: Transition):
        """On replayed experience; meaningless before there is any."""
        n = n_step(hypers)
        drawn = replay.draw(key, state.replay, config.probe_size, n, hypers.recent)
        batch = replay.read(state.replay, drawn.slot, n, hypers.gamma)
        target = targets(state, batch)

        def objective(params: PyTree, taps: Any):
            total, (_, features) = loss(params, batch, target, taps)
            return total, features

        return probe_loss(objective, state.learner.params)

    def anneal(hypers: DQNHypers, progress: Array) -> DQNHypers:
        decayed = jnp.minimum(progress / hypers.epsilon_decay, 1.0)
        epsilon = hypers.epsilon + decayed * (hypers.final_epsilon - hypers.epsilon)
        return hypers._replace(epsilon=epsilon)

    rollout = config.num_envs, config.rollout_length
    functions = init, act, update, probe, exploration.uniform, network.memory, anneal
    return Agent("dqn", env.observation, env.action, hypers, *rollout, *functions)
