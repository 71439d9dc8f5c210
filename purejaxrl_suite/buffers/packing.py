"""Store observations as flat rows in their own dtype; binary entries take one bit.

A row with one axis is gathered faster than one with several, and a 10x10x4 MinAtar frame takes 50
bytes instead of 400.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from purejaxrl_suite.core.types import Array, Box


class Packing(NamedTuple):
    """Storage format of the elements of one Box.

    size, dtype: of a row. pack: [..., *shape] -> [..., size]. unpack: [..., size] -> [..., *shape].
    """

    size: int
    dtype: jnp.dtype
    pack: Callable[[Array], Array]
    unpack: Callable[[Array], Array]


def packing(box: Box) -> Packing:
    """Choose the storage of a Box: bits if every entry is 0 or 1, else the entries themselves."""
    shape, dtype = tuple(box.shape), jnp.dtype(box.dtype)
    entries = math.prod(shape)

    def flat(x: Array) -> Array:
        return jnp.reshape(x, (*x.shape[: x.ndim - len(shape)], entries))

    def full(rows: Array) -> Array:
        return jnp.reshape(rows, (*rows.shape[:-1], *shape))

    def pack(x: Array) -> Array:
        return jnp.packbits(flat(x).astype(jnp.bool_), axis=-1)

    def unpack(rows: Array) -> Array:
        return full(jnp.unpackbits(rows, axis=-1, count=entries).astype(dtype))

    if _binary(box):
        return Packing(-(-entries // 8), jnp.dtype("uint8"), pack, unpack)
    return Packing(entries, dtype, flat, full)


def _binary(box: Box) -> bool:
    """Tell whether every entry is 0 or 1: booleans, and integers with these bounds."""
    dtype = jnp.dtype(box.dtype)
    if dtype == jnp.bool_:
        return True
    bounds = [*np.ravel(box.low), *np.ravel(box.high)]
    return bool(jnp.issubdtype(dtype, jnp.integer)) and all(0 <= x <= 1 for x in bounds)
