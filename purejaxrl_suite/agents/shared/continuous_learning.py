"""Parts that SAC and TD3 share: action scaling, two optimizers of one learner, gradient steps.

An update makes groups of gradient steps: `policy_delay` steps of the critics and then one of the
actor. Their number is static, so no member computes steps that it does not use. All random numbers
and batches are drawn before the first step: in the loop they would be most of the work of a CPU.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from purejaxrl_suite import nets
from purejaxrl_suite.agents.shared import action_scaling, extra_losses, replay_learning
from purejaxrl_suite.agents.shared.action_scaling import Units
from purejaxrl_suite.agents.shared.configs import ContinuousConfig
from purejaxrl_suite.agents.shared.normalize import act_as_replayed, normalize_replay
from purejaxrl_suite.buffers import Batch, Uniform, uniform
from purejaxrl_suite.core import spaces, tree, types, validate
from purejaxrl_suite.core.types import (
    Agent,
    Array,
    ExtraLoss,
    Internals,
    Key,
    Learner,
    LossInputs,
    Network,
    PyTree,
)
from purejaxrl_suite.envs.common import shortest_limit
from purejaxrl_suite.ops import value
from purejaxrl_suite.ops.optimizers import adam
from purejaxrl_suite.ops.probe import probe as probe_loss
from purejaxrl_suite.ops.probe import samples_of

Metrics = dict[str, Array]


class Drawn(NamedTuple):
    """Data of a gradient step.

    batch: single steps with scaled actions. noise: f32[B, A], normal. key: for other randomness.
    """

    batch: Batch
    noise: Array
    key: Key


Draw = Callable[[Key, Any, Any, tuple[int, ...]], Drawn]
Step = Callable[[Any, Any, Drawn], tuple[Any, Metrics]]
Loss = Callable[[PyTree, Any], tuple[Array, tuple[Metrics, Any]]]


class Optimizers(NamedTuple):
    """Optimizers of one tree of parameters; each moves only its own part. value: () without one."""

    actor: Any
    critic: Any
    value: Any = ()


def check(name: str, env: types.Environment, config: ContinuousConfig) -> Units:
    """Check spaces and sizes, and return the scaling of actions.

    Raises:
        ValueError: actions are no Box of one axis with finite bounds, or sizes do not fit.
    """
    whole = "gradient steps of an update"
    validate.divides("policy_delay", config.policy_delay, config.gradient_steps, whole)
    return action_scaling.units(name, env)


def check_network(
    name: str, env: types.Environment, network: Network, policy: type, subset: int
) -> None:
    """Raise ValueError unless the network is from `nets.actor_critics`, with this type of policy.

    subset: the least number of critics that it must have.
    """
    replay_learning.check_network(name, network)
    obs = spaces.abstract(env.observation, 1)
    key = jax.eval_shape(jax.random.key, 0)
    output = jax.eval_shape(lambda key, obs: network.apply(network.init(key), obs)[0], key, obs)
    found = getattr(output, "policy", None)
    if not isinstance(output, nets.ActorCritics) or not isinstance(found, policy):
        kind = "Gaussian" if policy is nets.Gaussian else "deterministic"
        raise ValueError(f"network: {name} expects nets.actor_critics with a {kind} policy")
    count = output.values.shape[-1]
    if not 0 <= subset <= count:
        raise ValueError(f"critic_subset={subset}: the network has {count}, expected 0 or some")


def experience(env: types.Environment, config: ContinuousConfig) -> Uniform:
    """Make the replay of a member; it normalizes observations if the Config says so."""
    replay = uniform(
        env.observation,
        env.action,
        capacity=config.capacity,
        num_envs=config.num_envs,
        rollout_length=config.rollout_length,
        time_limit=shortest_limit(env),
        discounted=env.discounted,
    )
    return normalize_replay(replay) if config.normalize_observations else replay


def assemble(env: types.Environment, config: ContinuousConfig, **known: Any) -> Agent:
    """Make the agent from its fields, for `env`; it normalizes observations as its replay does."""
    agent = Agent(
        observation=env.observation,
        action=env.action,
        num_envs=config.num_envs,
        rollout_length=config.rollout_length,
        config=config,
        gradient_steps=config.gradient_steps,
        discounted=env.discounted,
        **known,
    )
    return act_as_replayed(agent) if config.normalize_observations else agent


def optimizers(network: Network, hypers: Any) -> Optimizers:
    """Make Adam for the actor and for the critics, with `Network.constrain` around each."""
    actor = optimizer(network, "actor", hypers.actor_learning_rate)
    return Optimizers(actor, optimizer(network, "critic", hypers.critic_learning_rate))


def optimizer(network: Network, which: str, rate: Any) -> optax.GradientTransformation:
    """Make Adam for a part of `nets.part_of`, with `Network.constrain` around it."""

    def labels(params: PyTree) -> PyTree:
        return jax.tree.map_with_path(lambda path, leaf: nets.part_of(path) == which, params)

    parts: dict[Any, Any] = {True: adam(rate), False: optax.set_to_zero()}
    return network.constrain(optax.partition(parts, labels))


def initial_learner(key: Key, network: Network, rates: Optimizers) -> Learner:
    """Draw parameters, and start the optimizers of all parts."""
    params = network.init(key)
    return Learner(params, Optimizers(*(one.init(params) if one else () for one in rates)))


def partial_step(
    which: str,
    loss: Loss,
    rates: Optimizers,
    learner: Learner,
) -> tuple[Learner, Metrics, Any]:
    """Make a `replay_learning.gradient_step` with the optimizer `which`, such as "actor"."""
    inner = Learner(learner.params, getattr(learner.opt_state, which))
    inner, metrics, extra = replay_learning.gradient_step(loss, getattr(rates, which), inner)
    metrics[f"{which}_gradient_norm"] = metrics.pop("gradient_norm")
    opt_state = learner.opt_state._replace(**{which: inner.opt_state})
    return Learner(inner.params, opt_state), metrics, extra


def probe(
    network: Network, params: PyTree, batch: Batch, critic_loss: Loss, *others: Loss
) -> types.Probe:
    """Probe all losses together; features are those of the critics' loss, values their means."""
    values = network.apply(params, batch.obs, action=batch.action)[0].values

    def total(params: PyTree, taps: Any) -> tuple[Array, Any]:
        error, (_, features) = critic_loss(params, taps)
        return sum((loss(params, taps)[0] for loss in others), error), features

    return probe_loss(total, params, samples_of(batch, jnp.mean(values, axis=-1)))


