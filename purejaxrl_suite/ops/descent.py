"""Gradient steps: a single one, and those on minibatches of sequences, for on-policy agents."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax.flatten_util import ravel_pytree

from purejaxrl_suite.core import tree
from purejaxrl_suite.core.types import Array, Key, Learner, PyTree
from purejaxrl_suite.ops.differentiable import norm

Loss = Callable[[PyTree, Any, Any, Key | None], tuple[Array, tuple[dict[str, Array], Any]]]
Prepare = Callable[[PyTree, Any], Any]


def move(optimizer: optax.GradientTransformation, learner: Learner, gradient: PyTree) -> Learner:
    """Take one step of an optimizer, by a gradient with the structure of the parameters."""
    change, opt_state = optimizer.update(gradient, learner.opt_state, learner.params)
    return Learner(optax.apply_updates(learner.params, change), opt_state)


class Pooled(optax.GradientTransformation):
    """An optimizer that may treat all parameters as one vector: elementwise, or by global norm.

    `descend` applies it to that vector, a few kernels in place of several for every leaf. An
    optimizer wrapped by `Network.constrain` (masks, projections, decay towards initial values) is
    not a Pooled and is applied leaf by leaf.
    """


def descend(
    loss: Loss,
    optimizer: optax.GradientTransformation,
    learner: Learner,
    batch: Any,
    indices: Array,
    keys: Key | None = None,
    prepare: Prepare | None = None,
) -> tuple[Learner, dict[str, Array]]:
    """Take K gradient steps on minibatches of sequences.

    Args:
        loss: (params, minibatch, taps, key) -> (f32[], (metrics, features)).
        optimizer: applied to the gradient; a `Pooled` one to all parameters as one vector.
        learner: parameters and optimizer state.
        batch: a NamedTuple with leaves [L, sequences, ...], and a field `memory` with leaves
            [sequences, ...]; a minibatch holds B of the sequences.
        indices: i32[K, B], the sequences of each step, from `ops.minibatch.epochs`.
        keys: Key[K], one for each step; None where nothing in the loss is random.
        prepare: (params, minibatch) -> minibatch, with targets of the parameters before the step;
            None where targets are the same in all steps.

    Returns:
        The learner, and means over the steps of the metrics and of `gradient_norm` (before
        clipping).
    """
    pooled = isinstance(optimizer, Pooled)
    start, unravel = learner, lambda params: params
    if pooled:
        vector, unravel = ravel_pytree(learner.params)
        start = Learner(vector, tree.ravel_moments(learner.opt_state, learner.params))

    def take(x: Array, index: Array) -> Array:
        # Rows with one axis are gathered faster than rows with several.
        rows = jnp.reshape(x, (*x.shape[:2], -1)).at[:, index]
        rows = rows.get(mode="promise_in_bounds", wrap_negative_indices=False)
        return jnp.reshape(rows, (x.shape[0], len(index), *x.shape[2:]))

    def minibatch(index: Array) -> Any:
        part = jax.tree.map(lambda x: take(x, index), batch._replace(memory=()))
        return part._replace(memory=jax.tree.map(lambda x: x[index], batch.memory))

    names: list[str] = []  # of the metrics, filled when a step is traced

    def step(learner: Learner, drawn: tuple[Array, Key | None]) -> tuple[Learner, Array]:
        params, part = unravel(learner.params), minibatch(drawn[0])
        part = part if prepare is None else prepare(params, part)
        grads, (metrics, _) = jax.grad(loss, has_aux=True)(params, part, {}, drawn[1])
        grads = ravel_pytree(grads)[0] if pooled else grads
        metrics = metrics | {"gradient_norm": norm(grads)}
        names[:] = metrics
        # One row for all metrics: writing to a history of each would be a kernel of each.
        return move(optimizer, learner, grads), jnp.stack(list(metrics.values()))

    end, rows = jax.lax.scan(step, start, (indices, keys))
    if pooled:
        moments = learner.opt_state, learner.params, unravel
        end = Learner(unravel(end.params), tree.unravel_moments(end.opt_state, *moments))
    means = jnp.mean(rows, axis=0)
    return end, {name: means[i] for i, name in enumerate(names)}
