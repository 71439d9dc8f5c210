"""Tabulate results."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.table import Table

from purejaxrl_suite.report.configurations import Configuration, configurations, main_metric
from purejaxrl_suite.report.plain import PlainTable
from purejaxrl_suite.report.ranking import shortlist
from purejaxrl_suite.report.summary import FINAL, diverged, engineering, estimate, member_scores

ROWS = 20


def table(curves: Any) -> Table:
    """Tabulate final scores (IQM over seeds, 95 % interval) and costs, a row per configuration.

    The final score of a seed is the mean over the episodes of the last 5 % of training
    (`final_scores`). Of more than 20 configurations of sweeps the best are shown. The cost of a
    whole run or sweep is in its first row. Print the table with rich.

    curves: `Result.curves`, or {label: curves}.
    """
    found = configurations(curves)
    first = main_metric(found)
    names = {"return" if first == "episode_return" else first.replace("_", " "): first}
    if any("success" in one.curves for one in found):
        names["success"] = "success"
    scores = [_by_place(found, metric) for metric in names.values()]
    caption = f"IQM and 95 % interval over seeds, last {100 * FINAL:.0f} % of training"
    if len(found) > ROWS and any(one.at for one in found):
        each = max(1, ROWS // len({one.environment for one in found}))
        few = shortlist(found, first, each, each)
        kept = [one for here in few.values() for one in here]
        caption += f"; the best {len(kept)} of {len(found)} configurations"
        found = kept
    result = PlainTable(box=SIMPLE_HEAD, caption=caption, caption_justify="left")
    result.add_column("run", overflow="fold")
    for name in (*names, "cost"):
        result.add_column(name, justify="right", no_wrap=True)
    costs = set()
    for one in found:
        cells = [_score(one, known.get(_place(one))) for known in scores]
        cost = "" if one.run in costs else _cost(one.curves)
        costs.add(one.run)
        result.add_row(_name(one), *cells, cost)
    return result


def _place(one: Configuration) -> Any:
    return one.run, *one.at.items()


def _by_place(found: Sequence[Configuration], metric: str) -> dict[Any, np.ndarray]:
    """Compute final scores f32[S] of the configurations that have the metric."""
    known = [one for one in found if metric in one.curves]
    return dict(zip(map(_place, known), member_scores(known, metric), strict=True))


def _score(one: Configuration, scores: np.ndarray | None) -> str:
    """Write a cell: the estimate, its interval, and how many members are not in it."""
    if scores is None:
        return "-"
    value, low, high = (float(x) for x in estimate(scores))
    lost = diverged(one.curves)
    if value != value:
        return "all\ndiverged" if lost.all() else "no episode\nended"
    interval = f"[{low:.3g}, {high:.3g}]" if low == low else "[needs 2 seeds]"
    missing = int(np.sum(np.isnan(scores) & ~lost))
    return f"{value:.3g}\n{interval}" + f"\n{missing} seeds: none" * (missing > 0)


def _name(one: Configuration) -> str:
    seeds, steps = one.curves.sizes["seed"], float(one.curves["step"].values[-1])
    size = f"{seeds} seed{'s' * (seeds > 1)} x {engineering(steps)} steps"
    lost = int(diverged(one.curves).sum())
    worst = f", {lost} of them diverged: worst score" * (lost > 0)
    return "\n".join(filter(None, (one.label, one.environment, size + worst)))


def _cost(dataset: Any) -> str:
    names = ("wall_seconds", "compile_seconds", "steps_per_second")
    wall, compiling, speed = (float(dataset.attrs.get(name, float("nan"))) for name in names)
    return f"{wall:.1f} s to train\n{compiling:.1f} s to compile\n{engineering(speed)} steps/s"
