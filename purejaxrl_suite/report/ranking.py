"""Rank configurations by the interquartile mean of their final scores."""

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.table import Table

from purejaxrl_suite.report.configurations import (
    Configuration,
    configurations,
    describe,
    main_metric,
    parameters,
    short,
    sign,
)
from purejaxrl_suite.report.plain import PlainTable
from purejaxrl_suite.report.summary import FINAL, diverged, estimate, member_scores, spread, unlike

ROWS = 10


class Score(NamedTuple):
    """The score of one configuration.

    run, environment, settings, at: as in `Configuration`.
    value: interquartile mean over members of their final scores.
    low, high: its 95 % interval, NaN if fewer than two members have a score.
    members: how many there are.
    diverged: how many diverged, and so have the worst score of the task.
    missing: how many have no score, because they finished no episode in the window.
    """

    run: str
    environment: str
    settings: Mapping[str, Any]
    at: Mapping[str, Any]
    value: float
    low: float
    high: float
    members: int
    diverged: int
    missing: int

    @property
    def label(self) -> str:
        """Write `learning_rate=0.0003, gamma=0.99`."""
        return ", ".join(x for x in (self.run, describe(self.settings)) if x)


class Ranking(NamedTuple):
    """Configurations, best first within each environment; print it with rich.

    name: of the scores, for people. scores: of every configuration.
    """

    name: str
    scores: tuple[Score, ...]

    def table(self, rows: int = ROWS) -> Table:
        """Tabulate the best few of each environment."""
        shown = self.first(rows)
        caption = f"{spread({one.members for one in shown})}; last {100 * FINAL:.0f} % of training"
        few = f"; {len(shown)} of {len(self.scores)} configurations"
        caption += few * (len(shown) < len(self.scores)) + remarks(shown)
        result = PlainTable(box=SIMPLE_HEAD, caption=caption, caption_justify="left")
        whole = ("run", "environment", "95 % interval")
        for number, name in enumerate(self.columns):
            side: Any = "right" if number else "left"
            result.add_column(name, justify=side, no_wrap=name in whole, overflow="fold")
        for i, one in enumerate(shown):
            ends = i + 1 < len(shown) and shown[i + 1].environment != one.environment
            result.add_row(*self.cells(one), end_section=ends)
        return result

    def first(self, rows: int) -> list[Score]:
        """Return the best few of each environment."""
        return [
            one
            for _, group in groupby(self.scores, lambda one: one.environment)
            for one in list(group)[:rows]
        ]

    @property
    def columns(self) -> list[str]:
        """Return the columns of a table: varied settings, then scores."""
        return [*_columns(self.scores), self.name, "95 % interval", *self._counted]

    def cells(self, one: Score) -> list[str]:
        """Write a score as a row of that table."""
        labels = [_cell(one, column) for column in _columns(self.scores)]
        counts = {"diverged": one.diverged, "no score": one.missing}
        shares = {name: f"{count}/{one.members}" * (count > 0) for name, count in counts.items()}
        return [*labels, *_numbers(one), *(shares[name] for name in self._counted)]

    @property
    def _counted(self) -> list[str]:
        """Name the columns of diverged and missing members, if there are any."""
        lost = any(one.diverged for one in self.scores)
        return ["diverged"] * lost + ["no score"] * any(one.missing for one in self.scores)

    def __rich__(self) -> Table:
        """Return the table that rich prints."""
        return self.table()


def best(curves: Any, metric: str | None = None) -> Ranking:
    """Rank the configurations of a sweep by the interquartile mean of their final scores.

    A final score is the mean over the episodes of the last 5 % of training (`final_scores`);
    members that diverged have the worst of all in their environment. Each environment is ranked by
    itself; configurations without a score come last.

    curves: `Result.curves`, or {label: curves}. metric: of which higher is better; None is the
    return of episodes, or the metric of a problem without an environment, of which lower is better.

    Raises:
        ValueError: there are no curves, or some lack the metric.
    """
    found = configurations(curves)
    return rank(found, metric or main_metric(found))


def rank(found: Sequence[Configuration], metric: str) -> Ranking:
    """Rank configurations, as `best` does."""
    if not found:
        raise ValueError("curves: expected at least one dataset, got none")
    scores = [_score(*both) for both in zip(found, member_scores(found, metric), strict=True)]
    order = list(dict.fromkeys(one.environment for one in scores))
    way = sign(found[0].curves, metric)
    scores.sort(key=lambda one: (order.index(one.environment), -_or_worst(way * one.value)))
    attributes = found[0].curves[metric].attrs
    return Ranking(str(attributes.get("long_name", metric.replace("_", " "))), tuple(scores))


def shortlist(
    found: Sequence[Configuration], metric: str, most: int, few: int
) -> dict[str, list[Configuration]]:
    """Return {environment: its configurations}, or its `few` best if there are more than `most`."""
    kept = {}
    for environment in dict.fromkeys(one.environment for one in found):
        here = [one for one in found if one.environment == environment]
        if len(here) > most:
            by_place = {(one.run, *one.at.items()): one for one in here}
            scores = rank(here, metric).scores[:few]
            here = [by_place[(score.run, *score.at.items())] for score in scores]
        kept[environment] = here
    return kept


def remarks(scores: Sequence[Score]) -> str:
    """Say in a caption how many members diverged or have no score; "" if none."""
    counts = ("members", "diverged", "missing")
    return unlike(*(sum(getattr(one, name) for one in scores) for name in counts))


def _score(one: Configuration, scores: np.ndarray) -> Score:
    value, low, high = (float(x) for x in estimate(scores))
    lost = diverged(one.curves)
    return Score(
        run=one.run,
        environment=one.environment,
        settings=one.settings,
        at=one.at,
        value=value,
        low=low,
        high=high,
        members=len(scores),
        diverged=int(lost.sum()),
        missing=int(np.sum(np.isnan(scores) & ~lost)),
    )


def _or_worst(value: float) -> float:
    return value if np.isfinite(value) else -np.inf


def _columns(scores: Sequence[Score]) -> list[str]:
    """List the settings in which the scores differ."""
    names = [name for name in ("run", "environment") if len({getattr(x, name) for x in scores}) > 1]
    return [*names, *parameters(scores)] or ["environment"]


def _cell(one: Score, column: str) -> str:
    if column in ("run", "environment"):
        return str(getattr(one, column))
    return short(one.settings[column]) if column in one.settings else ""


def _numbers(one: Score) -> tuple[str, str]:
    """Write value and interval for a table."""
    value = f"{one.value:.3g}" if one.value == one.value else "none"
    return value, f"[{one.low:.3g}, {one.high:.3g}]" if one.low == one.low else "-"
