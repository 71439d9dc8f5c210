"""What agents that learn from replay share: the gradient steps of an update and their accounting.

Order inside a gradient step: batch -> raw gradients -> optimizer -> parameters -> gradient counter
-> target -> priorities.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from purejaxrl_suite.core import tree
from purejaxrl_suite.core.types import Array, Key, Learner, PyTree

Metrics = dict[str, Array]


class ReplayState(NamedTuple):
    """learner: online. target: parameters that targets are computed with.

    steps: i32[], gradient steps; schedules in gradient steps start again where it is set to 0.
    replay: the buffer.
    """

    learner: Learner
    target: PyTree
    steps: Array
    replay: Any


class Target(NamedTuple):
    """How the target follows: every `period` gradient steps it moves by the fraction `tau`.

    period 8000 and tau 1 copy; period 1 and tau 0.005 average (Polyak). Both may be traced.
    """

    period: Array | float
    tau: Array | float


def start(params: PyTree, optimizer: optax.GradientTransformation, replay: Any) -> ReplayState:
    """No gradient step yet; the target is a copy of the parameters."""
    # A copy and not the same arrays: the state is donated, and a buffer can be donated once.
    target = jax.tree.map(jnp.copy, params)
    return ReplayState(Learner(params, optimizer.init(params)), target, jnp.int32(0), replay)


def descend(
    loss: Callable[[PyTree, Any], tuple[Array, tuple[Metrics, Any]]],
    optimizer: optax.GradientTransformation,
    learner: Learner,
) -> tuple[Learner, Metrics, Any]:
    """One gradient step of loss: (params, taps) -> (f32[], (metrics, extra)).

    Returns the learner, the metrics with `gradient_norm`, and what the loss gave as extra.
    """
    grads, (metrics, extra) = jax.grad(loss, has_aux=True)(learner.params, {})
    updates, opt_state = optimizer.update(grads, learner.opt_state, learner.params)
    params = optax.apply_updates(learner.params, updates)
    return Learner(params, opt_state), metrics | {"gradient_norm": optax.tree.norm(grads)}, extra


def follow(target: PyTree, params: PyTree, steps: Array, rule: Target) -> PyTree:
    """The target after gradient step number `steps` (1, 2 ...)."""
    period = jnp.maximum(jnp.round(rule.period), 1).astype(jnp.int32)
    share = jnp.where(steps % period == 0, rule.tau, 0.0)
    return jax.tree.map(lambda old, new: (1.0 - share) * old + share * new, target, params)


def learn(
    key: Key,
    state: ReplayState,
    gradient_steps: int,
    ready: Array,
    rule: Target,
    step: Callable[[Key, ReplayState], tuple[Learner, Metrics, Any]],
    record: Callable[[Any, Any, Array], Any] = lambda replay, extra, ready: replay,
) -> tuple[ReplayState, Metrics]:
    """So many gradient steps, or none where not `ready` (bool[]): then metrics are NaN.

    step: (key, state) -> (learner, metrics, extra), one gradient step on a batch of its own.
    record: (replay, extra, ready) -> replay, such as new priorities; must itself change nothing
        where not ready, for a select over a buffer would copy it.
    """

    def body(state: ReplayState, key: Key) -> tuple[ReplayState, Metrics]:
        learner, metrics, extra = step(key, state)
        learner = tree.where(ready, learner, state.learner)
        steps = state.steps + ready
        moved = follow(state.target, learner.params, steps, rule)
        target = tree.where(ready, moved, state.target)
        return ReplayState(learner, target, steps, record(state.replay, extra, ready)), metrics

    state, metrics = jax.lax.scan(body, state, jax.random.split(key, gradient_steps))
    means = {name: jnp.where(ready, jnp.mean(x), jnp.nan) for name, x in metrics.items()}
    return state, means
