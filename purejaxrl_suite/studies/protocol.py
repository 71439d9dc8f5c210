"""The parts of a study: the arms that are trained, the claims about them, and the figure.

    '''Is it so? (one question)

    Paper: who, when, where it can be read.
    Figure: which figure or table of it this repeats.
    Claim: what the paper says, in a sentence.
    '''

    STUDY = Study(__doc__, arms, claims, figure, gates=..., quick=..., standard=..., full=...)

All parts are data and functions of data: an arm is an `Experiment`, trained as a sweep, a
`Continuation` of other arms in stages, or a `Computation`; an effect is a number with an interval,
a gate is a condition on such a number that must hold before claims are judged, a figure is a list
of panels. Nothing here trains, judges or draws.
"""

import itertools
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Concatenate, NamedTuple

from purejaxrl_suite.core.types import Key
from purejaxrl_suite.stats import (
    MINIMUM_SEEDS,
    Effect,
    Verdict,
    equivalence_verdict,
    seeds_for_equivalence,
    seeds_to_decide,
    verdict,
)
from purejaxrl_suite.studies.panels import Panel
from purejaxrl_suite.sweeps.experiment import Experiment
from purejaxrl_suite.sweeps.stages import Stage

Curves = Any
"""An xarray.Dataset over (environment, other axes ..., seed, step), from a sweep."""
PARTS = ("Paper", "Figure", "Claim")
JUDGED = ("standard", "full")
"""Presets with verdicts; the others only show effects."""


class Budget(NamedTuple):
    """How much a study trains.

    environments: ids of the tasks; () in a study whose environments have no ids. seeds: members of
    every configuration. steps: environment steps of each member. treatments: names of those that
    are compared, in a study with more than a small budget can afford. first_seed: the first of
    consecutive seeds.
    """

    environments: tuple[str, ...]
    seeds: int
    steps: float
    treatments: tuple[str, ...] = ()
    first_seed: int = 0

    @property
    def seed_numbers(self) -> range:
        """Return the seeds that arms are trained with."""
        return range(self.first_seed, self.first_seed + self.seeds)


class Computation(NamedTuple):
    """An arm that is computed and not trained by the engine.

    Exact solutions of tabular MDPs, for example, or tabular learning that is one program of its
    own. It has no folder: a study that was stopped computes it again.
    name: of what is computed, as arms are named after their agent.
    compute: seed numbers -> {name: numbers f[S, ...]}, seeds first.
    seeds: the seed numbers.
    tasks: names of what it is computed for.
    steps: updates of each seed; 1 for exact solutions.
    """

    name: str
    compute: Callable[[Sequence[int]], Mapping[str, Any]]
    seeds: Sequence[int]
    tasks: tuple[str, ...]
    steps: float = 1.0


class Continuation(NamedTuple):
    """An arm that goes on from earlier arms, in stages: students of teachers, for example.

    Each environment has stages of its own, in a folder of its name. The arm's curves are those of
    the last stage.
    after: names of arms that are trained before this one, each with one program per environment.
    stages: the Results of these arms in one environment, in this order -> the stages.
    seeds: the seed numbers of the last stage.
    tasks: names of the environments.
    steps: of each member in the last stage.
    """

    after: tuple[str, ...]
    stages: Callable[..., tuple[Stage, ...]]
    seeds: Sequence[int]
    tasks: tuple[str, ...]
    steps: float


Arm = Experiment | Continuation | Computation


class Direction(NamedTuple):
    """The direction of a claim, and how it is judged.

    verdict: (effect minus `Claim.against`, smallest) -> Verdict. seeds_to_decide: the same
    arguments -> how many seeds would decide, None if that cannot be estimated.
    """

    name: str
    verdict: Callable[[Effect, float], Verdict]
    seeds_to_decide: Callable[[Effect, float], int | None]


def _mirrored(effect: Effect) -> Effect:
    return Effect(-effect.value, -effect.high, -effect.low, effect.seeds)


MORE = Direction("more", verdict, seeds_to_decide)
"""The effect is above `Claim.against`, by the smallest effect of interest at least."""
LESS = Direction(
    "less",
    lambda effect, smallest: verdict(_mirrored(effect), smallest),
    lambda effect, smallest: seeds_to_decide(_mirrored(effect), smallest),
)
"""The effect is below `Claim.against`, by the smallest effect of interest at least."""
EQUAL = Direction("equal", equivalence_verdict, seeds_for_equivalence)
"""The effect is within the smallest effect of interest around `Claim.against`."""


Compare = Callable[Concatenate[Key, ...], Effect]
"""(key, curves of the arms that a claim is over, in their order) -> Effect of f32[]."""


class Claim(NamedTuple):
    """A falsifiable statement.

    statement: one sentence.
    over: names of arms.
    effect: (key, curves of these arms in this order) -> Effect of f32[].
    direction: MORE than, LESS than or EQUAL to `against`, the value of no effect.
    smallest: the smallest effect of interest, fixed before the first run.
    unit: of the effect.
    counted: the sample that makes the interval narrower; "" if nothing does, as for the quantiles
        of a permutation test.
    gates: names of the gates that it depends on; None is all of the study.
    """

    statement: str
    over: tuple[str, ...]
    effect: Callable[..., Effect]
    direction: Direction
    smallest: float = 0.05
    against: float = 0.0
    unit: str = "normalized score"
    counted: str = "seeds"
    gates: tuple[str, ...] | None = None


