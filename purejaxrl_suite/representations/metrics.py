"""Metrics of what representations encode, of every agent: from the samples of one probe.

Representations are `output_layers`: one for each stream of a network, so those of an actor and of
its critic are measured side by side. Each quantity is recorded for every layer, such as
`information_value.encoder.critic.conv_0`, and as their mean, `information_value`.

The informations are those of Garcin et al. 2025, arXiv 2503.06343; level identities are not known
to an agent (`information_of_rollout` takes them). Values are the agent's own.
"""

from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp

from purejaxrl_suite.core.argument import integer
from purejaxrl_suite.core.types import (
    Array,
    Inspection,
    Learner,
    Metric,
    Network,
    Probe,
    Samples,
)
from purejaxrl_suite.ops import behavioural, dependence
from purejaxrl_suite.plasticity.names import by_layer, named
from purejaxrl_suite.representations.layers import (
    Rows,
    features_at,
    output_layers,
    reads_actions,
)

Found = dict[str, Array]


def information(neighbours: int = 3) -> Metric:
    """Measure how much representations Z say of actions, values and successors, in nats.

    `information_action` is I(Z; A), of the actions taken. `information_value` is I(Z; V), of the
    agent's values. `information_next` is I(Z; Z'), of the next representation, and
    `information_transition` I((Z, Z'); A); both leave out terminations, and are not recorded of
    networks with a memory and of critics that read actions. Estimated from nearest neighbours
    (`ops.dependence`), all variables scaled to unit variance: of few samples of many units,
    estimates are far too low, but those of layers of one size may be compared.

    Args:
        neighbours: k of the estimators.

    Returns:
        The metric.

    Raises:
        ValueError: the number of neighbours is not positive.
    """
    k = integer("neighbours", neighbours, 1)

    def metric(learner: Learner, probe: Probe, inspection: Inspection) -> Found:
        samples, seen = _seen(probe, inspection)
        after = _after(learner, samples, inspection.network)
        scaled = {layer: dependence.unit_variance(z) for layer, z in seen.items()}
        followed = {layer: z for layer, z in scaled.items() if layer in after}
        action = encoded(samples.action)
        value = dependence.unit_variance(samples.value[:, None])
        where = ~samples.terminated

        def of_action(layer: str, z: Array) -> Array:
            return _with(z, action, k)

        def of_value(layer: str, z: Array) -> Array:
            return dependence.mutual_information(z, value, k)

        def of_next(layer: str, z: Array) -> Array:
            return dependence.mutual_information(z, after[layer], k, where)

        def of_transition(layer: str, z: Array) -> Array:
            return _with(jnp.concatenate([z, after[layer]], axis=1), action, k, where)

        found = _of_layers("information_action", of_action, scaled)
        found |= _of_layers("information_value", of_value, scaled)
        found |= _of_layers("information_next", of_next, followed)
        return found | _of_layers("information_transition", of_transition, followed)

    return named(metric, f"information_{k}")


def value_alignment(learner: Learner, probe: Probe, inspection: Inspection) -> Found:
    """Measure Spearman's correlation of |z - z'|^2 and |v - v'| over all pairs of samples.

    It is what MICo promises: states are near where their values are. NaN if all are equal.
    """
    samples, seen = _seen(probe, inspection)
    pairs = jnp.triu_indices(len(samples.value), 1)
    apart = behavioural.pair_differences(samples.value)[pairs]

    def aligned(layer: str, z: Array) -> Array:
        return dependence.spearman(behavioural.squared_distances(z, z)[pairs], apart)

    return _of_layers("value_alignment", aligned, seen)


def effective_dimension(learner: Learner, probe: Probe, inspection: Inspection) -> Found:
    """Measure (sum of eigenvalues)^2 / sum of their squares of the covariance of a representation.

    The participation ratio: the number of directions, if samples vary alike in each.
    """
    _, seen = _seen(probe, inspection)
    return _of_layers(
        "effective_dimension", lambda layer, z: dependence.participation_ratio(z), seen
    )


METRICS: tuple[Metric, ...] = (information(), value_alignment, effective_dimension)
"""All of them."""


def encoded(action: Array) -> Array:
    """Return labels i32[n] of discrete actions, or rows f32[n, A] of unit variance."""
    if jnp.issubdtype(action.dtype, jnp.integer):
        return action
    return dependence.unit_variance(jnp.reshape(action, (len(action), -1)))


def _with(x: Array, action: Array, k: int, where: Array | None = None) -> Array:
    """Information of rows and actions, which are labels or rows."""
    of_labels = action.ndim == 1
    how = dependence.mutual_information_with_labels if of_labels else dependence.mutual_information
    return how(x, action, k, where)


def _seen(probe: Probe, inspection: Inspection) -> tuple[Samples, Rows]:
    """The samples, and their representations f32[B, D] by layer."""
    samples = probe.samples
    if samples is None:
        raise ValueError("metrics: expected an agent whose probe shows its samples")
    layers = output_layers(inspection.network)
    n = len(samples.value)
    return samples, {name: jnp.reshape(probe.features[name], (n, -1)) for name in layers}


def _after(learner: Learner, samples: Samples, network: Network) -> Rows:
    """The representations of successors, of unit variance, of layers that have them."""
    if jax.tree.leaves(jax.eval_shape(lambda: network.memory(1))):
        return {}
    layers = tuple(name for name in output_layers(network) if not reads_actions(name))
    found = features_at(network, learner.params, samples.next_obs, layers)
    return {layer: dependence.unit_variance(z) for layer, z in found.items()}


def _of_layers(
    name: str, measured: Callable[[str, Array], Array], rows: Mapping[str, Array]
) -> Found:
    if not rows:
        return {}
    each = {layer: measured(layer, z) for layer, z in rows.items()}
    return by_layer(name, each, sum(each.values(), jnp.zeros(())) / len(each))
