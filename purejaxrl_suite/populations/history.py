"""The curves of a population: every configuration, with its origin and its end."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from purejaxrl_suite.populations.cohort import Cohort, Schedule, with_configurations
from purejaxrl_suite.sweeps import curves
from purejaxrl_suite.sweeps.axes import CONFIGURATION
from purejaxrl_suite.sweeps.layout import Layout
from purejaxrl_suite.sweeps.record import attributes, record_of

if TYPE_CHECKING:
    import xarray

Rows = dict[str, np.ndarray]


def dataset(
    laid: Layout,
    schedule: Schedule,
    cohorts: Sequence[Cohort],
    *,
    parts: Sequence[Rows],
    compile_seconds: float,
) -> "xarray.Dataset":
    """Make curves over (configuration, seed, step), NaN where a configuration was not trained.

    Hyper-parameters that changed within a configuration are variables (configuration, step); other
    non-default ones are coordinates along the axis. `parent` and `score` are (configuration, rung):
    the configuration whose state it continued at the rung (-1: none), and its score there.

    Args:
        laid: layout of the first configurations.
        schedule: of the population.
        cohorts: of all phases.
        parts: {metric: f32[B, R]} of each cohort.
        compile_seconds: for the attributes.

    Returns:
        The curves.
    """
    count, seeds = 1 + last_id(cohorts), len(laid.seeds)
    hypers = _hypers(schedule, cohorts, count)
    changed = {name: x for name, x in hypers.items() if _changes(x)}
    fixed = {name: _last(x) for name, x in hypers.items() if name not in changed}
    everyone = laid.groups[0].members.take(np.arange(count * seeds) % seeds)
    whole = with_configurations(laid, np.arange(count), everyone, fixed)

    rows = _rows(schedule, cohorts, parts, count=count, seeds=seeds)
    # PQN has a hyper-parameter and a metric `epsilon`; `curves` renames the metric for axes.
    rows = {f"measured_{name}" if name in changed else name: x for name, x in rows.items()}
    rates = np.concatenate([part["steps_per_second"][0] for part in parts])
    steps = schedule.per_update * np.diff(curves.ends(schedule.edges[-1], schedule.row), prepend=0)
    each = [len(part["steps_per_second"][0]) for part in parts]
    seconds = float(np.sum(np.repeat(schedule.sizes, each) * steps / rates))
    gathered = curves.Gathered((curves.GroupRows(rows, rates, schedule.row),), seconds, done=1.0)
    found = curves.dataset(whole, gathered, compile_seconds)
    found = found.assign_attrs(attributes(record_of(laid)))  # initial values; changes are data
    found = found.assign(_changed(changed))
    found = found.assign(_rungs(cohorts, count)).assign_coords(_rung_steps(schedule))
    trained = sum(c * (b - a) for c, (a, b) in zip(schedule.counts, schedule.spans, strict=True))
    steps = trained * seeds * schedule.per_update
    return found.assign_attrs(environment_steps=steps, steps_per_second=steps / seconds)


def last_id(cohorts: Sequence[Cohort]) -> int:
    """Return the largest id of all configurations so far."""
    return max(int(cohort.configuration.max()) for cohort in cohorts)


def spans(schedule: Schedule) -> list[tuple[int, int]]:
    """Return the first row of each phase, and the one after its last."""
    return [(schedule.rows(first), schedule.rows(until)) for first, until in schedule.spans]


def _rows(
    schedule: Schedule, cohorts: Sequence[Cohort], parts: Sequence[Rows], *, count: int, seeds: int
) -> Rows:
    """Join rows {metric: f32[K * S, R]} of all configurations; `diverged` [K * S, 1] at the end."""
    found, (*_, (_, end)) = {}, spans(schedule)
    for name in parts[0]:
        if name == "steps_per_second":
            continue
        whole = np.full((count, seeds, end), np.nan, np.float32)
        for cohort, part, (first, until) in zip(cohorts, parts, spans(schedule), strict=True):
            ids = cohort.configuration
            values = part[name][: len(ids) * seeds]
            whole[ids, :, first:until] = values.reshape(len(ids), seeds, until - first)
        found[name] = whole.reshape(count * seeds, end)
    return found | {"diverged": _last(found["diverged"])[:, None]}


def _hypers(schedule: Schedule, cohorts: Sequence[Cohort], count: int) -> Rows:
    """Return {name: f32[K, R]}, the hyper-parameters in force in each row."""
    shape = count, spans(schedule)[-1][1]
    found = {name: np.full(shape, np.nan, np.float32) for name in cohorts[0].hypers}
    for cohort, (first, until) in zip(cohorts, spans(schedule), strict=True):
        for name, values in cohort.hypers.items():
            found[name][cohort.configuration, first:until] = values[:, None]
    return found


def _last(x: np.ndarray) -> np.ndarray:
    """Return the last non-NaN value f32[K] of each curve [K, R]."""
    known = ~np.isnan(x)
    return x[np.arange(len(x)), x.shape[1] - 1 - np.argmax(known[:, ::-1], axis=1)]


def _changes(x: np.ndarray) -> bool:
    return bool(np.any((x != _last(x)[:, None]) & ~np.isnan(x)))


def _changed(hypers: Mapping[str, np.ndarray]) -> dict[str, Any]:
    return {
        name: ((CONFIGURATION, "step"), x, _named(name.replace("_", " ")))
        for name, x in hypers.items()
    }


def _rungs(cohorts: Sequence[Cohort], count: int) -> dict[str, Any]:
    parents = np.full((count, len(cohorts) - 1), -1, np.int32)
    scores = np.full((count, len(cohorts) - 1), np.nan, np.float32)
    for rung, (before, after) in enumerate(zip(cohorts, cohorts[1:], strict=False)):
        scores[before.configuration, rung] = after.scores
        parent = np.where(after.fresh, -1, before.configuration[after.source])
        parents[after.configuration, rung] = parent
    dims = CONFIGURATION, "rung"
    return {
        "parent": (dims, parents, _named("configuration whose state it went on from")),
        "score": (dims, scores, _named("score at a rung")),
    }


def _rung_steps(schedule: Schedule) -> dict[str, Any]:
    steps = np.asarray(schedule.edges[1:-1]) * schedule.per_update
    return {"rung": ("rung", steps, _named("environment steps at a rung", "steps"))}


def _named(text: str, units: str = "1") -> dict[str, str]:
    return {"long_name": text, "units": units}
