"""How far do point estimates of a few seeds mislead, and do intervals make up for it?

Paper: Agarwal et al. 2021, Deep reinforcement learning at the edge of the statistical precipice,
    arXiv 2108.13264.
Figure: its case study on Atari 100k, where results of a hundred runs are subsampled; here seeds of
    PPO and PQN on MinAtar are.
Claim: with a handful of runs, as is usual, point estimates rank algorithms wrongly; the
    interquartile mean does so less often than the median, and stratified bootstrap intervals hold
    what they promise from about ten runs on.

All seeds of the study together are the truth. Experiments with a few seeds each are drawn from
them, on device: an experiment is wrong if its statistic names another winner than the same
statistic of all seeds (a tie counts half). The intervals of these rates are over the seeds of the
study; those of coverage are over the experiments, given its seeds.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from purejaxrl_suite import stats
from purejaxrl_suite.core.types import Array, Key
from purejaxrl_suite.stats import Effect, Estimate
from purejaxrl_suite.studies import minatar
from purejaxrl_suite.studies.gates import reaches
from purejaxrl_suite.studies.panels import Lines, line
from purejaxrl_suite.studies.protocol import (
    EQUAL,
    LESS,
    MORE,
    Budget,
    Claim,
    Compare,
    Curves,
    Gate,
    Study,
)
from purejaxrl_suite.studies.scores import normalized_scores

SIZES = (3, 5, 10)
EXPERIMENTS, RESAMPLES = 250, 400
"""Drawn experiments in each resample of the seeds, for rates of wrong winners."""
TRIALS, DRAWS = 1000, 1000
"""Drawn experiments of each agent, and bootstrap resamples in each, for coverage."""

Statistic = Callable[[Array], Array]
MEDIAN_OF_ONE: Statistic = partial(stats.median, axis=0)
IQM_OF_ONE: Statistic = partial(stats.iqm, axis=0)


class Wrong(NamedTuple):
    """How often `seeds` of S name another winner, (f32[S, tasks], f32[S, tasks]) -> f32[]."""

    statistic: Statistic
    seeds: int

    def __call__(self, x: Array, y: Array) -> Array:
        """Average over tasks, if the statistic is of one task."""
        truth = jnp.sign(self.statistic(x) - self.statistic(y))

        def experiment(key: Key) -> Array:
            of_x, of_y = jax.random.split(key)
            few_x, few_y = _draw(of_x, x, self.seeds), _draw(of_y, y, self.seeds)
            found = jnp.sign(self.statistic(few_x) - self.statistic(few_y))
            return jnp.mean((1.0 - found * truth) / 2.0)

        return jnp.mean(jax.vmap(experiment)(jax.random.split(jax.random.key(1), EXPERIMENTS)))


class FewerWrong(NamedTuple):
    """How much more often the first of two comparisons is wrong than the second."""

    more: Wrong
    less: Wrong

    def __call__(self, x: Array, y: Array) -> Array:
        """Subtract the rates of the same experiments."""
        return self.more(x, y) - self.less(x, y)


def wrong(comparison: Callable[[Array, Array], Array]) -> Callable[[Key, Curves, Curves], Effect]:
    """Make the effect: the rate of wrong winners between two arms, with an interval over seeds."""

    def effect(key: Key, x: Curves, y: Curves) -> Effect:
        scores = normalized_scores(x), normalized_scores(y)
        return stats.compare(key, *scores, comparison, paired=False, resamples=RESAMPLES)

    return effect


def coverage(seeds: int) -> Compare:
    """Make the effect: how often rliable's interval of few seeds' IQM contains that of all."""

    def effect(key: Key, *arms: Curves) -> Effect:
        held = sum(_held(key, normalized_scores(arm), seeds) for arm in arms)
        trials = TRIALS * len(arms)
        return Effect(*stats.clopper_pearson(held, trials), jnp.int32(trials))

    return effect


def _held(key: Key, scores: Array, seeds: int) -> int:
    """Count the experiments, of TRIALS, whose interval contains the truth."""
    truth = float(stats.iqm(scores))
    found = [
        stats.rliable_estimate(jax.random.key(trial), few, stats.iqm, resamples=DRAWS)
        for trial, few in enumerate(np.asarray(_experiments(key, scores, seeds)))
    ]
    return sum(bool(one.low <= truth <= one.high) for one in found)


@partial(jax.jit, static_argnums=2)
def _experiments(key: Key, scores: Array, seeds: int) -> Array:
    """Draw experiments, f32[TRIALS, seeds, tasks]."""
    return jax.vmap(lambda one: _draw(one, scores, seeds))(jax.random.split(key, TRIALS))


def _draw(key: Key, scores: Array, seeds: int) -> Array:
    """Draw runs of that many seeds within each task: f32[S, tasks] -> f32[seeds, tasks]."""
    index = jax.random.randint(key, (seeds, scores.shape[1]), 0, scores.shape[0])
    return jnp.take_along_axis(scores, index, axis=0)


def surest(key: Key, x: Curves, y: Curves) -> float:
    """Compute the distance of the difference's interval from 0, on the game where it is least."""
    pairs = zip(_by_game(x), _by_game(y), strict=True)
    found = [stats.difference(key, *pair, paired=False) for pair in pairs]
    return min(max(float(one.low), -float(one.high)) for one in found)


