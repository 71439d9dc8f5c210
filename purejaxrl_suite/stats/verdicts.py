"""From an effect with its interval to a verdict on a claim.

An effect is measured in normalized score. The smallest effect of interest, `smallest` (SESOI), is
what the claim must reach to matter; 0.05 unless said otherwise, and never chosen after the result.

    CONFIRMED     the interval excludes 0 in the claimed direction
    REFUTED       the interval lies below the smallest effect of interest
    INCONCLUSIVE  neither, or fewer than `MINIMUM_SEEDS` independent seeds in an arm

Both of the first hold for an effect that is surely there and surely too small to matter. Then the
verdict is REFUTED: seeds are cheap here, and with enough of them any effect that is not exactly 0
would otherwise be confirmed. So with ever more seeds the verdict becomes CONFIRMED where the true
effect is above `smallest` and REFUTED where it is below. These functions judge finished numbers, on
the host.
"""

import enum
import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from scipy import special

from purejaxrl_suite.stats.bootstrap import Effect

MINIMUM_SEEDS = 8
"""Of each arm, before anything is judged: below, no interval is right for every kind of scores."""
MOST_SEEDS = 2**60
SMALLEST = 0.05
"""The default smallest effect of interest, in normalized score."""


class Verdict(enum.StrEnum):
    """What an experiment says about a claim."""

    CONFIRMED = "CONFIRMED"
    REFUTED = "REFUTED"
    INCONCLUSIVE = "INCONCLUSIVE"


def verdict(effect: Effect, smallest: float = SMALLEST) -> Verdict:
    """Judge the claim that X is better than Y by their effect (positive is in favour of X).

    effect: 0 means no difference; of a probability of improvement, that is 0.5 less.
    A claim that X is less than Y is the claim that Y is more than X: swap the arms.
    An effect without an interval (NaN), or of fewer than `MINIMUM_SEEDS` seeds, is INCONCLUSIVE;
    `reason` says which.
    Raises ValueError for an effect that is not one number with its interval and a whole number of
    seeds, or a smallest effect below 0.
    """
    _, low, high = _numbers(effect, smallest)
    if reason(effect):
        return Verdict.INCONCLUSIVE
    if high < smallest:
        return Verdict.REFUTED
    return Verdict.CONFIRMED if low > 0.0 else Verdict.INCONCLUSIVE


def reason(effect: Effect) -> str:
    """Say why an effect cannot be judged at all: "too few seeds" or "no interval"; "" if it can."""
    if int(effect.seeds) < MINIMUM_SEEDS:
        return f"too few seeds ({int(effect.seeds)} of {MINIMUM_SEEDS})"
    return "no interval" if math.isnan(effect.low) or math.isnan(effect.high) else ""


def seeds_to_decide(effect: Effect, smallest: float = SMALLEST) -> int | None:
    """Estimate how many seeds (of each arm) would decide what is INCONCLUSIVE.

    Each side of the interval is taken to shrink with the seeds as Student's intervals do, around a
    value that stays; the smallest number is returned, `MINIMUM_SEEDS` at least, with which either
    end passes its mark. Half of the experiments of this size will come out on the wrong side of
    that mark by chance: plan for more.
    Returns None where no number can be named: without an interval, or with smallest = 0 and a value
    of exactly 0; and the present number where the verdict is in.
    Raises ValueError as `verdict` does.
    """
    return _seeds_until(verdict, effect, smallest)


def equivalent(effect: Effect, smallest: float = SMALLEST) -> bool:
    """Whether X and Y are equal for all that matters: the interval lies inside +-smallest.

    With a 95 % interval this is stricter than two one-sided tests at 5 %, which ask it of the 90 %
    interval (confidence=0.9). False where `reason` says that nothing can be judged. Raises
    ValueError as `verdict` does, and for a smallest effect of 0: nothing is within it.
    """
    _, low, high = _numbers(effect, smallest)
    if smallest == 0.0:
        raise ValueError("smallest: expected more than 0, within which X and Y are equal, got 0")
    return not reason(effect) and -smallest < low and high < smallest


def equivalence_verdict(effect: Effect, smallest: float = SMALLEST) -> Verdict:
    """Judge the claim that X and Y are equal for all that matters.

    CONFIRMED where they are `equivalent`, REFUTED where the whole interval is at least `smallest`
    away from 0 even if it is of half the error, 97.5 % for 95: chance has two sides on which to
    refute what is equal, and one to refute that X is better. Else, and as in `verdict`,
    INCONCLUSIVE. Raises ValueError as `equivalent` does.
    """
    if equivalent(effect, smallest):
        return Verdict.CONFIRMED
    _, low, high, _ = _at_level(effect, 0.05, 0.025)
    apart = not reason(effect) and (low >= smallest or high <= -smallest)
    return Verdict.REFUTED if apart else Verdict.INCONCLUSIVE


