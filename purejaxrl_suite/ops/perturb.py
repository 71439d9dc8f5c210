"""Shrink and perturb: mix learnt parameters with freshly initialised ones."""

from collections.abc import Mapping
from typing import NamedTuple

import jax

from purejaxrl_suite.core.types import Array, PyTree


class Factors(NamedTuple):
    """Weights of old (shrink) and fresh (perturb) parameters: (1, 0) keeps, (0, 1) resets."""

    shrink: Array | float
    perturb: Array | float


KEEP, RESET = Factors(1.0, 0.0), Factors(0.0, 1.0)


def shrink_and_perturb(params: PyTree, fresh: PyTree, factors: Mapping[str, Factors]) -> PyTree:
    """Compute shrink * params + perturb * fresh of each leaf.

    Ash and Adams 2020, arXiv 1910.08475.

    Args:
        params: nested dict of the learnt parameters.
        fresh: the same structure, from `Network.init` with another key.
        factors: by namespace: `encoder`, or `aux/transition` for a part of one; the longest name
            that matches a leaf counts. Names that match no leaf are ignored, so that one mapping
            serves many networks.

    Returns:
        The mixed parameters.

    Raises:
        ValueError: no name matches a leaf.
    """

    def blend(path: tuple, old: Array, new: Array) -> Array:
        keys = [str(part.key) for part in path]
        names = ["/".join(keys[:n]) for n in range(len(keys), 0, -1)]
        found = next((factors[name] for name in names if name in factors), None)
        if found is None:
            raise ValueError(f"factors={sorted(factors)}: expected one for {names[0]!r}")
        return found.shrink * old + found.perturb * new

    return jax.tree.map_with_path(blend, params, fresh)
