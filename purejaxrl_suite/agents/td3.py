"""TD3: Twin Delayed Deep Deterministic policy gradient (Fujimoto et al. 2018, arXiv 1802.09477).

Three changes of DDPG: targets take the minimum of two critics, the actor and the targets move less
often than the critics, and the target's action is smoothed by clipped noise. Defaults are the
paper's for MuJoCo. Noise is added to actions scaled by their bounds. Values are bootstrapped at
time limits.
"""

from functools import partial
from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp

from purejaxrl_suite import nets
from purejaxrl_suite.agents.shared import (
    action_scaling,
    continuous_learning,
    estimates,
    extra_losses,
    replay_learning,
)
from purejaxrl_suite.agents.shared.continuous_learning import Drawn, drawing, moved_by, partial_step
from purejaxrl_suite.agents.shared.replay_learning import ReplayState, Target
from purejaxrl_suite.core import types, validate
from purejaxrl_suite.core.types import Agent, Array, Key, Memory, PyTree, Transition
from purejaxrl_suite.core.validate import Range
from purejaxrl_suite.ops.schedules import counted


class TD3Config(NamedTuple):
    """What changes the compiled program.

    Attributes:
        num_envs: parallel environments of one member (N).
        rollout_length: steps in each of them between updates (T).
        gradient_steps: of the critics in an update; over N * T it is the update-to-data ratio.
        policy_delay: gradient steps of the critics for each of the actor and of the targets;
            divides gradient_steps.
        batch_size: transitions in a gradient step.
        capacity: transitions that the replay holds.
        normalize_observations: by running mean and standard deviation; the replay stores them raw.
        probe_size: replayed transitions that the probe looks at.
    """

    num_envs: Annotated[int, Range(1)] = 1
    rollout_length: Annotated[int, Range(1)] = 2
    gradient_steps: Annotated[int, Range(1)] = 2
    policy_delay: Annotated[int, Range(1)] = 2
    batch_size: Annotated[int, Range(1, "capacity")] = 256
    capacity: Annotated[int, Range(1)] = 1_000_000
    normalize_observations: bool = False
    probe_size: Annotated[int, Range(1)] = 256


class TD3Hypers(NamedTuple):
    """What may be swept, annealed or differentiated without recompiling.

    Attributes:
        actor_learning_rate: of the actor's Adam.
        critic_learning_rate: of the critics' Adam.
        gamma: discount per step.
        target_update_rate: how far the targets move to the networks, after each step of the actor.
        exploration_noise: standard deviation of the noise on actions in training.
        target_noise: standard deviation of the noise on the target's actions.
        target_noise_clip: bound of that noise.
        min_history: transitions before learning begins; until then actions are uniform.
    """

    actor_learning_rate: Annotated[float, Range(0)] = 3e-4
    critic_learning_rate: Annotated[float, Range(0)] = 3e-4
    gamma: Annotated[float, Range(0, 1)] = 0.99
    target_update_rate: Annotated[float, Range(0, 1)] = 0.005
    exploration_noise: Annotated[float, Range(0)] = 0.1
    target_noise: Annotated[float, Range(0)] = 0.2
    target_noise_clip: Annotated[float, Range(0)] = 0.5
    min_history: Annotated[float, Range(1, "capacity", integer=True)] = 25_000.0


