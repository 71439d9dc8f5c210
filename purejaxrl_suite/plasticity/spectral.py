"""Spectral normalisation of hidden layers (Gogianu et al. 2021, arXiv 2105.05246)."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from purejaxrl_suite.core.argument import instance, instances, wrong
from purejaxrl_suite.core.types import Array, Internals, Network, Path, PyTree

ITERATIONS = 8


def spectral_normalization(network: Network, layers: tuple[str, ...] | None = None) -> Network:
    """Divide kernels of a network by their largest singular value whenever it is applied.

    The value is estimated by power iteration (Miyato et al. 2018, arXiv 1802.05957) from one fixed
    vector, so that the network stays a function of its parameters.

    Args:
        network: to normalize.
        layers: names of hidden layers; None is the last ones, which heads read (the choice that
            helps in the paper). Their units are no longer recyclable: the norm of a kernel ties
            them together.

    Returns:
        The network.

    Raises:
        ValueError: the network lacks a layer.
    """
    instance("network", network, Network)
    known = {edge.layer: edge for edge in network.wiring}
    last = [n for n, edge in known.items() if any(path[0] == "heads" for path in edge.outgoing)]
    chosen = tuple(last) if layers is None else instances("layers", layers, str)
    if not chosen or not set(chosen) <= set(known):
        raise wrong("layers", f"some of {', '.join(known)}", chosen)
    kernels = [path for n in chosen for path in known[n].incoming if path[-1] == "kernel"]

    def apply(params: PyTree, *arguments: Any, **more: Any) -> tuple[Any, Internals]:
        return network.apply(_normalized(params, kernels), *arguments, **more)

    def unroll(params: PyTree, *arguments: Any, **more: Any) -> tuple[Any, Internals]:
        return network.unroll(_normalized(params, kernels), *arguments, **more)

    wiring = tuple(
        edge._replace(recyclable=edge.recyclable and edge.layer not in chosen)
        for edge in network.wiring
    )
    return network._replace(apply=apply, unroll=unroll, wiring=wiring)


def spectral_norm(kernel: Array) -> Array:
    """Estimate the largest singular value of f32[..., H], last axis against all others, from below.

    Its gradient is exact if the singular vectors are.
    """
    matrix = jnp.reshape(kernel, (-1, kernel.shape[-1]))
    fixed = jax.lax.stop_gradient(matrix)
    start = np.random.default_rng(0).normal(size=kernel.shape[-1]).astype(np.float32)
    right = _unit(jnp.asarray(start))
    left = _unit(fixed @ right)
    for _ in range(ITERATIONS - 1):
        right = _unit(fixed.T @ left)
        left = _unit(fixed @ right)
    return left @ (matrix @ right)


def _normalized(params: PyTree, kernels: list[Path]) -> PyTree:
    for path in kernels:
        params = _divided(params, path)
    return params


def _divided(node: PyTree, path: Path) -> PyTree:
    if not path:
        norm = spectral_norm(node)
        return node / jnp.where(norm > 0, norm, 1.0)
    return {**node, path[0]: _divided(node[path[0]], path[1:])}


def _unit(x: Array) -> Array:
    length = jnp.linalg.norm(x)
    return x / jnp.where(length > 0, length, 1.0)
