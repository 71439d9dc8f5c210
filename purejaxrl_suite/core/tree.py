"""Small functions on pytrees that several layers share."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from purejaxrl_suite.core.types import Array, PyTree


def where(mask: Array, on_true: PyTree, on_false: PyTree) -> PyTree:
    """Select leaf by leaf; `mask` bool[N] is broadcast over trailing axes of leaves [N, ...]."""

    def select(x: Array, y: Array) -> Array:
        return jnp.where(jnp.reshape(mask, mask.shape + (1,) * (jnp.ndim(x) - mask.ndim)), x, y)

    return jax.tree.map(select, on_true, on_false)


def stack(trees: Sequence[PyTree]) -> PyTree:
    """Stack trees of equal structure along a new first axis."""
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)


def index(tree: PyTree, i: Any) -> PyTree:
    """Leaf by leaf `leaf[i]`: take one member of a stacked tree."""
    return jax.tree.map(lambda leaf: leaf[i], tree)


def map_moments(update: Callable[[PyTree], PyTree], opt_state: PyTree, params: PyTree) -> PyTree:
    """Apply `update` to every subtree of `opt_state` that is shaped like `params`.

    Moments are found by structure and leaf shapes, never by position, so chained, masked and
    injected optax states work alike. Counts and other scalars are left alone.
    """
    shapes = jax.tree.map(jnp.shape, params)

    def is_moment(node: PyTree) -> bool:
        same = jax.tree.structure(node) == jax.tree.structure(params)
        return same and jax.tree.map(jnp.shape, node) == shapes

    return jax.tree.map(
        lambda node: update(node) if is_moment(node) else node, opt_state, is_leaf=is_moment
    )


def strong(tree: PyTree) -> PyTree:
    """Give every leaf a strong dtype: a weakly typed zero changes type in a second segment."""

    def convert(leaf: Any) -> Array:
        return jax.lax.convert_element_type(leaf, jnp.result_type(leaf))

    return jax.tree.map(convert, tree)


def key_data(tree: PyTree) -> PyTree:
    """The tree with typed keys replaced by their data."""
    return jax.tree.map(lambda leaf: jax.random.key_data(leaf) if _is_key(leaf) else leaf, tree)


def to_host(tree: PyTree) -> PyTree:
    """Numpy copies of `key_data`, which no later donation can touch."""
    return jax.tree.map(np.array, key_data(tree))


def from_host(like: PyTree, tree: PyTree) -> PyTree:
    """`to_host` undone, with typed keys where `like` (arrays or their shapes) has them."""

    def wrap(x: Any, leaf: Any) -> Any:
        return jax.random.wrap_key_data(leaf) if _is_key(x) else leaf

    return jax.tree.map(wrap, like, tree)


def _is_key(leaf: Any) -> bool:
    return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
