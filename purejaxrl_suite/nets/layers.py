"""Stacks of hidden layers with named features, taps and wiring."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn

from purejaxrl_suite.core.types import Array, Edge, Path
from purejaxrl_suite.nets import noisy
from purejaxrl_suite.nets.conv import Conv, Initializer, batch_last, output_size, to_batch_last
from purejaxrl_suite.nets.matmul import multiply
from purejaxrl_suite.nets.norm import FirstAxisNorm, layer_norm

Activation = Callable[[Array], Array]
READERS: Path = ()  # in `outgoing` of a Part's edge: stands for all readers of the part's output


def crelu(x: Array, axis: int = -1) -> Array:
    """Compute the concatenated ReLU: ReLU of x and of -x, side by side on an axis.

    Shang et al. 2016, arXiv 1603.05201; against loss of plasticity in RL: Abbas et al. 2023, arXiv
    2303.07507. There are twice as many outputs as units, and no unit can be dead. The feature of
    such a layer is x itself, the difference of both halves.
    """
    return jnp.concatenate([jax.nn.relu(x), jax.nn.relu(-x)], axis=axis)


def check_keeps_units(activation: Activation) -> None:
    """Raise ValueError for `crelu`, in layers that must have as many outputs as units."""
    if activation is crelu:
        raise ValueError("activation: crelu doubles outputs, expected one that keeps their number")


class Style(NamedTuple):
    """Settings that all hidden layers of a network share.

    kernel_init: of hidden kernels. layer_norm: before the activation. dtype: of matrix products;
    parameters and features are float32. noisy: dense layers are `noisy.NoisyLinear`. width, depth:
    factors on channels and on convolutions (or residual blocks) of encoders.
    """

    kernel_init: Initializer
    layer_norm: bool
    dtype: Any
    noisy: bool = False
    width: float = 1.0
    depth: int = 1


class Part(NamedTuple):
    """A piece of a network, with paths and layer names relative to where it is placed.

    module: flax module, (x[B, ...], taps) -> (y f32[B, D], features {layer: f32[B, ..., H]}), or
        an object with the functions `apply` and `init_with_output`.
    edges: wiring inside the part, with READERS for the kernels that read the part's output.
    inputs: paths of the kernels that read the part's input; () if it passes its input through.
    shape: of one output before it is flattened; () if only the module knows it.
    rows: of the kernels that read its input; 0 means the whole flattened input.
    tied: whether units of its input also act through other rows of these kernels.
    routes: whether the module is a router, which also takes the network's observations and
        returns its Routing: (x, taps, obs) -> (y, features, Routing).
    """

    module: Any
    edges: tuple[Edge, ...]
    inputs: tuple[Path, ...]
    shape: tuple[int, ...] = ()
    rows: int = 0
    tied: bool = False
    routes: bool = False


class ConvLayer(NamedTuple):
    """One convolution; a `linear` one has neither LayerNorm nor activation."""

    features: int
    kernel: tuple[int, int] = (3, 3)
    strides: tuple[int, int] = (1, 1)
    padding: str = "VALID"
    linear: bool = False


class DenseLayer(NamedTuple):
    """One fully connected layer; a `linear` one has neither LayerNorm nor activation."""

    features: int
    linear: bool = False


Layer = ConvLayer | DenseLayer


def _names(layers: tuple[Layer, ...]) -> list[str]:
    """Name layers conv_0, conv_1, dense_0 ...: numbered by kind."""
    kinds = ["conv" if isinstance(layer, ConvLayer) else "dense" for layer in layers]
    return [f"{kind}_{kinds[:i].count(kind)}" for i, kind in enumerate(kinds)]


def _flatten(x: Array) -> Array:
    return jnp.reshape(x, (x.shape[0], -1))


def _rows(x: Array) -> Array:
    """Flatten [C, height, width, B] in the order of `_flatten`: [B, height * width * C]."""
    return jnp.reshape(jnp.transpose(x, (1, 2, 0, 3)), (-1, x.shape[-1])).T


class Stack(nn.Module):
    """`preprocess`, then layers of (matrix product, LayerNorm, activation), then flatten.

    The LayerNorm of layer `conv_0` has its parameters in `conv_0_norm`. Linear layers have
    neither norm nor activation. Convolutions come before dense layers.
    """

    preprocess: Callable[[Array], Array]
    layers: tuple[Layer, ...]
    activation: Activation
    style: Style

    @nn.compact
    def __call__(self, x: Array, taps: Mapping[str, Array]) -> tuple[Array, dict[str, Array]]:
        """Return the flat output f32[B, D] and every layer's feature, float32 with taps added."""
        x = self.preprocess(x)
        features = {}
        convolves = any(isinstance(layer, ConvLayer) for layer in self.layers)
        last = convolves and self.style.layer_norm and batch_last(len(x))
        x = to_batch_last(x) if last else x
        for name, layer in zip(_names(self.layers), self.layers, strict=True):
            if last and isinstance(layer, DenseLayer):
                x, last = _rows(x), False
            axis, view = (0, to_batch_last) if last else (-1, lambda x: x)
            x = self._product(name, layer, x, last)
            if not layer.linear:
                if self.style.layer_norm:
                    norm = FirstAxisNorm if last else layer_norm
                    x = norm(dtype=self.style.dtype, name=f"{name}_norm")(x)
                x = x if self.activation is crelu else self.activation(x)
            x = x.astype(jnp.float32)
            x = x + view(taps[name]) if name in taps else x
            features[name] = view(x)
            x = crelu(x, axis) if _doubles(layer, self.activation) else x
        return _rows(x) if last else _flatten(x), features

    def _product(self, name: str, layer: Layer, x: Array, last: bool) -> Array:
        init, dtype = self.style.kernel_init, self.style.dtype
        if isinstance(layer, ConvLayer):
            return Conv(*layer[:4], kernel_init=init, dtype=dtype, batch_last=last, name=name)(x)
        if self.style.noisy:
            return noisy.NoisyLinear(layer.features, dtype, name=name)(_flatten(x))
        product = lambda x, kernel, *_, **__: multiply(x, kernel)  # noqa: E731
        dense = nn.Dense(
            layer.features, kernel_init=init, dtype=dtype, dot_general=product, name=name
        )
        return dense(_flatten(x))


