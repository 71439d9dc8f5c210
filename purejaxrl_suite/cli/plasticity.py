"""Names of what the command line can measure of learners, and do to them."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from purejaxrl_suite.core.types import Intervention, Metric


def metric_sets() -> dict[str, tuple["Metric", ...]]:
    """Sets of metrics by their names."""
    from purejaxrl_suite import plasticity

    return {"cheap": plasticity.CHEAP, "costly": plasticity.COSTLY}


def interventions() -> dict[str, Callable[[], "Intervention"]]:
    """Interventions by their names, with their default settings."""
    from purejaxrl_suite import plasticity

    return {
        "continual-backprop": plasticity.continual_backprop,
        "random-recycling": plasticity.random_recycling,
        "redo": plasticity.redo,
        "regrama": plasticity.regrama,
        "regrama-as-released": plasticity.regrama_as_released,
        "reset-layers": plasticity.reset_layers,
        "shrink-and-perturb": plasticity.shrink_and_perturb,
    }


def arguments(fleet: Any) -> dict[str, Any]:
    """What `run` and `sweep` are to measure and to do, as the flags of a `Fleet` say.

    Raises ValueError for a name that there is not.
    """
    sets, known = metric_sets(), interventions()
    for flag, given, names in (
        ("--metrics", fleet.metrics, sets),
        ("--intervention", (fleet.intervention,) if fleet.intervention else (), known),
    ):
        unknown = [name for name in given if name not in names]
        if unknown:
            raise ValueError(f"{flag}: expected some of {', '.join(names)}, got {unknown[0]!r}")
    found = None
    if fleet.intervention:
        from purejaxrl_suite.plasticity import every

        found = every(fleet.intervene_every, known[fleet.intervention]())
    metrics = tuple(metric for name in dict.fromkeys(fleet.metrics) for metric in sets[name])
    return {"intervention": found, "metrics": metrics, "measure_every": fleet.measure_every}
