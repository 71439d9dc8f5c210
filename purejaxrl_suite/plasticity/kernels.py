"""Metrics from gradients of outputs, one for each observation: expensive, so measure rarely.

They take the memory of one copy of all parameters for each observation.
"""

import jax
import jax.numpy as jnp
import numpy as np

from purejaxrl_suite.core import tree
from purejaxrl_suite.core.argument import integer, number
from purejaxrl_suite.core.types import Array, Inspection, Learner, Metric, Network, Probe, PyTree
from purejaxrl_suite.ops import rank
from purejaxrl_suite.plasticity.names import by_layer, named


def tangent_kernel(samples: int = 32, threshold: float = 0.01) -> Metric:
    """Make the metric of ranks of the empirical neural tangent kernel (NTK).

    Jacot et al. 2018, arXiv 1806.07572: products of the gradients of outputs at two observations,
    here of the sum of all outputs (Mohamadi et al. 2023, arXiv 2206.12543). `entk_rank` is the
    number of eigenvalues above a share of the largest, as in Dopamine's code for mixtures of
    experts, which uses gradients of losses; `entk_effective_rank` is their effective rank.

    samples: observations. threshold: the share of the largest eigenvalue.
    """
    integer("samples", samples, 1)
    number("threshold", threshold, 0, high=1)

    def metric(learner: Learner, probe: Probe, inspection: Inspection) -> dict[str, Array]:
        gradients = jax.tree.leaves(output_gradients(inspection, learner.params, samples))
        rows = jnp.concatenate([jnp.reshape(g, (g.shape[0], -1)) for g in gradients], axis=1)
        values = jnp.square(rank.singular_values(rows))
        return {
            "entk_rank": rank.numerical_rank(values, threshold),
            "entk_effective_rank": rank.effective_rank(values),
        }

    return named(metric, "tangent_kernel")


def nullspace_ratio(samples: int = 64, entries: int = 100) -> Metric:
    """Make the metric of the null space of a layer's gradients, from GraMa's code.

    arXiv 2505.24061: gradients of the output with respect to some entries of each layer's incoming
    parameters, scaled to unit length for each observation; the number of singular values below 1e-5
    of the largest, over the number of observations.

    samples: observations. entries: parameters of each layer.
    """
    integer("samples", samples, 1)
    integer("entries", entries, 1)

    def metric(learner: Learner, probe: Probe, inspection: Inspection) -> dict[str, Array]:
        gradients = output_gradients(inspection, learner.params, samples)
        ratios = {}
        for edge in inspection.network.wiring:
            leaves = [tree.at(gradients, path) for path in edge.incoming]
            rows = jnp.concatenate([jnp.reshape(g, (g.shape[0], -1)) for g in leaves], axis=1)
            ratios[edge.layer] = _null_share(rows[:, _spread(rows.shape[1], entries)])
        total = sum(ratios.values(), jnp.zeros(())) / max(len(ratios), 1)
        return by_layer("nullspace_ratio", ratios, total)

    return named(metric, "nullspace_ratio")


def output_gradients(inspection: Inspection, params: PyTree, samples: int) -> PyTree:
    """Compute gradients of the mean output, leaves [n, ...], at n <= samples observations.

    Recurrent networks are evaluated as at the start of an episode.
    """
    network, obs = inspection.network, inspection.obs()

    def output(params: PyTree, obs: Array) -> Array:
        return _mean_output(network, params, obs)

    chosen = obs[_spread(obs.shape[0], samples)]
    return jax.vmap(jax.grad(output), (None, 0))(params, chosen)


def _mean_output(network: Network, params: PyTree, obs: Array) -> Array:
    found, _ = network.apply(params, obs[None], network.memory(1), {})
    return jnp.mean(jnp.concatenate([jnp.ravel(x) for x in jax.tree.leaves(found)]))


def _null_share(rows: Array) -> Array:
    length = jnp.linalg.norm(rows, axis=1, keepdims=True)
    # A singular value decomposition: the Gram matrix would hide such small values.
    values = jnp.linalg.svd(rows / jnp.where(length > 0, length, 1.0), compute_uv=False)
    share = jnp.sum(values <= 1e-5 * values[0]) / rows.shape[0]
    return jnp.where(jnp.isnan(values[0]), jnp.nan, share)


def _spread(size: int, count: int) -> np.ndarray:
    """Spread up to `count` indices evenly over `size` entries."""
    return np.linspace(0, size - 1, min(size, count)).astype(np.int32)


COSTLY: tuple[Metric, ...] = (tangent_kernel(), nullspace_ratio())
"""All metrics that take a backward pass for each of some observations."""
