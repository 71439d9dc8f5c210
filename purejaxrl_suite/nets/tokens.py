"""Tokens: ways to cut the output of an encoder into rows, the inputs of experts.

The names are from Obando-Ceron et al. 2024, arXiv 2402.08609; shuffled tokens from Sokar et al.
2024, arXiv 2410.01930.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from purejaxrl_suite.core.types import Array
from purejaxrl_suite.nets.layers import ConvLayer

Shape = tuple[int, ...]


class Tokens(NamedTuple):
    """A way to cut f32[B, *shape], shape = (height, width, channels) or (units,).

    size: shape -> (m, d). cut: f32[B, *shape] -> f32[B, m, d]. tied: whether a channel is not a
    separate entry of the tokens. embed: a convolution before the cut.
    """

    size: Callable[[Shape], tuple[int, int]]
    cut: Callable[[Array], Array]
    tied: bool = False
    embed: ConvLayer | None = None


def per_conv() -> Tokens:
    """Cut a token for each position, of all its channels; a vector is a single token."""
    return Tokens(
        lambda shape: (math.prod(shape[:-1]), shape[-1]),
        lambda x: jnp.reshape(x, (x.shape[0], -1, x.shape[-1])),
    )


def per_feat() -> Tokens:
    """Cut a token for each channel, of all its positions."""
    positions = per_conv()
    return Tokens(
        lambda shape: (shape[-1], math.prod(shape[:-1])),
        lambda x: jnp.swapaxes(positions.cut(x), 1, 2),
        tied=True,
    )


def per_samp() -> Tokens:
    """Make a single token of all numbers."""
    return Tokens(
        lambda shape: (1, math.prod(shape)), lambda x: jnp.reshape(x, (x.shape[0], 1, -1))
    )


def per_patch(embedding: int = 32, size: int = 3) -> Tokens:
    """Embed each patch of size x size positions as a token, by a convolution without overlap.

    The convolution is linear. Positions left over at the right and lower border are dropped: of
    10 x 10 positions, patches of 3 x 3 leave out the last row and column. Dopamine's embeddings
    have 32 numbers behind Impala, 64 behind the CNN.
    """
    embed = ConvLayer(embedding, (size, size), (size, size), "VALID", linear=True)
    return per_conv()._replace(embed=embed)


def shuffled(tokens: Tokens, seed: int = 0) -> Tokens:
    """Permute all numbers over the tokens at random, once; number and size of tokens stay.

    The permutation depends on `seed` alone: it is the same for all members and all networks.
    """

    def cut(x: Array) -> Array:
        rows = jnp.reshape(x, (x.shape[0], -1))
        order = np.random.default_rng(seed).permutation(rows.shape[1])
        return tokens.cut(jnp.reshape(rows[:, order], x.shape))

    return tokens._replace(cut=cut, tied=True)
