"""TD3 on a data set, with terms that an algorithm adds to the losses of critics and actor.

Each group of gradient steps is `policy_delay` steps of the critics, and one of the actor and of the
targets on the last minibatch of these, as in the released code of TD3 and TD3+BC. The actor
maximises the first critic's values, divided by their mean size in the batch.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp

from purejaxrl_suite import nets
from purejaxrl_suite.agents.shared import (
    continuous_learning,
    estimates,
    extra_losses,
    offline_learning,
    replay_learning,
)
from purejaxrl_suite.agents.shared.action_scaling import Units
from purejaxrl_suite.agents.shared.continuous_learning import (
    Drawn,
    Metrics,
    moved_by,
    partial_step,
)
from purejaxrl_suite.agents.shared.offline_learning import OfflineConfig
from purejaxrl_suite.agents.shared.replay_learning import Target
from purejaxrl_suite.core import tree, types, validate
from purejaxrl_suite.core.types import (
    Agent,
    Array,
    ExtraLoss,
    Key,
    Learner,
    Memory,
    Network,
    PyTree,
)
from purejaxrl_suite.ops.schedules import counted


class DelayedConfig(OfflineConfig, Protocol):
    """Config of TD3 on a data set."""

    @property
    def policy_delay(self) -> int:
        """Return the gradient steps of the critics for each of the actor."""
        ...

    @property
    def normalize_observations(self) -> bool:
        """Tell whether observations are standardized by the data set."""
        ...


class OfflineTD3State(NamedTuple):
    """State of TD3 on a data set.

    learner: actor and critics. target: of both. steps: i32[], gradient steps of the critics.
    behaviour: parameters, like those of the learner, that nothing moves: of the behaviour's
    Q-function; () in an algorithm without one.
    """

    learner: Learner
    target: PyTree
    steps: Array
    behaviour: PyTree


class Terms(NamedTuple):
    """Terms of an algorithm.

    q_weight: hypers -> f32[], of the values in the actor's loss.
    actor: (hypers, state, drawn, actions f32[B, A] of the policy) -> f32[], to be added.
    critic: (hypers, state, drawn, params) -> (f32[], metrics), to be added.
    behaviour: whether the state holds parameters of the behaviour's Q-function.
    """

    q_weight: Callable[[Any], Array | float]
    actor: Callable[[Any, OfflineTD3State, Drawn, Array], Array]
    critic: Callable[[Any, OfflineTD3State, Drawn, PyTree], tuple[Array | float, Metrics]]
    behaviour: bool = False


def cloning_error(drawn: Drawn, action: Array) -> Array:
    """Compute the mean squared difference f32[] of the policy's actions from those of the data."""
    return jnp.mean(jnp.square(action - drawn.batch.action))


def by_mean_size(values: Array) -> Array:
    """Divide values f32[B] by the mean of their absolute values, which is a constant."""
    size = jax.lax.stop_gradient(jnp.mean(jnp.abs(values)))
    return values / jnp.where(size > 0.0, size, 1.0)


def check_network(name: str, env: types.Environment, network: Network | None) -> Network:
    """Return the network, None being `nets.actor_critics(deterministic=True)`, if it is alike."""
    if network is None:
        network = nets.actor_critics(env.observation, env.action, deterministic=True)
    continuous_learning.check_network(name, env, network, policy=jax.ShapeDtypeStruct, subset=0)
    return network


