"""Metrics of plasticity from one probe, with the sources of their definitions.

Functions with settings return a `Metric`; the others are metrics themselves. Each is recorded for
every layer (`srank.trunk.dense_0`) and for all layers together (`srank`): shares of all units, sums
of ranks and of feature norms, norms of all parameters.
Samples are the entries of a batch and, in convolutions, the positions of a feature map.
"""

import jax.numpy as jnp
import optax

from purejaxrl_suite.core import tree
from purejaxrl_suite.core.argument import number
from purejaxrl_suite.core.types import Array, Inspection, Learner, Metric, Probe, PyTree
from purejaxrl_suite.ops import rank
from purejaxrl_suite.plasticity import scores
from purejaxrl_suite.plasticity.names import by_layer, fractions, named, sums
from purejaxrl_suite.plasticity.routing import routing
from purejaxrl_suite.plasticity.scores import Score, below

Found = dict[str, Array]


def dormant(tau: float = 0.1) -> Metric:
    """Measure D1: the share of units whose mean activation is at most tau times their layer's mean.

    Sokar et al. 2023, arXiv 2302.12902; tau is 0, 0.025 or 0.1 in the literature.
    """
    return _share("dormant", scores.activation, "tau", tau)


def dormant_of_sum(tau: float = 0.0) -> Metric:
    """Measure D2: like D1, relative to the layer's sum (Dopamine's DQN with mixtures)."""
    return _share("dormant_of_sum", scores.activation_share, "tau", tau)


def low_variance(threshold: float = 0.01) -> Metric:
    """Measure D3: the share of units whose variance over the batch is at most the threshold.

    Dopamine's Rainbow with mixtures of experts counts them at 0, 0.001 and 0.01.
    """
    return _share("low_variance", scores.variance, "threshold", threshold)


def inactive(tau: float = 0.01) -> Metric:
    """Measure D4: the share of units whose mean |dL/dh| is at most tau times their layer's mean.

    GraMa as in the paper's text, arXiv 2505.24061.
    """
    return _share("inactive", scores.feature_gradient, "tau", tau)


def inactive_as_released(tau: float = 0.01) -> Metric:
    """Measure D4 as released: by gradients of incoming weights; norms count as layers, too."""
    return _share("inactive_as_released", scores.weight_gradient, "tau", tau)


def _share(kind: str, score: Score, argument: str, threshold: float) -> Metric:
    """Make the metric of the share of units whose score is at most the threshold.

    argument: the name of the threshold in the caller.
    """
    name = f"{kind}_{number(argument, threshold):g}"

    def metric(learner: Learner, probe: Probe, inspection: Inspection) -> Found:
        found = score(learner, probe, inspection)
        return fractions(name, below(found, threshold), found)

    return named(metric, name)


def dead(learner: Learner, probe: Probe, inspection: Inspection) -> Found:
    """Measure the share of units that are exactly zero on the whole batch: dead ReLUs."""
    silent = {layer: ~jnp.any(_rows(h) != 0, 0) for layer, h in _all(probe)}
    return fractions("dead", silent, probe.features)


def ranks(learner: Learner, probe: Probe, inspection: Inspection) -> Found:
    """Measure effective rank, stable rank and srank(0.01) of each layer's features: `ops.rank`."""
    values = {layer: rank.singular_values(_rows(h)) for layer, h in _all(probe)}
    found: Found = {}
    for function in (rank.effective_rank, rank.stable_rank, rank.srank):
        found |= sums(function.__name__, {layer: function(x) for layer, x in values.items()})
    return found


def feature_norm(learner: Learner, probe: Probe, inspection: Inspection) -> Found:
    """Measure the mean norm of a layer's feature vector (Lyle et al. 2022, arXiv 2204.09560)."""
    norms = {layer: jnp.mean(jnp.linalg.norm(_rows(h), axis=1)) for layer, h in _all(probe)}
    return sums("feature_norm", norms)


def weight_norm(learner: Learner, probe: Probe, inspection: Inspection) -> Found:
    """Measure the Euclidean norm of each layer's incoming parameters, and of all parameters."""
    return _norms("weight_norm", learner.params, inspection)


def raw_gradient_norm(learner: Learner, probe: Probe, inspection: Inspection) -> Found:
    """Measure the Euclidean norm of the gradient on the probe's batch, before clipping."""
    return _norms("raw_gradient_norm", probe.grads, inspection)


