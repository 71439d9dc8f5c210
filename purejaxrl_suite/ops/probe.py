"""Compute features, feature gradients and raw parameter gradients in one forward-backward pass.

A tap is a zero that a network adds to a feature, so the gradient with respect to the tap is the
gradient with respect to the feature and both gradients come from the same backward pass.
"""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from purejaxrl_suite.core import tree
from purejaxrl_suite.core.types import Array, Probe, PyTree, Samples


def probe(
    loss: Callable[[PyTree, Mapping[str, Array]], tuple[Array, Mapping[str, Array]]],
    params: PyTree,
    samples: Samples | None = None,
) -> Probe:
    """Compute a network's features, and the gradients with respect to them and to parameters.

    loss: (params, taps) -> (f32[], features); it adds to each feature the tap of its name, if there
        is one. It is traced once more with {} to learn the shapes of the features.
    samples: what the loss is of, if it is to be shown.
    """
    shapes = jax.eval_shape(lambda params: loss(params, {})[1], params)
    taps = jax.tree.map(lambda shape: jnp.zeros(shape.shape, shape.dtype), shapes)
    gradients = jax.grad(loss, argnums=(0, 1), has_aux=True)
    (grads, feature_grads), features = gradients(params, taps)
    return Probe(features=features, feature_grads=feature_grads, grads=grads, samples=samples)


def without_metrics(
    loss: Callable[[PyTree, Any], tuple[Array, tuple[Any, Mapping[str, Array]]]],
) -> Callable[[PyTree, Any], tuple[Array, Mapping[str, Array]]]:
    """Make the loss that `probe` takes of one that returns (f32[], (metrics, features))."""

    def bare(params: PyTree, taps: Any) -> tuple[Array, Mapping[str, Array]]:
        total, (_, features) = loss(params, taps)
        return total, features

    return bare


def samples_of(batch: Any, value: Array) -> Samples:
    """Make samples of a batch with the fields of a `Minibatch`, or of a rollout, and their values.

    value: f32[B] or f32[T, B]; axes of time and batch are merged.
    """
    known = batch.obs, batch.action, batch.next_obs, batch.terminated, value
    return Samples(*tree.merge(known, value.ndim))
