"""Results in one table."""

from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table

from purejaxrl_suite.report.configurations import Configuration, configurations
from purejaxrl_suite.report.plain import PlainTable
from purejaxrl_suite.report.ranking import shortlist
from purejaxrl_suite.report.summary import FINAL, diverged, engineering, estimate, final_scores

ROWS = 20


def table(curves: Any) -> Table:
    """One row per configuration: final score (IQM over seeds, 95 % interval) and cost.

    curves: `Result.curves`, or {label: curves}. The final score of a seed is the mean over the last
    5 % of training (`final_scores`). Of more than 20 configurations of sweeps the best are shown.
    The cost is that of a whole run or sweep, beside its first row. Print the table with rich.
    """
    found = configurations(curves)
    scores = {"return": "episode_return"}
    if any("success" in one.curves for one in found):
        scores["success"] = "success"
    caption = f"IQM and 95 % interval over seeds, last {100 * FINAL:.0f} % of training"
    if len(found) > ROWS and any(one.at for one in found):
        each = max(1, ROWS // len({one.environment for one in found}))
        few = shortlist(found, "episode_return", each, each)
        kept = [one for here in few.values() for one in here]
        caption += f"; the best {len(kept)} of {len(found)} configurations"
        found = kept
    result = PlainTable(box=SIMPLE_HEAD, caption=caption, caption_justify="left")
    result.add_column("run", overflow="fold")
    for name in (*scores, "cost"):
        result.add_column(name, justify="right", no_wrap=True)
    costs = set()
    for one in found:
        cells = [_score(one.curves, metric) for metric in scores.values()]
        cost = "" if one.run in costs else _cost(one.curves)
        costs.add(one.run)
        result.add_row(_name(one), *cells, cost)
    return result


def _score(dataset: Any, metric: str) -> str:
    if metric not in dataset:
        return "-"
    value, low, high = (float(x) for x in estimate(final_scores(dataset, metric)))
    interval = f"[{low:.3g}, {high:.3g}]" if low == low else "[needs 2 seeds]"
    if value != value:
        return "all\ndiverged" if diverged(dataset).all() else "no episode\nended"
    return f"{value:.3g}\n{interval}"


def _name(one: Configuration) -> str:
    seeds, steps = one.curves.sizes["seed"], float(one.curves["step"].values[-1])
    size = f"{seeds} seed{'s' * (seeds > 1)} x {engineering(steps)} steps"
    lost = int(diverged(one.curves).sum())
    return "\n".join((one.label, one.environment, size + f", {lost} of them diverged" * (lost > 0)))


def _cost(dataset: Any) -> str:
    names = ("wall_seconds", "compile_seconds", "steps_per_second")
    wall, compiling, speed = (float(dataset.attrs.get(name, float("nan"))) for name in names)
    return f"{wall:.1f} s to train\n{compiling:.1f} s to compile\n{engineering(speed)} steps/s"
