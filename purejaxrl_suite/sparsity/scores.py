"""How much each weight is worth: what scores least is pruned first, what scores most grows first.

A score is a function (key, seen) -> f32, a tree like the parameters; only kernels are read of it.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from purejaxrl_suite.core import tree
from purejaxrl_suite.core.argument import function
from purejaxrl_suite.core.types import Array, Key, PyTree
from purejaxrl_suite.sparsity.layers import kernels, replaced


class Seen(NamedTuple):
    """What masks are made from.

    params: the parameters. grads: raw gradients of them on the current minibatch, also of weights
    that are pruned. second_moments: of the optimizer, or None where it has none.
    """

    params: PyTree
    grads: PyTree
    second_moments: PyTree = None


Score = Callable[[Key, Seen], PyTree]
"""(key, seen) -> f32, a tree like the parameters."""


def magnitude(key: Key, seen: Seen) -> PyTree:
    """Score weights by |w| (Zhu and Gupta 2017, arXiv 1710.01878)."""
    return jax.tree.map(jnp.abs, seen.params)


def random(key: Key, seen: Seen) -> PyTree:
    """Score weights by chance, uniform in [0, 1)."""
    leaves, structure = jax.tree.flatten(seen.params)
    keys = jax.random.split(key, len(leaves))
    drawn = [jax.random.uniform(key, x.shape) for key, x in zip(keys, leaves, strict=True)]
    return structure.unflatten(drawn)


def saliency(key: Key, seen: Seen) -> PyTree:
    """Score weights by |w dL/dw|, what the loss loses without them to first order.

    Molchanov et al. 2016, arXiv 1611.06440, on the current minibatch.
    """
    return jax.tree.map(lambda w, g: jnp.abs(w * g), seen.params, seen.grads)


def adam_fisher(key: Key, seen: Seen) -> PyTree:
    """Score weights by w^2 nu, with Adam's second moment nu for the diagonal of the Fisher matrix.

    A diagonal form of WoodFisher (Singh and Alistarh 2020, arXiv 2004.14340), as JaxPruner has it.
    Raises ValueError, before anything is compiled, where the optimizer has no second moments.
    """
    if seen.second_moments is None:
        raise ValueError("optimizer: expected one with second moments (`nu`), such as Adam")
    return jax.tree.map(lambda w, nu: jnp.square(w) * nu, seen.params, seen.second_moments)


def gradient(key: Key, seen: Seen) -> PyTree:
    """Score weights by |dL/dw|, as RigL grows (Evci et al. 2020, arXiv 1911.11134)."""
    return jax.tree.map(jnp.abs, seen.grads)


def globally(score: Score) -> Score:
    """Divide the scores of every layer by their L2 norm, so that layers can be compared.

    Every entry of a stack is a layer. Where all scores are zero they stay zero.
    """
    function("score", score, 2, "(key, seen) -> a tree like the parameters")

    def normalized(key: Key, seen: Seen) -> PyTree:
        found = score(key, seen)
        named = tree.named(found)
        units = {
            layer.name: jnp.reshape(_unit(layer.apart(named[layer.name])), named[layer.name].shape)
            for layer in kernels(seen.params)
        }
        return replaced(found, units)

    return normalized


def _unit(x: Array) -> Array:
    """Of [entries, ...] each at length 1, or zero."""
    rows = jnp.reshape(x, (x.shape[0], -1))
    norm = jnp.sqrt(jnp.sum(jnp.square(rows), axis=1, keepdims=True))
    return rows / jnp.where(norm == 0, 1.0, norm)
