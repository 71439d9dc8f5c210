"""Is learning from preferences density estimation, with an assumption about who prefers?

Paper: Dumoulin et al. 2023, A density estimation perspective on learning from pairwise human
    preferences, arXiv 2311.14115.
Figure: its densities of the one-dimensional experiments, empirical and theoretical.
Claim: Where the model chooses as the annotator does it learns the annotator's density, where it
    chooses otherwise it learns another one that is known in closed form, and two annotators are
    learnt as two densities but not as one.

A seed trains its own prior and asks about 2^15 pairs of its own. The line is in cells, and the
first rate of Adam is 2e-3 for 2,048 steps and in proportion for others: our settings, after pilots
of four seeds. With a sum of rates as in the paper, 8,192 steps with 1e-4, DPO was still 0.12 nats
from the annotator that it assumes. Two densities are trained four times as long, with a first rate
of 1e-3: with 3e-3 they learnt the noise of their pairs. Closed forms of finite sets are learnt from
the probabilities of all pairs.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from purejaxrl_suite import search, stats
from purejaxrl_suite.core.types import Key
from purejaxrl_suite.engine.problem import Problem
from purejaxrl_suite.ops import preferences
from purejaxrl_suite.problems import (
    DirectHypers,
    GeometricHypers,
    Items,
    PreferenceConfig,
    RewardHypers,
    bandit,
    chooses_directly,
    disagree,
    dpo,
    geometric_average,
    grid,
    likelihood,
    reward_model,
    trajectories,
)
from purejaxrl_suite.problems.items import log_density
from purejaxrl_suite.stats import Effect, Estimate
from purejaxrl_suite.studies.computation import Computed
from purejaxrl_suite.studies.panels import Line, Lines, Panel
from purejaxrl_suite.studies.protocol import (
    LESS,
    MORE,
    Budget,
    Claim,
    Computation,
    Gate,
    Study,
)
from purejaxrl_suite.sweeps.sweep import sweep

RATES = 4.096
"""Steps times the first rate of Adam."""
POINTS = 128
"""The most points of a line of the figure."""
CELLS = {"256 cells": 256, "1024 cells": 1024}
EXACT_RATE, LONGER = 0.03, 2
"""Of finite sets: first rate of Adam, and how many times the steps of the line are made."""
BETAS, ALPHAS = (1.0, 4.0, 16.0), (1.0, 0.25, 0.0625)
SETS = {"bandit": bandit, "trajectories": trajectories}


class Case(NamedTuple):
    """What an arm trains.

    make: (config, hypers) -> Problem. config: without the items. hypers: their defaults. varied:
    {field: values}. longer: how many times the steps of the budget are made. rate: the first rate
    of Adam; None is RATES by the steps.
    """

    make: Callable[..., Problem]
    config: PreferenceConfig
    hypers: Any
    varied: Mapping[str, tuple[float, ...]] = {}
    longer: int = 1
    rate: float | None = None


PLAIN = PreferenceConfig()
CASES = {
    "reward": Case(reward_model, PLAIN, RewardHypers()),
    "likelihood": Case(likelihood, PLAIN, RewardHypers()),
    "DPO": Case(dpo, PLAIN, DirectHypers(), {"beta": BETAS}),
    "DPO of its annotator": Case(
        dpo, PLAIN._replace(annotator=chooses_directly), DirectHypers(beta=4.0)
    ),
    "geometric": Case(geometric_average, PLAIN, GeometricHypers(), {"alpha": ALPHAS}),
    "one density": Case(likelihood, PLAIN._replace(annotator=disagree), RewardHypers()),
    "two densities": Case(
        likelihood,
        PLAIN._replace(annotator=disagree, components=2),
        RewardHypers(),
        longer=4,
        rate=1e-3,
    ),
}


def trained(
    case: Case, items: Callable[[], Items], rate: float, steps: float, seeds: Sequence[int]
) -> dict[str, np.ndarray]:
    """Train the members of a case: {name: f[S, C]}, and densities f[S, C, K, N] and more."""
    config, hypers = case.config._replace(items=items), case.hypers._replace(learning_rate=rate)
    points = search.grid(hypers, **case.varied) if case.varied else hypers
    how: Any = {"config": config, "hypers": points, "steps": steps, "progress": False}
    result = sweep(case.make, seeds=list(seeds), **how)
    count = len(result.layout.groups[0].members.seeds)
    parts = [result.state(0, k) for k in range(len(result.chunks[0]))]
    run = jax.tree.map(lambda *xs: np.concatenate(xs)[:count], *parts)
    one = items()

    def densities(params: Any) -> Any:
        return jax.vmap(partial(log_density, one))(params["densities"])

    found = {
        "density": jax.jit(jax.vmap(densities))(run.learner.params),
        "prior": run.examples.log_prior,
        "optimum": run.examples.optimum,
    }
    names = "kl", "tv", "mass_below", "tv_of_parts", "weight_error"
    known = [name for name in names if name in result.curves]
    found |= {name: result.curves[name].values[..., -1].reshape(-1) for name in known}
    return {name: _seeds_first(np.asarray(x), len(seeds)) for name, x in found.items()}


def _seeds_first(x: np.ndarray, seeds: int) -> np.ndarray:
    """Arrange members [C * S, ...] as [S, C, ...]."""
    return np.moveaxis(x.reshape(-1, seeds, *x.shape[1:]), 0, 1)


def on_the_line(
    case: Case, cells: int, steps: float, seeds: Sequence[int]
) -> dict[str, np.ndarray]:
    """Train a case on the line, with half as many steps of pre-training as the budget has."""
    items = partial(grid, cells=cells, pretraining=int(steps) // 2)
    rate = RATES / steps if case.rate is None else case.rate
    return trained(case, items, rate, case.longer * steps, seeds)


def exactly(places: Sequence[str], steps: float, seeds: Sequence[int]) -> dict[str, np.ndarray]:
    """Learn closed forms of finite sets from all pairs: {name: total variation f[S]}."""
    found = {}
    for place in places:
        for name in ("reward", "DPO", "geometric"):
            case = CASES[name]
            case = case._replace(config=case.config._replace(pairs=0), varied={})
            tv = trained(case, SETS[place], EXACT_RATE, steps, seeds[:1])["tv"]
            # Nothing is drawn, so all seeds are one.
            found[f"{name} of {place}"] = np.repeat(tv[:, 0], len(seeds))
    return found


def arms(budget: Budget) -> dict[str, Computation]:
    """Make an arm for each case, and one for finite sets."""
    (place, *sets), seeds = budget.environments, budget.seed_numbers
    steps, longer = budget.steps, LONGER * budget.steps
    made = {
        name: Computation(
            name,
            partial(on_the_line, case, CELLS[place], steps),
            seeds,
            (place,),
            case.longer * steps,
        )
        for name, case in CASES.items()
    }
    exact = partial(exactly, tuple(sets), longer)
    made["finite sets"] = Computation("all pairs", exact, seeds, tuple(sets), longer)
    return made


def mean_of(name: str) -> Callable[[Key, Computed], Effect]:
    """Make the effect: the mean over seeds of a number, the worst of all configurations."""

    def effect(key: Key, arm: Computed) -> Effect:
        worst = arm.values[name].max(axis=1)
        return Effect(*stats.estimate(key, worst, stats.mean), np.int32(len(worst)))

    return effect


def worst_closed_form(key: Key, arm: Computed) -> Effect:
    """Return the largest total variation of finite sets, to which nothing was drawn."""
    del key  # nothing is drawn
    value = np.float64(max(x.max() for x in arm.values.values()))
    return Effect(value, value, value, np.int32(len(next(iter(arm.values.values())))))


def off_prior(key: Key, arm: Computed) -> Estimate:
    """Compute the total variation between a member's prior and the one that it should have."""
    learnt = arm.values["prior"][:, 0]
    items = _items_of(learnt.shape[-1])
    apart = [_apart(items.log_prior, one, items) for one in learnt]
    return stats.estimate(key, np.asarray(apart), stats.mean)