def widest(key: Key, x: Curves, y: Curves) -> float:
    """Compute the largest difference of means on a game, in standard deviations of its seeds."""
    del key  # nothing is drawn
    pairs = zip(_by_game(x), _by_game(y), strict=True)
    return max(float(abs(a.mean() - b.mean()) / _spread(a, b)) for a, b in pairs)


def _spread(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.sqrt((a.var(ddof=1) + b.var(ddof=1)) / 2.0))


def _by_game(curves: Curves) -> list[np.ndarray]:
    """Return scores f32[S, 1] of every game."""
    return np.split(np.asarray(normalized_scores(curves)), curves.sizes["environment"], axis=1)


def figure(key: Key, curves: Mapping[str, Curves]) -> tuple[Lines, ...]:
    """Draw wrong winners and coverage against the number of seeds."""
    both = curves["ppo"], curves["pqn"]
    kinds = {
        "median, one game": MEDIAN_OF_ONE,
        "IQM, one game": IQM_OF_ONE,
        "median over games": stats.median,
        "IQM over games": stats.iqm,
    }
    rates = tuple(
        line(label, SIZES, _along([wrong(Wrong(statistic, n))(key, *both) for n in SIZES]))
        for label, statistic in kinds.items()
    )
    held = line("IQM over games", SIZES, _along([coverage(n)(key, *both) for n in SIZES]))
    x = "seeds of each agent"
    return (
        Lines("How often the wrong agent wins", x, "share of experiments", rates, against=0.05),
        Lines("How often the interval holds", x, "coverage", (held,), against=0.95),
    )


def _along(found: list[Effect]) -> Estimate:
    """Stack several estimates."""
    return Estimate(*(jnp.stack([one[i] for one in found]) for i in range(3)))


BOTH = ("ppo", "pqn")
LEARNT = ("ppo learns", "pqn learns")
STUDY = Study(
    __doc__,
    minatar.agents,
    (
        Claim(
            "With 3 seeds, the median on a single game names the wrong winner in more than 5 % of "
            "experiments.",
            BOTH,
            wrong(Wrong(MEDIAN_OF_ONE, 3)),
            MORE,
            smallest=0.0,
            against=0.05,
            unit="share of experiments",
        ),
        Claim(
            "With 5 seeds, the median over games is wrong more often than the interquartile mean.",
            BOTH,
            wrong(FewerWrong(Wrong(stats.median, 5), Wrong(stats.iqm, 5))),
            MORE,
            smallest=0.01,
            unit="share of experiments",
        ),
        Claim(
            "With 10 seeds, the 95 % interval of the interquartile mean holds what it promises.",
            BOTH,
            coverage(10),
            EQUAL,
            smallest=0.03,
            against=0.95,
            unit="coverage",
            counted="experiments",
            gates=LEARNT,
        ),
        Claim(
            "With 3 seeds, it does not.",
            BOTH,
            coverage(3),
            LESS,
            smallest=0.03,
            against=0.95,
            unit="coverage",
            counted="experiments",
            gates=LEARNT,
        ),
    ),
    figure,
    gates=(
        reaches("ppo learns", "PPO learns every game.", "ppo", 0.03),
        reaches("pqn learns", "PQN learns every game.", "pqn", 0.03),
        Gate(
            "winner",
            "On every game one of both agents is better, as surely as all seeds can tell.",
            over=BOTH,
            measure=surest,
            direction=MORE,
            bound=0.0,
            unit="normalized score",
            remedy="more seeds, or agents that differ more",
        ),
        Gate(
            "luck",
            "On every game seeds differ enough for luck to matter beside what agents differ by.",
            over=BOTH,
            measure=widest,
            direction=LESS,
            bound=2.0,
            unit="standard deviations of seeds",
            remedy="agents that differ less",
        ),
    ),
    quick=Budget(minatar.THREE_GAMES, 32, 1e5),
    standard=Budget(("Breakout-MinAtar", "SpaceInvaders-MinAtar"), 32, 1.5e5, first_seed=4000),
    full=Budget(minatar.FOUR_GAMES, 256, 1e6, first_seed=2000),
)
