"""Run a study: train its arms, measure effects and gates, judge claims."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np

from purejaxrl_suite.core.argument import instances
from purejaxrl_suite.core.types import Environment, Key
from purejaxrl_suite.engine.evaluate import RETURN as EVALUATION
from purejaxrl_suite.stats import Estimate, estimate, iqm
from purejaxrl_suite.studies.computation import Computed, computed
from purejaxrl_suite.studies.continuation import SEGMENTS, by_environment, continued
from purejaxrl_suite.studies.definition import digest
from purejaxrl_suite.studies.judging import checked, measured, ruled
from purejaxrl_suite.studies.panels import line
from purejaxrl_suite.studies.protocol import Computation, Continuation, Curves, Study
from purejaxrl_suite.studies.scores import RETURN, beside, late, returns, thinned
from purejaxrl_suite.studies.study_result import Cost, Curve, Look, StudyResult
from purejaxrl_suite.sweeps.curves import made_with
from purejaxrl_suite.sweeps.display import watched
from purejaxrl_suite.sweeps.execute import execute
from purejaxrl_suite.sweeps.experiment import Experiment
from purejaxrl_suite.sweeps.layout import lay_out
from purejaxrl_suite.sweeps.result import Result
from purejaxrl_suite.sweeps.settings import Settings, Watch

LATE = 0.25
"""The last part of training, over which evaluations of agents that do not act are averaged."""


def run_study(
    name: str,
    study: Study,
    preset: str,
    folder: str | Path,
    *,
    looks: Sequence[Look] = (),
    commit: str | None = None,
    progress: bool = True,
) -> StudyResult:
    """Train every arm of a study, check its gates, and judge its claims.

    Args:
        name: of the study.
        study: what is run.
        preset: the budget, "quick", "standard" or "full"; the first judges nothing.
        folder: for a sweep per arm. Sweeps there are continued, so the same call resumes a stopped
            study.
        looks: at earlier results, as `study_result.seen` finds them: a different question to the
            same seeds makes this result exploratory.
        commit: of the code, for the record.
        progress: show how each arm trains, as `sweep` does.

    Returns:
        The result.

    Raises:
        ValueError: the preset is unknown, or the folder has sweeps of another study or budget.
        KeyboardInterrupt: after Ctrl-C, when the state is saved.
    """
    if preset not in study.budgets:
        raise ValueError(f"preset: expected one of {', '.join(study.budgets)}, got {preset!r}")
    arms = study.arms(study.budgets[preset])
    curves, sizes, results = {}, {}, {}
    for number, (label, arm) in enumerate(arms.items(), 1):
        title, place = f"{name}: {label} ({number}/{len(arms)})", Path(folder) / label
        if isinstance(arm, Computation):
            curves[label] = computed(label, arm)
            continue
        if isinstance(arm, Continuation):
            done = continued(label, arm, results, place, progress=progress)
            results[label], curves[label], sizes[label] = done
            continue
        with watched(title, progress) as watch:
            result = _train(label, arm, place, watch)
        results[label] = by_environment(result)
        curves[label], sizes[label] = result.curves, result.parameters
    return conclude(
        name, study, preset=preset, curves=curves, sizes=sizes, looks=looks, commit=commit
    )


def conclude(
    name: str,
    study: Study,
    preset: str,
    curves: Mapping[str, Curves],
    sizes: Mapping[str, Any],
    looks: Sequence[Look] = (),
    commit: str | None = None,
) -> StudyResult:
    """Judge the claims of a study by the curves of its finished arms.

    Members that diverged have the worst score of their task in all arms.

    Args:
        name: of the study.
        study: what was run.
        preset: the budget.
        curves: {arm: dataset}, or `Computed` of arms that are computed.
        sizes: {arm: `Result.parameters`} of those that are trained.
        looks: at earlier results, as in `run_study`.
        commit: of the code, for the record.

    Returns:
        The result.
    """
    key, budget = jax.random.key(0), study.budgets[preset]
    trained = beside({n: one for n, one in curves.items() if not isinstance(one, Computed)})
    curves = {**curves, **trained}
    gates = tuple(checked(gate, measured(key, gate, curves)) for gate in study.gates)
    effects = [measured(key, claim, curves) for claim in study.claims]
    look = Look(preset, digest(study, budget), budget.first_seed, budget.seeds)
    return StudyResult(
        study=name,
        text=study.describe(),
        preset=preset,
        budget=budget,
        digest=look.digest,
        looks=tuple(looks),
        gates=gates,
        findings=ruled(study, look, effects=effects, gates=gates, looks=looks),
        arms={label: _cost(dataset) for label, dataset in curves.items()},
        panels=tuple(study.figure(key, curves)),
        curves=tuple(
            c for label, one in trained.items() for c in _thinned(key, label, one, sizes[label])
        ),
        made={**made_with(), "commit": commit},
    )


def _train(name: str, arm: Experiment, folder: Path, watch: Watch) -> Result:
    """Train an arm in its folder, or continue it."""
    instances(f"arms[{name!r}].env", arm.env, Environment)
    return execute(lay_out(arm), Settings(segments=SEGMENTS), folder, watch=watch)


def _cost(curves: Curves | Computed) -> Cost:
    if isinstance(curves, Computed):
        return curves.cost
    return Cost(
        agent=str(curves.attrs["agent"]),
        tasks=tuple(str(name) for name in curves["environment"].values),
        members=int(curves["diverged"].size),
        seeds=int(curves.sizes["seed"]),
        steps=float(curves["step"].values[-1]),
        compile_seconds=float(curves.attrs["compile_seconds"]),
        wall_seconds=float(curves.attrs["wall_seconds"]),
        steps_per_second=float(curves.attrs["steps_per_second"]),
    )


def _thinned(key: Key, arm: str, curves: Curves, sizes: Any) -> list[Curve]:
    """Compute the IQM of every configuration at a few steps, without diverged members.

    Of returns in training, or, of agents that learn without acting, of evaluations.
    """
    acts = RETURN in curves
    metric = RETURN if acts else EVALUATION
    axes = [axis for axis in curves[metric].dims if axis not in ("seed", "step")]
    steps, few = thinned(curves, metric)
    found = estimate(key, few, partial(iqm, axis=0))
    last = returns(curves) if acts else late(curves, curves[metric], LATE)
    final = np.moveaxis(np.asarray(last), -1, 1 + axes.index("environment"))
    made = []
    for index in np.ndindex(*(curves.sizes[axis] for axis in axes)):
        at = dict(zip(axes, index, strict=True))
        one = curves.isel(at)
        settings = {str(n): x.item() for n, x in one.coords.items() if x.ndim == 0}
        band = line(arm, steps, Estimate(*(x[index] for x in found)))
        lost, scores = int(one["diverged"].sum()), tuple(final[(slice(None), *index)].tolist())
        counts = sizes.isel({axis: i for axis, i in at.items() if axis in sizes.dims})
        has = {name: count for name, count in counts.to_series().to_dict().items() if count}
        made.append(
            Curve(
                arm=arm, settings=settings, line=band, final=scores, diverged=lost, parameters=has
            )
        )
    return made
