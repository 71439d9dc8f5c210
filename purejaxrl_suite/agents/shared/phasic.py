"""The loop of PPG and DCPG: policy phases on rollouts, and after some an auxiliary phase on all.

Rollouts are kept until then, with the targets of their values. The auxiliary phase is rare work
(`Agent.maintain`): it hangs on the engine's clock, which is not batched over members.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from purejaxrl_suite import nets
from purejaxrl_suite.agents.shared import decoupled, estimates, extra_losses, normalize
from purejaxrl_suite.agents.shared.decoupled import Seen
from purejaxrl_suite.agents.shared.on_policy import Batch
from purejaxrl_suite.core import types, validate
from purejaxrl_suite.core.types import Agent, Array, Clock, Key, Learner, PyTree, Transition
from purejaxrl_suite.ops import losses, minibatch, statistics
from purejaxrl_suite.ops.descent import Pooled, descend
from purejaxrl_suite.ops.probe import probe as probe_loss
from purejaxrl_suite.ops.probe import samples_of


class Kept(NamedTuple):
    """Experience of the last K rollouts, K policy phases.

    obs: [K, T * N, ...]. target: f32[K, T * N], of the value.
    """

    obs: Array
    target: Array


class PhasicState(NamedTuple):
    """State of PPG and DCPG.

    learner: of all parameters. kept: the rollouts since the last auxiliary phase. phases: i32[],
    policy phases so far. delayed: parameters at the end of the last auxiliary phase, of DCPG; ().
    """

    learner: Learner
    kept: Kept
    phases: Array
    delayed: PyTree


class Replayed(NamedTuple):
    """A minibatch of the auxiliary phase: leaves [1, B, ...]; no memory."""

    obs: Array
    target: Array
    memory: tuple[()] = ()


def phasic(
    name: str,
    env: types.Environment,
    config: Any,
    network: types.Network | None,
    hypers: Any,
    *,
    distils: bool,
    extra_loss: types.ExtraLoss | None,
) -> Agent:
    """Build the agent.

    Args:
        name: of the agent.
        env: whose spaces it is built for.
        config: sizes, with the fields of `PPGConfig`.
        network: None for `nets.decoupled_actor_critic`; a shared one has one head of values, which
            is the critic's and the actor's. Its features learn of values in auxiliary phases alone,
            or from distillation.
        hypers: defaults, with the fields of `PPGHypers`.
        distils: whether the policy phase keeps the actor's values near those of the network at the
            end of the last auxiliary phase, weighted by `hypers.distillation_coefficient`.
        extra_loss: a term to add to the loss of the policy phase; its target is f32[1, B].

    Returns:
        The agent.

    Raises:
        ValueError: the network has another output, or minibatches do not divide the samples.
    """
    extra_losses.check(extra_loss)
    network = decoupled.checked_network(name, env, network, 1, may_share=True)
    shared = decoupled.shares(network)
    count, kept = config.num_envs * config.rollout_length, config.policy_phases
    validate.divides("minibatches", config.minibatches, count, "steps of a rollout")
    whole = "steps of all policy phases"
    validate.divides("auxiliary_minibatches", config.auxiliary_minibatches, kept * count, whole)
    distribution, divergence = nets.distribution(env.action), nets.divergence(env.action)
    act, noise = decoupled.acting(network, env.action)
    prepare = partial(decoupled.prepared, network, extra_loss)

    def optimizer(hypers: Any) -> Any:
        return network.constrain(Pooled(*decoupled.clipped_adam(hypers)))

    def init(key: Key, hypers: Any) -> PhasicState:
        params = network.init(key)
        kind = "float32" if config.normalize_observations else env.observation.dtype
        obs = jnp.zeros((kept, count, *env.observation.shape), kind)
        learner = Learner(params, optimizer(hypers).init(params))
        delayed = jax.tree.map(jnp.copy, params) if distils else ()
        return PhasicState(learner, Kept(obs, jnp.zeros(obs.shape[:2])), jnp.int32(0), delayed)

    def of_actor(output: Any) -> Array:
        """Values [1, B] of the actor's features."""
        return output.value if shared else output.auxiliary[..., 0]

    def critic_error(params: PyTree, output: Any, batch: Batch) -> Array:
        """Compute the critic's error in a policy phase, which moves no feature of the actor."""
        if not shared:
            return decoupled.value_error(output.value, batch.target)
        own = output.value if distils else decoupled.value_alone(network, params, batch)
        error = decoupled.value_error(own, batch.target)
        # What is distilled is delayed: it learns from new targets in auxiliary phases alone.
        return jax.lax.stop_gradient(error) if distils else error

    def loss(hypers: Any, delayed: PyTree, params: PyTree, batch: Batch, taps: Any, key: Any):
        """Compute the loss of a policy phase: of policy and critic, and of what is delayed."""
        seen = Seen(*network.unroll(params, batch.obs, (), batch.starts, taps))
        policy = distribution(seen.output.policy)
        total, metrics = decoupled.policy_loss(hypers, policy, batch, batch.advantage)
        error = critic_error(params, seen.output, batch)
        total = total + hypers.value_coefficient * error + seen.internals.aux_loss
        metrics |= {"value_loss": error}
        if distils:
            old = of_actor(network.unroll(delayed, batch.obs, (), batch.starts, {})[0])
            apart = decoupled.value_error(of_actor(seen.output), jax.lax.stop_gradient(old))
            total = total + hypers.distillation_coefficient * apart
            metrics |= {"distillation_loss": apart}
        known = {"params": params, "network": network, "hypers": hypers, "key": key}
        own, known = (total, metrics), known | {"target": batch.target}
        total, metrics = decoupled.add_extra(extra_loss, own, seen=seen, batch=batch, **known)
        return total, (metrics, seen.internals.features)

    def update(key: Key, hypers: Any, state: PhasicState, transition: Transition):
        batch = prepare(hypers, state.learner.params, transition)
        batch = batch._replace(advantage=statistics.standardize(batch.advantage))
        index = minibatch.epochs(key, config.epochs, count, config.minibatches)
        keys = extra_losses.own_keys(extra_loss, key, len(index))
        objective, rule = partial(loss, hypers, state.delayed), optimizer(hypers)
        learner, metrics = descend(objective, rule, state.learner, batch, index, keys)
        metrics["explained_variance"] = losses.explained_variance(batch.value, batch.target)
        new = Kept(batch.obs[0], batch.target[0])
        place = state.phases % kept
        stored = jax.tree.map(lambda all, one: all.at[place].set(one), state.kept, new)
        # Only the remainder matters: the count cannot overflow.
        phases = (state.phases + 1) % kept
        return PhasicState(learner, stored, phases, state.delayed), extra_losses.named(metrics)

    def auxiliary_loss(hypers: Any, before: PyTree, params: PyTree, batch: Replayed, *_: Any):
        """Fit both values to the targets, and keep the policy."""
        starts = jnp.zeros(batch.target.shape, bool)
        output, internals = network.unroll(params, batch.obs, (), starts, {})
        old = network.unroll(before, batch.obs, (), starts, {})[0].policy
        errors = {"auxiliary_value_loss": decoupled.value_error(of_actor(output), batch.target)}
        if not shared:
            of_critic = decoupled.value_error(output.value, batch.target)
            errors["auxiliary_critic_loss"] = of_critic
        changed = jnp.mean(divergence(old, output.policy))
        total = sum(errors.values()) + hypers.clone_coefficient * changed + internals.aux_loss
        return total, (errors | {"auxiliary_kl": changed}, {})

    def auxiliary_phase(key: Key, hypers: Any, state: PhasicState) -> Any:
        before, size = state.learner.params, kept * count
        rows = jax.tree.map(lambda x: jnp.reshape(x, (1, size, *x.shape[2:])), state.kept)
        index = minibatch.epochs(key, config.auxiliary_epochs, size, config.auxiliary_minibatches)
        objective, batch = partial(auxiliary_loss, hypers, before), Replayed(*rows)
        learner, metrics = descend(objective, optimizer(hypers), state.learner, batch, index)
        del metrics["gradient_norm"]
        return learner, learner.params if distils else (), metrics

    def maintain(
        key: Key, clock: Clock, hypers: Any, state: PhasicState, transition: Transition
    ) -> tuple[PhasicState, Mapping[str, Array]]:
        due = (clock.update + 1) % kept == 0
        shapes = jax.eval_shape(partial(auxiliary_phase, key, hypers), state)[2]

        def rest(state: PhasicState) -> Any:
            nothing = {name: jnp.full((), jnp.nan) for name in shapes}
            return state.learner, state.delayed, nothing

        phase = partial(auxiliary_phase, key, hypers)
        learner, delayed, metrics = jax.lax.cond(due, phase, rest, state)
        return state._replace(learner=learner, delayed=delayed), metrics

    def probe(key: Key, hypers: Any, state: PhasicState, transition: Transition) -> types.Probe:
        params = state.learner.params
        batch = prepare(hypers, params, transition)
        batch = batch._replace(advantage=statistics.standardize(batch.advantage))
        own = extra_losses.own_key(extra_loss, key)

        def objective(params: PyTree, taps: Any):
            total, (_, features) = loss(hypers, state.delayed, params, batch, taps, own)
            return total, features

        value = jnp.reshape(batch.value, transition.reward.shape)
        return probe_loss(objective, params, samples_of(transition, value))

    agent = Agent(
        name=name,
        observation=env.observation,
        action=env.action,
        hypers=hypers,
        num_envs=config.num_envs,
        rollout_length=config.rollout_length,
        init=init,
        act=act,
        update=update,
        probe=probe,
        noise=noise,
        network=network,
        config=config,
        gradient_steps=config.epochs * config.minibatches,
        maintain=maintain,
        least_updates=kept,
        estimate=estimates.of_actor_critic(network, env.action),
    )
    return normalize.as_configured(agent, config)