class Gate(NamedTuple):
    """A condition on the data that must hold before claims about them are judged.

    For example: the reference learnt, the treatment acted, the effect that the paper starts from
    exists.
    name: short, for claims to refer to.
    statement: one sentence.
    over: names of arms.
    measure: (key, curves of these arms in this order) -> number, Estimate or Effect of f32[].
    direction: MORE or LESS: the number and its whole interval must be above or below `bound`.
    remedy: what would be needed if the gate fails.
    """

    name: str
    statement: str
    over: tuple[str, ...]
    measure: Callable[..., Any]
    direction: Direction
    bound: float
    unit: str
    remedy: str


class Text(NamedTuple):
    """The parts of a study's docstring."""

    question: str
    paper: str
    figure: str
    claim: str


@dataclass(frozen=True)
class Study:
    """A study: a question with the experiments that answer it.

    text: the docstring of its file.
    arms: budget -> arms by name. An Experiment is a folder of the run, and has a list of
        environments, the first axis of its curves; so is a `Continuation`; a `Computation` is
        computed in one go, and effects are given what it found (`Computed`) in place of curves.
    claims: what is judged.
    figure: (key, {arm: curves}) -> panels.
    gates: conditions of all or some of the claims.
    quick: minutes on two CPU cores, enough to exercise everything; it judges nothing.
    standard: at most three hours on two CPU cores.
    full: as much as a GPU can do.
    Effects and the figure get the same key, so that they show the same numbers.

    Raises:
        ValueError: a judging budget has too few seeds, budgets share seeds, two claims or gates
            have one name, a claim depends on an unknown gate, a smallest effect is below 0, or 0 in
            a claim of equality, or a gate asks for equality or has no bound.
    """

    text: str | None
    arms: Callable[[Budget], Mapping[str, Arm]]
    claims: tuple[Claim, ...]
    figure: Callable[[Key, Mapping[str, Curves]], tuple[Panel, ...]]
    gates: tuple[Gate, ...]
    quick: Budget
    standard: Budget
    full: Budget

    def __post_init__(self) -> None:
        """Raise ValueError for a study that could not be judged."""
        for name in JUDGED:
            if self.budgets[name].seeds < MINIMUM_SEEDS:
                found = self.budgets[name].seeds
                raise ValueError(f"{name}: expected at least {MINIMUM_SEEDS} seeds, got {found}")
        for (one, x), (other, y) in itertools.combinations(self.budgets.items(), 2):
            if set(x.seed_numbers) & set(y.seed_numbers):
                raise ValueError(f"first_seed: expected seeds in {other} that {one} does not have")
        names = [gate.name for gate in self.gates]
        _differ("claims", [claim.statement for claim in self.claims])
        _differ("gates", names)
        unknown = {name for claim in self.claims for name in claim.gates or ()} - set(names)
        if unknown:
            raise ValueError(f"gates: expected some of {names}, got {', '.join(sorted(unknown))}")
        if any(gate.direction not in (MORE, LESS) for gate in self.gates):
            raise ValueError("gates: expected MORE or LESS than a bound, got EQUAL")
        for gate in self.gates:
            _finite("bound", gate.bound, gate.name)
        for claim in self.claims:
            _finite("against", claim.against, claim.statement)
            _finite("smallest", claim.smallest, claim.statement)
            if claim.smallest < 0.0 or (claim.direction is EQUAL and claim.smallest == 0.0):
                expected = "at least 0, of equality more"
                raise ValueError(f"smallest: expected {expected}, got {claim.smallest}")

    @property
    def budgets(self) -> dict[str, Budget]:
        """Return all budgets by name, the smallest first."""
        return {"quick": self.quick, "standard": self.standard, "full": self.full}

    def hangs_on(self, claim: Claim) -> tuple[str, ...]:
        """Return the names of the gates of a claim."""
        return tuple(gate.name for gate in self.gates) if claim.gates is None else claim.gates

    def describe(self) -> Text:
        """Return the parts of the docstring; ValueError naming a missing part."""
        text = self.text or ""
        question, *_ = text.strip().split("\n\n")
        named = re.findall(r"^(\w+): (.*(?:\n +.*)*)", text, re.MULTILINE)
        found = {name: " ".join(content.split()) for name, content in named}
        missing = [name for name in PARTS if not found.get(name)]
        if missing:
            raise ValueError(f"text: expected a line '{missing[0]}: ...', got {list(found)}")
        paper, figure, claim = (found[name] for name in PARTS)
        return Text(" ".join(question.split()), paper, figure, claim)


def _differ(what: str, names: Sequence[str]) -> None:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"{what}: expected different names, got {twice[0]!r} twice")


def _finite(argument: str, value: float, of: str) -> None:
    if not math.isfinite(value):
        raise ValueError(f"{argument}: expected a number, got {value} of {of!r}")