def to_learn(key: Key, arm: Computed) -> float:
    """Compute the total variation between the prior and the target."""
    del key  # nothing is drawn
    items = _items_of(arm.values["prior"].shape[-1])
    return _apart(items.log_prior, items.log_target, items)


def _apart(log_p: np.ndarray, log_q: np.ndarray, items: Items) -> float:
    arrays = map(jnp.asarray, (log_p, log_q, items.log_measure))
    return float(preferences.total_variation(*arrays))


def _items_of(cells: int) -> Items:
    return grid(cells, pretraining=1)


def figure(key: Key, curves: Mapping[str, Computed]) -> tuple[Panel, ...]:
    """Draw densities of one seed and their closed forms."""
    del key  # nothing is drawn
    panels = []
    for name, case in CASES.items():
        values = curves[name].values
        items = _items_of(values["prior"].shape[-1])
        lines = [_line("prior", items.at, values["prior"][0, 0])]
        labels = [f"{k} = {x:g}" for k, xs in case.varied.items() for x in xs] or ["learnt"]
        for i, label in enumerate(labels):
            density = values["density"][0, i]
            for k, part in enumerate(density):
                lines.append(_line(label if len(density) == 1 else f"part {k + 1}", items.at, part))
        if name == "two densities":
            lines += [
                _line(f"annotator {k + 1}", items.at, x) for k, x in enumerate(items.log_parts)
            ]
        else:
            forms = zip(labels, values["optimum"][0], strict=True)
            lines += [_line(f"closed form, {x}" if len(labels) > 1 else "closed form", items.at, y)
                      for x, y in forms]  # fmt: skip
        panels.append(Lines(name, "x", "density", tuple(lines)))
    return tuple(panels)