def stack(
    preprocess: Callable[[Array], Array],
    shape: tuple[int, ...],
    layers: tuple[Layer, ...],
    activation: Activation,
    style: Style,
) -> Part:
    """Make a `Stack` with its wiring.

    Args:
        preprocess: stored observations [B, ...] -> f32[B, *shape].
        shape: of one preprocessed observation.
        layers: convolutions, then dense layers.
        activation: of all layers that are not linear.
        style: of the network.

    Returns:
        The part.

    Raises:
        ValueError: a size is not positive, or a convolution does not fit.
    """
    names = _names(layers)
    edges = []
    for i, (name, layer) in enumerate(zip(names, layers, strict=True)):
        shape = _output_shape(name, layer, shape)
        reader = layers[i + 1] if i + 1 < len(layers) else None
        halves = 2 if _doubles(layer, activation) else 1
        shape = (*shape[:-1], halves * shape[-1])
        tile = halves * (1 if isinstance(reader, ConvLayer) else positions(shape))
        outgoing = _inputs(names[i + 1 :], layers[i + 1 :], style) or (READERS,)
        incoming = _leaves(name, layer, style)
        edges.append(
            Edge(
                layer=name,
                units=layer.features,
                incoming=incoming,
                outgoing=outgoing,
                tile=tile,
                recyclable=not layer.linear,
            )
        )
    inputs = _inputs(names, layers, style)
    return Part(Stack(preprocess, layers, activation, style), tuple(edges), inputs, shape)


def dense(hidden: tuple[int, ...], activation: Activation, style: Style) -> Part:
    """Make dense layers on the flat output of another part, of any size."""
    layers = tuple(DenseLayer(units) for units in hidden)
    return stack(lambda x: x, (), layers, activation=activation, style=style)


def _leaves(name: str, layer: Layer, style: Style) -> tuple[Path, ...]:
    """List the leaves whose last axis indexes the units of a layer."""
    dense = isinstance(layer, DenseLayer)
    own = noisy.LEAVES if dense and style.noisy else ("kernel", "bias")
    norm = ("scale", "bias") if style.layer_norm and not layer.linear else ()
    return (*((name, leaf) for leaf in own), *((f"{name}_norm", leaf) for leaf in norm))


def _inputs(names: Sequence[str], layers: Sequence[Layer], style: Style) -> tuple[Path, ...]:
    """List the kernels that read the input of the first layer; () without layers."""
    if not layers:
        return ()
    both = isinstance(layers[0], DenseLayer) and style.noisy
    leaves = ("kernel", "kernel_sigma") if both else ("kernel",)
    return tuple((names[0], leaf) for leaf in leaves)


def positions(shape: tuple[int, ...]) -> int:
    """Count the rows per unit of a flattened feature: height * width, 1 for a vector."""
    product = 1
    for size in shape[:-1]:
        product *= size
    return product


def _doubles(layer: Layer, activation: Activation) -> bool:
    return activation is crelu and not layer.linear


def _output_shape(name: str, layer: Layer, shape: tuple[int, ...]) -> tuple[int, ...]:
    if layer.features < 1:
        raise ValueError(f"{name}: {layer.features} units, expected at least one")
    if isinstance(layer, DenseLayer):
        return (layer.features,)
    if len(shape) != 3:
        raise ValueError(f"{name}: input shape {shape}, expected (height, width, channels)")
    sizes = [
        output_size(shape[i], layer.kernel[i], layer.strides[i], layer.padding) for i in (0, 1)
    ]
    if min(sizes) < 1:
        raise ValueError(
            f"{name}: kernel {layer.kernel} does not fit into {shape[:2]}; pass another `encoder`"
        )
    return (*sizes, layer.features)
