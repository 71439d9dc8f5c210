"""SAC: Soft Actor-Critic with a learned temperature (Haarnoja et al. 2018, arXiv 1812.05905).

Twin critics, whose minimum is used, a tanh-Gaussian policy, and a temperature that keeps the
policy's entropy at a target. Defaults are the paper's for MuJoCo. Actions are scaled by their
bounds, so the target entropy means the same everywhere. Values are bootstrapped at time limits.
"""

from functools import partial
from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from purejaxrl_suite import nets
from purejaxrl_suite.agents.shared import (
    action_scaling,
    continuous_learning,
    estimates,
    extra_losses,
    temperatures,
)
from purejaxrl_suite.agents.shared.continuous_learning import Drawn, drawing, moved_by, partial_step
from purejaxrl_suite.agents.shared.temperatures import Temperature
from purejaxrl_suite.core import types, validate
from purejaxrl_suite.core.types import Agent, Array, Key, Learner, Memory, PyTree, Transition
from purejaxrl_suite.core.validate import Range
from purejaxrl_suite.ops import ensembles
from purejaxrl_suite.ops.schedules import counted


class SACConfig(NamedTuple):
    """What changes the compiled program.

    Attributes:
        num_envs: parallel environments of one member (N).
        rollout_length: steps in each of them between updates (T).
        gradient_steps: of the critics in an update; over N * T it is the update-to-data ratio.
        policy_delay: gradient steps of the critics for each of the actor; divides gradient_steps.
        batch_size: transitions in a gradient step.
        capacity: transitions that the replay holds.
        critic_subset: targets take the minimum over a random subset of so many critics, and the
            actor maximises the mean of all, as in REDQ; with 0 both use the minimum over all.
        temperature_of_each_task: each task has its own; observations must tell the task.
        normalize_observations: by running mean and standard deviation; the replay stores them raw.
        probe_size: replayed transitions that the probe looks at.
    """

    num_envs: Annotated[int, Range(1)] = 1
    rollout_length: Annotated[int, Range(1)] = 1
    gradient_steps: Annotated[int, Range(1)] = 1
    policy_delay: Annotated[int, Range(1)] = 1
    batch_size: Annotated[int, Range(1, "capacity")] = 256
    capacity: Annotated[int, Range(1)] = 1_000_000
    critic_subset: Annotated[int, Range(0)] = 0
    temperature_of_each_task: bool = False
    normalize_observations: bool = False
    probe_size: Annotated[int, Range(1)] = 256


class SACHypers(NamedTuple):
    """What may be swept, annealed or differentiated without recompiling.

    Attributes:
        actor_learning_rate: of the actor's Adam.
        critic_learning_rate: of the critics' Adam.
        temperature_learning_rate: of the Adam of the temperature's logarithm; 0 keeps it fixed.
        temperature: the weight of the entropy at the start.
        target_entropy: per dimension of the action; a uniform policy has log 2 in each.
        gamma: discount per step.
        target_update_rate: how far target critics move to the critics at each of their steps.
        min_history: transitions before learning begins; until then actions are uniform.
    """

    actor_learning_rate: Annotated[float, Range(0)] = 3e-4
    critic_learning_rate: Annotated[float, Range(0)] = 3e-4
    temperature_learning_rate: Annotated[float, Range(0)] = 3e-4
    temperature: Annotated[float, Range(above=0)] = 1.0
    target_entropy: Annotated[float, Range()] = -1.0
    gamma: Annotated[float, Range(0, 1)] = 0.99
    target_update_rate: Annotated[float, Range(0, 1)] = 0.005
    min_history: Annotated[float, Range(1, "capacity", integer=True)] = 10_000.0


class SACState(NamedTuple):
    """State of SAC.

    learner: actor and critics. target: their moving averages; only those of critics are used.
    temperature: not a part of the learner, so interventions never reset it. steps: i32[], gradient
    steps of the critics.
    """

    learner: Learner
    target: PyTree
    temperature: Temperature
    steps: Array
    replay: Any


