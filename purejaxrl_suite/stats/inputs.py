"""Convert scores of any form to float32 arrays with seeds first, padded with NaN.

Tasks with fewer runs than others get NaN below their runs; every function of the package takes such
arrays. Everything here runs on the host.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jax.typing import ArrayLike

EPISODES, FINISHED = "episodes", "finished_once"
"""Variables of curves: the number of episodes that ended in a row, and the share of environments
that have finished one since all started. Those of one of several tasks end in `_TASK`.
"""
METRIC = "metric"
"""Attribute of curves without an environment: the metric that is shown first."""
DIRECTION = "better"
"""Attribute of a metric: "lower" if lower is better."""
MEAN_OVER = "mean_over"
"""Attribute of a variable that is a mean over episodes: the variable that counts them."""


def matrix(scores: ArrayLike | Mapping[str, ArrayLike]) -> np.ndarray:
    """Convert scores to f32[S, tasks], from an array or from {task: scores[runs]}.

    An array [S] is one task. Tasks of a mapping may differ in their number of runs, and may have
    further axes of equal sizes ({task: curves[runs, T]} becomes f32[S, tasks, T]).

    Raises:
        ValueError: the mapping has no tasks, or shapes do not fit.

    Example:
        >>> pjs.stats.matrix({"Breakout": [1.0, 2.0], "Asterix": [5.0]})
        array([[ 1.,  5.],
               [ 2., nan]], dtype=float32)
    """
    if not isinstance(scores, Mapping):
        array = numbers("scores", scores)
        if array.ndim == 0:
            raise ValueError(f"scores: expected [S] or [S, tasks], got the number {array}")
        return array[:, None] if array.ndim == 1 else array
    columns = {task: numbers(f"scores[{task!r}]", column) for task, column in scores.items()}
    if not columns:
        raise ValueError("scores: expected at least one task, got none")
    shapes = {task: column.shape for task, column in columns.items()}
    if not all(shapes.values()) or len({shape[1:] for shape in shapes.values()}) > 1:
        raise ValueError(f"scores: expected [runs, ...] with one shape of the rest, got {shapes}")
    return _padded(list(columns.values()))


def numbers(name: str, values: Any) -> np.ndarray:
    """Convert to f32[...], NaN where masked; ValueError naming the argument for anything else."""
    if isinstance(values, np.ma.MaskedArray):
        values = np.ma.filled(values.astype(np.float32), np.nan)
    try:
        return np.asarray(values, np.float32)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name}: expected an array of numbers, but {error}") from error


def matrices(scores: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Convert {algorithm: scores for `matrix`} to {algorithm: f32[S, tasks]}, as rliable takes it.

    If algorithms are mappings {task: scores}, their tasks are put in the order of the first.

    Raises:
        ValueError: algorithms differ in their tasks.
    """
    if not scores:
        raise ValueError("scores: expected at least one algorithm, got none")
    tasks = {name: list(of) for name, of in scores.items() if isinstance(of, Mapping)}
    order = next(iter(tasks.values()), [])
    if any(set(names) != set(order) for names in tasks.values()):
        raise ValueError(f"scores: expected the same tasks for every algorithm, got {tasks}")
    found = {
        name: matrix({task: of[task] for task in order} if name in tasks else of)
        for name, of in scores.items()
    }
    if len({array.shape[1:] for array in found.values()}) > 1:
        shapes = {name: array.shape for name, array in found.items()}
        raise ValueError(f"scores: expected the same tasks for every algorithm, got {shapes}")
    return found


class LearningCurves(NamedTuple):
    """A metric of members over training, as arrays.

    steps: [T], environment steps at the ends of rows (of one update or of several).
    values: f32[S, ..., T], in each row the mean over the episodes that ended in it, or the measured
        value.
    episodes: f32[S, ..., T], the number of these episodes, NaN in a row that was not run; None for
        a metric that is not a mean over episodes.
    """

    steps: np.ndarray
    values: np.ndarray
    episodes: np.ndarray | None


def curves(
    datasets: Any, metric: str = "episode_return", *, complete: bool = False
) -> LearningCurves:
    """Convert the curves of `run` and `sweep` to arrays.

    Args:
        datasets: `Result.curves` (variables over (..., seed, step)), whose other axes keep their
            order between seeds and steps; or {task: such a dataset}, whose tasks become the last
            axis before steps, with NaN for seeds that a task does not have.
        metric: a variable of the curves.
        complete: leave out episodes of a member before each of its environments has finished one:
            the first to end are the shortest, a biased sample. For figures.

    Returns:
        The learning curves.

    Raises:
        ValueError: the metric is unknown, or tasks differ in steps or other axes.
    """
    if hasattr(datasets, "data_vars"):  # a dataset is a mapping, too
        return _curve(datasets, metric, complete)
    if not datasets:
        raise ValueError("datasets: expected at least one task, got none")
    found = {task: _curve(one, metric, complete) for task, one in datasets.items()}
    steps, values, episodes = zip(*found.values(), strict=True)
    if not all(np.array_equal(steps[0], other) for other in steps):
        raise ValueError(f"datasets: expected the same steps in {', '.join(datasets)}")
    if len({x.shape[1:] for x in values}) > 1:
        shapes = dict(zip(datasets, (x.shape for x in values), strict=True))
        raise ValueError(f"datasets: expected the same axes beside seeds, got {shapes}")
    counted = [x is not None for x in episodes]
    if any(counted) != all(counted):
        raise ValueError(f"datasets: {metric!r} is a mean over episodes in some of them only")
    padded = _padded(episodes, axis=-2) if all(counted) else None
    return LearningCurves(steps[0], _padded(values, axis=-2), padded)


def _curve(dataset: Any, metric: str, complete: bool) -> LearningCurves:
    if metric not in dataset:
        known = ", ".join(sorted(map(str, dataset.data_vars)))
        raise ValueError(f"metric: {metric!r} is not among the curves ({known})")
    if not {"seed", "step"} <= set(dataset[metric].dims):
        raise ValueError(
            f"metric: expected {metric!r} over seed and step, got {dataset[metric].dims}"
        )
    count = dataset[metric].attrs.get(MEAN_OVER)
    if count is None and metric.startswith("episode_"):
        raise ValueError(f"metric: expected {metric!r} to name its count as attribute {MEAN_OVER}")
    steps, values = np.asarray(dataset["step"].values), _rows(dataset, metric)
    if count is None:
        return LearningCurves(steps, values, None)
    episodes = _rows(dataset, count)
    if complete:
        share = _rows(dataset, FINISHED + count.removeprefix(EPISODES))
        episodes = np.where(share < 1.0, np.float32(0.0), episodes)
    return LearningCurves(steps, values, episodes)


def _rows(dataset: Any, name: str) -> np.ndarray:
    """Read a variable as f32[S, ..., T]."""
    return np.asarray(dataset[name].transpose("seed", ..., "step").values, np.float32)


def _padded(columns: Sequence[np.ndarray], axis: int = 1) -> np.ndarray:
    """Stack along a new axis, padding shorter columns with NaN."""
    rows = max(len(column) for column in columns)
    padding = [[(0, rows - len(x)), *[(0, 0)] * (x.ndim - 1)] for x in columns]
    full = [
        np.pad(x, width, constant_values=np.nan) for x, width in zip(columns, padding, strict=True)
    ]
    return np.stack(full, axis=axis)
