"""Small perceptrons beside a network, as trees of parameters: without features and taps."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from purejaxrl_suite.core.types import Array, Key

Perceptron = dict[str, dict[str, Array]]
"""{"dense_0": {"kernel": f32[D, H], "bias": f32[H]}, ...}."""


def draw(key: Key, sizes: Sequence[int]) -> Perceptron:
    """Draw the parameters of a perceptron: kernels LeCun normal, biases 0.

    sizes: of its input, of its hidden layers, and of its output.
    """
    kernel, layers = jax.nn.initializers.lecun_normal(), len(sizes) - 1
    keys = jax.random.split(key, layers)
    return {
        f"dense_{i}": {"kernel": kernel(keys[i], sizes[i : i + 2]), "bias": jnp.zeros(sizes[i + 1])}
        for i in range(layers)
    }


def apply(model: Perceptron, x: Array) -> Array:
    """Compute the first output f32[...] of a perceptron with ReLU, at f32[..., D]."""
    for i in range(len(model)):
        layer = model[f"dense_{i}"]
        bias = jnp.reshape(layer["bias"], (1,) * (x.ndim - 1) + layer["bias"].shape)
        x = (jax.nn.relu(x) if i else x) @ layer["kernel"] + bias
    return x[..., 0]
