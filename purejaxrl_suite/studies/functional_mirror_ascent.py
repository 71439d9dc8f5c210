"""Do inner steps on surrogates of functional mirror ascent find what PPO does not?

Paper: Vaswani et al. 2022, A general class of surrogate functions for stable and efficient
    reinforcement learning, arXiv 2108.05828.
Figure: its appendix: final values against eta and against the clip range, for more and more inner
    steps, and learning curves, on the cliff world and the deep sea treasure.
Claim: sPPO, MDPO and TRPO find the best path along the cliff, PPO does not for any clip range and
    step size; the treasure is found by all; more inner steps help all.

Nothing is sampled: policies are tables, evaluated exactly, in float64, from the uniform policy on,
for the whole grid of step sizes at once. What is drawn are other first policies, one for each seed,
softmax of normal numbers, for exact updates, trust regions and PPO.
"""

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np

from purejaxrl_suite import stats
from purejaxrl_suite.core.types import Key
from purejaxrl_suite.stats import Effect, Estimate
from purejaxrl_suite.studies.computation import Computed
from purejaxrl_suite.studies.mirror_ascent_grids import (
    CLIFF,
    CLIPS,
    ETAS,
    EXACT,
    EXACT_ETAS,
    SURROGATES,
    TREASURE,
    WORLDS,
    at_points,
    exact,
    grids,
    named,
)
from purejaxrl_suite.studies.panels import Line, Lines, line
from purejaxrl_suite.studies.protocol import (
    EQUAL,
    LESS,
    MORE,
    Budget,
    Claim,
    Computation,
    Gate,
    Study,
)

ROUNDING = 1e-12
SOON = 200
"""Outer iterations within which TRPO finds the best path along the cliff."""
MANY = 10
"""More than one inner step."""


def arms(budget: Budget) -> dict[str, Computation]:
    """Make the two arms; treatments of a budget are numbers of inner steps."""
    worlds, steps = budget.environments, tuple(int(m) for m in budget.treatments)
    made = {
        "grids": ("inner steps on surrogates", partial(grids, worlds, steps)),
        "exact": ("exact updates", partial(exact, worlds)),
    }
    return {
        label: Computation(what, compute, budget.seed_numbers, worlds, budget.steps)
        for label, (what, compute) in made.items()
    }


def steps_of(arm: Computed) -> list[int]:
    """Return the numbers of inner steps that were computed, in order."""
    start = f"final of {CLIFF}, sPPO, "
    return sorted(int(name[len(start) :]) for name in arm.values if name.startswith(start))


def final(arm: Computed, world: str, method: str, steps: int) -> np.ndarray:
    """Return the final values of the rows of a grid, f64[rows]."""
    return arm.values[f"final of {named(world, method, steps)}"][0]


def off_table(key: Key, arm: Computed) -> float:
    """Compute the largest difference from what another program found."""
    del key  # nothing is drawn
    off = [
        abs(final(arm, world, method, m).max() - known)
        for world, one in WORLDS.items()
        for m in set(one.table) & set(steps_of(arm))
        for method, known in zip(SURROGATES, one.table[m], strict=True)
        if not np.isnan(known)
    ]
    return float(max(off))


def spread_of_one_step(key: Key, arm: Computed) -> float:
    """Compute the largest difference among surrogates with one inner step."""
    del key  # nothing is drawn
    each = [
        [final(arm, world, method, 1).max() for method in SURROGATES] for world in (CLIFF, TREASURE)
    ]
    return float(np.ptp(each, axis=1).max())


def off_iterations(key: Key, arm: Computed) -> float:
    """Compute the largest difference of outer iterations of exact updates from those known."""
    del key  # nothing is drawn
    off = []
    for world, one in WORLDS.items():
        cases = [(method, eta) for method in EXACT for eta in EXACT_ETAS]
        for case, known in zip(cases, one.iterations_to_best, strict=True):
            off.append(abs(arm.values[f"iterations of {named(world, *case)}"][0] - known))
    return float(max(off))


def deepest_fall(key: Key, arm: Computed) -> float:
    """Compute by how much an exact update from the uniform policy lowers the value at most."""
    del key  # nothing is drawn
    steps = [x[0] for name, x in arm.values.items() if name.startswith("least step of")]
    return float(max(0.0, -min(steps)))


