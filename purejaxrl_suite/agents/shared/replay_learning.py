"""What agents that learn from replay share: the gradient steps of an update and their accounting.

Order inside a gradient step: batch -> raw gradients -> optimizer -> parameters -> gradient counter
-> target; what is written back to the replay, such as priorities, comes after them.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from purejaxrl_suite.core import tree
from purejaxrl_suite.core.types import Array, Learner, Network, PyTree
from purejaxrl_suite.ops import schedules
from purejaxrl_suite.ops.differentiable import norm

Metrics = dict[str, Array]


class ReplayState(NamedTuple):
    """learner: online. target: parameters that targets are computed with.

    steps: i32[], gradient steps, as `schedules.counted` counts; schedules in gradient steps start
    again where it is set to 0.
    replay: the buffer.
    """

    learner: Learner
    target: PyTree
    steps: Array
    replay: Any


State = Any
"""A NamedTuple with the fields of `ReplayState`."""


class Target(NamedTuple):
    """How the target follows: every `period` gradient steps it moves by the fraction `tau`.

    period 8000 and tau 1 copy; period 1 and tau 0.005 average (Polyak). Both may be traced.
    """

    period: Array | float
    tau: Array | float


def check_network(name: str, network: Network) -> None:
    """Raise ValueError when the network of the agent `name` has a memory."""
    if jax.tree.leaves(jax.eval_shape(lambda: network.memory(1))):
        raise ValueError(f"network: expected one without a memory, {name} replays single steps")


def initial_state(
    params: PyTree, optimizer: optax.GradientTransformation, replay: Any
) -> ReplayState:
    """Start before any gradient step, with a copy of the parameters as target."""
    # A copy and not the same arrays: the state is donated, and a buffer can be donated once.
    target = jax.tree.map(jnp.copy, params)
    return ReplayState(Learner(params, optimizer.init(params)), target, jnp.int32(0), replay)


def gradient_step(
    loss: Callable[[PyTree, Any], tuple[Array, tuple[Metrics, Any]]],
    optimizer: optax.GradientTransformation,
    learner: Learner,
) -> tuple[Learner, Metrics, Any]:
    """Make one gradient step of loss: (params, taps) -> (f32[], (metrics, extra)).

    Returns the learner, the metrics with `gradient_norm`, and what the loss gave as extra.
    """
    grads, (metrics, extra) = jax.grad(loss, has_aux=True)(learner.params, {})
    updates, opt_state = optimizer.update(grads, learner.opt_state, learner.params)
    params = optax.apply_updates(learner.params, updates)
    return Learner(params, opt_state), metrics | {"gradient_norm": norm(grads)}, extra


def follow(target: PyTree, params: PyTree, steps: Array, rule: Target) -> PyTree:
    """Move the target, after gradient step number `steps` (1, 2 ...)."""
    share = jnp.where(steps % whole_period(rule) == 0, rule.tau, 0.0)
    return jax.tree.map(lambda old, new: (1.0 - share) * old + share * new, target, params)


def whole_period(rule: Target) -> Array:
    """Round the period to i32[]."""
    return schedules.whole(jnp.asarray(rule.period))


def learn(
    inputs: PyTree,
    state: State,
    ready: Array,
    rule: Target,
    step: Callable[[Any, State], tuple[Learner, Metrics, Any]],
) -> tuple[State, Metrics, Any]:
    """Make a gradient step for each of `inputs` (leaves [K, ...]: keys ...), none if not `ready`.

    state: a `ReplayState`, or another with its fields. ready: bool[].
    step: (one of the inputs, state) -> (learner, metrics, extra), on a batch of its own.

    Returns the state, means of the metrics (NaN where not ready), and all extras, leaves [K, ...].
    """

    def body(state: State, x: Any) -> tuple[State, Any]:
        learner, metrics, extra = step(x, state)
        learner = tree.where(ready, learner, state.learner)
        steps = jnp.where(ready, schedules.counted(state.steps, whole_period(rule)), state.steps)
        moved = follow(state.target, learner.params, steps, rule)
        target = tree.where(ready, moved, state.target)
        return state._replace(learner=learner, target=target, steps=steps), (metrics, extra)

    state, (metrics, extras) = jax.lax.scan(body, state, inputs)
    means = {name: jnp.where(ready, jnp.mean(x), jnp.nan) for name, x in metrics.items()}
    return state, means, extras
