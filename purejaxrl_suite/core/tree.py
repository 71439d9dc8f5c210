"""Small functions on pytrees that several layers share."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from purejaxrl_suite.core.types import Array, Learner, Path, PyTree


def where(mask: Array, on_true: PyTree, on_false: PyTree) -> PyTree:
    """Select leaf by leaf; `mask` bool[N] is broadcast over trailing axes of leaves [N, ...]."""

    def select(x: Array, y: Array) -> Array:
        return jnp.where(jnp.reshape(mask, mask.shape + (1,) * (jnp.ndim(x) - mask.ndim)), x, y)

    return jax.tree.map(select, on_true, on_false)


def stack(trees: Sequence[PyTree]) -> PyTree:
    """Stack trees of equal structure along a new first axis."""
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)


def index(tree: PyTree, i: Any) -> PyTree:
    """Take `leaf[i]` of every leaf: one member of a stacked tree."""
    return jax.tree.map(lambda leaf: leaf[i], tree)


def merge(tree: PyTree, axes: int = 2) -> PyTree:
    """Merge so many leading axes of every leaf: [T, B, ...] to [T * B, ...]."""
    return jax.tree.map(lambda x: jnp.reshape(x, (-1, *x.shape[axes:])), tree)


def pack(tree: PyTree) -> tuple[list[Array], Callable[[Sequence[Array]], PyTree]]:
    """Stack vectors of equal length and dtype into one array; also return the inverse function.

    A loop that carries many short vectors spends a kernel, and often a copy, on each of them, but
    only one on a packed array. Leaves that are not vectors stay as they are.
    """
    leaves, structure = jax.tree.flatten(tree)
    alike: dict[Any, list[int]] = {}
    for i, leaf in enumerate(leaves):
        alike.setdefault((leaf.shape, leaf.dtype) if leaf.ndim == 1 else i, []).append(i)
    groups = list(alike.values())

    def unpack(packed: Sequence[Array]) -> PyTree:
        whole = {
            i: rows[k] if len(group) > 1 else rows
            for rows, group in zip(packed, groups, strict=True)
            for k, i in enumerate(group)
        }
        return jax.tree.unflatten(structure, [whole[i] for i in range(len(leaves))])

    def one(group: list[int]) -> Array:
        return jnp.stack([leaves[i] for i in group]) if len(group) > 1 else leaves[group[0]]

    return [one(group) for group in groups], unpack


def named(tree: PyTree) -> dict[str, Any]:
    """Return {dotted name: leaf}, in the order of the leaves."""
    leaves = jax.tree.leaves_with_path(tree)
    return {jax.tree_util.keystr(path, simple=True, separator="."): leaf for path, leaf in leaves}


def at(tree: PyTree, path: Path) -> Any:
    """Return the value at a path in a nested dict."""
    for name in path:
        tree = tree[name]
    return tree


def map_moments(update: Callable[[PyTree], PyTree], opt_state: PyTree, params: PyTree) -> PyTree:
    """Apply `update` to every subtree of `opt_state` that is shaped like `params`.

    Moments are found by structure and leaf shapes, never by position, so chained, masked and
    injected optax states work alike. Where a masked optimizer has no moments, `update` is given
    zeros and its result is dropped. Counts and other scalars are left alone.
    """
    leaves, structure = jax.tree.flatten(params)

    def edit(node: PyTree) -> PyTree:
        parts = _parts(node, params)
        if parts is None:
            return node
        blank = [_is_empty(part) for part in parts]
        pairs = zip(blank, parts, leaves, strict=True)
        filled = [jnp.zeros_like(leaf) if empty else part for empty, part, leaf in pairs]
        edited = jax.tree.leaves(update(jax.tree.unflatten(structure, filled)))
        pairs = zip(blank, parts, edited, strict=True)
        return jax.tree.unflatten(structure, [old if empty else new for empty, old, new in pairs])

    return jax.tree.map(edit, opt_state, is_leaf=lambda node: _parts(node, params) is not None)


class Constant(NamedTuple):
    """Arrays like the parameters which an optimizer reads and never changes, such as masks.

    leaves: one for each of the parameters. Being no tree like these, they are not taken for
    moments.
    """

    leaves: tuple[Array, ...]

    @classmethod
    def of(cls, whole: PyTree) -> "Constant":
        """Make one of a tree like the parameters."""
        return cls(tuple(jax.tree.leaves(whole)))

    def like(self, params: PyTree) -> PyTree:
        """The arrays as a tree like the parameters."""
        return jax.tree.unflatten(jax.tree.structure(params), self.leaves)


def with_constants_of(fresh: PyTree, opt_state: PyTree) -> PyTree:
    """Give a fresh state of an optimizer the `Constant`s of the one that it takes the place of."""
    return jax.tree.map(
        lambda new, old: old if isinstance(new, Constant) else new,
        fresh,
        opt_state,
        is_leaf=lambda node: isinstance(node, Constant),
    )


def ravel_moments(opt_state: PyTree, params: PyTree) -> PyTree:
    """Replace every subtree of `opt_state` shaped like `params` by one vector [P].

    That is the state of the same optimizer for the vector of all parameters. A `Constant` becomes
    one of a single leaf.
    """

    def ravel(node: PyTree) -> PyTree:
        if isinstance(node, Constant):
            return Constant((ravel_pytree(node.leaves)[0],))
        return ravel_pytree(node)[0] if _whole(node, params) else node

    return jax.tree.map(ravel, opt_state, is_leaf=lambda node: _ravelled(node, params))


def unravel_moments(
    flat: PyTree, like: PyTree, params: PyTree, unravel: Callable[[Array], PyTree]
) -> PyTree:
    """Undo `ravel_moments`: give each vector of `flat` the structure that it has in `like`."""

    def back(node: PyTree, new: PyTree) -> PyTree:
        if isinstance(node, Constant):
            return node
        return unravel(new) if _whole(node, params) else new

    return jax.tree.map(back, like, flat, is_leaf=lambda node: _ravelled(node, params))


def _ravelled(node: PyTree, params: PyTree) -> bool:
    return isinstance(node, Constant) or _whole(node, params)


def _whole(node: PyTree, params: PyTree) -> bool:
    parts = _parts(node, params)
    return parts is not None and not any(map(_is_empty, parts))


def reset_counts(opt_state: PyTree, params: PyTree) -> PyTree:
    """Set to zero every count of an optax state that stands beside moments of `params`.

    Those are counts for bias correction; counts of schedules are left alone.
    """

    def counted(node: PyTree) -> bool:
        if "count" not in getattr(node, "_fields", ()):
            return False
        return any(_parts(child, params) is not None for child in node)

    def edit(node: PyTree) -> PyTree:
        if not counted(node):
            return node
        inner = {name: reset_counts(child, params) for name, child in node._asdict().items()}
        return node._replace(**inner | {"count": jnp.zeros_like(node.count)})

    return jax.tree.map(edit, opt_state, is_leaf=counted)


def forget(learner: Learner, touched: PyTree, *, reset_count: bool) -> Learner:
    """Zero the moments where `touched`, a tree of bools shaped like the parameters, is True.

    reset_count: counts of steps start again, too, where anything was touched.
    """

    def zero(moments: PyTree) -> PyTree:
        return jax.tree.map(lambda mask, x: jnp.where(mask, jnp.zeros_like(x), x), touched, moments)

    opt_state = map_moments(zero, learner.opt_state, learner.params)
    if reset_count:
        changed = jnp.any(jnp.stack([jnp.any(x) for x in jax.tree.leaves(touched)]))
        counted = reset_counts(opt_state, learner.params)
        opt_state = where(changed, counted, opt_state)
    return learner._replace(opt_state=opt_state)


def has_moments(opt_state: PyTree, params: PyTree) -> list[bool]:
    """Tell for every leaf of `params` whether the state has a moment of it."""
    leaves = jax.tree.leaves(params)
    found = [False] * len(leaves)

    def look(node: PyTree) -> bool:
        parts = _parts(node, params)
        if parts is not None:
            found[:] = [old or not _is_empty(part) for old, part in zip(found, parts, strict=True)]
        return parts is not None

    jax.tree.leaves(opt_state, is_leaf=look)
    return found


def _parts(node: PyTree, params: PyTree) -> list[PyTree] | None:
    """Return what `node` has at the leaves of `params`, if those are arrays of the same shapes.

    Some of them may be empty (as optax masks are), but not all.
    """
    try:
        parts = jax.tree.structure(params).flatten_up_to(node)
    except (TypeError, ValueError):
        return None
    pairs = list(zip(parts, jax.tree.leaves(params), strict=True))
    fits = [getattr(part, "shape", None) == leaf.shape for part, leaf in pairs]
    known = all(fit or _is_empty(part) for fit, (part, _) in zip(fits, pairs, strict=True))
    return parts if known and any(fits) else None


def _is_empty(node: PyTree) -> bool:
    return not jax.tree.leaves(node)


def all_finite(tree: PyTree) -> Array:
    """Tell whether all numbers of a tree are finite, bool[]."""
    leaves = [x for x in jax.tree.leaves(tree) if jnp.issubdtype(x.dtype, jnp.inexact)]
    return jnp.all(jnp.stack([jnp.all(jnp.isfinite(x)) for x in leaves]))


def strong(tree: PyTree) -> PyTree:
    """Give every leaf a strong dtype: a weakly typed zero changes type in a second segment."""

    def convert(leaf: Any) -> Array:
        return jax.lax.convert_element_type(leaf, jnp.result_type(leaf))

    return jax.tree.map(convert, tree)


def without_replay(state: Any) -> tuple[Any, dict[str, Any]]:
    """Take the replay out of an agent's state, which a condition would copy.

    Returns:
        The state with () in its place, and that as a field to put back, {} if there is none.
    """
    if "replay" not in state._fields:
        return state, {}
    return state._replace(replay=()), {"replay": state.replay}


def key_data(tree: PyTree) -> PyTree:
    """Replace typed keys by their data."""
    return jax.tree.map(lambda leaf: jax.random.key_data(leaf) if _is_key(leaf) else leaf, tree)


def to_host(tree: PyTree) -> PyTree:
    """Copy `key_data` of a tree to numpy, safe from later buffer donation."""
    return jax.tree.map(np.array, key_data(tree))


def from_host(like: PyTree, tree: PyTree) -> PyTree:
    """Undo `to_host`, with typed keys where `like` (arrays or their shapes) has them."""

    def wrap(x: Any, leaf: Any) -> Any:
        return jax.random.wrap_key_data(leaf) if _is_key(x) else leaf

    return jax.tree.map(wrap, like, tree)


def _is_key(leaf: Any) -> bool:
    return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
