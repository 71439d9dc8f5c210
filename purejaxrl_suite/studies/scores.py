"""Compute scores from the curves of an arm, for the effects of studies."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from purejaxrl_suite import stats
from purejaxrl_suite.core.types import Array, Key
from purejaxrl_suite.stats import REFERENCES, Effect, Reference, final_score
from purejaxrl_suite.stats.bootstrap import fewest_seeds
from purejaxrl_suite.studies.protocol import Curves

RETURN = "episode_return"
OF_TASK = f"{RETURN}_"
BESIDE = "beside"
"""Attribute of curves: the curves of all arms of the study, including this one."""
POINTS = 20
"""The most points of a curve that is drawn or stored."""
Measure = Callable[[np.ndarray, np.ndarray | None], Array]
"""(curves f32[..., T], episodes f32[..., T]) -> f32[...], such as `final_score`."""


def normalized_scores(
    curves: Curves,
    measure: Measure = final_score,
    references: Mapping[str, Reference] = REFERENCES,
) -> Array:
    """Compute a normalized score per member.

    A member that diverged has the worst score of its task in all arms of the study (`beside`), and
    at most 0, that of a random policy (`stats.with_diverged`).

    Args:
        curves: of an arm, over (environment, ..., seed, step).
        measure: of returns, such as `final_score`.
        references: by environment, the scores of 0 and 1.

    Returns:
        f32[S, ..., environments], NaN for a member without a finished episode in the window.

    Raises:
        ValueError: `references` lacks an environment.
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
    """Compute a return per member, like `normalized_scores` but without normalizing.

    Args:
        curves: of an arm, over (environment, ..., seed, step).
        measure: of returns, such as `final_score`.
        references: by environment, for the score of a random policy.

    Returns:
        f32[S, ..., environments].
    """
    names = [str(name) for name in curves["environment"].values]
    random = np.array([stats.random_score(name, references=references) for name in names])
    worst = lowest(curves, partial(by_task, measure=measure), names)
    found = measured(curves, RETURN, measure)
    return stats.with_diverged(found, lost(curves), np.fmin(random, worst))


def scores_of_tasks(curves: Curves, ends: Callable[[str], tuple[float, float]]) -> Array:
    """Compute final normalized scores f32[S, tasks] of members that play several tasks at once.

    ends: task -> the returns that are scaled to 0 and 1. A member that diverged has the worst score
    of each task, and at most 0.
    """
    names = [str(name) for name in curves.data_vars if str(name).startswith(OF_TASK)]
    tasks = [name.removeprefix(OF_TASK) for name in names]
    found = jnp.concatenate([measured(curves, name) for name in names], axis=-1)
    return scaled(found, lost(curves), [*map(ends, tasks)], lowest(curves, by_task, tasks))


def scaled(
    returns: Array, diverged: Any, ends: Sequence[tuple[float, float]], worst: ArrayLike = np.nan
) -> Array:
    """Normalize returns to scores f32[S, tasks].

    Args:
        returns: f32[S, tasks].
        diverged: bool, which members diverged.
        ends: of each task, the returns that are scaled to 0 and 1.
        worst: f32[tasks], the lowest returns of any member, as `lowest` finds them.

    Returns:
        The scores.
    """
    low, high = np.asarray(ends, np.float32).T
    return stats.normalize(stats.with_diverged(returns, diverged, np.fmin(low, worst)), low, high)


def beside(arms: Mapping[str, Curves]) -> dict[str, Curves]:
    """Attach to each arm's curves the curves of all arms of a study.

    So members that diverged get the worst score of all arms, whatever a claim selects of an arm:
    the worst of an arm that did well would be too good.
    """
    everyone = tuple(arms.values())
    return {name: one.assign_attrs({BESIDE: everyone}) for name, one in arms.items()}


def lowest(
    curves: Curves, of: Callable[[Curves], Mapping[Any, Any]], tasks: Sequence[Any]
) -> np.ndarray:
    """Find the lowest finite return on each task of any member in the arms `beside`.

    Args:
        curves: of an arm.
        of: curves of an arm -> {task: returns of its members [...]}.
        tasks: the tasks.

    Returns:
        f32[tasks]; NaN if unknown, or if no member of `curves` diverged (then it is not needed).
    """
    found = dict.fromkeys(tasks, np.nan)
    everyone = curves.attrs.get(BESIDE, (curves,)) if lost(curves).any() else ()
    for one in everyone:
        for task, values in of(one).items():
            known = np.asarray(values)[np.isfinite(values)]
            if task in found and known.size:
                found[task] = np.fmin(found[task], known.min())
    return np.array([found[task] for task in tasks], np.float32)


def by_task(curves: Curves, measure: Measure = final_score) -> dict[str, Array]:
    """Compute returns [S, ...] of every environment, and of every task of a multi-task one."""
    names = [str(name) for name in curves["environment"].values]
    each = jnp.moveaxis(measured(curves, RETURN, measure), -1, 0)
    found = dict(zip(names, each, strict=True))
    found |= {name.replace("/", "-"): x for name, x in found.items()}  # as tasks are named
    for name in map(str, curves.data_vars):
        if name.startswith(OF_TASK):
            found[name.removeprefix(OF_TASK)] = measured(curves, name, measure)
    return found


def measured(curves: Curves, metric: str = RETURN, measure: Measure = final_score) -> Array:
    """Measure a mean over episodes, f32[S, ..., environments], including diverged members."""
    _, values, episodes = stats.curves(_ordered(curves), metric)
    return measure(values, episodes)


def lost(curves: Curves) -> np.ndarray:
    """Tell which members diverged, bool[S, ..., environments]."""
    return np.asarray(_ordered(curves)["diverged"].values, bool)


def _ordered(curves: Curves) -> Curves:
    return curves.transpose("seed", ..., "environment", "step")


def thinned(curves: Curves, metric: str) -> tuple[np.ndarray, Array]:
    """Average a metric over at most POINTS windows of training.

    Returns the steps at their ends [W], and f32[S, ..., W], the other axes in their order: NaN for
    members that diverged, and before all environments of a member have finished an episode.
    """
    steps, values, episodes = stats.curves(curves, metric, complete=True)
    gone = np.asarray(curves["diverged"].transpose("seed", ...).values, bool)[..., None]
    few = stats.window_means(np.where(gone, np.nan, values), episodes, POINTS)
    ends = [window[-1] for window in np.array_split(steps, few.shape[-1])]
    return np.asarray(ends), few


def estimated(key: Key, values: Array, statistic: Callable[[Array], Array] = stats.mean) -> Effect:
    """Estimate a statistic of f32[S, ...] with its interval, as an Effect."""
    found = stats.estimate(key, values, statistic)
    return Effect(*found, jnp.int32(fewest_seeds(values)))


def late(curves: Curves, measured: Any, share: float) -> Array:
    """Average a metric over the last part of training.

    Args:
        curves: of an arm.
        measured: a variable over (environment, ..., seed, step) that is not a mean over episodes.
        share: of training.

    Returns:
        f32[S, ..., environments], NaN for members that diverged.
    """
    known = measured.where(~curves["diverged"]).transpose("seed", ..., "environment", "step")
    return final_score(known.values, None, share)
