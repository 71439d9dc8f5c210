"""The loss of Rainbow and its descendants: categorical double Q-learning with noisy networks.

Each agent of the family is a `RainbowRule` on the same loop (`rainbow_learning`) and the same loss.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from purejaxrl_suite import nets
from purejaxrl_suite.agents.shared import extra_losses
from purejaxrl_suite.agents.shared.q_learning import taken
from purejaxrl_suite.buffers import Batch, PrioritisedState
from purejaxrl_suite.buffers.prioritised import Read
from purejaxrl_suite.core.types import (
    Array,
    ExtraLoss,
    Key,
    Learner,
    LossInputs,
    Network,
    PyTree,
)
from purejaxrl_suite.ops import distributional

Features = Any
Auxiliary = Callable[[PyTree, Features], Array]


class RainbowState(NamedTuple):
    """State of Rainbow and its descendants.

    learner, target, steps, replay: as in `ReplayState`.
    updates: i32[], which time the end of exploration and the resets; a count of environment steps
    could overflow int32.
    """

    learner: Learner
    target: PyTree
    steps: Array
    replay: PrioritisedState
    updates: Array


class Weighted(NamedTuple):
    """Drawn windows: start slots i32[...] and weights f32[...] of their errors."""

    slot: Array
    weight: Array


def _nothing(key: Key, hypers: Any, state: RainbowState, slot: Array) -> Auxiliary:
    return lambda params, features: jnp.zeros(slot.shape)


class RainbowRule(NamedTuple):
    """The part of an algorithm of the Rainbow family that is its own.

    optimizer: hypers -> transformation.
    schedule: (hypers, gradient steps since the last reset) -> (n, discount per step).
    read: (replay state, slots, n, discount) -> Batch.
    double: the online network chooses the action whose returns the target network gives.
    group: G, batches that are drawn and weighted together, and share n and the discount.
    acting: state -> the parameters that act.
    augment: (key, obs[B, ...]) -> obs to learn from.
    auxiliary: (key, hypers, state, slot i32[B]) -> ((params, features) -> f32[B], added to the
        errors).
    priorities: (slot i32[G, B], errors f32[G, B]) -> slots and their new priorities, of one shape.
    finish: (key, hypers, state) -> state, at the end of an update.
    """

    optimizer: Callable[[Any], optax.GradientTransformation]
    schedule: Callable[[Any, Array], tuple[Any, Any]]
    read: Read
    double: bool = True
    group: int = 1
    acting: Callable[[RainbowState], PyTree] = lambda state: state.learner.params
    augment: Callable[[Key, Array], Array] = lambda key, obs: obs
    auxiliary: Callable[[Key, Any, RainbowState, Array], Auxiliary] = _nothing
    priorities: Callable[[Array, Array], tuple[Array, Array]] = lambda slot, errors: (slot, errors)
    finish: Callable[[Key, Any, RainbowState], RainbowState] = lambda key, hypers, state: state


Loss = Callable[[PyTree, Any], tuple[Array, Any]]
"""(params, taps) -> (f32[], (metrics, (errors f32[B], features)))."""

Objective = Callable[[Key, Any, RainbowState, Weighted, tuple[Any, Any]], Loss]
"""(key, hypers, state, Weighted [B], (n, discount)) -> the loss on B windows."""


class Value(NamedTuple):
    """Functions of a network with logits f32[B, A, atoms].

    draw_noise: key -> noise of the network, {} if it is not noisy.
    q_values: (hypers, params, obs[B, ...]) -> f32[B, A], without noise.
    """

    draw_noise: Callable[[Key], Any]
    q_values: Callable[[Any, PyTree, Array], Array]
    objective: Objective


def categorical_value(
    network: Network, atoms: int, rule: RainbowRule, extra_loss: ExtraLoss | None = None
) -> Value:
    """Make the value functions of a network; noise is drawn anew for every use, as in NoisyNet.

    Fortunato et al. 2018, arXiv 1706.10295, section 3.1: the online network, the target network and
    the action choice of double Q-learning each have their own noise.
    """
    shapes = jax.eval_shape(network.init, jax.eval_shape(jax.random.key, 0))

    def draw_noise(key: Key) -> Any:
        return nets.draw_noise(key, shapes)

    def noisy(key: Key, params: PyTree) -> PyTree:
        return nets.add_noise(params, draw_noise(key))

    def support(hypers: Any) -> Array:
        return distributional.support(hypers.value_low, hypers.value_high, atoms)

    def q_values(hypers: Any, params: PyTree, obs: Array) -> Array:
        return distributional.expectation(network.apply(params, obs)[0], support(hypers))

    def targets(key: Key, hypers: Any, state: RainbowState, batch: Batch) -> Array:
        """Compute target probabilities f32[B, atoms] of the atoms."""
        judge_key, value_key = jax.random.split(key)
        following = network.apply(noisy(value_key, state.target), batch.next_obs)[0]
        judge = distributional.expectation(following, support(hypers))
        if rule.double:
            judge = q_values(hypers, noisy(judge_key, state.learner.params), batch.next_obs)
        reward, discount, ended = batch.reward, batch.discount, batch.terminated
        bound = jax.vmap(distributional.categorical_q_target, (0, 0, 0, 0, 0, None))
        return bound(reward, discount, ended, following, judge, support(hypers))

    def objective(key: Key, hypers: Any, state: RainbowState, drawn: Weighted, window: Any):
        obs_key, next_key, target_key, noise_key, auxiliary_key = jax.random.split(key, 5)
        n, discount = window
        batch = rule.read(state.replay, drawn.slot, n, discount)
        obs = rule.augment(obs_key, batch.obs)
        batch = batch._replace(next_obs=rule.augment(next_key, batch.next_obs))
        target = targets(target_key, hypers, state, batch)
        auxiliary = rule.auxiliary(auxiliary_key, hypers, state, drawn.slot)
        weight = drawn.weight * batch.weight
        own = extra_losses.own_key(extra_loss, key)
        known = {"batch": batch._replace(obs=obs, weight=weight), "target": target, "key": own}
        known |= {"target_params": state.target}

        def loss(params: PyTree, taps: Any):
            logits, internals = network.apply(noisy(noise_key, params), obs, (), taps)
            chosen = taken(logits, batch.action)
            errors = jax.vmap(distributional.cross_entropy)(target, chosen)
            error = jnp.mean(weight * errors)
            other = jnp.mean(weight * auxiliary(params, internals.features))
            q = distributional.expectation(chosen, support(hypers))
            metrics = {"td_loss": error, "auxiliary_loss": other, "q_value": jnp.mean(q)}
            total = error + other + internals.aux_loss
            seen = {"output": logits, "internals": internals, "hypers": hypers}
            inputs = LossInputs(params=params, network=network, **seen, **known)
            total, metrics = extra_losses.add(extra_loss, total, metrics, inputs)
            return total, (metrics, (errors, internals.features))

        return loss

    return Value(draw_noise, q_values, objective)
