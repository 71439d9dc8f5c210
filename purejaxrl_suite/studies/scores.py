"""From the curves of an arm to what claims are about, as the effects of studies take them."""

from collections.abc import Callable, Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np

from purejaxrl_suite.core.types import Array, Key
from purejaxrl_suite.stats import (
    REFERENCES,
    Effect,
    Reference,
    estimate,
    final_score,
    mean,
    normalize_tasks,
)
from purejaxrl_suite.studies.protocol import Curves


def normalized_scores(
    curves: Curves,
    measure: Callable[[Any], Array] = final_score,
    references: Mapping[str, Reference] = REFERENCES,
) -> Array:
    """One normalized score per member, f32[S, ..., environments].

    curves: of an arm, over (environment, ..., seed, step). measure: f32[..., T] -> f32[...], such
    as `final_score` or `area_under_curve`, of returns. A member that diverged scores like a random
    policy, 0; one that has not finished an episode is missing, NaN.
    Raises ValueError for an environment that `references` does not have.
    """
    values = curves["episode_return"].transpose("seed", ..., "environment", "step").values
    measured = measure(np.asarray(values, np.float32))
    tasks = [str(name) for name in curves["environment"].values]
    by_task = normalize_tasks({n: measured[..., i] for i, n in enumerate(tasks)}, references)
    diverged = np.asarray(curves["diverged"].transpose("seed", ..., "environment").values, bool)
    return jnp.where(diverged, 0.0, jnp.stack([by_task[name] for name in tasks], axis=-1))


def estimated(key: Key, values: Array, statistic: Callable[[Array], Array] = mean) -> Effect:
    """A statistic of f32[S, ...] with its interval, as the effect of S seeds."""
    return Effect(*estimate(key, values, statistic), jnp.int32(values.shape[0]))


def late(curves: Curves, measured: Any, share: float) -> Array:
    """A measurement over the last part of training, f32[S, ..., environments].

    measured: of `curves`, over (environment, ..., seed, step). share: of training. NaN where a
    member diverged.
    """
    known = measured.where(~curves["diverged"]).transpose("seed", ..., "environment", "step")
    return final_score(known.values, share)
