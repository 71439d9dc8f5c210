"""Which hyper-parameters may be tuned once, and which must be tuned for every agent, game, budget?

Paper: Obando-Ceron, Araujo, Courville & Castro 2024, On the consistency of hyper-parameter
    selection in value-based deep reinforcement learning, arXiv 2406.17523.
Figure: its THC scores (tuning hyper-parameter consistency), there of DER and DrQ on Atari with 100k
    and 40M steps; here of PPO and PQN on MinAtar with a quarter of the steps and with all.
Claim: choices transfer better between agents than between games or amounts of data.

One hyper-parameter at a time is varied. THC is 0 if the order of its values is the same in two
settings, or if it does not matter, and at most 1. More settings make it larger by chance, so all
three kinds of transfer are measured over pairs of settings, averaged over all else; values are
ranked by the mean return over training.
"""

import itertools
from collections.abc import Callable, Mapping
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from purejaxrl_suite import stats
from purejaxrl_suite.core.types import Array, Key
from purejaxrl_suite.search import one_at_a_time
from purejaxrl_suite.stats import Effect, Estimate
from purejaxrl_suite.stats.bootstrap import fewest_seeds
from purejaxrl_suite.studies import minatar
from purejaxrl_suite.studies.gates import reaches
from purejaxrl_suite.studies.panels import Intervals, Lines, line, row
from purejaxrl_suite.studies.protocol import (
    MORE,
    Budget,
    Claim,
    Compare,
    Curves,
    Gate,
    Study,
)
from purejaxrl_suite.studies.scores import normalized_scores
from purejaxrl_suite.sweeps.experiment import Experiment

SHORT = 0.25
"""Share of the steps in the smaller amount of data."""
VALUES = {
    "learning rate": (5e-5, 5e-4, 5e-3, 5e-2),
    "gamma": (0.9, 0.97, 0.99, 0.997),
    "lambda": (0.0, 0.65, 0.95, 1.0),
    "gradient norm": (0.1, 0.5, 2.5, 10.0),
}
DEFAULT = (0, 1)
"""The place in VALUES of the default learning rate, with all other defaults."""
FIELDS = {
    "ppo": ("learning_rate", "gamma", "gae_lambda", "max_gradient_norm"),
    "pqn": ("learning_rate", "gamma", "td_lambda", "max_gradient_norm"),
}
"""Names of the hyper-parameters of each agent, in the order of VALUES."""
AGENTS, AMOUNTS, GAMES = 1, 2, 3
"""Axes of the scores f32[S, agents, amounts, games, hyper-parameters, values]."""
ARMS = ("ppo-short", "ppo-long", "pqn-short", "pqn-long")


def arms(budget: Budget) -> dict[str, Experiment]:
    """Make an arm of each agent and amount of data; annealing makes short runs differ from long."""
    made = {}
    for name, arm in minatar.agents(budget).items():
        values = dict(zip(FIELDS[name], VALUES.values(), strict=True))
        long = arm._replace(hypers=one_at_a_time(arm.hypers, **values))
        made |= {f"{name}-short": long._replace(steps=SHORT * budget.steps), f"{name}-long": long}
    return made


def table(curves: Curves) -> Array:
    """Tabulate the scores of an arm, f32[S, games, hyper-parameters, values]."""
    fields = FIELDS[curves.attrs["agent"]]
    scores = normalized_scores(curves, stats.area_under_curve)  # [S, configurations, games]
    index = [
        [_position(curves, field, value) for value in values]
        for field, values in zip(fields, VALUES.values(), strict=True)
    ]
    return jnp.moveaxis(scores[:, np.array(index)], -1, 1)


def _position(curves: Curves, field: str, value: float) -> int:
    """Find the configuration in which only this differs from the defaults, or the defaults."""
    varied, values = curves["varied"].values, curves[field].values
    (found,) = np.flatnonzero((values == value) & np.isin(varied, (field, "")))
    return int(found)


def everything(*curves: Curves) -> Array:
    """Stack the scores of all arms in the order of ARMS, on the axes AGENTS, AMOUNTS and GAMES."""
    tables = jnp.stack([table(one) for one in curves], axis=1)
    return jnp.reshape(tables, (tables.shape[0], 2, 2, *tables.shape[2:]))


def transfer(scores: Array, axis: int) -> Array:
    """Average THC over pairs of settings along an axis, and over the rest: f32[H]."""

    def thc(pair: Array) -> Array:
        return stats.hyperparameter_consistency(pair).thc

    each = jax.vmap(jax.vmap(thc, in_axes=2), in_axes=2)  # over [S, 2, rest, H, values]
    pairs = [each(pair) for pair in _pairs(scores, axis)]
    return jnp.mean(jnp.stack(pairs), axis=(0, 1))


def _pairs(scores: Array, axis: int) -> list[Array]:
    """Return f32[S, 2, rest, H, values] of every pair of settings along an axis."""
    first = jnp.moveaxis(scores, axis, 1)
    settings, values = first.shape[1], first.shape[-2:]
    flat = jnp.reshape(first, (*first.shape[:2], -1, *values))
    return [flat[:, np.array(pair)] for pair in itertools.combinations(range(settings), 2)]