def seeds_for_equivalence(effect: Effect, smallest: float = SMALLEST) -> int | None:
    """`seeds_to_decide` of an `equivalence_verdict`: both ends must come inside, or one go out."""
    return _seeds_until(equivalence_verdict, effect, smallest)


class Adjusted(NamedTuple):
    """A claim among several: its p-value, two-sided, and the interval that goes with it."""

    p: float
    effect: Effect


def p_value(effect: Effect, confidence: float = 0.95) -> float:
    """The two-sided p-value of "no effect" that belongs to an interval.

    It is below 1 - confidence exactly where the interval excludes 0: the side towards 0 is read as
    that of Student's t with seeds - 1 degrees of freedom. NaN without an interval.
    Raises ValueError as `verdict` does, and for a confidence outside (0, 1).
    """
    value, low, high = _numbers(effect, 0.0)
    if not 0.0 < confidence < 1.0:
        raise ValueError(f"confidence: expected a number between 0 and 1, got {confidence}")
    side = value - low if value > 0.0 else high - value
    if math.isnan(side):
        return math.nan
    if side <= 0.0:  # less where a value that was rounded lies outside of its interval
        return 0.0 if value else 1.0
    reach = _student(int(effect.seeds), 1.0 - confidence)
    return 2.0 * float(special.stdtr(int(effect.seeds) - 1, -reach * abs(value) / side))


def holm(effects: Sequence[Effect], confidence: float = 0.95) -> list[Adjusted]:
    """Adjust the claims of one family for how many there are, after Holm (1979).

    The chance that any of them falsely excludes 0 is then at most 1 - confidence. The smallest
    p-value is multiplied by the number of claims, the next by one less, and so on, never falling;
    intervals are widened to the level at which a claim was judged, so that they exclude 0 exactly
    where the adjusted p-value is below 1 - confidence.

    effects: of all claims, judged or not, in any order; `confidence` is that of their intervals.
    Returns one entry per effect, in that order. What has no interval counts and stays NaN.
    Raises ValueError as `p_value` does.
    """
    plain = [p_value(effect, confidence) for effect in effects]
    order = sorted(range(len(plain)), key=lambda i: (math.isnan(plain[i]), plain[i]))
    error, adjusted, claims = 1.0 - confidence, [Adjusted(math.nan, e) for e in effects], len(plain)
    least, left = 0.0, claims
    for rank, index in enumerate(order):
        if least < error:  # after the first claim that stands back, none is judged more mildly
            left = claims - rank
        least = max(least, min(1.0, plain[index] * (claims - rank)))
        p = math.nan if math.isnan(plain[index]) else least
        adjusted[index] = Adjusted(p, _at_level(effects[index], error, error / left))
    return adjusted


def _at_level(effect: Effect, error: float, smaller: float) -> Effect:
    """An interval of another level, each side as Student's t has it."""
    value, low, high = _numbers(effect, 0.0)
    seeds = int(effect.seeds)
    wider = _student(seeds, smaller) / _student(seeds, error) if seeds > 1 else math.nan
    return Effect(value, value - wider * (value - low), value + wider * (high - value), seeds)


def _student(seeds: int, error: float) -> float:
    return float(special.stdtrit(seeds - 1, 1.0 - error / 2.0))


def _seeds_until(
    judge: Callable[[Effect, float], Verdict], effect: Effect, smallest: float
) -> int | None:
    """The smallest number of seeds with which a verdict falls, the value staying what it is."""
    value, low, high = _numbers(effect, smallest)
    seeds = int(effect.seeds)

    def decided(more: int) -> bool:
        width = _student(more, 0.05) / math.sqrt(more - 1)
        shrink = width / (_student(seeds, 0.05) / math.sqrt(seeds - 1))
        ends = value - shrink * (value - low), value + shrink * (high - value)
        return judge(Effect(value, *ends, more), smallest) is not Verdict.INCONCLUSIVE

    if seeds < 2 or math.isnan(low + high) or not decided(MOST_SEEDS):
        return None
    few, many = max(seeds, MINIMUM_SEEDS) - 1, MOST_SEEDS
    while many - few > 1:
        middle = (few + many) // 2
        few, many = (few, middle) if decided(middle) else (middle, many)
    return many


def _numbers(effect: Effect, smallest: float) -> tuple[float, float, float]:
    if not smallest >= 0.0:
        raise ValueError(f"smallest: expected at least 0, got {smallest}")
    if any(np.ndim(x) for x in effect) or np.isnan(effect.seeds) or effect.seeds % 1:
        expected = "one number, its interval and a whole number of seeds"
        raise ValueError(f"effect: expected {expected}, got {effect}")
    value, low, high = (float(x) for x in effect[:3])
    if low > high:
        raise ValueError(f"effect: expected low <= high, got {low} and {high}")
    return value, low, high
