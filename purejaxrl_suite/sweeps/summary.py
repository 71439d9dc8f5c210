"""Describe results in a few lines, for `print`."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from purejaxrl_suite import stats
from purejaxrl_suite.core.compiling import quickly
from purejaxrl_suite.stats.aggregate import FINAL
from purejaxrl_suite.stats.inputs import DIRECTION
from purejaxrl_suite.stats.inputs import METRIC as INSTEAD

if TYPE_CHECKING:
    import xarray

METRIC = "episode_return"


def describe(curves: "xarray.Dataset", folder: Any) -> str:
    """Describe what was trained, its scores, its speed, and its folder (None: in memory)."""
    seeds, steps = curves.sizes["seed"], int(curves["step"].values[-1])
    count = curves["diverged"].size // seeds
    attributes = curves.attrs
    place = f" on {attributes['environment']}" * bool(attributes["environment"])
    metric, kind = attributes.get(INSTEAD, METRIC), curves["step"].attrs.get("long_name", "steps")
    lines = [
        f"Result: {attributes['agent']}{place}",
        f"  {count * seeds:,} member{_s(count * seeds)} = {count:,} configuration{_s(count)} x "
        f"{seeds:,} seed{_s(seeds)}, {steps:,} {'steps' if place else kind} each",
    ]
    if "trained" in attributes:
        lines.append(f"  not finished: {attributes['trained']:.0%} of it is trained")
    if count == 1:
        lines.append(f"  {metric} over the last {FINAL:.0%}: {_scores(curves, metric)}")
    else:
        lines.append(f"  varied: {', '.join(_varied(curves))}; report.best(result.curves) ranks")
    lost = int(np.sum(curves["diverged"].values))
    rate = float(attributes["steps_per_second"])
    speed = f", {rate:,.0f} steps/s" if np.isfinite(rate) else ""
    lines.append(f"  {lost or 'none'} diverged{speed}")
    if folder is not None:
        lines.append(f"  folder: {folder}")
    return "\n".join(lines)


def _varied(curves: "xarray.Dataset") -> list[str]:
    dims = curves["diverged"].dims
    return [f"{name} ({curves.sizes[name]})" for name in map(str, dims) if name != "seed"]


def _scores(curves: "xarray.Dataset", metric: str) -> str:
    """Describe IQM and spread over seeds of one configuration, and seeds without a score."""
    if metric not in curves:
        return "not measured"
    _, values, episodes = stats.curves(curves, metric)
    values = np.reshape(values, (curves.sizes["seed"], -1))
    episodes = None if episodes is None else np.reshape(episodes, values.shape)
    lost = np.reshape(curves["diverged"].values, -1)
    random = stats.random_score(str(curves.attrs["environment"]), metric)
    sign = -1.0 if curves[metric].attrs.get(DIRECTION) == "lower" else 1.0
    scores, middle = (sign * np.asarray(x) for x in _final(sign * values, episodes, lost, random))
    known = scores[np.isfinite(scores)]
    if not known.size:
        return "no episode ended" if not lost.all() else "all diverged"
    spread = f", seeds from {known.min():.4g} to {known.max():.4g}" if known.size > 1 else ""
    missing = f", {scores.size - known.size} without an episode" * (known.size < scores.size)
    return f"IQM {float(middle):.4g}{spread}{missing}"


@quickly()
def _final(values: Any, episodes: Any, lost: Any, random: float) -> tuple[Any, Any]:
    measured = stats.final_score(values, episodes)
    scores = stats.with_diverged(measured[:, None], lost[:, None], random)[:, 0]
    return scores, stats.iqm(scores)


def _s(count: int) -> str:
    return "s" * (count != 1)


def place(chunks: Sequence[Sequence[Any]]) -> Any:
    """Return the folder of a run, from the stores of its chunks; None in memory."""
    path = chunks[0][0].path
    return None if path is None else path.parents[1]
