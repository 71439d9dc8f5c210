"""Interventions from interventions: one after the other, now and then, or only records.

Whether an intervention acts is decided on the engine's clock. That is never batched over members,
so `every` compiles to a condition, and what is rare costs what it costs when it happens.
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
    """One after the other; each sees what those before it have left.

    Raises ValueError, when it is traced and so before it is compiled, if two of them record
    something of the same name.
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
    """After the updates number `period`, 2 `period` ...; elsewhere its metrics are NaN.

    An update may hold many gradient steps (`epochs * minibatches` of PPO and PQN, `gradient_steps`
    of agents with replay): a period in the literature's gradient steps is divided by them.

    start, stop: updates that are done before the first and after the last time, if at all.
    Raises ValueError unless the period is positive.
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
    """After update number `update` (1, 2 ...), and never again."""
    integer("update", update, 1)
    return every(update, intervention, stop=update)


def when(condition: Condition, intervention: Intervention, name: str | None = None) -> Intervention:
    """After updates for which condition(clock, learner, inspection) -> bool[] holds.

    A condition on the clock alone makes the rest cheap where it does not hold. One on the learner
    differs between members, so a batch of them computes both sides and chooses: put it inside
    `every`.
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
    """Measure, and change nothing; all metrics share one probe.

    Raises ValueError for a metric that is given twice, and as `chain` does.
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
    """Raise ValueError for one metric twice: one function, or two made alike, `dormant(0.1)`.

    Functions inside functions can be called alike and record other things.
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
    """An intervention that follows measurements at every so many updates; None without either.

    Measurements come first: of a unit that has just been recycled there is nothing to see.
    Raises ValueError unless measure_every is positive.
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
    """{name: value} of all parts, {who: {name: value}}; ValueError if two have the same name."""
    found: dict[str, Any] = {}
    owner: dict[str, str] = {}
    for who, values in parts.items():
        for name, value in values.items():
            if name in found:
                text = f"{name}, by {owner[name]} and by {who}"
                raise ValueError(f"two things are recorded under one name: {text}")
            found[name], owner[name] = value, who
    return found
