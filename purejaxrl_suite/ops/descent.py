"""Minibatch gradient descent on a batch of sequences, the inner loop of on-policy agents."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from purejaxrl_suite.core.types import Array, Learner


def descend(
    loss: Callable[[Any, Any, Any], tuple[Array, tuple[dict[str, Array], Any]]],
    optimizer: optax.GradientTransformation,
    learner: Learner,
    batch: Any,
    indices: Array,
) -> tuple[Learner, dict[str, Array]]:
    """One gradient step for each row of `indices` i32[K, B], from `ops.minibatch.epochs`.

    loss: (params, minibatch, taps) -> (f32[], (metrics, features)).
    batch: a NamedTuple with leaves [L, sequences, ...], and a field `memory` with leaves
        [sequences, ...]; a minibatch holds B of the sequences.

    Returns the learner and the mean of the metrics and of `gradient_norm`, before clipping.
    """

    def take(x: Array, index: Array) -> Array:
        # Rows with one axis are gathered faster than rows with several.
        rows = jnp.reshape(x, (*x.shape[:2], -1))[:, index]
        return jnp.reshape(rows, (x.shape[0], len(index), *x.shape[2:]))

    def step(learner: Learner, index: Array) -> tuple[Learner, dict[str, Array]]:
        part = jax.tree.map(lambda x: take(x, index), batch._replace(memory=()))
        part = part._replace(memory=jax.tree.map(lambda x: x[index], batch.memory))
        grads, (metrics, _) = jax.grad(loss, has_aux=True)(learner.params, part, {})
        updates, opt_state = optimizer.update(grads, learner.opt_state, learner.params)
        params = optax.apply_updates(learner.params, updates)
        return Learner(params, opt_state), metrics | {"gradient_norm": optax.tree.norm(grads)}

    learner, metrics = jax.lax.scan(step, learner, indices)
    return learner, {name: jnp.mean(x) for name, x in metrics.items()}
