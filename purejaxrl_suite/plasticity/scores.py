"""Scores of the units of hidden layers, in the definitions of the literature.

A score is a function (learner, probe, inspection) -> {layer: f32[H]}. A unit of a convolution is a
channel: means are over the batch and all positions.
"""

from collections.abc import Callable, Mapping

import jax.numpy as jnp

from purejaxrl_suite.core import tree
from purejaxrl_suite.core.types import Array, Edge, Inspection, Learner, Path, Probe, PyTree

Scores = dict[str, Array]
Score = Callable[[Learner, Probe, Inspection], Scores]


def activation(learner: Learner, probe: Probe, inspection: Inspection) -> Scores:
    """Score D1: mean |h| over its mean in the layer (ReDo: Sokar et al. 2023, arXiv 2302.12902).

    The paper's text says that scores sum to one; its code divides by the mean, which all thresholds
    in use assume.
    """
    return {layer: relative(_over_batch(jnp.abs(h))) for layer, h in probe.features.items()}


def activation_share(learner: Learner, probe: Probe, inspection: Inspection) -> Scores:
    """Score D2: mean |h| over its sum in the layer (Dopamine's DQN with mixtures of experts)."""
    scores = activation(learner, probe, inspection)
    return {layer: x / x.shape[0] for layer, x in scores.items()}


def variance(learner: Learner, probe: Probe, inspection: Inspection) -> Scores:
    """Score D3: variance of h over the batch (Dopamine's Rainbow with mixtures of experts)."""
    return {layer: jnp.var(h, axis=_batch(h)) for layer, h in probe.features.items()}


def feature_gradient(learner: Learner, probe: Probe, inspection: Inspection) -> Scores:
    """Score D4: mean |dL/dh| over its mean in the layer (GraMa: arXiv 2505.24061, its text)."""
    return {layer: relative(_over_batch(jnp.abs(g))) for layer, g in probe.feature_grads.items()}


def weight_gradient(learner: Learner, probe: Probe, inspection: Inspection) -> Scores:
    """Score D4 as released: mean |gradient of incoming weights| over its mean in the layer.

    The gradient is that of the whole batch, in which samples may cancel. A LayerNorm is a separate
    layer here, scored by its scale: keys are modules (`trunk/dense_0_norm`), not layers.
    """
    return {
        "/".join(module): relative(_mean_magnitude(probe.grads, leaves))
        for edge in inspection.network.wiring
        for module, leaves in modules(edge).items()
    }


def relative(x: Array) -> Array:
    """Divide by the mean; zero if all are zero, NaN if one is NaN."""
    mean = jnp.mean(x)
    return x / jnp.where(mean == 0, 1.0, mean)


def modules(edge: Edge) -> dict[Path, tuple[Path, ...]]:
    """Group the incoming leaves of units by their module: a convolution, a norm ..."""
    found: dict[Path, tuple[Path, ...]] = {}
    for path in edge.incoming:
        found[path[:-1]] = (*found.get(path[:-1], ()), path)
    return found


def _mean_magnitude(grads: PyTree, leaves: tuple[Path, ...]) -> Array:
    """Average magnitudes f32[H] over a module's kernels, or for a norm take those of its scale."""
    found = {path: tree.at(grads, path) for path in leaves}
    kernels = [g for g in found.values() if g.ndim > 1]
    kernels = kernels or [g for path, g in found.items() if path[-1] == "scale"]
    return sum((_over_batch(jnp.abs(g)) for g in kernels), jnp.zeros(())) / len(kernels)


def _over_batch(x: Array) -> Array:
    return jnp.mean(x, axis=_batch(x))


def _batch(x: Array) -> tuple[int, ...]:
    return tuple(range(x.ndim - 1))


def below(scores: Mapping[str, Array], threshold: Array | float) -> dict[str, Array]:
    """Select units whose score is at most the threshold: bool[H] of each layer."""
    return {layer: x <= threshold for layer, x in scores.items()}
