"""From the curves of an arm to normalized scores, as the effects of studies take them."""

from collections.abc import Callable, Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np

from purejaxrl_suite.core.types import Array
from purejaxrl_suite.stats import REFERENCES, Reference, final_score, normalize_tasks
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
