"""Tokens: how the output of an encoder is cut into rows that are treated alike.

The names are those of Obando-Ceron et al. 2024, arXiv 2402.08609; shuffled tokens are Sokar et al.
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

    size: shape -> (m, d). cut: (f32[B, *shape]) -> f32[B, m, d]. tied: whether a channel is no
    entry of its own in the tokens. embed: a convolution before the cut.
    """

    size: Callable[[Shape], tuple[int, int]]
    cut: Callable[[Array], Array]
    tied: bool = False
    embed: ConvLayer | None = None


def per_conv() -> Tokens:
    """A token for each position, of all its channels; of a vector a single one."""
    return Tokens(
        lambda shape: (math.prod(shape[:-1]), shape[-1]),
        lambda x: jnp.reshape(x, (x.shape[0], -1, x.shape[-1])),
    )


def per_feat() -> Tokens:
    """A token for each channel, of all its positions."""
    positions = per_conv()
    return Tokens(
        lambda shape: (shape[-1], math.prod(shape[:-1])),
        lambda x: jnp.swapaxes(positions.cut(x), 1, 2),
        tied=True,
    )


def per_samp() -> Tokens:
    """A single token of all numbers."""
    return Tokens(
        lambda shape: (1, math.prod(shape)), lambda x: jnp.reshape(x, (x.shape[0], 1, -1))
    )


def per_patch(embedding: int = 32, size: int = 3) -> Tokens:
    """A token for each patch of size x size positions, by a linear convolution without overlap.

    What is left at the right and lower border is dropped: of 10 x 10 positions, patches of 3 x 3
    leave the last row and column out. The embeddings are Dopamine's: 32 behind Impala, 64 behind
    the CNN.
    """
    embed = ConvLayer(embedding, (size, size), (size, size), "VALID", linear=True)
    return per_conv()._replace(embed=embed)


def shuffled(tokens: Tokens, seed: int = 0) -> Tokens:
    """The same number and size of tokens, but the numbers in them are dealt out at random, once.

    The permutation is a function of `seed` alone: one for all members, all networks and all time.
    """

    def cut(x: Array) -> Array:
        rows = jnp.reshape(x, (x.shape[0], -1))
        order = np.random.default_rng(seed).permutation(rows.shape[1])
        return tokens.cut(jnp.reshape(rows[:, order], x.shape))

    return tokens._replace(cut=cut, tied=True)