def _norms(name: str, values: PyTree, inspection: Inspection) -> Found:
    layers = {
        edge.layer: optax.tree.norm([tree.at(values, path) for path in edge.incoming])
        for edge in inspection.network.wiring
    }
    return by_layer(name, layers, optax.tree.norm(values))


def gradient_covariance(learner: Learner, probe: Probe, inspection: Inspection) -> Found:
    """Measure how similar the loss gradients of samples are, with respect to each layer's features.

    Lyle et al. 2023, arXiv 2303.01486, study the matrix of cosines between gradients of samples.
    `gradient_cosine` is its mean off the diagonal (averaged over layers), `gradient_rank` the
    effective rank of the gradients scaled to unit length. The paper uses gradients of parameters,
    which would take a backward pass for every sample.
    """
    unit = {}
    for layer, gradient in probe.feature_grads.items():
        rows = _rows(gradient)
        length = jnp.linalg.norm(rows, axis=1, keepdims=True)
        unit[layer] = rows / jnp.where(length > 0, length, 1.0)
    cosines = {layer: _mean_cosine(x) for layer, x in unit.items()}
    values = {layer: rank.effective_rank(rank.singular_values(x)) for layer, x in unit.items()}
    mean = sum(cosines.values(), jnp.zeros(())) / max(len(cosines), 1)
    return by_layer("gradient_cosine", cosines, mean) | sums("gradient_rank", values)


def _mean_cosine(unit: Array) -> Array:
    """Compute the mean product of two different rows of f32[n, H]; 0 for a single row."""
    n = unit.shape[0]
    whole = jnp.sum(jnp.square(jnp.sum(unit, axis=0))) - jnp.sum(jnp.square(unit))
    return whole / max(float(n) * (n - 1), 1.0)


def gradient_snr(learner: Learner, probe: Probe, inspection: Inspection) -> Found:
    """Measure the signal-to-noise ratio of dL/dh: |mean| / std over samples, averaged over units.

    Graesser et al. 2022, arXiv 2206.10369, measure it on all parameters; gradients with respect to
    features come free with the probe. A unit without any gradient counts as 0.
    """
    ratios = {}
    for layer, gradient in probe.feature_grads.items():
        rows = _rows(gradient)
        deviation = jnp.std(rows, axis=0)
        signal = jnp.abs(jnp.mean(rows, axis=0))
        ratios[layer] = signal / jnp.where(deviation > 0, deviation, jnp.inf)
    units = max(sum(x.shape[0] for x in ratios.values()), 1)
    total = sum((jnp.sum(x) for x in ratios.values()), jnp.zeros(())) / units
    return by_layer("gradient_snr", {layer: jnp.mean(x) for layer, x in ratios.items()}, total)


def policy_churn(learner: Learner, probe: Probe, inspection: Inspection) -> Found:
    """Measure how much one update changes the greedy policy on the observations of its rollout.

    Schaul et al. 2022, arXiv 2206.00730: the share of observations whose greedy action changes; for
    continuous actions the mean distance. Recurrent agents act as at the start of an episode.
    """
    before, after = inspection.actions()
    if jnp.issubdtype(before.dtype, jnp.integer):
        return {"policy_churn": jnp.mean((before != after).astype(jnp.float32))}
    return {"policy_churn": jnp.mean(jnp.linalg.norm(after - before, axis=-1))}


def _all(probe: Probe) -> list[tuple[str, Array]]:
    return list(probe.features.items())


def _rows(x: Array) -> Array:
    """Reshape a feature to samples and units, f32[n, H]."""
    return jnp.reshape(x, (-1, x.shape[-1]))


CHEAP: tuple[Metric, ...] = (
    dormant(0.0),
    dormant(0.025),
    dormant(0.1),
    dormant_of_sum(0.0),
    low_variance(0.0),
    low_variance(0.001),
    low_variance(0.01),
    inactive(0.0),
    inactive(0.01),
    inactive_as_released(0.01),
    dead,
    ranks,
    feature_norm,
    weight_norm,
    raw_gradient_norm,
    gradient_covariance,
    gradient_snr,
    policy_churn,
    routing,
)
"""All metrics that need no more than one probe."""
