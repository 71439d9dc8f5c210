"""From the curves of an arm to what claims are about, as the effects of studies take them."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from purejaxrl_suite import stats
from purejaxrl_suite.core.types import Array, Key
from purejaxrl_suite.stats import REFERENCES, Effect, Reference, final_score
from purejaxrl_suite.studies.protocol import Curves

RETURN = "episode_return"
POINTS = 20
"""Of a curve that is drawn or kept, at most."""
Measure = Callable[[np.ndarray, np.ndarray | None], Array]
"""(curves f32[..., T], episodes f32[..., T]) -> f32[...], as `final_score`, `area_under_curve`."""


def normalized_scores(
    curves: Curves,
    measure: Measure = final_score,
    references: Mapping[str, Reference] = REFERENCES,
) -> Array:
    """One normalized score per member, f32[S, ..., environments].

    curves: of an arm, over (environment, ..., seed, step). measure: of returns. A member that
    diverged has the worst score of its task in these curves, at most that of a random policy, 0
    (`stats.with_diverged`); one that finished no episode in the window is missing, NaN.
    Raises ValueError for an environment that `references` does not have.
    """
    found = returns(curves, measure, references)
    tasks = [str(name) for name in curves["environment"].values]
    scores = {name: found[..., i] for i, name in enumerate(tasks)}
    return jnp.stack(list(stats.normalize_tasks(scores, references).values()), axis=-1)


def returns(
    curves: Curves,
    measure: Measure = final_score,
    references: Mapping[str, Reference] = REFERENCES,
) -> Array:
    """A return per member, f32[S, ..., environments]; else as `normalized_scores`."""
    names = map(str, curves["environment"].values)
    random = np.array([stats.random_score(name, references=references) for name in names])
    return stats.with_diverged(measured(curves, RETURN, measure), lost(curves), random)


def scores_of_tasks(curves: Curves, ends: Callable[[str], tuple[float, float]]) -> Array:
    """Final normalized scores f32[S, tasks] of members that play several tasks in one environment.

    ends: task -> the returns that count as 0 and as 1. A member that diverged has the worst score
    of each task, at most 0.
    """
    prefix = f"{RETURN}_"
    names = [str(name) for name in curves.data_vars if str(name).startswith(prefix)]
    found = jnp.concatenate([measured(curves, name) for name in names], axis=-1)
    return scaled(found, lost(curves), [ends(name.removeprefix(prefix)) for name in names])


def scaled(returns: Array, diverged: Any, ends: Sequence[tuple[float, float]]) -> Array:
    """Normalized scores f32[S, tasks] of returns, by what counts as 0 and as 1 on each task."""
    low, high = np.asarray(ends, np.float32).T
    return stats.normalize(stats.with_diverged(returns, diverged, low), low, high)


def measured(curves: Curves, metric: str = RETURN, measure: Measure = final_score) -> Array:
    """A measure of a mean over episodes, f32[S, ..., environments], whoever diverged."""
    _, values, episodes = stats.curves(_ordered(curves), metric)
    return measure(values, episodes)


def lost(curves: Curves) -> np.ndarray:
    """Who diverged, bool[S, ..., environments]."""
    return np.asarray(_ordered(curves)["diverged"].values, bool)


def _ordered(curves: Curves) -> Curves:
    return curves.transpose("seed", ..., "environment", "step")


def thinned(curves: Curves, metric: str) -> tuple[np.ndarray, Array]:
    """A metric over time, as means over at most POINTS windows.

    Returns the steps at their ends [W], and f32[S, ..., W], the other axes in their order: NaN for
    members that diverged, and before all environments of a member have finished an episode.
    """
    steps, values, episodes = stats.curves(curves, metric, complete=True)
    gone = np.asarray(curves["diverged"].transpose("seed", ...).values, bool)[..., None]
    few = stats.window_means(np.where(gone, np.nan, values), episodes, POINTS)
    ends = [window[-1] for window in np.array_split(steps, few.shape[-1])]
    return np.asarray(ends), few


def estimated(key: Key, values: Array, statistic: Callable[[Array], Array] = stats.mean) -> Effect:
    """A statistic of f32[S, ...] with its interval, as the effect of S seeds."""
    return Effect(*stats.estimate(key, values, statistic), jnp.int32(values.shape[0]))


def late(curves: Curves, measured: Any, share: float) -> Array:
    """A measurement over the last part of training, f32[S, ..., environments].

    measured: of `curves`, over (environment, ..., seed, step), and no mean over episodes. share: of
    training. NaN where a member diverged.
    """
    known = measured.where(~curves["diverged"]).transpose("seed", ..., "environment", "step")
    return final_score(known.values, None, share)
