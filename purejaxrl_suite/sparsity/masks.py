"""Masks of an updater: the first ones, and the next ones from those in force.

Masks are a tree of bool like the parameters: True is kept, and so is all that is not prunable. All
functions are of one member, without conditions on traced values: under `vmap` members have masks,
targets and drop fractions of their own.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from purejaxrl_suite.core import tree
from purejaxrl_suite.core.types import Array, Key, PyTree
from purejaxrl_suite.sparsity import scores as scoring
from purejaxrl_suite.sparsity.layers import Layer, kernels, replaced, shared
from purejaxrl_suite.sparsity.scores import Seen
from purejaxrl_suite.sparsity.structures import Structure, highest
from purejaxrl_suite.sparsity.updaters import Updater


class Pruned(NamedTuple):
    """A layer that is pruned. sparsity: f32[], its own part of the target."""

    layer: Layer
    sparsity: Array


def check(updater: Updater, params: PyTree) -> None:
    """Raise ValueError where an updater does not fit parameters, of which only shapes are read.

    That is where there is no kernel, where `per_leaf` names none, or where a structure does not
    fit one.
    """
    target = jax.ShapeDtypeStruct((), jnp.float32)
    jax.eval_shape(lambda target: [x.sparsity for x in _pruned(updater, params, target)], target)


def initial_masks(updater: Updater, key: Key, params: PyTree, target: Array) -> PyTree:
    """The masks that training begins with: dense, or random at the target sparsity f32[].

    Raises ValueError as `check` does.
    """
    pruned = _pruned(updater, params, target)
    masks = jax.tree.map(lambda x: jnp.ones(x.shape, bool), params)
    if not updater.sparse_from_start:
        return masks
    drawn = tree.named(scoring.random(key, Seen(params, params)))

    def begin(layer: Layer, sparsity: Array) -> Array:
        rows = _rows(updater.structure, layer, drawn[layer.name])
        return highest(rows, updater.structure.count(rows.shape[1], sparsity))

    return _joined(updater.structure, masks, {x.layer: begin(*x) for x in pruned})


def next_masks(
    updater: Updater,
    key: Key,
    seen: Seen,
    masks: PyTree,
    *,
    target: Array,
    share: Array,
    drop_fraction: Array,
) -> PyTree:
    """The masks that follow those in force.

    Args:
        updater: the method.
        key: for scores that are random.
        seen: parameters, raw gradients and second moments.
        masks: those in force.
        target: f32[], the target sparsity. It has no effect on SET and RigL, whose masks keep
            their number of weights.
        share: f32[], how much of it is in force: of `updater.schedule`. The sparsity of every layer
            is share times its own part of the target.
        drop_fraction: f32[], of `updater.drop`: 0 changes nothing. Other methods ignore it.

    SET and RigL drop all but round((1 - drop_fraction) * count) of the weights, halves to even and
    one at least, and then grow as many. What has just been dropped may grow again, as the algorithm
    of RigL says ("not active after the drop") and the released code of both does. Layers that no
    gradient reaches, such as frozen ones, keep their masks: what grew there would stay zero.
    """
    if updater.score is None:
        return masks
    key_score, key_grow = jax.random.split(key)
    scores = tree.named(updater.score(key_score, seen))
    old = tree.named(masks)
    pruned = _pruned(updater, seen.params, target)
    structure = updater.structure
    rows = {x.layer: _rows(structure, x.layer, scores[x.layer.name]) for x in pruned}
    active = {x.layer: _active(structure, x.layer, old[x.layer.name]) for x in pruned}
    if updater.grow is not None:
        grow = tree.named(updater.grow(key_grow, seen))
        reached = {name: grads != 0 for name, grads in tree.named(seen.grads).items()}
        kept = {}
        for x, drop in rows.items():
            moved = _evolved(drop, _rows(structure, x, grow[x.name]), active[x], drop_fraction)
            learns = jnp.any(_active(structure, x, reached[x.name]), axis=1, keepdims=True)
            kept[x] = jnp.where(learns, moved, active[x])
    else:
        if not updater.straight_through:  # what is pruned stays so
            rows = {x: jnp.where(active[x], rows[x], -jnp.inf) for x in rows}
        kept = _kept(updater, rows, pruned, target, share)
    return _joined(structure, masks, kept)


def _pruned(updater: Updater, params: PyTree, target: Array) -> list[Pruned]:
    """The layers that are pruned, each with its sparsity, or the total where they are compared."""
    found = kernels(params)
    if updater.distribution is None:
        return [Pruned(layer, jnp.asarray(target)) for layer in found]
    sparsities = updater.distribution.allocate(found, target)
    pruned = [
        Pruned(layer, sparsities[i])
        for i, layer in enumerate(found)
        if not updater.distribution.dense(layer.name)
    ]
    for layer, _ in pruned:
        updater.structure.check(layer.name, layer.shape)
    return pruned


def _kept(
    updater: Updater,
    rows: dict[Layer, Array],
    pruned: list[Pruned],
    target: Array,
    share: Array,
) -> dict[Layer, Array]:
    """The candidates with the highest scores, of each layer or of all of them."""
    count = updater.structure.count
    if updater.distribution is not None:
        return {
            layer: highest(rows[layer], count(rows[layer].shape[1], share * sparsity))
            for layer, sparsity in pruned
        }
    whole = jnp.concatenate([jnp.ravel(x) for x in rows.values()])[None]
    ends = np.cumsum([x.size for x in rows.values()])[:-1]
    parts = jnp.split(highest(whole, count(whole.shape[1], share * target))[0], ends)
    return {x: jnp.reshape(part, rows[x].shape) for x, part in zip(rows, parts, strict=True)}


def _evolved(drop: Array, grow: Array, active: Array, fraction: Array) -> Array:
    """As many candidates as there were in every row [K]: the best of them, and the best others."""
    count = jnp.sum(active, axis=1)
    left = jnp.maximum(1, jnp.round(count * (1.0 - fraction)).astype(jnp.int32))
    kept = highest(jnp.where(active, drop, -jnp.inf), left)
    return highest(jnp.where(kept, jnp.inf, grow), count)


def _rows(structure: Structure, layer: Layer, leaf: Array) -> Array:
    """The candidates of all entries of a layer, [entries * R, K]."""
    rows = jax.vmap(structure.rows)(layer.apart(leaf))
    return jnp.reshape(rows, (-1, rows.shape[-1]))


def _active(structure: Structure, layer: Layer, mask: Array) -> Array:
    """Which candidates have weights in a mask, bool[entries * R, K]."""
    return _rows(structure, layer, mask.astype(jnp.float32)) > 0


def _joined(structure: Structure, masks: PyTree, kept: dict[Layer, Array]) -> PyTree:
    """Masks with those of the layers, and of what shares them, in place of the old ones."""
    named = tree.named(masks)

    def whole(layer: Layer, rows: Array) -> Array:
        each = jnp.reshape(rows, (layer.entries, -1, rows.shape[1]))
        mask = jax.vmap(lambda one: structure.back(one, layer.shape))(each)
        return jnp.reshape(mask, named[layer.name].shape)

    return replaced(masks, shared({layer.name: whole(layer, rows) for layer, rows in kept.items()}))
