"""From the curves of an arm to what claims are about, as the effects of studies take them."""

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
"""Attribute of curves: those of all arms of the study, this one among them."""
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
    diverged has the worst score of its task in all arms of the study (`beside`), at most that of a
    random policy, 0 (`stats.with_diverged`); one that finished no episode in the window is missing,
    NaN.
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
    names = [str(name) for name in curves["environment"].values]
    random = np.array([stats.random_score(name, references=references) for name in names])
    worst = lowest(curves, partial(by_task, measure=measure), names)
    found = measured(curves, RETURN, measure)
    return stats.with_diverged(found, lost(curves), np.fmin(random, worst))


def scores_of_tasks(curves: Curves, ends: Callable[[str], tuple[float, float]]) -> Array:
    """Final normalized scores f32[S, tasks] of members that play several tasks in one environment.

    ends: task -> the returns that count as 0 and as 1. A member that diverged has the worst score
    of each task, at most 0.
    """
    names = [str(name) for name in curves.data_vars if str(name).startswith(OF_TASK)]
    tasks = [name.removeprefix(OF_TASK) for name in names]
    found = jnp.concatenate([measured(curves, name) for name in names], axis=-1)
    return scaled(found, lost(curves), [*map(ends, tasks)], lowest(curves, by_task, tasks))


def scaled(
    returns: Array, diverged: Any, ends: Sequence[tuple[float, float]], worst: ArrayLike = np.nan
) -> Array:
    """Normalized scores f32[S, tasks] of returns, by what counts as 0 and as 1 on each task.

    worst: f32[tasks], the lowest returns of any member, as `lowest` finds them.
    """
    low, high = np.asarray(ends, np.float32).T
    return stats.normalize(stats.with_diverged(returns, diverged, np.fmin(low, worst)), low, high)


def beside(arms: Mapping[str, Curves]) -> dict[str, Curves]:
    """The curves {arm: dataset} of a study, each of which knows all of them.

    Whatever a claim selects of an arm, members that diverged have the worst score of all arms: of
    an arm in which nobody else did badly they would have a better one.
    """
    everyone = tuple(arms.values())
    return {name: one.assign_attrs({BESIDE: everyone}) for name, one in arms.items()}


def lowest(
    curves: Curves, of: Callable[[Curves], Mapping[Any, Any]], tasks: Sequence[Any]
) -> np.ndarray:
    """The lowest finite return on each task of any member in the arms `beside`, f32[tasks].

    of: curves of an arm -> {task: returns of its members [...]}. NaN where nothing is known, and,
    since nobody asks, where no member of `curves` diverged.
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
    """Returns [S, ...] of every environment, and of every one of several tasks in one."""
    names = [str(name) for name in curves["environment"].values]
    each = jnp.moveaxis(measured(curves, RETURN, measure), -1, 0)
    found = dict(zip(names, each, strict=True))
    found |= {name.replace("/", "-"): x for name, x in found.items()}  # as tasks are called
    for name in map(str, curves.data_vars):
        if name.startswith(OF_TASK):
            found[name.removeprefix(OF_TASK)] = measured(curves, name, measure)
    return found


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
    """A statistic of f32[S, ...] with its interval, as an effect of the seeds that have scores."""
    found = stats.estimate(key, values, statistic)
    return Effect(*found, jnp.int32(fewest_seeds(values)))


def late(curves: Curves, measured: Any, share: float) -> Array:
    """A measurement over the last part of training, f32[S, ..., environments].

    measured: of `curves`, over (environment, ..., seed, step), and no mean over episodes. share: of
    training. NaN where a member diverged.
    """
    known = measured.where(~curves["diverged"]).transpose("seed", ..., "environment", "step")
    return final_score(known.values, None, share)