def offline_td3(
    name: str,
    env: types.Environment,
    *,
    config: DelayedConfig,
    hypers: Any,
    network: Network,
    units: Units,
    terms: Terms,
    extra_loss: ExtraLoss | None,
) -> Agent:
    """Build the agent of an algorithm; its hypers have those of TD3 but for acting and replay.

    Raises:
        ValueError: policy_delay does not divide gradient_steps.
    """
    extra_losses.check(extra_loss)
    whole = "gradient steps of an update"
    validate.divides("policy_delay", config.policy_delay, config.gradient_steps, whole)
    rates = partial(continuous_learning.optimizers, network)
    add_extra = partial(continuous_learning.add_extra, extra_loss, network=network)
    smoothed = partial(continuous_learning.smoothed, network, units)

    def init(key: Key, hypers: Any) -> OfflineTD3State:
        learner = continuous_learning.initial_learner(key, network, rates(hypers))
        target, behaviour = (jax.tree.map(jnp.copy, learner.params) for _ in range(2))
        return OfflineTD3State(learner, target, jnp.int32(0), behaviour if terms.behaviour else ())

    def act(noise: Any, hypers: Any, state: OfflineTD3State, memory: Memory, obs: Array, explore):
        action = jnp.tanh(network.apply(state.learner.params, obs)[0].policy)
        return memory, units.outside(units.hold(action)), {}

    def critic_objective(hypers: Any, state: OfflineTD3State, drawn: Drawn):
        """Make (params, taps) -> (f32[], (metrics, features)); the target is outside the loss."""
        batch = drawn.batch
        action = smoothed(hypers, state.target, batch.next_obs, drawn.noise)
        values = network.apply(state.target, batch.next_obs, action=action)[0].values
        target = continuous_learning.critic_target(batch, jnp.min(values, axis=-1))

        def loss(params: PyTree, taps: Any):
            params = moved_by("critic", params, state.learner.params)
            seen = network.apply(params, batch.obs, (), taps, action=batch.action)
            error, metrics = continuous_learning.critic_errors(seen[0].values, batch, target)
            penalty, more = terms.critic(hypers, state, drawn, params)
            own = error + seen[1].aux_loss + penalty, metrics | more
            known = {"params": params, "drawn": drawn, "hypers": hypers, "target": target}
            known |= {"target_params": state.target}
            total, metrics = add_extra(own, seen=seen, **known)
            return total, (metrics, seen[1].features)

        return loss

    def actor_objective(hypers: Any, state: OfflineTD3State, drawn: Drawn):
        """Make (params, taps) -> (f32[], (metrics, ())); only the first critic is used."""
        obs = drawn.batch.obs

        def loss(params: PyTree, taps: Any):
            params = moved_by("actor", params, state.learner.params)
            action = units.hold(jnp.tanh(network.apply(params, obs, (), taps)[0].policy))
            values = network.apply(params, obs, action=action)[0].values[:, 0]
            total = -terms.q_weight(hypers) * jnp.mean(by_mean_size(values))
            total = total + terms.actor(hypers, state, drawn, action)
            error = cloning_error(drawn, action)
            metrics = {"actor_loss": total, "cloning_error": error}
            known = {"params": params, "drawn": drawn, "hypers": hypers}
            known |= {"target_params": state.target}
            total, metrics = add_extra((total, metrics), **known)
            return total, (metrics, ())

        return loss

    def critic_step(hypers: Any, state: OfflineTD3State, drawn: Drawn):
        loss = critic_objective(hypers, state, drawn)
        learner, metrics, _ = partial_step("critic", loss, rates(hypers), state.learner)
        return state._replace(learner=learner, steps=counted(state.steps)), metrics

    def actor_step(hypers: Any, state: OfflineTD3State, drawn: Drawn):
        loss = actor_objective(hypers, state, drawn)
        learner, metrics, _ = partial_step("actor", loss, rates(hypers), state.learner)
        follow = Target(1, hypers.target_update_rate)
        target = replay_learning.follow(state.target, learner.params, state.steps, follow)
        return state._replace(learner=learner, target=target), metrics

    def update(key: Key, hypers: Any, state: OfflineTD3State, windows: types.Transition):
        groups, size = config.gradient_steps // config.policy_delay, config.batch_size
        shape = groups, config.policy_delay, size
        drawn = dealt(key, hypers, windows=windows, shape=shape)

        def group(state: OfflineTD3State, drawn: Drawn):
            state, of_critic = offline_learning.learn(partial(critic_step, hypers), state, drawn)
            state, of_actor = actor_step(hypers, state, tree.index(drawn, -1))
            return state, of_critic | of_actor

        state, metrics = offline_learning.learn(group, state, drawn)
        metrics["gradient_steps"] = state.steps.astype(jnp.float32)
        return state, extra_losses.named(metrics)

    def dealt(key: Key, hypers: Any, *, windows: types.Transition, shape: tuple[int, ...]) -> Drawn:
        return offline_learning.dealt(key, hypers, units.inside, windows, shape, units.size)

    def probe(key: Key, hypers: Any, state: OfflineTD3State, windows: types.Transition):
        drawn = dealt(key, hypers, windows=windows, shape=windows.reward.shape[1:])
        critic_loss = critic_objective(hypers, state, drawn)
        actor_loss = actor_objective(hypers, state, drawn)
        params, batch = state.learner.params, drawn.batch
        return continuous_learning.probe(network, params, batch, critic_loss, actor_loss)

    return offline_learning.assemble(
        env,
        config,
        standardize=config.normalize_observations,
        name=name,
        after="behaviour" if terms.behaviour else "",
        network=network,
        hypers=hypers,
        init=init,
        act=act,
        update=update,
        probe=probe,
        estimate=estimates.of_critics(network, units, jnp.tanh, partial(jnp.min, axis=-1)),
    )
