"""Normalize scores of different tasks: 0 is a random policy, 1 the reference agent."""

from collections.abc import Mapping

import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.typing import ArrayLike

from purejaxrl_suite.core.types import Array
from purejaxrl_suite.stats.references import REFERENCES, Reference


def normalize(scores: ArrayLike, random: ArrayLike, reference: ArrayLike) -> Array:
    """Normalize scores: (scores - random) / (reference - random).

    Args:
        scores: f32[S, tasks], or of any shape if `random` and `reference` are numbers; NaN stays.
        random: f32[tasks], in the order of the last axis of scores, or one number for all.
        reference: the same.

    Returns:
        f32 of the shape of scores.

    Raises:
        ValueError: shapes do not fit, or random equals reference (checked unless traced).
    """
    scores = jnp.asarray(scores, jnp.float32)
    for name, ends in (("random", random), ("reference", reference)):
        if np.shape(ends) not in ((), scores.shape[-1:]):
            expected = f"one number or {scores.shape[-1:]}, one per task"
            raise ValueError(f"{name}: expected {expected}, got shape {np.shape(ends)}")
    traced = isinstance(random, Tracer) or isinstance(reference, Tracer)
    if not traced and np.any(np.asarray(random) == np.asarray(reference)):
        raise ValueError(f"reference: expected other numbers than random, got {reference}")
    low, high = (
        jnp.broadcast_to(jnp.asarray(x, jnp.float32), scores.shape) for x in (random, reference)
    )
    return (scores - low) / (high - low)


def normalize_tasks(
    scores: Mapping[str, ArrayLike], references: Mapping[str, Reference] = REFERENCES
) -> dict[str, Array]:
    """Normalize {task: scores f32[...]} by a table of references, task by task.

    Raises:
        ValueError: the table lacks a task.
    """
    unknown = sorted(set(scores) - set(references))
    if unknown:
        known = ", ".join(sorted(references))
        raise ValueError(f"scores: no reference for {', '.join(unknown)} (known: {known})")
    ends = {task: references[task] for task in scores}
    return {
        task: normalize(scores[task], ends[task].random.value, ends[task].reference.value)
        for task in scores
    }