def td3(
    env: types.Environment,
    config: TD3Config | None = None,
    network: types.Network | None = None,
    hypers: TD3Hypers | None = None,
    *,
    extra_loss: types.ExtraLoss | None = None,
) -> Agent:
    """Build TD3 for the spaces of an environment.

    Args:
        env: whose spaces the agent is built for.
        config: what changes the program; None for the defaults.
        network: None for `nets.actor_critics(deterministic=True)`.
        hypers: what may be swept; None for the defaults.
        extra_loss: a term to add to the critics' loss and to the actor's; each only moves its own
            parameters. Its target is that of the critics, f32[B], and None in the actor's loss,
            whose metrics are recorded.

    Returns:
        The agent, for `run`, `sweep` and `make_train`.

    Raises:
        ValueError: actions are not a Box of one axis with finite bounds, or sizes do not fit.

    Example:
        >>> env = pjs.make("Pendulum-v1")
        >>> result = pjs.run(pjs.td3(env), env, seeds=4, steps=1e5)
    """
    validate.parts(env, network, types.Network)
    extra_losses.check(extra_loss)
    config, hypers = validate.settings(config, hypers, (TD3Config(), TD3Hypers()))
    units = continuous_learning.check("td3", env, config)
    network = network or nets.actor_critics(env.observation, env.action, deterministic=True)
    continuous_learning.check_network("td3", env, network, policy=jax.ShapeDtypeStruct, subset=0)
    replay = continuous_learning.experience(env, config)
    draw = drawing(replay, units)
    rates = partial(continuous_learning.optimizers, network)
    add_extra = partial(continuous_learning.add_extra, extra_loss, network=network)
    smoothed = partial(continuous_learning.smoothed, network, units)

    def init(key: Key, hypers: TD3Hypers) -> ReplayState:
        learner = continuous_learning.initial_learner(key, network, rates(hypers))
        target = jax.tree.map(jnp.copy, learner.params)
        return ReplayState(learner, target, jnp.int32(0), replay.init())

    def ready(hypers: TD3Hypers, state: ReplayState) -> Array:
        return replay.ready(state.replay, hypers.min_history, 1)

    def act(noise: Any, hypers: TD3Hypers, state: ReplayState, memory: Memory, obs: Array, explore):
        uniform, normal = noise
        action = jnp.tanh(network.apply(state.learner.params, obs)[0].policy)
        if explore:
            noisy = jnp.clip(action + hypers.exploration_noise * normal, -1.0, 1.0)
            action = jnp.where(ready(hypers, state), noisy, uniform)
        return memory, units.outside(action), {}

    def critic_objective(hypers: TD3Hypers, state: ReplayState, drawn: Drawn):
        """Make (params, taps) -> (f32[], (metrics, features)); the target is outside the loss."""
        batch = drawn.batch
        action = smoothed(hypers, state.target, batch.next_obs, drawn.noise)
        values = network.apply(state.target, batch.next_obs, action=action)[0].values
        target = continuous_learning.critic_target(batch, jnp.min(values, axis=-1))
        known = {"hypers": hypers, "drawn": drawn, "target": target}
        return continuous_learning.critic_loss(network, add_extra, state, **known)

    def actor_objective(hypers: TD3Hypers, state: ReplayState, drawn: Drawn):
        """Make (params, taps) -> (f32[], (metrics, ())); only the first critic is used."""
        obs = drawn.batch.obs

        def loss(params: PyTree, taps: Any):
            params = moved_by("actor", params, state.learner.params)
            action = units.hold(jnp.tanh(network.apply(params, obs, (), taps)[0].policy))
            total = -jnp.mean(network.apply(params, obs, action=action)[0].values[:, 0])
            known = {"params": params, "drawn": drawn, "hypers": hypers}
            known |= {"target_params": state.target}
            total, metrics = add_extra((total, {"actor_loss": total}), **known)
            return total, (metrics, ())

        return loss

    def critic_step(hypers: TD3Hypers, state: ReplayState, drawn: Drawn):
        loss = critic_objective(hypers, state, drawn)
        learner, metrics, _ = partial_step("critic", loss, rates(hypers), state.learner)
        return state._replace(learner=learner, steps=counted(state.steps)), metrics

    def actor_step(hypers: TD3Hypers, state: ReplayState, drawn: Drawn):
        loss = actor_objective(hypers, state, drawn)
        learner, metrics, _ = partial_step("actor", loss, rates(hypers), state.learner)
        follow = Target(1, hypers.target_update_rate)
        target = replay_learning.follow(state.target, learner.params, state.steps, follow)
        return state._replace(learner=learner, target=target), metrics

    def update(key: Key, hypers: TD3Hypers, state: ReplayState, transition: Transition):
        state = state._replace(replay=replay.add(state.replay, transition))
        state, metrics = continuous_learning.learn(
            key,
            hypers,
            state,
            ready=ready(hypers, state),
            draw=draw,
            config=config,
            critic_step=critic_step,
            actor_step=actor_step,
        )
        metrics["gradient_steps"] = state.steps.astype(jnp.float32)
        return state, extra_losses.named(metrics)

    def probe(key: Key, hypers: TD3Hypers, state: ReplayState, transition: Transition):
        """Probe both losses on replayed experience; meaningless before there is any."""
        drawn = draw(key, hypers, state.replay, (config.probe_size,))
        critic_loss = critic_objective(hypers, state, drawn)
        actor_loss = actor_objective(hypers, state, drawn)
        params, batch = state.learner.params, drawn.batch
        return continuous_learning.probe(network, params, batch, critic_loss, actor_loss)

    estimate = estimates.of_critics(network, units, jnp.tanh, partial(jnp.min, axis=-1))
    return continuous_learning.assemble(
        name="td3",
        env=env,
        network=network,
        config=config,
        hypers=hypers,
        init=init,
        act=act,
        update=update,
        probe=probe,
        noise=action_scaling.noise(units),
        estimate=estimate,
    )