def moved_by(step: str, params: PyTree, fixed: PyTree) -> PyTree:
    """Replace by `fixed` all parameters that a step, of a part of `nets.part_of`, does not move.

    So the step's loss has no gradient with respect to them.
    """
    return jax.tree.map_with_path(
        lambda path, own, other: own if nets.part_of(path) == step else other,
        params,
        fixed,
    )


def add_extra(
    extra_loss: ExtraLoss | None,
    loss: tuple[Array, Metrics],
    *,
    network: Network,
    params: PyTree,
    drawn: Drawn,
    hypers: Any,
    target_params: PyTree,
    target: Array | None = None,
    seen: tuple[nets.ActorCritics, Internals] | None = None,
) -> tuple[Array, Metrics]:
    """Add an extra loss, if there is one, to the loss and metrics of a step.

    params: from `moved_by`. target_params: of the target network. target: of the critics, f32[B].
    seen: the network's output and internals for the batch and its actions, if they have been
    computed.
    """
    if extra_loss is None:
        return loss
    batch, key = drawn.batch, extra_losses.own_key(extra_loss, drawn.key)
    # Without taps: in a probe, the taps of features belong to the critics' loss.
    output, internals = seen or network.apply(params, batch.obs, action=batch.action)
    known = {"output": output, "internals": internals, "batch": batch, "target": target}
    known |= {"hypers": hypers, "key": key, "target_params": target_params}
    inputs = LossInputs(params=params, network=network, **known)
    total, metrics = loss
    return extra_losses.add(extra_loss, total, metrics, inputs)


def smoothed(
    network: Network, units: Units, hypers: Any, target: PyTree, obs: Array, noise: Array
) -> Array:
    """Compute TD3's actions of a target network with clipped noise, f32[B, A], scaled.

    noise: f32[B, A], normal; `hypers` have target_noise and target_noise_clip.
    """
    action, bound = jnp.tanh(network.apply(target, obs)[0].policy), hypers.target_noise_clip
    noise = jnp.clip(hypers.target_noise * noise, -bound, bound)
    return units.hold(jnp.clip(action + noise, -1.0, 1.0))


