"""The residual encoder of Impala (Espeholt et al. 2018, arXiv 1802.01561, figure 3, right).

In the form of value-based agents: without an LSTM, with a ReLU at the end. A stage is a
convolution, a max-pooling and residual blocks x + conv_1(relu(conv_0(relu(x)))).
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn

from purejaxrl_suite.core.types import Array, Box, Edge
from purejaxrl_suite.nets import encoders
from purejaxrl_suite.nets.conv import Conv, output_size
from purejaxrl_suite.nets.encoders import NATURE_SIZE, Encoder, expansion
from purejaxrl_suite.nets.layers import (
    READERS,
    Activation,
    Part,
    Style,
    check_keeps_units,
    positions,
)
from purejaxrl_suite.nets.norm import layer_norm


class Stage(NamedTuple):
    """One stage. features: channels. pool: halve height and width. blocks: residual blocks."""

    features: int
    pool: bool
    blocks: int

    def block(self, stage: int, i: int) -> tuple[str, str]:
        """Return the names of the two convolutions of a block."""
        return f"stage_{stage}_block_{i}_conv_0", f"stage_{stage}_block_{i}_conv_1"


class Residual(nn.Module):
    """Stages, an activation, flatten.

    Features: in each block the activation between its convolutions, and the residual stream at the
    end of each stage (`stage_0` ...; in the last stage after the final activation). LayerNorm, if
    any, follows the first convolution of each block; the stream has none.
    """

    preprocess: Callable[[Array], Array]
    stages: tuple[Stage, ...]
    activation: Activation
    style: Style

    @nn.compact
    def __call__(self, x: Array, taps: Mapping[str, Array]) -> tuple[Array, dict[str, Array]]:
        """Return the flat output f32[B, D] and the features, float32 with taps added."""
        x, features = self.preprocess(x), {}
        for i, stage in enumerate(self.stages):
            x = self._convolution(f"stage_{i}", stage, x)
            if stage.pool:
                x = nn.max_pool(x, (3, 3), (2, 2), "SAME")
            for j in range(stage.blocks):
                inner, outer = stage.block(i, j)
                y = self._convolution(inner, stage, self.activation(x))
                if self.style.layer_norm:
                    y = layer_norm(self.style.dtype, f"{inner}_norm")(y)
                y = self.activation(y).astype(jnp.float32)
                features[inner] = y = y + taps[inner] if inner in taps else y
                x = x + self._convolution(outer, stage, y)
            x = self.activation(x) if i + 1 == len(self.stages) else x
            name = f"stage_{i}"
            features[name] = x = x + taps[name] if name in taps else x
        return jnp.reshape(x, (x.shape[0], -1)), features

    def _convolution(self, name: str, stage: Stage, x: Array) -> Array:
        init, dtype = self.style.kernel_init, self.style.dtype
        conv = Conv(
            features=stage.features,
            kernel=(3, 3),
            strides=(1, 1),
            padding="SAME",
            kernel_init=init,
            dtype=dtype,
            name=name,
        )
        return conv(x).astype(jnp.float32)  # the stream is a sum, which needs the precision


def impala(
    channels: tuple[int, ...] = (16, 32, 32),
    width: int = 1,
    blocks: int = 2,
    pooled: int | None = None,
    activation: Activation = jax.nn.relu,
) -> Encoder:
    """Make the residual encoder of Impala, for (height, width, channels).

    The units of the first convolution of each block are recyclable. The units of a residual stream
    have several producers and readers, so they are not.

    Args:
        channels: of each stage.
        width: factor on all channels; 4 in BBF (arXiv 2305.19452).
        blocks: residual blocks of each stage.
        pooled: how many stages, from the first on, halve the image; None is all of them for images
            of 36 pixels or more, and only the first on smaller boards (our setting).
        activation: of all layers.

    Returns:
        The encoder.

    Raises:
        ValueError: a size is not positive.
    """
    check_keeps_units(activation)
    if not channels or min(*channels, width) < 1 or blocks < 0:
        raise ValueError(
            f"channels={channels}, width={width}, blocks={blocks}: expected positive sizes"
        )

    def build(observation: Box, style: Style) -> Part:
        preprocess, shape = expansion(observation)
        if len(shape) != 3:
            raise ValueError(f"impala: input shape {shape}, expected (height, width, channels)")
        small = min(shape[:2]) < NATURE_SIZE
        pools = pooled if pooled is not None else (1 if small else len(channels))
        widths = [encoders.channels(width * n, style) for n in channels]
        stages = tuple(Stage(n, i < pools, blocks * style.depth) for i, n in enumerate(widths))
        module = Residual(preprocess, stages, activation, style)
        for stage in stages:
            sizes = (output_size(n, 3, 2, "SAME") if stage.pool else n for n in shape[:2])
            shape = (*sizes, stage.features)
        return Part(
            module, _edges(stages, style, positions(shape)), (("stage_0", "kernel"),), shape
        )

    return build


def _edges(stages: tuple[Stage, ...], style: Style, tile: int) -> tuple[Edge, ...]:
    """Make one edge for each block and one for each stream; `tile` is of the encoder's output."""
    edges = []
    for i, stage in enumerate(stages):
        blocks = [stage.block(i, j) for j in range(stage.blocks)]
        for inner, outer in blocks:
            leaves = ((inner, "kernel"), (inner, "bias"))
            if style.layer_norm:
                leaves += ((f"{inner}_norm", "scale"), (f"{inner}_norm", "bias"))
            edges.append(Edge(inner, stage.features, leaves, ((outer, "kernel"),)))
        makers = (f"stage_{i}", *(outer for _, outer in blocks))
        last = i + 1 == len(stages)
        following = READERS if last else (f"stage_{i + 1}", "kernel")
        edges.append(
            Edge(
                layer=f"stage_{i}",
                units=stage.features,
                incoming=tuple((name, leaf) for name in makers for leaf in ("kernel", "bias")),
                outgoing=(*((inner, "kernel") for inner, _ in blocks), following),
                tile=tile if last else 1,
                recyclable=False,
            )
        )
    return tuple(edges)