class Contrast(NamedTuple):
    """Mean THC along one axis minus that along another, f32[S, ...] -> f32[]."""

    more: int
    less: int

    def __call__(self, scores: Array) -> Array:
        """Average over hyper-parameters."""
        return jnp.mean(transfer(scores, self.more) - transfer(scores, self.less))


def contrast(more: int, less: int) -> Compare:
    """Make the effect: how much worse choices transfer along one axis than along another."""

    def effect(key: Key, *curves: Curves) -> Effect:
        scores = everything(*curves)
        return _over_seeds(stats.estimate(key, scores, Contrast(more, less)), scores)

    return effect


def below_chance(hyperparameter: str) -> Callable[[Key, Curves], Effect]:
    """Make the effect: how far THC over all games is below that of shuffled values.

    The interval is 95 % of the shuffles.
    """

    def effect(key: Key, curves: Curves) -> Effect:
        scores = table(curves)[:, :, list(VALUES).index(hyperparameter)]
        found = stats.hyperparameter_consistency(scores)
        null = stats.consistency_null(key, found.ranks)
        ends = (end - found.thc for end in (null.mean, null.low, null.high))
        return _over_seeds(Estimate(*ends), scores)

    return effect


def _over_seeds(found: Estimate, scores: Array) -> Effect:
    return Effect(*found, jnp.int32(fewest_seeds(scores)))


def plain(curves: Curves) -> Array:
    """Compute scores f32[S, games] with the defaults."""
    return table(curves)[:, :, *DEFAULT]


def default_over_largest(key: Key, curves: Curves) -> Effect:
    """Estimate the score of the default learning rate minus that of the largest."""
    rates = table(curves)[:, :, 0]
    return stats.difference(key, rates[..., DEFAULT[1]], rates[..., -1], paired=False)


def chance(key: Key, scores: Array, axis: int) -> float:
    """Compute the mean THC of two unrelated settings."""

    def of_pair(pair: Array) -> Array:
        ranks = stats.hyperparameter_consistency(pair).ranks
        return stats.consistency_null(key, ranks, shuffles=999).mean

    each = jax.vmap(jax.vmap(of_pair, in_axes=2), in_axes=2)
    return float(jnp.mean(jnp.stack([each(pair) for pair in _pairs(scores, axis)])))


def figure(key: Key, curves: Mapping[str, Curves]) -> tuple[Intervals | Lines, ...]:
    """Draw THC by hyper-parameter for each kind of transfer, and scores by learning rate."""
    scores = everything(*(curves[name] for name in ARMS))
    panels = []
    for title, axis in (("agents", AGENTS), ("games", GAMES), ("amounts of data", AMOUNTS)):
        found = stats.estimate(key, scores, partial(transfer, axis=axis))
        rows = (row(name, Estimate(*(x[i] for x in found))) for i, name in enumerate(VALUES))
        label = "THC, 95 % interval; line: by chance"
        against = chance(key, scores, axis)
        panels.append(Intervals(f"Between {title}", label, tuple(rows), against))
    rates = VALUES["learning rate"]
    lines = tuple(
        line(name, rates, stats.estimate(key, table(curves[name])[:, :, 0], _iqm_of_values))
        for name in ARMS
    )
    label = "normalized score, mean over training"
    return *panels, Lines("Learning rate", "learning rate", label, lines, logarithmic=True)


def _iqm_of_values(scores: Array) -> Array:
    """Compute the IQM of each value, f32[S, games, values] -> f32[values]."""
    return jax.vmap(stats.iqm, in_axes=-1)(scores)


STUDY = Study(
    __doc__,
    arms,
    (
        Claim(
            "Choices transfer better between agents than between games.",
            ARMS,
            contrast(GAMES, AGENTS),
            MORE,
            unit="THC",
        ),
        Claim(
            "Choices transfer better between agents than between amounts of data.",
            ARMS,
            contrast(AMOUNTS, AGENTS),
            MORE,
            unit="THC",
        ),
        Claim(
            "The order of learning rates carries over between games better than by chance (PPO).",
            ("ppo-long",),
            below_chance("learning rate"),
            MORE,
            unit="THC",
            counted="",
        ),
    ),
    figure,
    gates=(
        reaches(
            "ppo learns",
            "PPO learns every game with its defaults.",
            arm="ppo-long",
            bound=0.02,
            score=plain,
        ),
        reaches("pqn learns", "So does PQN.", arm="pqn-long", bound=0.02, score=plain),
        Gate(
            "matters",
            "The learning rate matters: the default scores more than the largest (PPO).",
            over=("ppo-long",),
            measure=default_over_largest,
            direction=MORE,
            bound=0.02,
            unit="normalized score",
            remedy="more steps",
        ),
    ),
    quick=Budget(minatar.THREE_GAMES[:2], 4, 4e4),
    standard=Budget(("Breakout-MinAtar", "SpaceInvaders-MinAtar"), 8, 1e5, first_seed=1000),
    full=Budget(minatar.FOUR_GAMES, 32, 1e6, first_seed=2000),
)
