"""Combine interventions: in sequence, periodically, on a condition, or as pure measurements.

The engine's clock decides when an intervention acts. The clock is never batched over members, so
`every` compiles to a real conditional and a rare intervention costs nothing in other updates.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from purejaxrl_suite.core.argument import function, functions, instance, instances, integer
from purejaxrl_suite.core.types import (
    Array,
    Clock,
    Inspection,
    Intervention,
    Key,
    Learner,
    Metric,
    Network,
    PyTree,
)

Condition = Callable[[Clock, Learner, Inspection], Array]
METRIC = "(learner, probe, inspection) -> {name: f32[]}"
Outcome = tuple[Learner, PyTree, Mapping[str, Array]]


def chain(*interventions: Intervention) -> Intervention:
    """Apply interventions in sequence; each sees the learner that the one before it left.

    Raises:
        ValueError: two of them record a metric of the same name (found when it is traced).
    """

    instances("interventions", interventions, Intervention, least=0)

    def init(network: Network, learner: Learner) -> PyTree:
        return tuple(one.init(network, learner) for one in interventions)

    def apply(
        key: Key, clock: Clock, state: PyTree, learner: Learner, inspection: Inspection
    ) -> Outcome:
        keys = jax.random.split(key, max(len(interventions), 1))
        states, metrics = [], {}
        for i, (one, key, inner) in enumerate(zip(interventions, keys, state, strict=False)):
            learner, inner, found = one.apply(key, clock, inner, learner, inspection)
            metrics[f"interventions[{i}] ({one.name})"] = found
            states.append(inner)
        return learner, tuple(states), joined(metrics)

    name = f"chain({', '.join(one.name for one in interventions)})"
    counters = tuple(counter for one in interventions for counter in one.counters)
    return Intervention(name, init, apply, counters)


def every(
    period: int, intervention: Intervention, *, start: int = 0, stop: int | None = None
) -> Intervention:
    """Apply an intervention after updates `period`, 2 `period` ...; elsewhere its metrics are NaN.

    An update may hold many gradient steps (`epochs * minibatches` of PPO and PQN, `gradient_steps`
    of agents with replay): divide a period that the literature gives in gradient steps by them.

    Args:
        period: updates from one application to the next.
        intervention: what is applied.
        start: updates that are done before the first application.
        stop: updates after which nothing more is applied; None never stops.

    Returns:
        The periodic intervention.

    Raises:
        ValueError: the period is not positive.
    """
    period, start = integer("period", period, 1), integer("start", start, 0)
    stop = None if stop is None else integer("stop", stop, start)
    instance("intervention", intervention, Intervention)

    def due(clock: Clock, learner: Learner, inspection: Inspection) -> Array:
        done = clock.update + 1
        last = clock.updates if stop is None else stop
        return (done % period == 0) & (done > start) & (done <= last)

    window = "" if (start, stop) == (0, None) else f", start={start}, stop={stop}"
    return when(due, intervention, f"every({period}, {intervention.name}{window})")


def once(update: int, intervention: Intervention) -> Intervention:
    """Apply an intervention after update number `update` (1, 2 ...) only."""
    integer("update", update, 1)
    return every(update, intervention, stop=update)


def when(condition: Condition, intervention: Intervention, name: str | None = None) -> Intervention:
    """Apply an intervention after updates for which a condition holds.

    Args:
        condition: (clock, learner, inspection) -> bool[]. If it reads the clock alone, updates
            where it is False cost nothing. If it reads the learner, it differs between members, and
            a batch of members computes both branches: put it inside `every`.
        intervention: what is applied; its metrics are NaN elsewhere.
        name: of the result; None makes one from the two names.

    Returns:
        The conditional intervention.
    """
    function("condition", condition, 3, "(clock, learner, inspection) -> bool[]")
    instance("intervention", intervention, Intervention)
    called = getattr(condition, "__qualname__", type(condition).__name__)
    text = f"when({called}, {intervention.name})" if name is None else instance("name", name, str)

    def apply(
        key: Key, clock: Clock, state: PyTree, learner: Learner, inspection: Inspection
    ) -> Outcome:
        def act(learner: Learner, state: PyTree) -> Outcome:
            learner, state, metrics = intervention.apply(key, clock, state, learner, inspection)
            return learner, state, dict(metrics)

        names = jax.eval_shape(act, learner, state)[2]

        def skip(learner: Learner, state: PyTree) -> Outcome:
            return learner, state, {name: jnp.full((), jnp.nan) for name in names}

        return jax.lax.cond(condition(clock, learner, inspection), act, skip, learner, state)

    return Intervention(text, intervention.init, apply, intervention.counters)


def record(*metrics: Metric) -> Intervention:
    """Make an intervention that records metrics and changes nothing; they share one probe.

    Raises:
        ValueError: a metric is given twice, or two metrics record the same name.
    """
    functions("metrics", metrics, 3, METRIC)
    names = [getattr(metric, "__name__", "?") for metric in metrics]
    _check_once(metrics, names)

    def apply(
        key: Key, clock: Clock, state: PyTree, learner: Learner, inspection: Inspection
    ) -> Outcome:
        probe = inspection.probe(learner)
        found = {
            f"metrics[{i}] ({names[i]})": metric(learner, probe, inspection)
            for i, metric in enumerate(metrics)
        }
        return learner, state, joined(found)

    return Intervention(f"record({', '.join(names)})", lambda network, learner: (), apply)


def _check_once(metrics: Sequence[Metric], names: Sequence[str]) -> None:
    """Raise ValueError for a metric given twice: one function, or two calls of `dormant(0.1)`.

    Two nested functions may share a name and record different things.
    """
    seen: dict[object, int] = {}
    for i, metric in enumerate(metrics):
        module, name = (getattr(metric, x, "<?>") for x in ("__module__", "__qualname__"))
        first = seen.setdefault(id(metric) if "<" in name else (module, name), i)
        if first != i:
            raise ValueError(
                f"metrics: expected each once, got {names[i]} as metrics[{first}] and metrics[{i}]"
            )


def observed(
    intervention: Intervention | None, metrics: Sequence[Metric], measure_every: int
) -> Intervention | None:
    """Chain measurements, made every `measure_every` updates, and an intervention.

    Measurements come first: a unit that has just been recycled would show nothing.

    Args:
        intervention: what is applied after each update; None applies nothing.
        metrics: what is measured.
        measure_every: updates from one measurement to the next.

    Returns:
        The intervention that does both; None if there is neither.

    Raises:
        ValueError: `measure_every` is not positive.
    """
    integer("measure_every", measure_every, 1)
    functions("metrics", metrics, 3, METRIC)
    if intervention is not None:
        instance("intervention", intervention, Intervention)
    if not metrics:
        return intervention
    measured = every(measure_every, record(*metrics))
    return measured if intervention is None else chain(measured, intervention)


def joined(parts: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Merge {who: {name: value}} into {name: value}; ValueError if two have the same name."""
    found: dict[str, Any] = {}
    owner: dict[str, str] = {}
    for who, values in parts.items():
        for name, value in values.items():
            if name in found:
                text = f"{name}, by {owner[name]} and by {who}"
                raise ValueError(f"two things are recorded under one name: {text}")
            found[name], owner[name] = value, who
    return found
