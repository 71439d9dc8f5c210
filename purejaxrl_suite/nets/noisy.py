"""NoisyNet: linear layers with learnt, factorised Gaussian noise.

Fortunato et al. 2018, arXiv 1706.10295, sections 3 and 3.2. A noisy layer has means and standard
deviations of its kernel and bias, and its forward pass uses the means. Noise is added to the
parameters before a network is applied, so that `Network.apply` stays a function of parameters and
observations:

    noise = draw_noise(key, params)
    output, internals = network.apply(add_noise(params, noise), obs)

Gradients through `add_noise` train means and deviations. One draw serves a whole batch, as in the
paper; without `add_noise` the network acts without noise.
"""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from purejaxrl_suite.core.types import Array, Key, Network, Path, PyTree
from purejaxrl_suite.nets.matmul import multiply

SIGMA = 0.5  # initial deviations are SIGMA / sqrt(inputs)
LEAVES = ("kernel", "bias", "kernel_sigma", "bias_sigma")


class NoisyLinear(nn.Module):
    """A linear layer f32[B, D] -> f32[B, units] with its mean parameters; `add_noise` moves them.

    Initialised as in the paper, whatever the style of the network: means uniform within
    1 / sqrt(D), deviations 0.5 / sqrt(D). dtype: of the product.
    """

    units: int
    dtype: Any

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Apply to a batch."""
        inputs = x.shape[-1]
        bound = 1.0 / inputs**0.5
        mean, deviation = _uniform(bound), nn.initializers.constant(SIGMA * bound)
        kernel = self.param("kernel", mean, (inputs, self.units), jnp.float32)
        bias = self.param("bias", mean, (self.units,), jnp.float32)
        self.param("kernel_sigma", deviation, (inputs, self.units), jnp.float32)
        self.param("bias_sigma", deviation, (self.units,), jnp.float32)
        y = multiply(x.astype(self.dtype), kernel.astype(self.dtype))
        return y.astype(jnp.float32) + bias[None]


class Noise(NamedTuple):
    """Scaled noise of one layer: inputs f32[D], outputs f32[units]."""

    inputs: Array
    outputs: Array


def is_noisy(network: Network) -> bool:
    """Tell whether a network has noisy layers, without computing parameters."""
    shapes = jax.eval_shape(network.init, jax.eval_shape(jax.random.key, 0))
    return any(True for _ in _layers(shapes, ()))


def draw_noise(key: Key, params: PyTree) -> dict[str, Noise]:
    """Draw the noise of every noisy layer.

    Args:
        key: of the draw.
        params: of the network; only shapes are read, as of `jax.eval_shape(network.init, key)`.

    Returns:
        {layer name, such as `trunk/dense_0`: its Noise}; {} without noisy layers.
    """
    layers = list(_layers(params, ()))
    if not layers:
        return {}
    sizes = [size for _, layer in layers for size in layer["kernel"].shape]
    # One draw for all layers: one for each would make as many programs of this size.
    drawn = jnp.split(_scaled(key, sum(sizes)), np.cumsum(sizes[:-1]))
    pairs = zip(drawn[::2], drawn[1::2], strict=True)
    return {"/".join(path): Noise(*pair) for (path, _), pair in zip(layers, pairs, strict=True)}


def add_noise(params: PyTree, noise: Mapping[str, Noise]) -> PyTree:
    """Replace the kernels and biases of noisy layers by mean + deviation * noise (equation 9).

    Args:
        params: of the network.
        noise: from `draw_noise`.

    Returns:
        The parameters to apply the network with.
    """

    def visit(node: PyTree, path: Path) -> PyTree:
        if not isinstance(node, Mapping):
            return node
        node = {name: visit(child, (*path, name)) for name, child in node.items()}
        if "kernel_sigma" not in node:
            return node
        drawn = noise["/".join(path)]
        product = drawn.inputs[:, None] * drawn.outputs[None]
        return node | {
            "kernel": node["kernel"] + node["kernel_sigma"] * product,
            "bias": node["bias"] + node["bias_sigma"] * drawn.outputs,
        }

    return visit(params, ())


def kernels(module: nn.Module) -> tuple[str, ...]:
    """Name the leaves of a linear module whose rows are fed by its input."""
    return ("kernel", "kernel_sigma") if isinstance(module, NoisyLinear) else ("kernel",)


def _layers(node: PyTree, path: Path) -> Iterator[tuple[Path, Mapping[str, Array]]]:
    """Yield noisy layers in the order of their names, which jit and grad keep."""
    if not isinstance(node, Mapping):
        return
    if "kernel_sigma" in node:
        yield path, node
    for name in sorted(node):
        yield from _layers(node[name], (*path, name))


def _scaled(key: Key, size: int) -> Array:
    x = jax.random.normal(key, (size,))
    return jnp.sign(x) * jnp.sqrt(jnp.abs(x))


def _uniform(bound: float):
    def draw(key: Key, shape: tuple[int, ...], dtype: Any = jnp.float32) -> Array:
        return jax.random.uniform(key, shape, dtype, -bound, bound)

    return draw
