"""The residual trunk with LayerNorm of BRO (Nauman et al. 2024, arXiv 2405.16158, figure 3)."""

from collections.abc import Mapping
from typing import NamedTuple

import jax.numpy as jnp
from flax import linen as nn

from purejaxrl_suite.core.types import Array, Edge, Path
from purejaxrl_suite.nets.layers import READERS, Activation, Part, Style, check_keeps_units
from purejaxrl_suite.nets.matmul import multiply
from purejaxrl_suite.nets.norm import layer_norm

STEM, STREAM = "stem", "stream"


class Block(NamedTuple):
    """Names of the two dense layers of a residual block."""

    inner: str
    outer: str


def _blocks(count: int) -> tuple[Block, ...]:
    return tuple(Block(f"block_{i}_dense_0", f"block_{i}_dense_1") for i in range(count))


class ResidualTrunk(nn.Module):
    """A stem x = act(norm(dense(input))), then blocks x + norm(dense(act(norm(dense(x))))).

    Features: in each block the activation between its layers, and the stream at the end.
    """

    width: int
    blocks: int
    activation: Activation
    style: Style

    @nn.compact
    def __call__(self, x: Array, taps: Mapping[str, Array]) -> tuple[Array, dict[str, Array]]:
        """Return the stream f32[B, width] and the features, float32 with taps added."""
        features = {}
        x = self.activation(self._normalized(STEM, jnp.reshape(x, (x.shape[0], -1))))
        for block in _blocks(self.blocks):
            y = self.activation(self._normalized(block.inner, x))
            features[block.inner] = y = y + taps[block.inner] if block.inner in taps else y
            x = x + self._normalized(block.outer, y)
        features[STREAM] = x = x + taps[STREAM] if STREAM in taps else x
        return x, features

    def _normalized(self, name: str, x: Array) -> Array:
        init, dtype = self.style.kernel_init, self.style.dtype
        product = lambda x, kernel, *_, **__: multiply(x, kernel)  # noqa: E731
        dense = nn.Dense(self.width, kernel_init=init, dtype=dtype, dot_general=product, name=name)
        norm = layer_norm(dtype, f"{name}_norm")
        return norm(dense(x)).astype(jnp.float32)  # the stream is a sum, which needs the precision


def residual_trunk(width: int, blocks: int, activation: Activation, style: Style) -> Part:
    """Make a stem and `blocks` residual blocks of `width` units.

    The units between the layers of a block are recyclable. Those of the stream have several
    producers and readers, so they are not.

    Raises:
        ValueError: a size is not positive.
    """
    check_keeps_units(activation)
    if width < 1 or blocks < 1:
        raise ValueError(f"width={width}, blocks={blocks}: expected at least 1")
    names = _blocks(blocks)
    inner = tuple(
        Edge(block.inner, width, _leaves(block.inner), ((block.outer, "kernel"),))
        for block in names
    )
    makers = (STEM, *(block.outer for block in names))
    incoming = tuple(leaf for name in makers for leaf in _leaves(name))
    readers = (*((block.inner, "kernel") for block in names), READERS)
    stream = Edge(STREAM, width, incoming, readers, recyclable=False)
    module = ResidualTrunk(width, blocks, activation, style)
    return Part(module, (*inner, stream), ((STEM, "kernel"),), (width,))


def _leaves(name: str) -> tuple[Path, ...]:
    norm = f"{name}_norm"
    return ((name, "kernel"), (name, "bias"), (norm, "scale"), (norm, "bias"))
