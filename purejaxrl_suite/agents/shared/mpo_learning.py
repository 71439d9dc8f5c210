"""What MPO learns from: returns and improved policies of sequences, and the terms of its loss.

Abdolmaleki et al. 2018, arXiv 1806.06920, with expectations over discrete actions that are exact.
Sequences are those of Muesli, whose returns by Retrace are corrected in the same way.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from purejaxrl_suite import buffers, nets
from purejaxrl_suite.agents.shared import extra_losses, muesli_learning, multipliers
from purejaxrl_suite.agents.shared.muesli_learning import Steps
from purejaxrl_suite.agents.shared.replay_learning import ReplayState
from purejaxrl_suite.buffers import windows
from purejaxrl_suite.core.types import (
    Array,
    Discrete,
    Environment,
    Estimate,
    Estimates,
    ExtraLoss,
    Key,
    LossInputs,
    Memory,
    Network,
    PyTree,
)
from purejaxrl_suite.ops import optimizers, policy_targets

Loss = Callable[[PyTree, Any], tuple[Array, Any]]

START = {"temperature": 1.0, "kl_multiplier": 1.0}
"""Multipliers before learning."""


SUMMED = ("policy_loss", "value_loss", "temperature_loss", "trust_loss")
"""The terms whose sum is the loss."""


class Parts(NamedTuple):
    """What MPO is made of: its network with multipliers, replay, Config and extra loss."""

    network: Network
    replay: buffers.Uniform
    config: Any
    extra_loss: ExtraLoss | None


class Improved(NamedTuple):
    """Constants of the loss, [L, B, ...].

    log_prior: f32[L, B, A], of the target network. advantages: f32[L, B, A], under it. log_target:
    f32[L, B, A], of the improved policy. returns: f32[L, B], of the actions taken.
    """

    log_prior: Array
    advantages: Array
    log_target: Array
    returns: Array


def network_of(env: Environment, network: Network | None, action: Discrete) -> Network:
    """Return the network, or `nets.actor_critic` with values of actions, with multipliers.

    Raises:
        ValueError: it has no value of each action.
    """
    network = network or nets.actor_critic(env.observation, action, values=action.n)
    obs = jax.ShapeDtypeStruct((1, *env.observation.shape), env.observation.dtype)

    def output(key: Key, obs: Array) -> Any:
        return network.apply(network.init(key), obs, network.memory(1))[0]

    found = jax.eval_shape(output, jax.eval_shape(jax.random.key, 0), obs)
    if not isinstance(found, nets.ActorCritic) or found.value.shape != (1, action.n):
        raise ValueError(f"network: mpo: expected nets.actor_critic(..., values={action.n})")
    return multipliers.beside(network, START)


def optimizer_of(network: Network, hypers: Any) -> optax.GradientTransformation:
    """Make Adam, with a learning rate of its own for the multipliers."""
    rates = {True: hypers.multiplier_learning_rate, False: hypers.learning_rate}
    parts: dict[Any, Any] = {of: optimizers.adam(rate) for of, rate in rates.items()}
    return network.constrain(optax.partition(parts, multipliers.among))


def objective(key: Key, hypers: Any, state: ReplayState, of: Parts) -> tuple[Loss, Steps, Improved]:
    """Draw a batch, and make its loss (params, taps) -> (f32[], (metrics, features)).

    Returns:
        The loss, the batch and its targets.
    """
    replay, length = of.replay, of.config.sequence_length
    slot = replay.draw(key, state.replay, of.config.batch_size, length).slot
    batch = muesli_learning.steps_of(windows.stretches(replay.layout, state.replay, slot, length))
    targets = improved(hypers, of.network, state, batch)
    own = extra_losses.own_key(of.extra_loss, key)

    def loss(params: PyTree, taps: Any):
        starts = jnp.zeros(batch.mask.shape, bool)
        output, internals = of.network.unroll(params, batch.obs, (), starts, taps)
        metrics = terms(hypers, params, output, batch, targets)
        total = internals.aux_loss + jnp.sum(jnp.stack([metrics[name] for name in SUMMED]))
        seen = {"output": output, "internals": internals, "batch": batch, "key": own}
        seen |= {"target": targets.log_target, "target_params": state.target}
        inputs = LossInputs(params=params, network=of.network, hypers=hypers, **seen)
        total, metrics = extra_losses.add(of.extra_loss, total, metrics, inputs)
        return total, (metrics, internals.features)

    return loss, batch, targets


def improved(hypers: Any, network: Network, state: Any, batch: Steps) -> Improved:
    """Improve the target network's policy by its values, and compute returns, outside the loss."""
    obs = jnp.concatenate([batch.obs, batch.next_obs[-1:]])
    starts = jnp.zeros(obs.shape[:2], bool)
    output, _ = network.unroll(state.target, obs, (), starts, {})
    log_prior, q = jax.nn.log_softmax(output.policy), output.value
    returns = muesli_learning.retrace(hypers, batch, log_prior, q)
    advantages = (q - muesli_learning.value_of(log_prior, q)[..., None])[:-1]
    temperature = multipliers.learnt(state.learner.params)["temperature"]
    each = jax.vmap(jax.vmap(partial(policy_targets.cmpo_policy, clip=jnp.inf)))
    log_target = each(log_prior[:-1], advantages / temperature)
    return Improved(log_prior[:-1], advantages, log_target, returns)


def terms(
    hypers: Any, params: PyTree, output: nets.ActorCritic, batch: Steps, targets: Improved
) -> dict[str, Array]:
    """Compute the terms f32[] of the loss, means over the steps that are learnt from.

    Args:
        hypers: the agent's.
        params: with multipliers.
        output: of the network, [L, B, ...].
        batch: sequences.
        targets: of them.

    Returns:
        `policy_loss`, KL(improved || policy); `value_loss` of the actions taken;
        `temperature_loss`; and `trust_loss`, of the constraint on `divergence`, which is KL(prior
        || policy) and no term.
    """
    found, size = multipliers.learnt(params), jnp.maximum(jnp.sum(batch.mask), 1.0)
    log_probs = jax.nn.log_softmax(jnp.asarray(output.policy))
    q = jnp.take_along_axis(output.value, batch.action[..., None], -1)[..., 0]

    def everywhere(function: Any, *of_steps: Array) -> Array:
        return jnp.sum(batch.mask * jax.vmap(jax.vmap(function))(*of_steps)) / size

    def dual(log_prior: Array, advantages: Array) -> Array:
        known = log_prior, advantages, hypers.temperature_bound
        return policy_targets.temperature_loss(found["temperature"], *known)

    apart = everywhere(policy_targets.distillation, log_probs, targets.log_prior)
    return {
        "policy_loss": everywhere(policy_targets.distillation, log_probs, targets.log_target),
        "value_loss": everywhere(lambda q, g: 0.5 * jnp.square(q - g), q, targets.returns),
        "temperature_loss": everywhere(dual, targets.log_prior, targets.advantages),
        "trust_loss": policy_targets.constrained(found["kl_multiplier"], apart, hypers.kl_bound),
        "divergence": apart,
        **found,
    }


def estimates_of(network: Network) -> Estimate:
    """Make `Agent.estimate`: the mean of action values under the policy, and the policy."""

    def estimate(hypers: Any, state: Any, memory: Memory, obs: Array, action: Any = None):
        output = network.apply(state.learner.params, obs)[0]
        log_probs = jax.nn.log_softmax(jnp.asarray(output.policy))
        value = muesli_learning.value_of(log_probs, output.value)
        # Not q: its greatest entry is not the action of the policy.
        return Estimates(value, probabilities=jnp.exp(log_probs))

    return estimate
