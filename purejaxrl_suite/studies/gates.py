"""Gates that several studies have: something was learnt, a treatment did something."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax.numpy as jnp
import numpy as np

from purejaxrl_suite.core.types import Array, Key
from purejaxrl_suite.stats import Effect
from purejaxrl_suite.studies.protocol import MORE, Curves, Gate
from purejaxrl_suite.studies.scores import estimated, normalized_scores

Score = Callable[[Curves], Array]
"""Curves of an arm -> f32[S, ..., tasks]."""
LEARNT = 0.1
"""A score of twice the smallest effect of interest: among lower ones none could show."""


def reaches(
    name: str,
    statement: str,
    arm: str,
    bound: float,
    score: Score = normalized_scores,
    remedy: str = "more steps",
) -> Gate:
    """Ask of an arm that its mean score is above a bound on every task, that of the worst too.

    A task in which no episode has ended has no score, and fails.
    """
    measure = partial(worst_task, score=score)
    return Gate(name, statement, (arm,), measure, MORE, bound, "normalized score", remedy)


def worst_task(key: Key, curves: Curves, score: Score) -> Effect:
    """The mean score in the task in which it is smallest."""
    return estimated(key, score(curves), smallest_mean)


def smallest_mean(scores: Array) -> Array:
    """f32[S, ..., tasks] -> f32[]: NaN where nothing is known of a task."""
    return jnp.min(jnp.nanmean(jnp.reshape(scores, (-1, scores.shape[-1])), axis=0))


def recycles(name: str, statement: str, arm: str, counter: str, bound: float, **at: Any) -> Gate:
    """Ask of an intervention that it recycled more units than a bound, in the mean of members.

    counter: of the curves, such as `redo_recycled`. at: which part of the curves, by name.
    """
    measure = partial(recycled, counter=counter, at=at)
    remedy = "longer runs, or networks that lose units"
    return Gate(name, statement, (arm,), measure, MORE, bound, "units", remedy)


def recycled(key: Key, curves: Curves, counter: str, at: dict[str, Any]) -> float:
    """Units that were recycled in all of training, the mean over members."""
    del key  # a count, of nothing that was drawn
    return float(np.nansum(curves[counter].sel(at).values) / curves["diverged"].sel(at).size)
