"""Gates that several studies share: something was learnt, a treatment acted."""

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
"""Twice the smallest effect of interest: with lower scores no effect could show."""


def reaches(
    name: str,
    statement: str,
    arm: str,
    bound: float,
    score: Score = normalized_scores,
    remedy: str = "more steps",
) -> Gate:
    """Make a gate: an arm's mean score is above a bound on every task, even the worst.

    A task without a finished episode has no score and fails.

    Args:
        name: of the gate.
        statement: one sentence.
        arm: name of the arm.
        bound: of the score.
        score: curves -> f32[S, ..., tasks].
        remedy: what would be needed if the gate fails.

    Returns:
        The gate.
    """
    measure = partial(worst_task, score=score)
    return Gate(
        name,
        statement,
        over=(arm,),
        measure=measure,
        direction=MORE,
        bound=bound,
        unit="normalized score",
        remedy=remedy,
    )


def worst_task(key: Key, curves: Curves, score: Score) -> Effect:
    """Estimate the smallest mean score of any task."""
    return estimated(key, score(curves), smallest_mean)


def smallest_mean(scores: Array) -> Array:
    """Compute the smallest mean over tasks, f32[S, ..., tasks] -> f32[]; NaN if a task has none."""
    return jnp.min(jnp.nanmean(jnp.reshape(scores, (-1, scores.shape[-1])), axis=0))


def recycles(name: str, statement: str, arm: str, counter: str, bound: float, **at: Any) -> Gate:
    """Make a gate: an intervention recycled more units than a bound, averaged over members.

    Args:
        name: of the gate.
        statement: one sentence.
        arm: name of the arm.
        counter: a counter in the curves, such as `redo_recycled`.
        bound: of the number of units.
        **at: selects a part of the curves, by axis.

    Returns:
        The gate.
    """
    measure = partial(recycled, counter=counter, at=at)
    remedy = "longer runs, or networks that lose units"
    return Gate(
        name,
        statement,
        over=(arm,),
        measure=measure,
        direction=MORE,
        bound=bound,
        unit="units",
        remedy=remedy,
    )


def recycled(key: Key, curves: Curves, counter: str, at: dict[str, Any]) -> float:
    """Count the units recycled in the whole training, averaged over members."""
    del key  # a count: nothing is drawn
    return float(np.nansum(curves[counter].sel(at).values) / curves["diverged"].sel(at).size)