def _line(label: str, x: np.ndarray, log_p: np.ndarray) -> Line:
    each = -(-len(x) // POINTS)
    values = tuple(np.exp(np.asarray(log_p[::each], float)).tolist())
    return Line(label, tuple(np.asarray(x[::each], float).tolist()), values, values, values)


def _matched(statement: str, arm: str) -> Claim:
    return Claim(
        statement, (arm,), mean_of("kl"), LESS, smallest=0.0, against=0.02, unit="nats from it"
    )


STUDY = Study(
    __doc__,
    arms,
    (
        _matched("A reward is the log of the annotator's density.", "reward"),
        _matched("A density learns that of the annotator from its choices.", "likelihood"),
        _matched("DPO learns prior * p^(1 / beta) from an annotator of Luce's kind.", "DPO"),
        _matched("DPO learns p from the annotator that it assumes.", "DPO of its annotator"),
        _matched("A geometric average learns prior^(1 - alpha) * p^alpha.", "geometric"),
        Claim(
            "One density is far from two annotators together.",
            ("one density",),
            mean_of("kl"),
            MORE,
            smallest=0.0,
            against=0.5,
            unit="nats",
        ),
        Claim(
            "Two densities are those of the two annotators.",
            ("two densities",),
            mean_of("tv_of_parts"),
            LESS,
            smallest=0.0,
            against=0.1,
            unit="total variation, the larger one",
        ),
        Claim(
            "Their weights are how often each was asked.",
            ("two densities",),
            mean_of("weight_error"),
            LESS,
            smallest=0.0,
            against=0.05,
            unit="off the weight",
        ),
        Claim(
            "Closed forms of arms and trajectories are learnt exactly from all pairs.",
            ("finite sets",),
            worst_closed_form,
            LESS,
            smallest=0.0,
            against=1e-3,
            unit="total variation, the largest",
            counted="",
            gates=(),
        ),
    ),
    figure,
    gates=(
        Gate(
            "prior",
            "Networks have learnt the prior.",
            over=("likelihood",),
            measure=off_prior,
            direction=LESS,
            bound=0.05,
            unit="total variation",
            remedy="longer pre-training",
        ),
        Gate(
            "distance",
            "There is something to learn: the target is far from the prior.",
            over=("likelihood",),
            measure=to_learn,
            direction=MORE,
            bound=0.3,
            unit="total variation",
            remedy="another prior",
        ),
    ),
    quick=Budget(("256 cells", *SETS), 2, 512),
    standard=Budget(("256 cells", *SETS), 32, 2048, first_seed=1000),
    full=Budget(("1024 cells", *SETS), 32, 8192, first_seed=2000),
)
