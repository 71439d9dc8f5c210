"""Results in one table."""

from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table

from purejaxrl_suite.report.summary import FINAL, engineering, estimate, final_scores, labelled


def table(curves: Any) -> Table:
    """One row per run: final score (interquartile mean over seeds, 95 % interval) and cost.

    curves: `Result.curves`, or {label: curves}. The final score of a seed is the mean over the last
    5 % of training (`final_scores`). Print the table with rich.
    """
    datasets = labelled(curves)
    scores = {"return": "episode_return"}
    if any("success" in dataset for dataset in datasets.values()):
        scores["success"] = "success"
    caption = f"IQM and 95 % interval over seeds, last {100 * FINAL:.0f} % of training"
    result = Table(box=SIMPLE_HEAD, caption=caption, caption_justify="left")
    result.add_column("run", overflow="fold")
    for name in (*scores, "cost"):
        result.add_column(name, justify="right", no_wrap=True)
    for label, dataset in datasets.items():
        cells = [_score(dataset, metric) for metric in scores.values()]
        result.add_row(_name(label, dataset), *cells, _cost(dataset))
    return result


def _score(dataset: Any, metric: str) -> str:
    if metric not in dataset:
        return "-"
    value, low, high = (float(x) for x in estimate(final_scores(dataset, metric)))
    interval = f"[{low:.3g}, {high:.3g}]" if low == low else "[needs 2 seeds]"
    return f"{value:.3g}\n{interval}" if value == value else "no episode\nended"


def _name(label: str, dataset: Any) -> str:
    seeds = dataset.sizes["seed"]
    size = (
        f"{seeds} seed{'s' * (seeds > 1)} x {engineering(float(dataset['step'].values[-1]))} steps"
    )
    return "\n".join((label, str(dataset.attrs.get("environment", "")), size))


def _cost(dataset: Any) -> str:
    names = ("wall_seconds", "compile_seconds", "steps_per_second")
    wall, compiling, speed = (float(dataset.attrs.get(name, float("nan"))) for name in names)
    return f"{wall:.1f} s to train\n{compiling:.1f} s to compile\n{engineering(speed)} steps/s"
