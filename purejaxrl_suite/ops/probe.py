"""Features, feature gradients and raw parameter gradients from one forward and one backward pass.

A tap is a zero that a network adds to a feature, so the gradient with respect to the tap is the
gradient with respect to the feature and both gradients come from the same backward pass.
"""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from purejaxrl_suite.core.types import Array, Probe, PyTree


def zero_taps(features: Callable[..., Mapping[str, Array]], *arguments: Any) -> Mapping[str, Array]:
    """Zeros shaped like `features(*arguments)`, which is traced and never computed.

    For example `zero_taps(lambda params, obs: network.apply(params, obs, (), {})[1].features,
    params, obs)`.
    """
    shapes = jax.eval_shape(features, *arguments)
    return jax.tree.map(lambda shape: jnp.zeros(shape.shape, shape.dtype), shapes)


def probe(
    loss: Callable[[PyTree, Mapping[str, Array]], tuple[Array, Mapping[str, Array]]],
    params: PyTree,
    taps: Mapping[str, Array],
) -> Probe:
    """Look inside a network at zero taps; `loss` is (params, taps) -> (f32[], features)."""
    gradients = jax.grad(loss, argnums=(0, 1), has_aux=True)
    (grads, feature_grads), features = gradients(params, taps)
    return Probe(features=features, feature_grads=feature_grads, grads=grads)
