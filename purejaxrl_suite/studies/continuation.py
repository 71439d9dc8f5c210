"""Train the arms of studies that go on from other arms, in stages."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from purejaxrl_suite.core.argument import wrong
from purejaxrl_suite.studies.protocol import Continuation, Curves
from purejaxrl_suite.sweeps.axes import label as labelled
from purejaxrl_suite.sweeps.curves import side_by_side
from purejaxrl_suite.sweeps.result import Result
from purejaxrl_suite.sweeps.stages import Stages, stages

SEGMENTS = 10
"""The most parts in which an arm, or a stage of it, is trained."""


class Continued(NamedTuple):
    """What such an arm found.

    results: {environment: the Result of its last stage}. curves: of these, over (environment, ...).
    parameters: `Result.parameters` of these, over (environment, namespace).
    """

    results: dict[str, Result]
    curves: Curves
    parameters: Any


def by_environment(result: Result) -> dict[str, Result]:
    """Part the Result of an arm, {environment: as if this one had been trained alone}.

    Of several programs in one environment, which nothing can go on from, the last is there.
    """
    found = {}
    for number, group in enumerate(result.layout.groups):
        at = {axis: labelled(x) for axis, x in group.labels.items()}
        curves = result.curves.sel(at).reset_coords(list(at), drop=True)
        only = result.layout.only(number)
        laid = only._replace(static={}, groups=(group._replace(labels={}),))
        sizes, chunks = (result.sizes[number],), (result.chunks[number],)
        found[group.env.name] = Result(curves, laid, sizes, chunks)
    return found


def continued(
    label: str,
    arm: Continuation,
    results: Mapping[str, Mapping[str, Result]],
    folder: Path,
    *,
    progress: bool,
) -> Continued:
    """Train an arm that goes on from others, or continue it.

    Args:
        label: of the arm.
        arm: the arm.
        results: {arm: {environment: Result}} of the arms before it.
        folder: with a folder for each environment.
        progress: show how each stage trains, as `stages` does.

    Returns:
        Results and curves; of their attributes, seconds are those of all stages of the arm.

    Raises:
        ValueError: an arm that it goes on from is not there; or as in `stages`.
    """
    missing = [name for name in arm.after if name not in results]
    if missing:
        raise wrong(f"arms[{label!r}]: after", f"arms before it ({', '.join(results)})", missing[0])
    made: dict[str, Stages] = {}
    for env in arm.tasks:
        parts = arm.stages(*(results[name][env] for name in arm.after))
        made[env] = stages(*parts, out=folder / env, segments=SEGMENTS, progress=progress)
    last = {env: list(found.results.values())[-1] for env, found in made.items()}
    curves = side_by_side({env: one.curves for env, one in last.items()})
    parameters = side_by_side({env: one.parameters for env, one in last.items()})
    return Continued(last, curves.assign_attrs(_cost(made, results)), parameters)


def _cost(
    made: Mapping[str, Stages], before: Mapping[str, Mapping[str, Result]]
) -> dict[str, float]:
    """Sum the seconds of all stages that were trained for an arm; the rate is that of the last."""
    given = {id(one) for of in before.values() for one in of.values()}
    new = [
        [one.curves.attrs for one in found.results.values() if id(one) not in given]
        for found in made.values()
    ]
    every = [one for found in new for one in found]
    seconds = {
        name: float(sum(one[name] for one in every)) for name in ("compile_seconds", "wall_seconds")
    }
    lasts = [found[-1] for found in new]
    steps = sum(one["steps_per_second"] * one["wall_seconds"] for one in lasts)
    rate = float(steps / sum(one["wall_seconds"] for one in lasts))
    return seconds | {"steps_per_second": rate}
