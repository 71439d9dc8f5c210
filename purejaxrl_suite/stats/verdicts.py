"""From an effect with its interval to a verdict on a claim.

An effect is measured in normalized score. The smallest effect of interest, `smallest` (SESOI), is
what the claim must reach to matter; 0.05 unless said otherwise, and never chosen after the result.

    CONFIRMED     the interval excludes 0 in the claimed direction
    REFUTED       the interval lies below the smallest effect of interest
    INCONCLUSIVE  neither

Both of the first hold for an effect that is surely there and surely too small to matter. Then the
verdict is REFUTED: seeds are cheap here, and with enough of them any effect that is not exactly 0
would otherwise be confirmed. So with ever more seeds the verdict becomes CONFIRMED where the true
effect is above `smallest` and REFUTED where it is below. These functions judge finished numbers, on
the host.
"""

import enum
import math

from purejaxrl_suite.stats.bootstrap import Effect

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
    An effect without an interval (NaN: one seed) is INCONCLUSIVE.
    Raises ValueError for an effect that is not one number or a smallest effect below 0.
    """
    _, low, high = _numbers(effect, smallest)
    if high < smallest:
        return Verdict.REFUTED
    return Verdict.CONFIRMED if low > 0.0 else Verdict.INCONCLUSIVE


def seeds_to_decide(effect: Effect, smallest: float = SMALLEST) -> int | None:
    """Estimate how many seeds (of each arm) would decide what is INCONCLUSIVE.

    Each side of the interval is taken to shrink as 1 / sqrt(seeds) around a value that stays; the
    smallest number is returned with which either end passes its mark. Half of the experiments of
    this size will come out on the wrong side of that mark by chance: plan for more.
    Returns None where no number can be named: without an interval, or with smallest = 0 and a value
    of exactly 0; and the present number where the verdict is in.
    Raises ValueError as `verdict` does.
    """
    value, low, high = _numbers(effect, smallest)
    seeds = int(effect.seeds)
    if any(map(math.isnan, (value, low, high))):
        return None
    if verdict(effect, smallest) is not Verdict.INCONCLUSIVE:
        return seeds
    # Inconclusive: low <= 0 and high >= smallest, so both sides below are at least their margins.
    factor = min(_factor(value - low, value), _factor(high - value, smallest - value))
    return math.floor(seeds * factor) + 1 if math.isfinite(factor) else None


def equivalent(effect: Effect, smallest: float = SMALLEST) -> bool:
    """Whether X and Y are equal for all that matters: the interval lies inside +-smallest.

    With a 95 % interval this is stricter than two one-sided tests at 5 %, which ask it of the 90 %
    interval (confidence=0.9). False without an interval. Raises ValueError as `verdict` does.
    """
    _, low, high = _numbers(effect, smallest)
    return -smallest < low and high < smallest


def equivalence_verdict(effect: Effect, smallest: float = SMALLEST) -> Verdict:
    """Judge the claim that X and Y are equal for all that matters.

    CONFIRMED where they are `equivalent`, REFUTED where the whole interval is at least `smallest`
    away from 0, on either side; else INCONCLUSIVE. Raises ValueError as `verdict` does.
    """
    _, low, high = _numbers(effect, smallest)
    if equivalent(effect, smallest):
        return Verdict.CONFIRMED
    apart = low >= smallest or high <= -smallest
    return Verdict.REFUTED if apart else Verdict.INCONCLUSIVE


def seeds_for_equivalence(effect: Effect, smallest: float = SMALLEST) -> int | None:
    """`seeds_to_decide` of an `equivalence_verdict`: both ends must come inside, or one go out."""
    value, low, high = _numbers(effect, smallest)
    seeds = int(effect.seeds)
    if any(map(math.isnan, (value, low, high))):
        return None
    if equivalence_verdict(effect, smallest) is not Verdict.INCONCLUSIVE:
        return seeds
    below, above = value - low, high - value
    inside = max(_factor(below, value + smallest), _factor(above, smallest - value))
    outside = min(_factor(below, value - smallest), _factor(above, -smallest - value))
    factor = min(inside, outside)
    return math.floor(seeds * factor) + 1 if math.isfinite(factor) else None


def _factor(side: float, margin: float) -> float:
    """By how much seeds must grow for a side of the interval to shrink into a margin."""
    return (side / margin) ** 2 if margin > 0.0 else math.inf


def _numbers(effect: Effect, smallest: float) -> tuple[float, float, float]:
    if not smallest >= 0.0:
        raise ValueError(f"smallest: expected at least 0, got {smallest}")
    ends = effect.value, effect.low, effect.high
    if any(getattr(x, "ndim", 0) for x in ends):
        raise ValueError(f"effect: expected one number and its interval, got {effect}")
    value, low, high = map(float, ends)
    return value, low, high
