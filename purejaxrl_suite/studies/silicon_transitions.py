"""Does an agent that counts in seconds guide a silicon atom faster than a greedy controller?

Paper: Schwarzer et al. 2023, Learning and controlling silicon dopant transitions in graphene using
    scanning transmission electron microscopy, arXiv 2311.17894.
Figure: its tables of learned rates and of times to the goal, in simulation.
Claim: rates that are learnt from observed transitions place the beam as well as the true ones, and
    an agent that learns where the beam rests, and for how long, is faster than a greedy controller.

The rates are those of the human prior; the paper's measured ones are not released. A transition is
seen after 3 seconds with the beam at random within 2 angstrom (our setting). The greedy controllers
push to the neighbour nearest to the goal, for 5 seconds, from the offset with the greatest rate,
found on a grid. PPO chooses dwells of 1 to 10 seconds; its discount is the environment's, per
second. Its seconds are those of evaluations in which it acts greedily, as controllers do: the last
two of ten, 512 episodes each, those that time out included.
"""

from collections.abc import Mapping, Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from purejaxrl_suite import nets, stats
from purejaxrl_suite.agents.ppo import PPOConfig, PPOHypers, ppo
from purejaxrl_suite.core.types import Array, Environment, Key, Network
from purejaxrl_suite.engine.evaluate import PREFIX, Evaluating
from purejaxrl_suite.envs import make
from purejaxrl_suite.envs.silicon_rates import prior
from purejaxrl_suite.microscopy import compared, controllers, learning, observed
from purejaxrl_suite.stats import Effect
from purejaxrl_suite.studies.computation import Computed
from purejaxrl_suite.studies.panels import Interval, Intervals, Lines, Panel
from purejaxrl_suite.studies.plasticity_panels import over_time
from purejaxrl_suite.studies.protocol import (
    EQUAL,
    LESS,
    MORE,
    Budget,
    Claim,
    Computation,
    Curves,
    Gate,
    Study,
)
from purejaxrl_suite.studies.scores import estimated, late
from purejaxrl_suite.sweeps.experiment import Experiment

TASK = "STEM-Silicon-v0"
SHORTEST, LONGEST, DISTANCE = 1.0, 10.0, 2.0
"""Seconds of dwells, and bonds that the beam may be away."""
DWELL = 5.0
"""Seconds of the greedy controllers."""
KNOWN = 85.0
"""Mean seconds of the greedy one with true rates in another program, 300 episodes."""
OBSERVED, REACH, SECONDS = 5_000, 2.0, 3.0
"""Transitions that rates are learnt from, and angstrom and seconds of the beam."""
MEMBERS, EPOCHS = 5, 200
EPISODES = 2_048
"""Of each controller, for each seed."""
CONFIG = PPOConfig(
    num_envs=64, rollout_length=32, epochs=4, minibatches=8, normalize_observations=True
)
HYPERS = PPOHypers(learning_rate=1e-3, gamma=1.0, entropy_coefficient=1e-3)
LEARNING, CONTROL = "ppo", "controllers"
TRUE, LEARNT = "greedy, true rates", "greedy, learned rates"
EVALUATIONS, EVALUATED, LATE = 10, 512, 0.2
"""Evaluations of PPO, episodes of each, and the last part of training whose evaluations count."""


def network(env: Environment) -> Network:
    """Make PPO's network."""
    return nets.actor_critic(env.observation, env.action, hidden=(64, 64))


def task() -> Environment:
    """Make the task."""
    return make(TASK, dwell=[SHORTEST, LONGEST], distance=DISTANCE)


TRAIN = learning.rate_learning(learning.RateConfig(), EPOCHS)
comparing = jax.jit(partial(compared, prior(), reach=REACH))


def controlled(seeds: Sequence[int]) -> dict[str, np.ndarray]:
    """Learn rates, and play with greedy controllers: {name: f[S]}."""
    env = task()
    best = np.asarray(controllers.best_offset(prior().rate, prior().params, REACH))
    agent = controllers.greedy(env, (float(best[0]), float(best[1])), DWELL)
    play = controllers.evaluating(agent, env, EPISODES)
    rows = []
    for seed in seeds:
        data_key, play_key = jax.random.split(jax.random.key(seed))
        data = observed(data_key, prior(), OBSERVED, reach=REACH, seconds=SECONDS)
        members = [MEMBERS * seed + i for i in range(MEMBERS)]
        models, _ = learning.fit(TRAIN, data, learning.RateHypers(), seeds=members, updates=EPOCHS)
        error, offset, apart = comparing(models, beams=data.beam)
        row = {"error of rates": error, "error of offset": apart}
        known = agent.init(play_key, ())
        for name, state in ((TRUE, known), (LEARNT, known._replace(offset=offset))):
            share, mean = controllers.seconds_to_goal(play(play_key, state))
            row |= {f"seconds of {name}": mean, f"success of {name}": share}
        rows.append(jax.tree.map(float, row))
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}


