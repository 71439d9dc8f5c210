"""What masks look like: how sparse each layer is, how much they move, how far they have moved."""

from collections.abc import Mapping

import jax
import jax.numpy as jnp

from purejaxrl_suite.core import tree
from purejaxrl_suite.core.types import (
    Array,
    Clock,
    Inspection,
    Intervention,
    Key,
    Learner,
    Network,
    Probe,
    PyTree,
)
from purejaxrl_suite.sparsity.layers import kernels
from purejaxrl_suite.sparsity.optimizer import masks_of


def masked_share(masks: PyTree) -> Array:
    """Compute the sparsity f32[]: the share of all prunable weights that is outside of masks."""
    named = _kernels(masks)
    return 1.0 - _kept(named) / _size(named)


def churn(old: PyTree, new: PyTree) -> Array:
    """Compute the share f32[] of all prunable weights whose masks differ."""
    pairs = zip(_kernels(old).values(), _kernels(new).values(), strict=True)
    differ = [jnp.sum(x != y, dtype=jnp.float32) for x, y in pairs]
    return jnp.sum(jnp.stack(differ)) / _size(_kernels(old))


def layer_sparsity(learner: Learner, probe: Probe, inspection: Inspection) -> Mapping[str, Array]:
    """Measure the sparsity of each layer's kernel, and how many parameters are in masks.

    Records `sparsity.LAYER`, the share of the weights of a kernel that is masked, and
    `effective_parameters`, how many parameters are not: biases and norms count, copies of an
    `injectable` network too.
    Raises ValueError for an agent that is not sparse.
    """
    masks = masks_of(learner)
    found = {
        f"sparsity.{name.removesuffix('.kernel')}": 1.0 - jnp.mean(mask, dtype=jnp.float32)
        for name, mask in _kernels(masks).items()
    }
    kept = [jnp.sum(mask, dtype=jnp.float32) for mask in jax.tree.leaves(masks)]
    return found | {"effective_parameters": jnp.sum(jnp.stack(kept))}


def mask_overlap() -> Intervention:
    """Record how much of the masks of the time before is still there: `mask_overlap`.

    That is |old and new| / |old or new| (the Jaccard index), since this was last applied, or, the
    first time, since training began. It changes nothing; put it inside `every`.
    Raises ValueError, when it is traced, for an agent that is not sparse.
    """

    def init(network: Network, learner: Learner) -> tree.Constant:
        return tree.Constant(tuple(jax.tree.leaves(masks_of(learner))))

    def apply(
        key: Key, clock: Clock, state: tree.Constant, learner: Learner, inspection: Inspection
    ):
        masks = masks_of(learner)
        old, new = _kernels(state.like(learner.params)), _kernels(masks)
        both = _kept({name: old[name] & new[name] for name in old})
        either = _kept({name: old[name] | new[name] for name in old})
        found = {"mask_overlap": both / jnp.maximum(either, 1.0)}
        return learner, tree.Constant(tuple(jax.tree.leaves(masks))), found

    return Intervention("mask_overlap()", init, apply)


def _kernels(masks: PyTree) -> dict[str, Array]:
    named = tree.named(masks)
    return {layer.name: named[layer.name] for layer in kernels(masks)}


def _kept(masks: Mapping[str, Array]) -> Array:
    return jnp.sum(jnp.stack([jnp.sum(mask, dtype=jnp.float32) for mask in masks.values()]))


def _size(masks: Mapping[str, Array]) -> float:
    return float(sum(mask.size for mask in masks.values()))
