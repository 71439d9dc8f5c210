"""Do targets that an agent learns online come to bootstrap, where rewards alone cannot teach?

Paper: Xu et al. 2020, Meta-gradient reinforcement learning with an objective discovered online,
    arXiv 2007.08433.
Figure: its toy task of bootstrapping, with a wider Catch.
Claim: learned targets discover bootstrapping from one stream of experience, and agents that learn
    from them do what needs it.

Rollouts have two steps and a fall has five, on a board so wide that rewards within rollouts cannot
lead beyond 5 / 11 of the balls. Scores are the share of balls that are caught in the last tenth of
training, by agents that draw their actions. The board, rates and sizes are our setting.
"""

from collections.abc import Mapping
from functools import partial

import jax.numpy as jnp

from purejaxrl_suite import meta, stats
from purejaxrl_suite.core.types import Array, Key
from purejaxrl_suite.envs import make
from purejaxrl_suite.meta.frodo import FRODOConfig, FRODOHypers, frodo
from purejaxrl_suite.stats import Effect
from purejaxrl_suite.studies.panels import Lines, Panel
from purejaxrl_suite.studies.plasticity_panels import over_time
from purejaxrl_suite.studies.protocol import EQUAL, LESS, MORE, Budget, Claim, Curves, Gate, Study
from purejaxrl_suite.studies.scores import estimated, measured
from purejaxrl_suite.sweeps.experiment import Experiment

CATCH = "Meta-Catch"
CONFIG = FRODOConfig(num_envs=16, rollout_length=2, updates=3)
HYPERS = FRODOHypers(learning_rate=5.0, meta_learning_rate=3e-3, gae_lambda=1.0)
CAUGHT, LATE = "success", 0.1
MOST = 5.0 / 11.0
"""Share that is caught if the last two of five actions are the best and the others uniform."""
FRODO, FREE = "learned targets", "without consistency"
LAMBDA, REWARDS = "lambda returns", "rewards within rollouts"


def arms(budget: Budget) -> dict[str, Experiment]:
    """Make arms: learned targets with and without consistency, and targets made by hand."""
    env = [make(id) for id in budget.environments]
    learned = Experiment(frodo, env, budget.seed_numbers, budget.steps, HYPERS, CONFIG)
    config = meta.ActorCriticConfig(CONFIG.num_envs, CONFIG.rollout_length)
    rates = meta.ActorCriticHypers(
        learning_rate=HYPERS.learning_rate,
        gamma=HYPERS.gamma,
        gae_lambda=HYPERS.gae_lambda,
        entropy_coefficient=HYPERS.entropy_coefficient,
        value_coefficient=HYPERS.value_coefficient,
    )
    by_hand = learned._replace(builder=meta.actor_critic, hypers=rates, config=config)
    return {
        FRODO: learned,
        FREE: learned._replace(hypers=HYPERS._replace(consistency_coefficient=0.0)),
        LAMBDA: by_hand,
        REWARDS: by_hand._replace(config=config._replace(bootstrap=False)),
    }


def scores(curves: Curves) -> Array:
    """Compute the share of balls that each member catches in the end, f32[S, 1]."""
    return jnp.asarray(measured(curves, CAUGHT, partial(stats.final_score, share=LATE)))


def level(key: Key, curves: Curves) -> Effect:
    """Estimate the mean score of an arm."""
    return estimated(key, scores(curves))


def gain(key: Key, one: Curves, other: Curves) -> Effect:
    """Estimate the mean score of one arm minus that of another."""
    return stats.difference(key, scores(one), scores(other), stats.mean, paired=True)


def sooner(key: Key, one: Curves, other: Curves) -> Effect:
    """Estimate by how much more one arm catches than another, averaged over all of training."""
    all_of = partial(measured, metric=CAUGHT, measure=partial(stats.final_score, share=1.0))
    return stats.difference(key, all_of(one), all_of(other), stats.mean, paired=True)


def figure(key: Key, curves: Mapping[str, Curves]) -> tuple[Panel, ...]:
    """Draw the share that is caught over training, with what rewards alone can teach."""
    lines = tuple(over_time(key, arm, one, CAUGHT) for arm, one in curves.items())
    return (Lines(CATCH, "environment steps", "balls caught, share, IQM", lines, against=MOST),)


STUDY = Study(
    __doc__,
    arms,
    (
        Claim(
            "Agents with learned targets catch more than rewards within rollouts can teach.",
            (FRODO,),
            level,
            MORE,
            against=MOST,
            unit="share of balls",
        ),
        Claim(
            "They catch nine balls of ten or more.",
            (FRODO,),
            level,
            MORE,
            smallest=0.0,
            against=0.9,
            unit="share of balls",
        ),
        Claim(
            "In the end they are as good as agents with lambda returns.",
            (FRODO, LAMBDA),
            gain,
            EQUAL,
            unit="share of balls",
        ),
        Claim(
            "With consistency they learn sooner than without.",
            (FRODO, FREE),
            sooner,
            MORE,
            unit="share of balls",
        ),
    ),
    figure,
    gates=(
        Gate(
            "bootstrapping",
            "Agents with lambda returns learn the task.",
            (LAMBDA,),
            level,
            MORE,
            0.9,
            "share of balls",
            "more steps, or other rates",
        ),
        Gate(
            "needed",
            "Agents that learn from rewards within rollouts do not.",
            (REWARDS,),
            level,
            LESS,
            0.5,
            "share of balls",
            "a wider board",
        ),
    ),
    quick=Budget((CATCH,), 3, 1e5),
    standard=Budget((CATCH,), 32, 1e5, first_seed=1000),
    full=Budget((CATCH,), 256, 2e6, first_seed=2000),
)
