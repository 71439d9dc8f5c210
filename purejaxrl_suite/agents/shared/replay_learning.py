"""The gradient steps of agents with replay.

Order inside a gradient step: batch -> raw gradients -> optimizer -> parameters -> gradient counter
-> target; writes to the replay, such as priorities, come last.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from purejaxrl_suite.core import tree
from purejaxrl_suite.core.types import Array, Learner, Network, PyTree
from purejaxrl_suite.ops import descent, schedules
from purejaxrl_suite.ops.differentiable import norm

Metrics = dict[str, Array]


class ReplayState(NamedTuple):
    """State of an agent with replay.

    learner: online network. target: parameters of the target network.
    steps: i32[], gradient steps, as `schedules.counted` counts; schedules in gradient steps start
    again if it is set to 0.
    replay: the buffer.
    """

    learner: Learner
    target: PyTree
    steps: Array
    replay: Any


State = Any
"""A NamedTuple with the fields of `ReplayState`."""


class Target(NamedTuple):
    """Update rule of the target: every `period` gradient steps it moves by the fraction `tau`.

    Period 8000 and tau 1 copy; period 1 and tau 0.005 average (Polyak). Both may be traced.
    """

    period: Array | float
    tau: Array | float


def check_network(name: str, network: Network) -> None:
    """Raise ValueError if the network of the agent `name` has a memory."""
    if jax.tree.leaves(jax.eval_shape(lambda: network.memory(1))):
        raise ValueError(f"network: expected one without a memory, {name} replays single steps")


def initial_state(
    params: PyTree, optimizer: optax.GradientTransformation, replay: Any
) -> ReplayState:
    """Make the state before any gradient step, with a copy of the parameters as target."""
    # A copy, not the same arrays: the state is donated, and a buffer can be donated only once.
    target = jax.tree.map(jnp.copy, params)
    return ReplayState(Learner(params, optimizer.init(params)), target, jnp.int32(0), replay)


def gradient_step(
    loss: Callable[[PyTree, Any], tuple[Array, tuple[Metrics, Any]]],
    optimizer: optax.GradientTransformation,
    learner: Learner,
) -> tuple[Learner, Metrics, Any]:
    """Make one gradient step of loss: (params, taps) -> (f32[], (metrics, extra)).

    Returns the learner, the metrics with `gradient_norm`, and the loss's extra result.
    """
    grads, (metrics, extra) = jax.grad(loss, has_aux=True)(learner.params, {})
    return descent.move(optimizer, learner, grads), metrics | {"gradient_norm": norm(grads)}, extra


def follow(target: PyTree, params: PyTree, steps: Array, rule: Target) -> PyTree:
    """Move the target, after gradient step number `steps` (1, 2 ...)."""
    share = jnp.where(steps % whole_period(rule) == 0, rule.tau, 0.0)
    return jax.tree.map(lambda old, new: (1.0 - share) * old + share * new, target, params)


def whole_period(rule: Target) -> Array:
    """Round the period to i32[]."""
    return schedules.whole(jnp.asarray(rule.period))


Beside = Callable[[Any, State, State, Array], tuple[State, Metrics]]
"""(one of the inputs, states before and after a gradient step, ready bool[]) -> (state, metrics):
what else is learnt from it, such as a second learner."""


def learn(
    inputs: PyTree,
    state: State,
    ready: Array,
    rule: Target,
    step: Callable[[Any, State], tuple[Learner, Metrics, Any]],
    beside: Beside | None = None,
) -> tuple[State, Metrics, Any]:
    """Make a gradient step for each of K inputs, none if not `ready`.

    Args:
        inputs: leaves [K, ...], such as keys.
        state: a `ReplayState`, or another state with its fields.
        ready: bool[].
        rule: of the target network.
        step: (one of the inputs, state) -> (learner, metrics, extra), on its own batch.
        beside: what follows each gradient step; it keeps to `ready` itself.

    Returns:
        The state, means of the metrics (NaN if not ready), and all extras, leaves [K, ...].
    """

    def body(state: State, x: Any) -> tuple[State, Any]:
        learner, metrics, extra = step(x, state)
        learner = tree.where(ready, learner, state.learner)
        steps = jnp.where(ready, schedules.counted(state.steps, whole_period(rule)), state.steps)
        moved = follow(state.target, learner.params, steps, rule)
        target = tree.where(ready, moved, state.target)
        after = state._replace(learner=learner, target=target, steps=steps)
        if beside is not None:
            after, more = beside(x, state, after, ready)
            metrics = metrics | more
        return after, (metrics, extra)

    state, (metrics, extras) = jax.lax.scan(body, state, inputs)
    means = {name: jnp.where(ready, jnp.mean(x), jnp.nan) for name, x in metrics.items()}
    return state, means, extras
