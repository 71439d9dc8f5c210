"""Select the units of a layer by their scores: by a threshold, a share, both, or at random."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp

from purejaxrl_suite.core.argument import instance, number
from purejaxrl_suite.core.types import Array, Key

Settings = Mapping[str, Array]


class Selection(NamedTuple):
    """A rule that selects units.

    name: with its settings. settings: numbers that become part of the intervention's state.
    choose: (key, settings f32[] each, scores f32[H]) -> bool[H].
    """

    name: str
    settings: Mapping[str, float]
    choose: Callable[[Key, Settings, Array], Array]


def threshold(tau: float) -> Selection:
    """Select units whose score is at most tau."""
    number("tau", tau)
    return Selection(f"tau={tau:g}", {"tau": tau}, lambda key, s, scores: scores <= s["tau"])


def lowest(fraction: float) -> Selection:
    """Select the lowest share of each layer, rounded down; ties by lower index."""
    number("fraction", fraction, 0, high=1)

    def choose(key: Key, settings: Settings, scores: Array) -> Array:
        return _place(scores) < jnp.floor(settings["fraction"] * scores.shape[0])

    return Selection(f"fraction={fraction:g}", {"fraction": fraction}, choose)


def capped(tau: float, fraction: float) -> Selection:
    """Select units whose score is at most tau, but at most a share of each layer: the lowest."""
    low, few = threshold(tau), lowest(fraction)

    def choose(key: Key, settings: Settings, scores: Array) -> Array:
        return low.choose(key, settings, scores) & few.choose(key, settings, scores)

    return Selection(f"{low.name}, {few.name}", {**low.settings, **few.settings}, choose)


def at_random(selection: Selection) -> Selection:
    """Select as many units as `selection` does, but at random: the control for its scores."""
    instance("selection", selection, Selection)

    def choose(key: Key, settings: Settings, scores: Array) -> Array:
        key_inner, key_place = jax.random.split(key)
        count = jnp.sum(selection.choose(key_inner, settings, scores))
        return _place(jax.random.uniform(key_place, scores.shape)) < count

    return selection._replace(name=f"at random like {selection.name}", choose=choose)


def _place(scores: Array) -> Array:
    """Rank scores, i32[H]: 0 for the lowest, 1 for the next ..."""
    return jnp.argsort(jnp.argsort(scores))
