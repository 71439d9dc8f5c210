"""Judge the claims of a study by measured effects and gates.

In this order: a preset that judges nothing only reports effects; a claim whose gate failed is NOT
TESTED; a study that was changed after a look at these seeds is EXPLORATORY; otherwise the verdict
is that of `stats`, with and without adjustment for the number of claims.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from purejaxrl_suite.core.types import Key
from purejaxrl_suite.stats import Effect, Verdict, holm
from purejaxrl_suite.studies.protocol import EQUAL, JUDGED, LESS, MORE, Claim, Curves, Gate, Study
from purejaxrl_suite.studies.study_result import Adjusted, Checked, Finding, Look, Ruling


def measured(key: Key, what: Claim | Gate, curves: Mapping[str, Curves]) -> Any:
    """Measure the effect of a claim, or a gate; ValueError if an arm is missing."""
    missing = [name for name in what.over if name not in curves]
    if missing:
        raise ValueError(f"over: expected arms ({', '.join(curves)}), got {', '.join(missing)}")
    measure = what.effect if isinstance(what, Claim) else what.measure
    found = measure(key, *(curves[name] for name in what.over))
    if isinstance(what, Claim) and not isinstance(found, Effect):
        raise ValueError(f"effect: expected an Effect of {what.statement!r}, got {found!r}")
    return found


def checked(gate: Gate, found: Any) -> Checked:
    """Check a gate by its measure: a number, or an estimate whose whole interval must pass."""
    value, low, high = map(float, found[:3] if isinstance(found, tuple) else (found,) * 3)
    passed = low > gate.bound if gate.direction is MORE else high < gate.bound
    return Checked(
        name=gate.name,
        statement=gate.statement,
        over=gate.over,
        direction=gate.direction.name,
        bound=gate.bound,
        unit=gate.unit,
        remedy=gate.remedy,
        value=value,
        low=low,
        high=high,
        passed=passed,
    )


def ruled(
    study: Study,
    look: Look,
    effects: Sequence[Effect],
    gates: Sequence[Checked],
    looks: Iterable[Look],
) -> tuple[Finding, ...]:
    """Make the finding of every claim.

    Args:
        study: the study.
        look: at its own result.
        effects: one per claim.
        gates: all of them, checked.
        looks: at earlier results.

    Returns:
        One finding per claim.
    """
    plain = [judge(claim, effect) for claim, effect in zip(study.claims, effects, strict=True)]
    if look.preset not in JUDGED:
        silent = {"verdict": Ruling.NOT_JUDGED, "needed": None}
        return tuple(one._replace(**silent) for one in plain)
    closed = {gate.name for gate in gates if not gate.passed}
    changed = any(exploratory(look, one) for one in looks)
    made = []
    for claim, one, adjusted in zip(study.claims, plain, _adjusted(study, plain), strict=True):
        failed = tuple(name for name in study.hangs_on(claim) if name in closed)
        if failed or changed:
            ruling = Ruling.NOT_TESTED if failed else Ruling.EXPLORATORY
            made.append(one._replace(verdict=ruling, needed=None, failed=failed))
        else:
            made.append(one._replace(adjusted=adjusted))
    return tuple(made)


def exploratory(look: Look, earlier: Look) -> bool:
    """Tell whether a different question was asked earlier of seeds that are used again."""
    ends = min(x.first_seed + x.seeds for x in (look, earlier))
    return look.digest != earlier.digest and max(look.first_seed, earlier.first_seed) < ends


def judge(claim: Claim, effect: Effect) -> Finding:
    """Judge a claim by its effect alone."""
    value, low, high = (float(x) for x in effect[:3])
    shifted = _shifted(effect, claim.against)
    found = claim.direction.verdict(shifted, claim.smallest)
    needed = None
    if found is Verdict.INCONCLUSIVE and claim.counted:
        needed = claim.direction.seeds_to_decide(shifted, claim.smallest)
    return Finding(
        statement=claim.statement,
        over=claim.over,
        direction=claim.direction.name,
        against=claim.against,
        smallest=claim.smallest,
        unit=claim.unit,
        value=value,
        low=low,
        high=high,
        seeds=int(effect.seeds),
        counted=claim.counted,
        verdict=Ruling(found),
        needed=needed,
    )


def _adjusted(study: Study, plain: Sequence[Finding]) -> list[Adjusted]:
    """Adjust intervals and verdicts after Holm; the family is all claims of the study.

    A verdict is decided when an interval excludes a bound, so claims are ordered by how surely it
    does. A wider interval can only make a verdict inconclusive, never change it to another: an
    effect that is surely too small to matter does not begin to matter.
    """
    marks = [_mark(claim, one) for claim, one in zip(study.claims, plain, strict=True)]
    margins = [_shifted(_effect(one), mark) for one, mark in zip(plain, marks, strict=True)]
    made = []
    for claim, one, mark, margin in zip(study.claims, plain, marks, holm(margins), strict=True):
        wide = _shifted(margin.effect, -mark)
        found = claim.direction.verdict(_shifted(wide, claim.against), claim.smallest)
        verdict = one.verdict if found == one.verdict else Ruling.INCONCLUSIVE
        made.append(Adjusted(float(wide.low), float(wide.high), verdict))
    return made


def _mark(claim: Claim, found: Finding) -> float:
    """Return the bound that the interval excludes for its verdict, in units of the effect.

    For a claim of equality it is the bound that is excluded less surely.
    """
    if claim.direction is not EQUAL:
        sign = -1.0 if claim.direction is LESS else 1.0
        return claim.against + sign * claim.smallest * (found.verdict is Ruling.REFUTED)
    value = found.value - claim.against
    if abs(value) < claim.smallest:
        up = (claim.smallest - value) * (found.value - found.low)
        down = (claim.smallest + value) * (found.high - found.value)
        return claim.against + (claim.smallest if up < down else -claim.smallest)
    return claim.against + math.copysign(claim.smallest, value)


def _effect(found: Finding) -> Effect:
    numbers: Any = found.value, found.low, found.high, found.seeds
    return Effect(*numbers)


def _shifted(effect: Effect, by: float) -> Effect:
    numbers: Any = (*(float(x) - by for x in effect[:3]), int(effect.seeds))
    return Effect(*numbers)
