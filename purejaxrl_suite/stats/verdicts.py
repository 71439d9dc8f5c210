"""Judge claims: from an effect with its interval to a verdict.

An effect is measured in normalized score. The smallest effect of interest, `smallest` (SESOI), is
the size from which an effect matters; by default 0.05, and never chosen after the result.

    CONFIRMED     the interval excludes 0 in the claimed direction
    REFUTED       the interval lies below the smallest effect of interest
    INCONCLUSIVE  neither, or fewer than `MINIMUM_SEEDS` independent seeds in an arm

Both of the first hold for an effect that is surely not 0 and surely too small to matter. Then the
verdict is REFUTED: seeds are cheap here, and with enough of them any effect that is not exactly 0
would otherwise be confirmed. So with ever more seeds the verdict becomes CONFIRMED if the true
effect is above `smallest` and REFUTED if it is below. These functions run on the host.
"""

import enum
import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from scipy import special

from purejaxrl_suite.stats.bootstrap import Effect

MINIMUM_SEEDS = 8
"""Seeds that each arm needs for a verdict: with fewer, no interval is right for all scores."""
MOST_SEEDS = 2**60
SMALLEST = 0.05
"""The default smallest effect of interest, in normalized score."""


class Verdict(enum.StrEnum):
    """Outcome of an experiment for a claim."""

    CONFIRMED = "CONFIRMED"
    REFUTED = "REFUTED"
    INCONCLUSIVE = "INCONCLUSIVE"


