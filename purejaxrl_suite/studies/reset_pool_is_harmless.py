"""Does an agent learn the same from a pool of start states as from exact resets?

Paper: none; it is this suite's own shortcut (engine/rollout.py, docs/concepts.md).
Figure: none.
Claim: start states drawn once per environment and rollout, instead of at every step, change nothing
    that matters about what is learnt, and are cheaper.

The hardest case is chosen: one start state per environment and rollout, and episodes that end many
times in a rollout of 128 steps (Catch 14 times, CartPole at first 6 times), each time from the same
start. Every task has the same weight: the interquartile mean of all runs together, which this study
used first, cuts off whole tasks and hid CartPole. Cost is measured and drawn, but no claim is made
about it: it depends on the machine.
"""

from collections.abc import Callable, Mapping
from functools import partial

import jax.numpy as jnp
import numpy as np

from purejaxrl_suite import nets, stats
from purejaxrl_suite.agents.ppo import PPOConfig, PPOHypers, ppo
from purejaxrl_suite.core.types import Array, Environment, Key, Network
from purejaxrl_suite.envs import make
from purejaxrl_suite.stats import Effect, Estimate, Reference, Score
from purejaxrl_suite.studies.gates import reaches
from purejaxrl_suite.studies.panels import Intervals, row
from purejaxrl_suite.studies.protocol import EQUAL, Budget, Claim, Curves, Study
from purejaxrl_suite.studies.scores import Measure, normalized_scores
from purejaxrl_suite.sweeps.experiment import Experiment

CONFIG = PPOConfig(num_envs=8, rollout_length=128, epochs=4, minibatches=4)
HYPERS = PPOHypers(learning_rate=1e-3)
SMALL = ("Catch-bsuite", "CartPole-v1", "Navix-Empty-Random-8x8-v0")
GRIDS = ("Navix-Empty-Random-8x8-v0", "Navix-DoorKey-8x8-v0")
_NONE = Score(0.0, "an episode that never reaches the goal", "navix 4", True)
_ALL = Score(1.0, "the reward of the goal", "navix 4", True)
REFERENCES = stats.REFERENCES | dict.fromkeys(GRIDS, Reference(_NONE, _ALL))


def network(env: Environment) -> Network:
    """Make dense layers on plain numbers, so that environments are a large part of the cost."""
    encoder = nets.flat(one_hot=False)
    return nets.actor_critic(env.observation, env.action, hidden=(64, 64), encoder=encoder)


def arms(budget: Budget) -> dict[str, Experiment]:
    """Make arms: the same sweep with and without the pool."""
    environments = [make(id) for id in budget.environments]
    both = Experiment(ppo, environments, budget.seed_numbers, budget.steps, HYPERS, CONFIG, network)
    return {"pool": both, "exact": both._replace(reset_pool=0)}


def mean_of_tasks(scores: Array) -> Array:
    """Average over tasks the interquartile mean of each: f32[S, tasks] -> f32[]."""
    return jnp.nanmean(stats.iqm(scores, axis=0))


def equal(
    measure: Measure, environments: slice = slice(None)
) -> Callable[[Key, Curves, Curves], Effect]:
    """Make the effect: the difference over some tasks, paired by seed."""

    def effect(key: Key, pool: Curves, exact: Curves) -> Effect:
        x, y = (normalized_scores(arm, measure, REFERENCES) for arm in (pool, exact))
        x, y = x[:, environments], y[:, environments]
        return stats.difference(key, x, y, mean_of_tasks, paired=True)

    return effect


def normalized(curves: Curves, task: int | None = None) -> Array:
    """Compute final scores f32[S, tasks], of all tasks or of one."""
    scores = normalized_scores(curves, references=REFERENCES)
    return scores if task is None else scores[:, task : task + 1]


def figure(key: Key, curves: Mapping[str, Curves]) -> tuple[Intervals, ...]:
    """Draw differences by task, and the cost of exact resets."""
    pool, exact = curves["pool"], curves["exact"]
    names = [str(name) for name in pool["environment"].values]
    panels = []
    for title, measure in (
        ("Final score", stats.final_score),
        ("Mean over training", stats.area_under_curve),
    ):
        tasks = [equal(measure, slice(i, i + 1))(key, pool, exact) for i in range(len(names))]
        everything = equal(measure)(key, pool, exact)
        rows = [row(n, x) for n, x in zip(names, tasks, strict=True)] + [row("all", everything)]
        label = "pool less exact [normalized score], 95 % interval"
        panels.append(Intervals(title, label, tuple(rows), against=0.0, smallest=0.05))
    ratios = np.divide(*(_rates(arm) for arm in (pool, exact)))
    rows = tuple(row(name, _quartiles(x)) for name, x in zip(names, ratios, strict=True))
    label = "steps per second, pool over exact; median and quartiles of segments"
    return *panels, Intervals("Speed, where this was run", label, rows, against=1.0)


def _rates(curves: Curves) -> np.ndarray:
    return curves["steps_per_second"].transpose("environment", "step").values


def _quartiles(values: np.ndarray) -> Estimate:
    low, middle, high = np.quantile(values, (0.25, 0.5, 0.75))
    return Estimate(jnp.float32(middle), jnp.float32(low), jnp.float32(high))


BOTH = ("pool", "exact")
STUDY = Study(
    __doc__,
    arms,
    (
        Claim("The final score is the same.", BOTH, equal(stats.final_score), EQUAL),
        Claim("Learning is as fast.", BOTH, equal(stats.area_under_curve), EQUAL),
        Claim(
            "So it is on Catch.",
            BOTH,
            equal(stats.area_under_curve, slice(0, 1)),
            EQUAL,
            gates=("learns Catch",),
        ),
        Claim(
            "So it is on CartPole.",
            BOTH,
            equal(stats.area_under_curve, slice(1, 2)),
            EQUAL,
            gates=("learns CartPole",),
        ),
    ),
    figure,
    gates=(
        reaches(
            "learns",
            "With exact resets every task is learnt.",
            arm="exact",
            bound=0.3,
            score=normalized,
        ),
        reaches(
            "learns Catch",
            "So is Catch.",
            arm="exact",
            bound=0.8,
            score=partial(normalized, task=0),
        ),
        reaches(
            "learns CartPole",
            "So is CartPole.",
            arm="exact",
            bound=0.5,
            score=partial(normalized, task=1),
        ),
    ),
    quick=Budget(SMALL, 32, 1e5),
    standard=Budget(SMALL, 32, 3e5, first_seed=1000),
    full=Budget((*SMALL[:2], "Breakout-MinAtar", *GRIDS), 256, 2e6, first_seed=2000),
)
