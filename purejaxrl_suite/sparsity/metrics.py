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
    Metric,
    Network,
    Probe,
    PyTree,
)
from purejaxrl_suite.sparsity.layers import kernels
from purejaxrl_suite.sparsity.optimizer import masks_of


def masked_share(masks: PyTree) -> Array:
    """Compute the sparsity f32[]: the share of all prunable weights that is outside of masks."""
    named = _kernels(masks)
    return _kept({name: ~mask for name, mask in named.items()}) / _size(named)


def churn(old: PyTree, new: PyTree) -> Array:
    """Compute the share f32[] of all prunable weights whose masks differ."""
    was, now = _kernels(old), _kernels(new)
    return _kept({name: was[name] != now[name] for name in was}) / _size(was)


def layer_sparsity(learner: Learner, probe: Probe, inspection: Inspection) -> Mapping[str, Array]:
    """Measure the sparsity of each layer's kernel, and how many parameters are in masks.

    Records `sparsity.LAYER`, the share of the weights of a kernel that is masked, and
    `effective_parameters`, how many parameters are not: biases and norms count, copies of an
    `injectable` network too.
    Raises ValueError for an agent that is not sparse.
    """
    masks = masks_of(learner)
    found = {
        f"sparsity.{name.removesuffix('.kernel')}": jnp.mean(~mask, dtype=jnp.float32)
        for name, mask in _kernels(masks).items()
    }
    return found | {"effective_parameters": _kept(tree.named(masks))}


def gradient_signal_to_noise(
    learner: Learner, probe: Probe, inspection: Inspection
) -> Mapping[str, Array]:
    """Measure how much gradients of different samples agree: `gradient_signal_to_noise`.

    That is |mean| / standard deviation over samples, averaged over the parameters in masks
    (Graesser et al. 2022, arXiv 2206.10369); those whose gradient is the same in all samples, such
    as of silent units, are left out. The paper's samples are single transitions; here they are
    `Inspection.sample`: rollouts of single environments, or minibatches from the replay. Of B
    independent transitions in a sample the ratio is sqrt(B) times as high. Of K samples without
    any signal it is about sqrt(2 / (pi K)).
    Raises ValueError for an agent that is not sparse, or with a single sample.
    """
    masks = masks_of(learner)
    if inspection.samples < 2:
        text = "expected two environments or more, whose gradients can differ, got one"
        raise ValueError(f"gradient_signal_to_noise: {text} that is inspected")

    def add(seen: tuple[PyTree, PyTree], i: Array) -> tuple[tuple[PyTree, PyTree], None]:
        """Add a sample to the mean and to the sum of squared deviations, after Welford."""
        mean, squares = seen
        grads = inspection.sample(learner, i)
        off = jax.tree.map(jnp.subtract, grads, mean)
        mean = jax.tree.map(lambda m, o: m + o / (i + 1), mean, off)
        squares = jax.tree.map(lambda s, o, g, m: s + o * (g - m), squares, off, grads, mean)
        return (mean, squares), None

    zeros = jax.tree.map(jnp.zeros_like, learner.params)
    (mean, squares), _ = jax.lax.scan(add, (zeros, zeros), jnp.arange(inspection.samples))
    total = count = jnp.zeros(())
    leaves = (jax.tree.leaves(x) for x in (masks, mean, squares))
    for mask, m, s in zip(*leaves, strict=True):
        known = mask & (s > 0)
        noise = jnp.sqrt(jnp.where(known, s, 1.0) / (inspection.samples - 1))
        total += jnp.sum(jnp.where(known, jnp.abs(m) / noise, 0.0))
        count += jnp.sum(known, dtype=jnp.float32)
    return {"gradient_signal_to_noise": total / count}


METRICS: tuple[Metric, ...] = (layer_sparsity, gradient_signal_to_noise)
"""Metrics that only sparse agents have: `--metrics sparse` on the command line."""


def mask_overlap() -> Intervention:
    """Record how much of the masks of the time before is still there: `mask_overlap`.

    That is |old and new| / |old or new| (the Jaccard index), since this was last applied, or, the
    first time, since training began. It changes nothing; put it inside `every`.
    Raises ValueError, when it is traced, for an agent that is not sparse.
    """

    def init(network: Network, learner: Learner) -> tree.Constant:
        return tree.Constant.of(masks_of(learner))

    def apply(
        key: Key, clock: Clock, state: tree.Constant, learner: Learner, inspection: Inspection
    ):
        masks = masks_of(learner)
        old, new = _kernels(state.like(learner.params)), _kernels(masks)
        both = _kept({name: old[name] & new[name] for name in old})
        either = _kept({name: old[name] | new[name] for name in old})
        found = {"mask_overlap": both / jnp.maximum(either, 1.0)}
        return learner, tree.Constant.of(masks), found

    return Intervention("mask_overlap()", init, apply)


def _kernels(masks: PyTree) -> dict[str, Array]:
    named = tree.named(masks)
    return {layer.name: named[layer.name] for layer in kernels(masks)}


def _kept(masks: Mapping[str, Array]) -> Array:
    return jnp.sum(jnp.stack([jnp.sum(mask, dtype=jnp.float32) for mask in masks.values()]))


def _size(masks: Mapping[str, Array]) -> float:
    return float(sum(mask.size for mask in masks.values()))