def sac(
    env: types.Environment,
    config: SACConfig | None = None,
    network: types.Network | None = None,
    hypers: SACHypers | None = None,
    *,
    extra_loss: types.ExtraLoss | None = None,
) -> Agent:
    """Build SAC for the spaces of an environment.

    Args:
        env: whose spaces the agent is built for.
        config: what changes the program; None for the defaults.
        network: None for `nets.actor_critics`.
        hypers: what may be swept; None for the defaults.
        extra_loss: a term to add to the critics' loss and to the actor's; each only moves its own
            parameters. Its target is that of the critics, f32[B], and None in the actor's loss,
            whose metrics are recorded. The temperature is learnt without it.

    Returns:
        The agent, for `run`, `sweep` and `make_train`.

    Raises:
        ValueError: actions are not a Box of one axis with finite bounds, or sizes do not fit.

    Example:
        >>> env = pjs.make("Pendulum-v1")
        >>> result = pjs.run(pjs.sac(env), env, seeds=4, steps=1e5)
    """
    validate.parts(env, network, types.Network)
    extra_losses.check(extra_loss)
    config, hypers = validate.settings(config, hypers, (SACConfig(), SACHypers()))
    units, subset = continuous_learning.check("sac", env, config), config.critic_subset
    network = network or nets.actor_critics(env.observation, env.action)
    continuous_learning.check_network("sac", env, network, policy=nets.Gaussian, subset=subset)
    replay = continuous_learning.experience(env, config)
    draw = drawing(replay, units)
    rates = partial(continuous_learning.optimizers, network)
    add_extra = partial(continuous_learning.add_extra, extra_loss, network=network)
    sample = nets.squashed(units.free)
    tasks, task_of = temperatures.tasks(env, config.temperature_of_each_task)

    def init(key: Key, hypers: SACHypers) -> SACState:
        learner = continuous_learning.initial_learner(key, network, rates(hypers))
        return SACState(
            learner=learner,
            temperature=temperatures.initial_temperature(hypers.temperature, tasks),
            target=jax.tree.map(jnp.copy, learner.params),
            steps=jnp.int32(0),
            replay=replay.init(),
        )

    def ready(hypers: SACHypers, state: SACState) -> Array:
        return replay.ready(state.replay, hypers.min_history, 1)

    def act(noise: Any, hypers: SACHypers, state: SACState, memory: Memory, obs: Array, explore):
        uniform, normal = noise
        gaussian = network.apply(state.learner.params, obs)[0].policy
        if not explore:
            return memory, units.outside(jnp.tanh(gaussian.mean)), {}
        sampled = sample(normal, gaussian)[0]
        return memory, units.outside(jnp.where(ready(hypers, state), sampled, uniform)), {}

    def critic_objective(hypers: SACHypers, state: SACState, drawn: Drawn):
        """Make (params, taps) -> (f32[], (metrics, features)); the target is outside the loss."""
        batch, noise, key = drawn
        gaussian = network.apply(state.learner.params, batch.next_obs)[0].policy
        action, log_prob = sample(noise, gaussian)
        values = network.apply(state.target, batch.next_obs, action=action)[0].values
        weight = temperatures.weight(state.temperature, task_of(batch.next_obs))
        soft = ensembles.subset_minimum(key, values, subset) - weight * log_prob
        target = continuous_learning.critic_target(batch, soft)
        known = {"hypers": hypers, "drawn": drawn, "target": target}
        return continuous_learning.critic_loss(network, add_extra, state, **known)

    def actor_objective(hypers: SACHypers, state: SACState, drawn: Drawn):
        """Make (params, taps) -> (f32[], (metrics, inputs of the temperature's loss))."""
        obs, noise = drawn.batch.obs, drawn.noise
        task = task_of(obs)
        weight = temperatures.weight(state.temperature, task)

        def loss(params: PyTree, taps: Any):
            params = moved_by("actor", params, state.learner.params)
            action, log_prob = sample(noise, network.apply(params, obs, (), taps)[0].policy)
            values = network.apply(params, obs, action=action)[0].values
            total = jnp.mean(weight * log_prob - ensembles.policy_value(values, subset))
            metrics = {"actor_loss": total, "entropy": -jnp.mean(log_prob)}
            known = {"params": params, "drawn": drawn, "hypers": hypers}
            known |= {"target_params": state.target}
            total, metrics = add_extra((total, metrics), **known)
            return total, (metrics, (log_prob, task))

        return loss

    def critic_step(hypers: SACHypers, state: SACState, drawn: Drawn):
        loss = critic_objective(hypers, state, drawn)
        learner, metrics, _ = partial_step("critic", loss, rates(hypers), state.learner)
        target = optax.incremental_update(learner.params, state.target, hypers.target_update_rate)
        return state._replace(learner=learner, target=target, steps=counted(state.steps)), metrics

    def actor_step(hypers: SACHypers, state: SACState, drawn: Drawn):
        loss = actor_objective(hypers, state, drawn)
        learner, metrics, seen = partial_step("actor", loss, rates(hypers), state.learner)
        rate, wanted = hypers.temperature_learning_rate, hypers.target_entropy * sum(units.free)
        temperature = temperatures.adjust(state.temperature, seen, rate, wanted)
        metrics["temperature"] = jnp.mean(jnp.exp(temperature.log))
        return state._replace(learner=learner, temperature=temperature), metrics

    def update(key: Key, hypers: SACHypers, state: SACState, transition: Transition):
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

    def probe(key: Key, hypers: SACHypers, state: SACState, transition: Transition) -> types.Probe:
        """Probe both losses on replayed experience; meaningless before there is any."""
        drawn = draw(key, hypers, state.replay, (config.probe_size,))
        critic_loss = critic_objective(hypers, state, drawn)
        actor_loss = actor_objective(hypers, state, drawn)
        params, batch = state.learner.params, drawn.batch
        return continuous_learning.probe(network, params, batch, critic_loss, actor_loss)

    judge = partial(ensembles.policy_value, subset=subset)
    estimate = estimates.of_critics(network, units, lambda policy: jnp.tanh(policy.mean), judge)
    return continuous_learning.assemble(
        name="sac",
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
