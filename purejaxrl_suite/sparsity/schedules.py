"""How much of the target sparsity is in force, and how many weights move, as training goes on.

Progress, `start` and `end` are fractions of the run, f32[] and traced: `start` and `end` may differ
between members of one program. Progress is that after the update in question, so the last update of
the run has progress 1. Masks are to be made anew at times of one period and at the end of the run:
at the first of them at or behind `end` all of the target is in force.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp

from purejaxrl_suite.core.argument import integer, number
from purejaxrl_suite.core.types import Array


class Schedule(NamedTuple):
    """name: with its settings. share: (progress, start, end) -> f32[] in [0, 1].

    The sparsity in force is share * target, in every layer and in total. Of share 0 masks are
    dense. reads: which of `sparsity_start` and `sparsity_end` it depends on. gradual: whether it
    has shares between 0 and 1.
    """

    name: str
    share: Callable[[Array, Array, Array], Array]
    reads: tuple[str, ...] = ("sparsity_start", "sparsity_end")
    gradual: bool = True


class Drop(NamedTuple):
    """name: with its settings.

    fraction: (progress, start, end, initial drop fraction f32[]) -> f32[], the share of the active
    weights that are replaced; 0 before `start` and from `end` on, where masks stay what they are.
    reads: which of `sparsity_start` and `sparsity_end` it depends on.
    """

    name: str
    fraction: Callable[[Array, Array, Array, Array], Array]
    reads: tuple[str, ...] = ("sparsity_start", "sparsity_end")


def cubic(power: int = 3) -> Schedule:
    """Prune much at first and then ever less: 1 - (1 - (progress - start) / (end - start))^power.

    Zhu and Gupta 2017, arXiv 1710.01878. All of the target is in force from `end` on.
    """
    integer("power", power, 1)

    def share(progress: Array, start: Array, end: Array) -> Array:
        return 1.0 - (1.0 - _passed(progress, start, end)) ** power

    return Schedule("cubic" if power == 3 else f"polynomial({power})", share)


def one_shot() -> Schedule:
    """Prune to the target at `start`, at once."""

    def share(progress: Array, start: Array, end: Array) -> Array:
        return jnp.where(progress >= start, 1.0, 0.0)

    return Schedule("one_shot", share, ("sparsity_start",), gradual=False)


def constant() -> Schedule:
    """Keep the target in force during the whole run."""
    return Schedule("constant", lambda progress, start, end: jnp.ones_like(progress), (), False)


def cycles(count: int, sparse: float = 0.5) -> Schedule:
    """Alternate sparse and dense phases between `start` and `end`, then stay sparse: AC/DC.

    Peste et al. 2021, arXiv 2106.12379. Before `start` all is dense.

    Args:
        count: how many cycles, of equal length, of a sparse phase followed by a dense one.
        sparse: the share of the sparse phase in each, between 0 and 1.
    """
    integer("count", count, 1)
    number("sparse", sparse, above=0, below=1)

    def share(progress: Array, start: Array, end: Array) -> Array:
        # Fractions of a run are rounded: a phase that begins with an update begins at it.
        place = count * (_passed(progress, start, end) + 1e-6)
        inside = place - jnp.floor(place) < sparse
        return jnp.where((progress >= start) & (inside | (progress >= end)), 1.0, 0.0)

    return Schedule(f"cycles({count}, {sparse:g})", share, gradual=False)


def cosine_drop() -> Drop:
    """Replace ever fewer weights: initial / 2 * (1 + cos(pi progress / end)).

    RigL, Evci et al. 2020, arXiv 1911.11134: the cosine counts from the beginning of the run.
    """

    def fraction(progress: Array, start: Array, end: Array, initial: Array) -> Array:
        decayed = 0.5 * initial * (1.0 + jnp.cos(jnp.pi * progress / jnp.maximum(end, progress)))
        return _during(progress, start, end, decayed)

    return Drop("cosine", fraction)


def constant_drop() -> Drop:
    """Replace the same share of weights every time, as SET does (arXiv 1707.04780)."""
    return Drop("constant", _during)


def cubic_as_released(
    step: Array, start: Array, end: Array, *, period: int = 1, power: int = 3
) -> Array:
    """The share of the target that JaxPruner has in force after gradient step `step`, f32[].

    It counts steps from 0 and makes masks at multiples of the period in start .. end, both
    included, with 1 - (1 - (step + 1 - start) / (end - start))^power. So the first share is not 0,
    and where the period does not divide `end` the target is never reached.

    Args:
        step, start, end: i32[], gradient steps, start < end.
        period: steps between masks.
        power: as of `cubic`.
    """
    made = jnp.minimum(step, end) // period * period
    passed = (made + 1 - start).astype(jnp.float32) / (end - start)
    share = 1.0 - (1.0 - jnp.clip(passed, 0.0, 1.0)) ** power
    return jnp.where(made >= start, share, 0.0)


def _passed(progress: Array, start: Array, end: Array) -> Array:
    """The fraction of start .. end that is over: 0 before, 1 from `end` on."""
    passed = (progress - start) / jnp.where(end > start, end - start, 1.0)
    return jnp.where(progress >= end, 1.0, jnp.clip(passed, 0.0, 1.0))


def _during(progress: Array, start: Array, end: Array, value: Array) -> Array:
    return jnp.where((progress >= start) & (progress < end), value, 0.0)
