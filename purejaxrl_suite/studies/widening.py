"""Effects of wider networks, shared by studies of several tasks.

All of them are made from a measure, (curves of an arm) -> f32[S].
"""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from purejaxrl_suite import stats
from purejaxrl_suite.core.types import Array, Key
from purejaxrl_suite.stats import Effect, Estimate
from purejaxrl_suite.studies.panels import Line, line
from purejaxrl_suite.studies.protocol import LESS, Compare, Curves, Gate
from purejaxrl_suite.studies.scores import estimated, late

Measure = Callable[[Curves], Array]


def grows(measure: Measure) -> Compare:
    """Make the effect (key, *curves of arms by size): growth of the measure with the size.

    It is the mean over seeds of the rank correlation of measure and size, Page's test's effect.
    """

    def effect(key: Key, *by_size: Curves) -> Effect:
        rows = jnp.stack([measure(one) for one in by_size], axis=-1)
        correlation = jax.vmap(lambda one: stats.page(key, one, permutations=1).effect)
        return estimated(key, correlation(rows[:, None]))

    return effect


def beyond(measure: Measure, share: float) -> Callable[[Key, Curves, Curves, Curves], Effect]:
    """Make the effect: gain of one wide network minus a share of the gain of two wide ones.

    NaN if two wide ones do not gain.
    """

    def effect(key: Key, one: Curves, both: Curves, none: Curves) -> Effect:
        base = measure(none)
        whole = measure(both) - base
        apart = measure(one) - base - share * whole
        return estimated(key, jnp.where(jnp.nanmean(whole) > 0, apart, jnp.nan))

    return effect


def interacts(measure: Measure) -> Callable[[Key, Curves, Curves, Curves, Curves], Effect]:
    """Make the effect: gain from width with tasks together minus that with each task alone."""

    def effect(key: Key, wide: Curves, narrow: Curves, wide_alone: Curves, alone: Curves) -> Effect:
        gain = measure(wide) - measure(narrow)
        return estimated(key, gain - (measure(wide_alone) - measure(alone)))

    return effect


def gain(measure: Measure) -> Callable[[Key, Curves, Curves], Effect]:
    """Make the effect: the measure of one arm minus that of another."""

    def effect(key: Key, more: Curves, less: Curves) -> Effect:
        return estimated(key, measure(more) - measure(less))

    return effect


def room(name: str, statement: str, arm: str, measure: Measure, most: float) -> Gate:
    """Make a gate: an arm scores at most `most`, so that others can score more."""
    remedy = "harder tasks, or fewer steps"

    def effect(key: Key, curves: Curves) -> Effect:
        return estimated(key, measure(curves))

    return Gate(
        name,
        statement,
        over=(arm,),
        measure=effect,
        direction=LESS,
        bound=most,
        unit="normalized score",
        remedy=remedy,
    )


def asleep(curves: Curves, tau: float) -> Array:
    """Compute the share of dormant units of the critic in the last quarter of training, f32[S].

    The mean over layers, critics and environments.
    """
    layers: list[Any] = [
        x for name, x in curves.data_vars.items() if f"_{tau:g}.trunk.critic" in str(name)
    ]
    found: Any = sum(layers[1:], layers[0]) / len(layers)
    return jnp.nanmean(late(curves, found, 0.25), axis=-1)


def against(
    key: Key,
    label: str,
    measure: Measure,
    curves: Mapping[str, Curves],
    arms: Mapping[str, float],
) -> Line:
    """Draw the mean of a measure with its interval, for arms {name: place on the axis}."""
    found = [stats.estimate(key, measure(curves[name]), stats.mean) for name in arms]
    along: Any = (np.array([float(one[i]) for one in found]) for i in range(3))
    return line(label, tuple(arms.values()), Estimate(*along))