def arms(budget: Budget) -> dict[str, Experiment | Computation]:
    """Make the two arms: PPO, and controllers that nobody trains."""
    (name,) = budget.environments
    updates = int(budget.steps) // (CONFIG.num_envs * CONFIG.rollout_length)
    return {
        LEARNING: Experiment(
            ppo,
            [task()],
            budget.seed_numbers,
            budget.steps,
            HYPERS,
            CONFIG,
            network,
            evaluate_every=Evaluating(updates // EVALUATIONS, EVALUATED),
            reset_pool=4,
        ),
        CONTROL: Computation("greedy controllers", controlled, budget.seed_numbers, (name,)),
    }


def evaluated(curves: Curves, name: str) -> Array:
    """Average what evaluations at the end of training tell, f32[S]."""
    return late(curves, curves[f"{PREFIX}{name}"], LATE)[..., 0]


def faster(key: Key, curves: Curves, arm: Computed) -> Effect:
    """Estimate seconds of PPO minus those of the greedy controller with true rates."""
    greedy = jnp.asarray(arm.values[f"seconds of {TRUE}"])
    return stats.difference(key, evaluated(curves, "seconds"), greedy, stats.mean, paired=False)


def value_of(name: str, key: Key, arm: Computed) -> Effect:
    """Estimate the mean of a number of the controllers."""
    return estimated(key, jnp.asarray(arm.values[name]))


def ratio(key: Key, arm: Computed) -> Effect:
    """Estimate seconds with learned rates over those with true ones."""
    one, other = (jnp.asarray(arm.values[f"seconds of {name}"]) for name in (LEARNT, TRUE))
    return estimated(key, one / other)


def off_known(key: Key, arm: Computed) -> Effect:
    """Estimate how far the greedy controller is from the one of another program, as a share."""
    return estimated(key, jnp.asarray(arm.values[f"seconds of {TRUE}"]) / KNOWN - 1.0)


def reached(key: Key, curves: Curves) -> Effect:
    """Estimate the share of PPO's episodes that reach the goal."""
    return estimated(key, evaluated(curves, "success"))


def figure(key: Key, curves: Mapping[str, Curves]) -> tuple[Panel, ...]:
    """Draw seconds over training, and those of all at the end."""
    ppo_curves, arm = curves[LEARNING], curves[CONTROL]
    found = {LEARNING: estimated(key, evaluated(ppo_curves, "seconds"))}
    found |= {name: value_of(f"seconds of {name}", key, arm) for name in (TRUE, LEARNT)}
    rows = tuple(
        Interval(name, float(x.value), float(x.low), float(x.high)) for name, x in found.items()
    )
    against = float(found[TRUE].value)
    line = over_time(key, LEARNING, ppo_curves, f"{PREFIX}seconds")
    return (
        Lines(
            TASK, "environment steps", "seconds of a greedy episode, IQM", (line,), against=against
        ),
        Intervals("Seconds to the goal", "seconds", rows, against=against),
    )


OVER = (CONTROL,)
STUDY = Study(
    __doc__,
    arms,
    (
        Claim(
            "PPO needs fewer seconds than a greedy controller with dwells of 5 seconds.",
            (LEARNING, CONTROL),
            faster,
            LESS,
            smallest=0.5,
            unit="seconds",
        ),
        Claim(
            "Learned rates are within 15 % of the true ones where the beam has been.",
            OVER,
            partial(value_of, "error of rates"),
            LESS,
            against=0.15,
            smallest=0.0,
            unit="relative error",
            gates=("known",),
        ),
        Claim(
            "Their best offset is within 0.15 angstrom of the true one.",
            OVER,
            partial(value_of, "error of offset"),
            LESS,
            against=0.15,
            smallest=0.0,
            unit="angstrom",
            gates=("known",),
        ),
        Claim(
            "With learned rates a greedy controller needs as many seconds as with true ones.",
            OVER,
            ratio,
            EQUAL,
            against=1.0,
            smallest=0.1,
            unit="ratio",
            gates=("known",),
        ),
    ),
    figure,
    gates=(
        Gate(
            "reaches",
            "PPO reaches the goal.",
            (LEARNING,),
            reached,
            MORE,
            0.95,
            "share of episodes",
            "more steps",
        ),
        Gate(
            "known",
            "The greedy controller with true rates is not slower than in another program.",
            OVER,
            off_known,
            LESS,
            0.05,
            "share of its seconds",
            "the same physics",
        ),
    ),
    quick=Budget((TASK,), 3, 2e6),
    standard=Budget((TASK,), 16, 4e6, first_seed=1000),
    full=Budget((TASK,), 32, 2e7, first_seed=2000),
)