def certain(of: Callable[[Computed], float]) -> Callable[[Key, Computed], Effect]:
    """Make the effect: a number without an interval to speak of, as nothing is drawn."""

    def effect(key: Key, arm: Computed) -> Effect:
        del key  # nothing is drawn
        value = np.float64(of(arm))
        return Effect(value, value, value, np.int32(len(next(iter(arm.values.values())))))

    return effect


def most(arm: Computed, world: str, method: str) -> float:
    """Return the best final value with the most inner steps."""
    return float(final(arm, world, method, steps_of(arm)[-1]).max())


def ppo_on_cliff(arm: Computed) -> float:
    """Return PPO's best final value on the cliff."""
    return most(arm, CLIFF, "PPO")


def mirror_on_cliff(arm: Computed) -> float:
    """Return by how much sPPO and MDPO, both, are above PPO on the cliff."""
    return min(most(arm, CLIFF, "sPPO"), most(arm, CLIFF, "MDPO")) - most(arm, CLIFF, "PPO")


def gain_of_steps(arm: Computed) -> float:
    """Return the smallest gain of any surrogate by more inner steps, in either world."""
    few, many = steps_of(arm)[0], steps_of(arm)[-1]
    gains = [
        final(arm, world, method, many).max() - final(arm, world, method, few).max()
        for world in WORLDS
        for method in SURROGATES
    ]
    return float(min(gains))


def treasure_of_all(arm: Computed) -> float:
    """Return the smallest share of the optimal value on the treasure of any surrogate."""
    found = [most(arm, TREASURE, method) for method in SURROGATES]
    return min(found) / WORLDS[TREASURE].best


def beyond_theory(arm: Computed) -> float:
    """Return the smallest doublings from eta of the theory to the best one, with many steps."""
    found = []
    for world, one in WORLDS.items():
        for method, eta in zip(EXACT, one.theory, strict=True):
            best = ETAS[np.argmax(final(arm, world, method, steps_of(arm)[-1]))]
            found.append(np.log2(best / eta))
    return float(min(found))


def trust_region(arm: Computed) -> float:
    """Return the outer iterations of TRPO with its best delta until the best path is found."""
    return float(arm.values[f"iterations of {CLIFF}, TRPO"][0])


def share_that_fall(key: Key, arm: Computed) -> Effect:
    """Compute the share of starts from which an exact update lowered the value."""
    del key  # nothing is drawn
    steps = [arm.values[f"least step from starts of {w}, {m}"] for w in WORLDS for m in EXACT]
    falls = np.min(steps, axis=0) < -ROUNDING
    return Effect(*stats.clopper_pearson(falls.sum(), falls.size), np.int32(falls.size))


def share_soon(key: Key, arm: Computed) -> Effect:
    """Compute the share of starts from which TRPO finds the best path soon."""
    del key  # nothing is drawn
    soon = arm.values[f"iterations from starts of {CLIFF}, TRPO"] < SOON
    return Effect(*stats.clopper_pearson(soon.sum(), soon.size), np.int32(soon.size))


def ppo_from_starts(key: Key, arm: Computed) -> Effect:
    """Compute by how much PPO ends below TRPO on the cliff, from the same starts."""
    ppo, trpo = (arm.values[f"final from starts of {CLIFF}, {x}"] for x in ("PPO", "TRPO"))
    return stats.difference(key, ppo, trpo, stats.mean, paired=True)


def figure(key: Key, curves: Mapping[str, Computed]) -> tuple[Lines, ...]:
    """Draw final values against eta and clip range, and learning curves, of both worlds."""
    del key  # nothing is drawn
    arm, panels = curves["grids"], []
    for world, one in WORLDS.items():
        many = steps_of(arm)[-1]
        shown = [m for m in steps_of(arm) if m >= MANY]
        lines = [
            exactly(f"{method}, m = {m}", ETAS, final(arm, world, method, m))
            for method in EXACT
            for m in shown
        ]
        lines.append(
            exactly(f"TRPO, m = {many}", ETAS, final(arm, world, list(SURROGATES)[2], many))
        )
        title, y = f"{world}: regularised, the best alpha", "final value"
        panels.append(Lines(title, "eta", y, tuple(lines), logarithmic=True, against=one.best))
        ppo = tuple(exactly(f"m = {m}", CLIPS, final(arm, world, "PPO", m)) for m in steps_of(arm))
        panels.append(
            Lines(f"{world}: PPO, the best alpha", "clip range", y, ppo, against=one.best)
        )
        at = at_points(one.iterations + 1) + 1.0
        learning = [
            exactly(method, at, arm.values[f"curve of {named(world, method, many)}"][0])
            for method in SURROGATES
        ]
        region = curves["exact"].values[f"curve of {world}, TRPO"][0]
        learning.append(exactly("TRPO, trust region", at, region))
        title = f"{world}: the best settings, m = {many}"
        panels.append(
            Lines(
                title, "evaluations", "value", tuple(learning), logarithmic=True, against=one.best
            )
        )
    return tuple(panels)


