"""Metrics of routers of mixtures of experts, and of the sizes of networks."""

import jax
import jax.numpy as jnp

from purejaxrl_suite.core.types import Array, Inspection, Learner, Probe
from purejaxrl_suite.plasticity.names import by_layer, sums


def routing(learner: Learner, probe: Probe, inspection: Inspection) -> dict[str, Array]:
    """Measure the routers of a network on the observations of the rollout; {} without routers.

    `router_entropy` is the entropy of the probabilities of experts for a token, in nats;
    `router_dropped` the share of choices without a free slot; `router_load_max` the share of the
    work of the busiest expert. Each is the mean over observations and layers, and is also recorded
    for each layer. `router_probability.LAYER.expert_I` and `router_load.LAYER.expert_I` are means
    of one expert.
    """
    network, obs = inspection.network, inspection.obs()
    memory = network.memory(obs.shape[0])
    router = network.apply(learner.params, obs, memory, {})[1].router
    layers = [name.removesuffix("/load") for name in router if name.endswith("/load")]
    if not layers:
        return {}
    probabilities = {layer: router[f"{layer}/probabilities"] for layer in layers}
    load = {layer: router[f"{layer}/load"] for layer in layers}
    found: dict[str, Array] = {}
    for name, values in (
        ("router_entropy", {layer: _entropy(x) for layer, x in probabilities.items()}),
        ("router_dropped", {layer: router[f"{layer}/dropped"] for layer in layers}),
        ("router_load_max", {layer: jnp.max(x, axis=-1) for layer, x in load.items()}),
    ):
        means = {layer: jnp.mean(x) for layer, x in values.items()}
        found |= by_layer(name, means, sum(means.values(), jnp.zeros(())) / len(layers))
    for name, values in (("router_probability", probabilities), ("router_load", load)):
        for layer, x in values.items():
            for i, mean in enumerate(jnp.mean(x, axis=tuple(range(x.ndim - 1)))):
                found[f"{name}.{layer.replace('/', '.')}.expert_{i}"] = mean
    return found


def _entropy(probabilities: Array) -> Array:
    return -jnp.sum(jax.scipy.special.xlogy(probabilities, probabilities), axis=-1)


def parameters(learner: Learner, probe: Probe, inspection: Inspection) -> dict[str, Array]:
    """Count the parameters of the learner, and of each namespace: `parameters.trunk` ..."""
    counts = {
        name: jnp.float32(sum(leaf.size for leaf in jax.tree.leaves(subtree)))
        for name, subtree in learner.params.items()
    }
    return sums("parameters", counts)
