"""What a study is: the arms that are trained, the claims about them, and what is drawn.

    '''Is it so? (one question)

    Paper: who, when, where it can be read.
    Figure: which figure or table of it this repeats.
    Claim: what the paper says, in a sentence.
    '''

    STUDY = Study(__doc__, arms, claims, figure, quick=Budget(...), full=Budget(...))

All of it is data and functions of data: arms are the arguments of sweeps, an effect is a number
with an interval, a figure is a list of panels. Nothing here trains, judges or draws.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jax.typing import ArrayLike

from purejaxrl_suite.core.types import Agent, Environment, Key, Metric
from purejaxrl_suite.stats import (
    Effect,
    Estimate,
    Verdict,
    equivalence_verdict,
    seeds_for_equivalence,
    seeds_to_decide,
    verdict,
)

Curves = Any
"""An xarray.Dataset over (environment, what else was varied ..., seed, step), as sweeps give it."""
PARTS = ("Paper", "Figure", "Claim")


class Budget(NamedTuple):
    """How much is trained.

    environments: ids, the tasks. seeds: members of every configuration. steps: environment steps of
    each member. A study whose environments have no ids leaves them out. treatments: names of those
    that are compared, in a study that has more of them than a small budget can pay for.
    """

    environments: tuple[str, ...]
    seeds: int
    steps: float
    treatments: tuple[str, ...] = ()


class Arm(NamedTuple):
    """One sweep, by the arguments that `engine.sweep` has; environments are the first axis."""

    builder: Callable[..., Agent]
    environments: Sequence[Environment]
    seeds: int
    steps: float
    hypers: Any = None
    config: Any = None
    network: Any = None
    reset_pool: int = 1
    intervention: Any = None
    metrics: Sequence[Metric] = ()
    measure_every: int = 10


class Direction(NamedTuple):
    """What a claim says of its effect, and how that is judged.

    verdict: (effect less `Claim.against`, smallest) -> Verdict. seeds_to_decide: the same -> how
    many seeds would decide, None where no number can be named.
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


class Claim(NamedTuple):
    """A statement that can turn out wrong.

    statement: one sentence. over: names of arms. effect: (key, curves of these arms in this order)
    -> Effect of f32[]. direction: MORE, LESS or EQUAL than `against`, which is no effect. smallest:
    the smallest effect of interest, fixed before the first run. unit: of the effect. counted: what
    makes the interval narrower; "" where nothing does, as for the quantiles of a permutation test.
    """

    statement: str
    over: tuple[str, ...]
    effect: Callable[..., Effect]
    direction: Direction
    smallest: float = 0.05
    against: float = 0.0
    unit: str = "normalized score"
    counted: str = "seeds"


class Line(NamedTuple):
    """One line with its band, K points each; NaN where nothing is known."""

    label: str
    x: tuple[float, ...]
    value: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]


class Lines(NamedTuple):
    """A panel of lines. x, y: what is on the axes. against: where a horizontal line is drawn."""

    title: str
    x: str
    y: str
    lines: tuple[Line, ...]
    logarithmic: bool = False
    against: float | None = None


class Interval(NamedTuple):
    """One row of a panel of intervals."""

    label: str
    value: float
    low: float
    high: float


class Intervals(NamedTuple):
    """A panel of intervals, one below the other.

    x: what is on the axis. against: where a vertical line is drawn, with a band of `smallest` to
    both sides.
    """

    title: str
    x: str
    rows: tuple[Interval, ...]
    against: float | None = None
    smallest: float = 0.0


class Heat(NamedTuple):
    """A panel of colours: a row per label, such as a layer, against what is on the axis.

    x: what is on the axis, at the points `at`, K of them. unit: what the colours are, from `low` to
    `high`. rows: their labels. values: K for each row; NaN where nothing is known.
    """

    title: str
    x: str
    unit: str
    rows: tuple[str, ...]
    at: tuple[float, ...]
    values: tuple[tuple[float, ...], ...]
    low: float = 0.0
    high: float = 1.0


Panel = Lines | Intervals | Heat


class Text(NamedTuple):
    """The parts of a study's docstring."""

    question: str
    paper: str
    figure: str
    claim: str


class Study(NamedTuple):
    """A question that trains its own answer.

    text: the docstring of its file. arms: of a budget, by name; each is a folder of the run.
    figure: (key, {arm: curves}) -> panels. quick: minutes on two CPU cores, enough to exercise
    everything. full: minutes on one GPU. Effects and the figure get the same key, so that they show
    the same numbers.
    """

    text: str | None
    arms: Callable[[Budget], Mapping[str, Arm]]
    claims: tuple[Claim, ...]
    figure: Callable[[Key, Mapping[str, Curves]], tuple[Panel, ...]]
    quick: Budget
    full: Budget

    @property
    def budgets(self) -> dict[str, Budget]:
        """Both budgets by name."""
        return {"quick": self.quick, "full": self.full}

    def describe(self) -> Text:
        """The parts of the docstring; ValueError naming the one that is missing."""
        text = self.text or ""
        question, *_ = text.strip().split("\n\n")
        named = re.findall(r"^(\w+): (.*(?:\n +.*)*)", text, re.MULTILINE)
        found = {name: " ".join(content.split()) for name, content in named}
        missing = [name for name in PARTS if not found.get(name)]
        if missing:
            raise ValueError(f"text: expected a line '{missing[0]}: ...', got {list(found)}")
        paper, figure, claim = (found[name] for name in PARTS)
        return Text(" ".join(question.split()), paper, figure, claim)


def row(label: str, found: Estimate | Effect) -> Interval:
    """A row of `Intervals`, of an estimate of f32[]."""
    return Interval(label, float(found.value), float(found.low), float(found.high))


def line(label: str, x: ArrayLike | Sequence[float], found: Estimate | Effect) -> Line:
    """A line of `Lines`, of an estimate of f32[K]."""
    return Line(label, _floats(x), _floats(found.value), _floats(found.low), _floats(found.high))


def _floats(values: ArrayLike | Sequence[float]) -> tuple[float, ...]:
    return tuple(np.asarray(values, float).tolist())