def exactly(label: str, x: np.ndarray, values: np.ndarray) -> Line:
    """Make a line of exact values; those below 0, of who falls off the cliff, are left out."""
    shown = np.where(values < 0.0, np.nan, values)
    return line(label, x, Estimate(shown, shown, shown))


GRIDS, STARTS, VALUE = ("grids",), ("exact",), "value"
STUDY = Study(
    __doc__,
    arms,
    (
        Claim(
            "Along the cliff PPO ends on a path that is two steps too long.",
            GRIDS,
            certain(ppo_on_cliff),
            EQUAL,
            against=0.9**8,
            smallest=0.001,
            unit=VALUE,
            counted="",
        ),
        Claim(
            "sPPO and MDPO end above it.",
            GRIDS,
            certain(mirror_on_cliff),
            MORE,
            unit=VALUE,
            counted="",
        ),
        Claim(
            "More inner steps help every surrogate in both worlds.",
            GRIDS,
            certain(gain_of_steps),
            MORE,
            unit=VALUE,
            counted="",
        ),
        Claim(
            "All of them find the treasure.",
            GRIDS,
            certain(treasure_of_all),
            MORE,
            against=0.95,
            smallest=0.0,
            unit="share of the optimal value",
            counted="",
        ),
        Claim(
            "The best eta of sPPO and of MDPO is far above that of the theory.",
            GRIDS,
            certain(beyond_theory),
            MORE,
            smallest=1.0,
            unit="doublings",
            counted="",
        ),
        Claim(
            "A trust region finds the best path along the cliff within 200 outer iterations.",
            STARTS,
            certain(trust_region),
            LESS,
            against=SOON,
            smallest=1.0,
            unit="outer iterations",
            counted="",
        ),
        Claim(
            "So it does from other first policies.",
            STARTS,
            share_soon,
            MORE,
            against=0.8,
            smallest=0.0,
            unit="share of first policies",
            counted="first policies",
        ),
        Claim(
            "PPO with ten inner steps ends below it from these.",
            STARTS,
            ppo_from_starts,
            LESS,
            unit=VALUE,
            counted="first policies",
        ),
        Claim(
            "Exact updates of sPPO and MDPO with eta = 1 never lower the value.",
            STARTS,
            share_that_fall,
            EQUAL,
            smallest=0.1,
            unit="share of first policies where one does",
            counted="first policies",
        ),
    ),
    figure,
    gates=(
        Gate(
            "table",
            "The best values of all grids are those of another program.",
            over=GRIDS,
            measure=off_table,
            direction=LESS,
            bound=0.001,
            unit=VALUE,
            remedy="other grids",
        ),
        Gate(
            "first step",
            "With one inner step all surrogates are the same.",
            over=GRIDS,
            measure=spread_of_one_step,
            direction=LESS,
            bound=1e-9,
            unit=VALUE,
            remedy="right gradients",
        ),
        Gate(
            "iterations",
            "Exact updates take as many outer iterations as in another program.",
            over=STARTS,
            measure=off_iterations,
            direction=LESS,
            bound=0.5,
            unit="outer iterations",
            remedy="right updates",
        ),
        Gate(
            "monotone",
            "From the uniform policy exact updates never lower the value.",
            over=STARTS,
            measure=deepest_fall,
            direction=LESS,
            bound=ROUNDING,
            unit=VALUE,
            remedy="right updates",
        ),
    ),
    quick=Budget((CLIFF, TREASURE), 8, 2000, ("1", "10")),
    standard=Budget((CLIFF, TREASURE), 64, 2000, ("1", "10", "100"), first_seed=1000),
    full=Budget((CLIFF, TREASURE), 256, 2000, ("1", "10", "100", "1000"), first_seed=2000),
)
