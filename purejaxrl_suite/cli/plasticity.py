"""Names of metrics and interventions on the command line."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from purejaxrl_suite.core.argument import functions, one_of
from purejaxrl_suite.core.plugins import called, find, is_reference

if TYPE_CHECKING:
    from purejaxrl_suite.core.types import Intervention, Metric


def metric_sets() -> dict[str, tuple["Metric", ...]]:
    """Return sets of metrics by name."""
    from purejaxrl_suite import plasticity, representations, sparsity

    sets = {"cheap": plasticity.CHEAP, "costly": plasticity.COSTLY}
    return sets | {"representations": representations.METRICS, "sparse": sparsity.METRICS}


def interventions() -> dict[str, Callable[[], "Intervention"]]:
    """Return interventions by name, with their default settings."""
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
    """Convert the flags of a `Fleet` to metrics and intervention of `run` and `sweep`.

    Raises:
        ValueError: a name is unknown.
    """
    found = None
    if fleet.intervention:
        from purejaxrl_suite.plasticity import every

        found = every(fleet.intervene_every, _intervention(fleet.intervention))
    metrics = tuple(x for name in dict.fromkeys(fleet.metrics) for x in _metrics(name))
    return {"intervention": found, "metrics": metrics, "measure_every": fleet.measure_every}


def _intervention(name: str) -> "Intervention":
    if is_reference(name):
        from purejaxrl_suite.core.types import Intervention

        return called("--intervention", name, Intervention)
    known = interventions()
    return known[one_of("--intervention", name, known)]()


def _metrics(name: str) -> "tuple[Metric, ...]":
    """Return a set by name, or the function or tuple of functions of a reference."""
    if not is_reference(name):
        known = metric_sets()
        return known[one_of("--metrics", name, known)]
    from purejaxrl_suite.core.interventions import METRIC

    found = find("--metrics", name)
    return functions("--metrics", found if isinstance(found, tuple) else (found,), 3, METRIC)
