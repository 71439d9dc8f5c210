"""A study of seconds: does learning help where the reward is the action?"""

import jax

from purejaxrl_suite import nets, stats
from purejaxrl_suite.agents.ppo import PPOConfig, PPOHypers, ppo
from purejaxrl_suite.envs import probes
from purejaxrl_suite.stats import Reference, Score
from purejaxrl_suite.studies import (
    LESS,
    MORE,
    Bars,
    Budget,
    Claim,
    Gate,
    Heat,
    Interval,
    Intervals,
    Line,
    Lines,
    Study,
    normalized_scores,
)
from purejaxrl_suite.studies.judging import checked, measured
from purejaxrl_suite.sweeps.experiment import Experiment
from tests.shared import drawn

KEY = jax.random.key(0)
TEXT = """Does learning help?

Paper: none, it is
    a test.
Figure: none.
Claim: it does.

What else there is to say.
"""
CONFIG = PPOConfig(num_envs=4, rollout_length=8, epochs=1, minibatches=2)
HELD = Score(0.0, "by hand", "1", True)
REFERENCES = {"action_reward": Reference(HELD, HELD._replace(value=1.0))}
OVER = ("learning", "frozen")


def network(env):
    return drawn(nets.actor_critic(env.observation, env.action, hidden=(8,)))


ENV = probes.action_reward()


def arms(budget):
    frozen = Experiment(
        ppo,
        [ENV],
        budget.seed_numbers,
        budget.steps,
        PPOHypers(learning_rate=0.0),
        CONFIG,
        network,
    )
    return {"frozen": frozen, "learning": frozen._replace(hypers=PPOHypers(learning_rate=3e-2))}


def difference(key, x, y):
    scores = (normalized_scores(one, references=REFERENCES) for one in (x, y))
    return stats.difference(key, *scores, paired=True)


def score(key, curves):
    return stats.estimate(key, normalized_scores(curves, references=REFERENCES), stats.mean)


def gain(key, curves):
    del key
    returns = curves["episode_return"].mean(("environment", "seed")).values
    return float(abs(returns[-5:].mean() - returns[:5].mean()))


def figure(key, curves):
    nan = float("nan")
    rows = (Interval("known", 0.5, 0.25, 1.0), Interval("unknown", nan, nan, nan))
    lines = (Line("a line", (1.0, 2.0), (0.0, 1.0), (-1.0, nan), (1.0, nan)),)
    return (
        Intervals("Rows", "a number", rows, against=0.0, smallest=0.05),
        Lines("Lines", "x", "y", lines, logarithmic=True),
        Lines("More", "x", "y", lines, against=0.5),
        Lines(
            "Logarithms", "x", "y", (Line("b", (1.0, 2.0), *[(1.0, 9.0)] * 3),), logarithmic_y=True
        ),
        Bars("Bars", "y", ("a group", "another"), ("one", "two"), (rows, rows[::-1])),
        Heat("Map", "x", "share", ("one", "two"), (1.0, 2.0), ((0.0, 1.0), (nan, 0.5))),
    )


def gates_of(study, made):
    """{gate: what is measured} of curves by arm."""
    return {g.name: checked(g, measured(KEY, g, made)).value for g in study.gates}


STUDY = Study(
    TEXT,
    arms,
    (
        Claim("Learning helps.", OVER, difference, MORE, gates=("learns", "still")),
        Claim("Learning hurts.", OVER, difference, LESS, unit="reward", gates=("learns",)),
        Claim("Learning is all there is.", OVER, difference, MORE),
    ),
    figure,
    gates=(
        Gate("learns", "It learns.", ("learning",), score, MORE, 0.3, "reward", "more steps"),
        Gate("still", "It is frozen.", ("frozen",), gain, LESS, 0.4, "reward", "no learning"),
        Gate("perfect", "It is perfect.", ("learning",), score, MORE, 1.0, "reward", "a miracle"),
    ),
    quick=Budget((), 2, 32 * 30),
    standard=Budget((), 8, 32 * 30, first_seed=100),
    full=Budget((), 9, 32 * 30, first_seed=200),
)