def critic_target(batch: Batch, following: Array) -> Array:
    """Compute targets f32[B] of the taken actions from the values f32[B] of next_obs."""
    return value.bootstrap(batch.reward, batch.discount, batch.terminated, following)


def critic_errors(values: Array, batch: Batch, target: Array) -> tuple[Array, Metrics]:
    """Average squared errors over the batch, summed over critics.

    values: f32[B, M], of the taken actions. target: f32[B].
    """
    errors = jnp.square(values - target[:, None])
    loss = jnp.mean(batch.weight * jnp.sum(errors, axis=-1))
    return loss, {"critic_loss": loss, "q_value": jnp.mean(values)}


def critic_loss(
    network: Network,
    add: Callable[..., Any],
    state: Any,
    *,
    hypers: Any,
    drawn: Drawn,
    target: Array,
) -> Loss:
    """Make the critics' loss: (params, taps) -> (f32[], (metrics, features)).

    Args:
        network: of actor and critics.
        add: adds the extra loss, `add_extra` of this agent.
        state: the agent's; the parameters of the actor are constants.
        hypers: in force.
        drawn: the batch.
        target: f32[B], of the values.
    """

    def loss(params: PyTree, taps: Any):
        params = moved_by("critic", params, state.learner.params)
        seen = network.apply(params, drawn.batch.obs, (), taps, action=drawn.batch.action)
        error, metrics = critic_errors(seen[0].values, drawn.batch, target)
        known = {"params": params, "drawn": drawn, "hypers": hypers, "target": target}
        known |= {"target_params": state.target}
        total, metrics = add((error + seen[1].aux_loss, metrics), seen=seen, **known)
        return total, (metrics, seen[1].features)

    return loss


def learn(
    key: Key,
    hypers: Any,
    state: Any,
    *,
    ready: Array,
    draw: Draw,
    config: ContinuousConfig,
    critic_step: Step,
    actor_step: Step,
) -> tuple[Any, Metrics]:
    """Make the gradient steps of an update, none if not `ready`; return state and mean metrics.

    Both steps are (hypers, state, drawn) -> (state, metrics), on a state without the replay.
    """
    groups, size = config.gradient_steps // config.policy_delay, config.batch_size
    critic_key, actor_key = jax.random.split(key)
    of_critics = draw(critic_key, hypers, state.replay, (groups, config.policy_delay, size))
    of_actor = draw(actor_key, hypers, state.replay, (groups, size))

    def group(bare: Any, drawn: tuple[Drawn, Drawn]) -> tuple[Any, Metrics]:
        bare, of_critic = jax.lax.scan(partial(critic_step, hypers), bare, drawn[0])
        bare, of_actor = actor_step(hypers, bare, drawn[1])
        return bare, jax.tree.map(jnp.mean, of_critic) | of_actor

    bare = state._replace(replay=())
    after, metrics = jax.lax.scan(group, bare, (of_critics, of_actor))
    means = {name: jnp.where(ready, jnp.mean(x), jnp.nan) for name, x in metrics.items()}
    return tree.where(ready, after, bare)._replace(replay=state.replay), means


def drawing(replay: Uniform, units: Units) -> Draw:
    """Make (key, hypers, ring, shape) -> Drawn, leaves [*shape, ...]; the batch axis is last."""

    def draw(key: Key, hypers: Any, ring: Any, shape: tuple[int, ...]) -> Drawn:
        slot_key, noise_key, key = jax.random.split(key, 3)
        slot = replay.draw(slot_key, ring, math.prod(shape), 1).slot
        batch = replay.read(ring, slot, 1, hypers.gamma)
        batch = batch._replace(action=units.inside(batch.action))
        batch = jax.tree.map(lambda x: jnp.reshape(x, (*shape, *x.shape[1:])), batch)
        noise = jax.random.normal(noise_key, (*shape, units.size))
        return Drawn(batch, noise, jax.random.split(key, shape[:-1]))

    return draw
