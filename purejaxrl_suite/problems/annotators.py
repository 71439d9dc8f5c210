"""Who prefers: annotators of pairs of items (Dumoulin et al. 2023, arXiv 2311.14115).

An annotator chooses by scores of items, as its behaviour says (`ops.preferences`); several of them,
each asked about a part of the pairs, need not be describable by any scores.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from purejaxrl_suite.core.types import Array
from purejaxrl_suite.ops import preferences
from purejaxrl_suite.ops.preferences import Behaviour
from purejaxrl_suite.problems.items import Items


class Annotator(NamedTuple):
    """Annotators, each with scores of all items; one of them is asked about each pair.

    scores: f[K, N]. log_weights: f[K], log probabilities of being asked.
    """

    scores: Array
    log_weights: Array

    def probabilities(self) -> Array:
        """Compute the probability f[N, N] that item i (axis 0) is preferred to item j."""
        wins = jax.nn.sigmoid(preferences.margins(self.scores))
        return jnp.einsum("k,kij->ij", jnp.exp(self.log_weights), wins)


MakesAnnotator = Callable[[Items, Array], Annotator]
"""(items, log density of the prior f[N]) -> the annotator."""


def chooses(items: Items, log_prior: Array) -> Annotator:
    """Make the annotator who chooses by the target's odds, Luce's rule."""
    del log_prior
    return _one(preferences.luce(), items)


def chooses_directly(items: Items, log_prior: Array, beta: float = 4.0) -> Annotator:
    """Make the annotator who chooses as DPO assumes."""
    return _one(preferences.direct(log_prior, beta), items)


def chooses_geometrically(items: Items, log_prior: Array, alpha: float = 0.25) -> Annotator:
    """Make the annotator of whom a geometric average with the prior is learnt."""
    return _one(preferences.geometric(log_prior, alpha), items)


def disagree(items: Items, log_prior: Array) -> Annotator:
    """Make an annotator for each part of the target, asked by its weight; each follows Luce."""
    del log_prior
    return Annotator(jnp.asarray(items.log_parts), jnp.log(jnp.asarray(items.weights)))


def _one(behaviour: Behaviour, items: Items) -> Annotator:
    return Annotator(behaviour.scores(jnp.asarray(items.log_target))[None], jnp.zeros(1))
