"""How one target sparsity is spread over layers.

A sparsity is the share of weights that are zero. The total that a target speaks of is that of all
prunable kernels; the target is traced, so all levels of a sweep are one program.
"""

import math
from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from purejaxrl_suite.core.argument import instance, number, one_of, wrong
from purejaxrl_suite.core.types import Array
from purejaxrl_suite.sparsity.layers import Layer


class Distribution(NamedTuple):
    """name: with its settings.

    allocate: (layers, target f32[]) -> f32[L], the sparsity of each of L layers.
    dense: name of a layer -> whether it is never pruned, whatever the target: no structure has to
        fit it.
    told: sparsities that layers have whatever the target.
    """

    name: str
    allocate: Callable[[tuple[Layer, ...], Array], Array]
    dense: Callable[[str], bool] = lambda name: False
    told: tuple[float, ...] = ()


def check_target(name: str, value: float) -> float:
    """The target sparsity itself; ValueError unless it is in [0, 1)."""
    return number(name, value, 0, below=1)


def uniform() -> Distribution:
    """Prune every layer to the target."""
    return Distribution("uniform", lambda layers, target: jnp.full(len(layers), target))


def erk() -> Distribution:
    """Prune by the Erdos-Renyi-kernel rule: large layers more than small ones.

    The density of a layer is proportional to sum(shape) / prod(shape) (Mocanu et al. 2018, arXiv
    1707.04780; of convolutions as in RigL, arXiv 1911.11134). A layer that would have more weights
    than there are is dense, and the factor is solved for again with the others, until all fit.
    """

    def allocate(layers: tuple[Layer, ...], target: Array) -> Array:
        raw = np.array([sum(layer.shape) / math.prod(layer.shape) for layer in layers])
        sizes = np.array([layer.size for layer in layers], float)
        order = np.argsort(-raw, kind="stable")
        share, density = (sizes / sizes.sum())[order], raw[order]
        # With the first k layers dense, k = 0 .. L - 1: their share, the rest's weight, its factor.
        dense = np.cumsum(share) - share
        weight = np.cumsum((density * share)[::-1])[::-1]
        density = jnp.asarray(density, jnp.float32)
        factor = (1.0 - target - jnp.asarray(dense, jnp.float32)) / jnp.asarray(weight, jnp.float32)
        fits = (factor * density <= 1.0).at[-1].set(True)  # rounding apart it always is
        found = 1.0 - jnp.minimum(factor[jnp.argmax(fits)] * density, 1.0)
        # Target 0 is 0 everywhere, to the last bit: `n_of_m` tells dense layers by it.
        return jnp.where(target > 0, found, 0.0)[np.argsort(order)]

    return Distribution("erk", allocate)


def per_leaf(
    sparsities: Mapping[str, float], otherwise: Distribution | None = None
) -> Distribution:
    """Prune some layers to sparsities of their own, whatever the target.

    Args:
        sparsities: {name of a leaf, or of what it is under: in [0, 1)}: `trunk.dense_0.kernel`, or
            `trunk.actor` for all of an actor's. The longest name counts; 0 keeps layers dense.
        otherwise: spreads the target over the other layers, which it is then the total of; None is
            `uniform()`.

    Raises ValueError for a sparsity outside [0, 1), and, when masks are made, for a name that no
    leaf has, and where no layer is left that the target could be of.
    """
    instance("sparsities", sparsities, Mapping)
    if not sparsities:
        raise wrong("sparsities", "one layer or more", sparsities)
    fixed = {
        instance("sparsities", name, str): check_target(f"sparsities[{name!r}]", value)
        for name, value in sparsities.items()
    }
    others = uniform() if otherwise is None else instance("otherwise", otherwise, Distribution)

    def given(name: str) -> float | None:
        parts = name.split(".")
        stems = (".".join(parts[:i]) for i in range(len(parts), 0, -1))
        return next((fixed[stem] for stem in stems if stem in fixed), None)

    def allocate(layers: tuple[Layer, ...], target: Array) -> Array:
        known = [layer.name for layer in layers]
        for name in fixed:
            if not any(f"{leaf}.".startswith(f"{name}.") for leaf in known):
                one_of("sparsities", name, known)
        free = tuple(layer for layer in layers if given(layer.name) is None)
        if not free:
            text = "expected a layer without one, which the target is for"
            raise ValueError(f"sparsities: {text}, got {', '.join(fixed)}: all of them")
        rest = iter(others.allocate(free, target))
        values = (given(name) for name in known)
        return jnp.stack([next(rest) if x is None else jnp.float32(x) for x in values])

    text = ", ".join(f"{name}={value:g}" for name, value in fixed.items())
    return Distribution(
        name=f"per_leaf({text}, {others.name})",
        allocate=allocate,
        dense=lambda name: given(name) == 0 or (given(name) is None and others.dense(name)),
        told=(*fixed.values(), *others.told),
    )
