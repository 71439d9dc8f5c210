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
    Intervention,
    Key,
    Learner,
    Look,
    Metric,
    Network,
    PyTree,
)

Condition = Callable[[Clock, Learner, Look], Array]
Outcome = tuple[Learner, PyTree, Mapping[str, Array]]


def chain(*interventions: Intervention) -> Intervention:
    """One after the other; each sees what those before it have left.

    Raises ValueError, when it is traced, if two of them record something of the same name.
    """

    instances("interventions", interventions, Intervention, least=0)

    def init(network: Network, learner: Learner) -> PyTree:
        return tuple(one.init(network, learner) for one in interventions)

    def apply(key: Key, clock: Clock, state: PyTree, learner: Learner, look: Look) -> Outcome:
        keys = jax.random.split(key, max(len(interventions), 1))
        states, metrics = [], {}
        for one, key, inner in zip(interventions, keys, state, strict=False):
            learner, inner, found = one.apply(key, clock, inner, learner, look)
            metrics = join(metrics, found)
            states.append(inner)
        return learner, tuple(states), metrics

    return Intervention(f"chain({', '.join(one.name for one in interventions)})", init, apply)


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

    def due(clock: Clock, learner: Learner, look: Look) -> Array:
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
    """After updates for which condition(clock, learner, look) -> bool[] holds.

    A condition on the clock alone makes the rest cheap where it does not hold. One on the learner
    differs between members, so a batch of them computes both sides and chooses: put it inside
    `every`.
    """
    function("condition", condition, 3, "(clock, learner, look) -> bool[]")
    instance("intervention", intervention, Intervention)
    text = name or f"when({condition.__qualname__}, {intervention.name})"

    def apply(key: Key, clock: Clock, state: PyTree, learner: Learner, look: Look) -> Outcome:
        def act(learner: Learner, state: PyTree) -> Outcome:
            learner, state, metrics = intervention.apply(key, clock, state, learner, look)
            return learner, state, dict(metrics)

        names = jax.eval_shape(act, learner, state)[2]

        def skip(learner: Learner, state: PyTree) -> Outcome:
            return learner, state, {name: jnp.full((), jnp.nan) for name in names}

        return jax.lax.cond(condition(clock, learner, look), act, skip, learner, state)

    return Intervention(text, intervention.init, apply)


def record(*metrics: Metric) -> Intervention:
    """Measure, and change nothing; all metrics share one probe."""

    functions("metrics", metrics, 3, "(learner, probe, look) -> {name: f32[]}")

    def apply(key: Key, clock: Clock, state: PyTree, learner: Learner, look: Look) -> Outcome:
        probe, found = look.probe(learner), {}
        for metric in metrics:
            found = join(found, metric(learner, probe, look))
        return learner, state, found

    names = ", ".join(getattr(metric, "__name__", "?") for metric in metrics)
    return Intervention(f"record({names})", lambda network, learner: (), apply)


def observed(
    intervention: Intervention | None, metrics: Sequence[Metric], measure_every: int
) -> Intervention | None:
    """An intervention that follows measurements at every so many updates; None without either.

    Measurements come first: of a unit that has just been recycled there is nothing to see.
    Raises ValueError unless measure_every is positive.
    """
    integer("measure_every", measure_every, 1)
    if not metrics:
        return intervention
    measured = every(measure_every, record(*metrics))
    return measured if intervention is None else chain(measured, intervention)


def join(some: Mapping[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    """Both dictionaries in one; ValueError if a name is in both."""
    twice = sorted(set(some) & set(more))
    if twice:
        raise ValueError(f"two things are recorded under one name: {', '.join(twice)}")
    return {**some, **more}
