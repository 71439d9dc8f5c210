"""Encoders: networks from stored observations to a flat float32 vector.

An encoder is a function (observation: Box, style: Style) -> Part; the builders below return such
functions. Observations are stored compactly (uint8, bool) and expanded here, inside the network.
"""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp

from purejaxrl_suite.core.types import Array, Box
from purejaxrl_suite.nets.layers import Activation, ConvLayer, Part, Style, stack

Encoder = Callable[[Box, Style], Part]
"""(space of observations, style of the network) -> its first part."""
NATURE = (ConvLayer(32, (8, 8), (4, 4)), ConvLayer(64, (4, 4), (2, 2)), ConvLayer(64))
NATURE_SIZE = 36  # pixels: the smallest image that the kernels of `nature_cnn` fit into


def flat(one_hot: bool = True) -> Encoder:
    """Cast to float32 and flatten (PureJaxRL's input on MinAtar).

    Category codes become one-hot, or plain numbers with `one_hot=False`, as in navix's own agents:
    the first layer is then smaller and has to learn more.
    """

    def build(observation: Box, style: Style) -> Part:
        if not one_hot:
            observation = observation._replace(categories=())
        preprocess, shape = expansion(observation)
        return stack(preprocess, shape, (), activation=jax.nn.relu, style=style)

    return build


def minatar_cnn(channels: int = 16, activation: Activation = jax.nn.relu) -> Encoder:
    """Apply one 3x3 convolution, as Young and Tian 2019 (arXiv 1903.03176) on MinAtar."""
    return cnn((ConvLayer(channels),), activation)


def nature_cnn(activation: Activation = jax.nn.relu, width: int = 1) -> Encoder:
    """Apply the three convolutions of Mnih et al. 2015 (Nature 518), to images from 36 pixels on.

    width: factor on the number of channels, 32, 64 and 64 in the paper.
    """
    layers = (layer._replace(features=width * layer.features) for layer in NATURE)
    return cnn(tuple(layers), activation)


def symbolic(
    channels: tuple[int, ...] = (),
    kernel: tuple[int, int] = (2, 2),
    embedding: int = 8,
    activation: Activation = jax.nn.relu,
) -> Encoder:
    """Embed and flatten grids of category codes, such as MiniGrid's (object, colour, state).

    A cell becomes `embedding` numbers, the sum of one learned vector per channel (which is a linear
    1x1 convolution of the one-hot codes).

    Args:
        channels: of convolutions after the embedding, as in torch-ac's networks for MiniGrid; they
            cost several times more than all the rest.
        kernel: of these convolutions.
        embedding: numbers of a cell; 0 keeps it one-hot.
        activation: of the convolutions.

    Returns:
        The encoder.
    """
    first = (ConvLayer(embedding, (1, 1), linear=True),) if embedding else ()
    return cnn((*first, *(ConvLayer(n, kernel) for n in channels)), activation)


def cnn(layers: tuple[ConvLayer, ...], activation: Activation = jax.nn.relu) -> Encoder:
    """Apply given convolutions to (height, width, channels).

    Category codes become one-hot, and uint8 images are divided by the space's `high`.
    """

    def build(observation: Box, style: Style) -> Part:
        preprocess, shape = expansion(observation)
        return stack(preprocess, shape, scaled(layers, style), activation=activation, style=style)

    return build


def scaled(layers: tuple[ConvLayer, ...], style: Style) -> tuple[ConvLayer, ...]:
    """Scale convolutions by a style's width and depth; added ones keep height and width."""
    wide = [layer._replace(features=channels(layer.features, style)) for layer in layers]
    return tuple(
        layer if i == 0 else ConvLayer(layer.features, padding="SAME")
        for layer in wide
        for i in range(1 if layer.linear else style.depth)
    )


def channels(features: int, style: Style) -> int:
    """Scale the channels of a layer by a style's width, to at least 1."""
    return max(1, round(features * style.width))


def default_encoder(observation: Box) -> Encoder:
    """Choose the encoder for a Box: `symbolic` for codes, a CNN for images, `flat` for the rest."""
    if len(observation.shape) != 3 or min(observation.shape[:2]) < 3:
        return flat()
    if observation.categories:
        return symbolic()
    return nature_cnn() if min(observation.shape[:2]) >= NATURE_SIZE else minatar_cnn()


def expansion(observation: Box) -> tuple[Callable[[Array], Array], tuple[int, ...]]:
    """Return the function from stored observations to float32, and the shape it gives one."""
    shape = tuple(observation.shape)
    categories = observation.categories
    if categories:
        if not shape or len(categories) != shape[-1]:
            raise ValueError(
                f"observation.categories={categories}: expected one number per entry of the last "
                f"axis of shape {shape}"
            )
        return lambda obs: _one_hot(obs, categories), (*shape[:-1], sum(categories))
    scale = _scale(observation)
    # A scalar observation is a vector of one entry.
    return lambda obs: _cast(obs, shape or (1,), scale), shape or (1,)


def _scale(observation: Box) -> float:
    """Return the divisor of observations: `high` for uint8 images, 1 for other quantities."""
    high = observation.high
    image = observation.dtype == "uint8" and len(observation.shape) == 3
    if image and isinstance(high, int | float) and math.isfinite(high) and high > 1:
        return float(high)
    return 1.0


def _cast(obs: Array, shape: tuple[int, ...], scale: float) -> Array:
    rows = jnp.reshape(obs, (obs.shape[0], -1))
    if jax.default_backend() == "cpu":
        # XLA:CPU does not vectorise a conversion whose last axis has few channels: 3 ns for each
        # number instead of 0.2. The barrier keeps XLA from converting images after all.
        rows = jax.lax.optimization_barrier(rows)
    x = rows.astype(jnp.float32)
    return jnp.reshape(x if scale == 1.0 else x / scale, (obs.shape[0], *shape))


def _one_hot(obs: Array, categories: tuple[int, ...]) -> Array:
    codes = [jax.nn.one_hot(obs[..., i], n, dtype=jnp.float32) for i, n in enumerate(categories)]
    return jnp.concatenate(codes, axis=-1)