def verdict(effect: Effect, smallest: float = SMALLEST) -> Verdict:
    """Judge the claim that X is better than Y by their effect (positive is in favour of X).

    For the claim that X is worse than Y swap the arms. An effect without an interval (NaN), or of
    fewer than `MINIMUM_SEEDS` seeds, is INCONCLUSIVE; `reason` says why.

    Args:
        effect: 0 must mean no difference; subtract 0.5 from a probability of improvement.
        smallest: the smallest effect of interest.

    Returns:
        The verdict.

    Raises:
        ValueError: the effect is not one number with its interval and a whole number of seeds, or
            smallest is below 0.

    Example:
        >>> from purejaxrl_suite.stats import Effect
        >>> print(pjs.stats.verdict(Effect(value=0.3, low=0.1, high=0.5, seeds=16)))
        CONFIRMED
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
    """Estimate how many seeds (of each arm) would decide an INCONCLUSIVE verdict.

    Each side of the interval is assumed to shrink with the seeds as Student's intervals do, around
    a constant value. Half of the experiments of the estimated size will miss the bound by chance:
    plan for more.

    Args:
        effect: as in `verdict`.
        smallest: the smallest effect of interest.

    Returns:
        The smallest number, at least `MINIMUM_SEEDS`, with which one end of the interval passes its
        bound; the present number if the verdict is decided; None without an interval, or if
        smallest = 0 and the value is exactly 0.

    Raises:
        ValueError: as in `verdict`.
    """
    return _seeds_until(verdict, effect, smallest)


def equivalent(effect: Effect, smallest: float = SMALLEST) -> bool:
    """Tell whether X and Y are practically equal: the interval lies inside +-smallest.

    With a 95 % interval this is stricter than two one-sided tests at 5 %, which use the 90 %
    interval (confidence=0.9). It is False if the effect cannot be judged (`reason`).

    Raises:
        ValueError: as in `verdict`, or smallest is 0: nothing is within it.
    """
    _, low, high = _numbers(effect, smallest)
    if smallest == 0.0:
        raise ValueError("smallest: expected more than 0, within which X and Y are equal, got 0")
    return not reason(effect) and -smallest < low and high < smallest


def equivalence_verdict(effect: Effect, smallest: float = SMALLEST) -> Verdict:
    """Judge the claim that X and Y are practically equal.

    CONFIRMED if they are `equivalent`. REFUTED if the whole interval is at least `smallest` away
    from 0, even an interval of half the error (97.5 % for 95 %), since equality can be falsely
    refuted on two sides. Otherwise, and as in `verdict`, INCONCLUSIVE.

    Raises:
        ValueError: as in `equivalent`.
    """
    if equivalent(effect, smallest):
        return Verdict.CONFIRMED
    _, low, high, _ = _at_level(effect, 0.05, 0.025)
    apart = not reason(effect) and (low >= smallest or high <= -smallest)
    return Verdict.REFUTED if apart else Verdict.INCONCLUSIVE


def seeds_for_equivalence(effect: Effect, smallest: float = SMALLEST) -> int | None:
    """Estimate the seeds that would decide an `equivalence_verdict`, like `seeds_to_decide`."""
    return _seeds_until(equivalence_verdict, effect, smallest)


class Adjusted(NamedTuple):
    """A claim of a family: its adjusted two-sided p-value, and its adjusted interval."""

    p: float
    effect: Effect


def p_value(effect: Effect, confidence: float = 0.95) -> float:
    """Compute the two-sided p-value of "no effect" from an interval; NaN without one.

    It is below 1 - confidence exactly if the interval excludes 0: the side towards 0 is read as
    that of Student's t with seeds - 1 degrees of freedom.

    Raises:
        ValueError: as in `verdict`, or the confidence is outside (0, 1).
    """
    value, low, high = _numbers(effect, 0.0)
    if not 0.0 < confidence < 1.0:
        raise ValueError(f"confidence: expected a number between 0 and 1, got {confidence}")
    side = value - low if value > 0.0 else high - value
    if math.isnan(side):
        return math.nan
    if side <= 0.0:  # negative if rounding puts a value outside its interval
        return 0.0 if value else 1.0
    reach = _student(int(effect.seeds), 1.0 - confidence)
    return 2.0 * float(special.stdtr(int(effect.seeds) - 1, -reach * abs(value) / side))


def holm(effects: Sequence[Effect], confidence: float = 0.95) -> list[Adjusted]:
    """Adjust the claims of one family for multiple testing, after Holm (1979).

    The probability that any of them falsely excludes 0 is then at most 1 - confidence. The smallest
    p-value is multiplied by the number of claims, the next by one less, and so on, never falling;
    intervals are widened to the level at which a claim was judged, so that they exclude 0 exactly
    if the adjusted p-value is below 1 - confidence.

    Args:
        effects: of all claims, in any order; those without an interval count, too.
        confidence: of their intervals.

    Returns:
        One entry per effect, in the same order; NaN without an interval.

    Raises:
        ValueError: as in `p_value`.
    """
    plain = [p_value(effect, confidence) for effect in effects]
    order = sorted(range(len(plain)), key=lambda i: (math.isnan(plain[i]), plain[i]))
    error, adjusted, claims = 1.0 - confidence, [Adjusted(math.nan, e) for e in effects], len(plain)
    least, left = 0.0, claims
    for rank, index in enumerate(order):
        if least < error:  # after the first claim that fails, none is judged at a milder level
            left = claims - rank
        least = max(least, min(1.0, plain[index] * (claims - rank)))
        p = math.nan if math.isnan(plain[index]) else least
        adjusted[index] = Adjusted(p, _at_level(effects[index], error, error / left))
    return adjusted


def _at_level(effect: Effect, error: float, smaller: float) -> Effect:
    """Change the level of an interval, each side as Student's t."""
    value, low, high = _numbers(effect, 0.0)
    seeds = int(effect.seeds)
    wider = _student(seeds, smaller) / _student(seeds, error) if seeds > 1 else math.nan
    return Effect(value, value - wider * (value - low), value + wider * (high - value), seeds)


def _student(seeds: int, error: float) -> float:
    return float(special.stdtrit(seeds - 1, 1.0 - error / 2.0))


def _seeds_until(
    judge: Callable[[Effect, float], Verdict], effect: Effect, smallest: float
) -> int | None:
    """Find the smallest number of seeds that decides a verdict, for an unchanged value."""
    value, low, high = _numbers(effect, smallest)
    seeds = int(effect.seeds)

    def decided(more: int) -> bool:
        width = _student(more, 0.05) / math.sqrt(more - 1)
        shrink = width / (_student(seeds, 0.05) / math.sqrt(seeds - 1))
        nearer = Effect(
            value=value,
            low=value - shrink * (value - low),
            high=value + shrink * (high - value),
            seeds=more,
        )
        return judge(nearer, smallest) is not Verdict.INCONCLUSIVE

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
