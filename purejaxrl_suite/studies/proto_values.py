"""Are proto-values features on which a linear agent learns?

Paper: Farebrother et al. 2023, Proto-value networks: scaling representation learning with auxiliary
    tasks, arXiv 2304.12567.
Figure: its comparison of linear agents on frozen features, there on Atari games, here on MinAtar
    (full, standard) and on Catch (quick).
Claim: a linear function of proto-values learns nearly what DQN does, from few steps with rewards,
    and the more tasks the features come from the better.

Features are learnt without rewards, from an agent that acts at random, for FACTOR times as many
steps as are then learnt from with rewards; the paper has a data set of DQN's. Linear agents are DQN
whose heads alone are learnt, on those features, on features of one task, and on random ones: the
networks that all of them begin with. All have Young and Tian's convolution with one layer of 256
units behind it (ours).
"""

from collections.abc import Mapping
from functools import partial
from typing import Any

from purejaxrl_suite import nets, stats
from purejaxrl_suite.agents.dqn import dqn
from purejaxrl_suite.agents.pvn import PVNConfig, PVNHypers, pvn
from purejaxrl_suite.core.types import Array, Environment, Key, Network
from purejaxrl_suite.representations import begin_with_features
from purejaxrl_suite.stats import Effect
from purejaxrl_suite.studies import minatar
from purejaxrl_suite.studies.gates import LEARNT, reaches
from purejaxrl_suite.studies.mico import CONFIG, HYPERS
from purejaxrl_suite.studies.panels import Lines, Panel
from purejaxrl_suite.studies.plasticity_panels import over_time, ranking
from purejaxrl_suite.studies.protocol import (
    MORE,
    Arm,
    Budget,
    Claim,
    Continuation,
    Curves,
    Gate,
    Study,
)
from purejaxrl_suite.studies.scores import estimated, late, normalized_scores
from purejaxrl_suite.sweeps.experiment import Experiment
from purejaxrl_suite.sweeps.result import Result
from purejaxrl_suite.sweeps.stages import Stage

TASKS = (100, 1)
FACTOR = 4
"""Steps without rewards for each with them."""
FEATURES = PVNConfig(num_envs=64, rollout_length=16, minibatches=4)
OF_FEATURES = PVNHypers(learning_rate=5e-4, quantile_learning_rate=1e-3)
WARM = 0.1
"""The first part of training without rewards, in which sets are fitted."""
SHARE = "share of DQN's score"


def network(env: Environment, atoms: int = 0) -> Network:
    """Make the network of all agents; with so many numbers for each action."""
    options: Any = {"encoder": nets.minatar_cnn(), "hidden": (256,), "layer_norm": False}
    return nets.q_network(env.observation, env.action, atoms=atoms, **options)


def linear(env: Environment) -> Network:
    """Make the network whose heads alone are learnt."""
    return nets.frozen(network(env))


def arms(budget: Budget) -> dict[str, Arm]:
    """Make arms: features of many tasks and of one, linear agents on them, others, and DQN."""
    environments = [minatar.board(id) for id in budget.environments]
    size = budget.seed_numbers, budget.steps
    plain = Experiment(dqn, environments, *size, HYPERS, CONFIG, network)
    made: dict[str, Arm] = {"DQN": plain, "random": plain._replace(network=linear)}
    steps = FACTOR * budget.steps
    updates = int(steps) // (FEATURES.num_envs * FEATURES.rollout_length)
    warm = float(max(1, round(WARM * updates * FEATURES.minibatches)))
    for tasks in TASKS:
        config = FEATURES._replace(tasks=tasks, tasks_per_network=min(10, tasks))
        features = plain._replace(
            builder=pvn,
            steps=steps,
            hypers=OF_FEATURES._replace(warm_up=warm),
            config=config,
            network=partial(network, atoms=tasks),
        )
        made[f"features {tasks}"] = features
        made[f"tasks {tasks}"] = Continuation(
            (f"features {tasks}",),
            partial(continued, alone=plain._replace(network=linear)),
            budget.seed_numbers,
            budget.environments,
            budget.steps,
        )
    return made


def continued(features: Result, *, alone: Experiment) -> tuple[Stage, ...]:
    """Make the stages of a linear agent on features, in their environment."""
    env: Any = features.env
    agent = alone._replace(env=env)
    return Stage("features", features), Stage("linear", agent, begin=begin_with_features)


def more(key: Key, one: Curves, other: Curves) -> Effect:
    """Estimate by how much one arm scores more than another."""
    x, y = normalized_scores(one), normalized_scores(other)
    return stats.difference(key, x, y, paired=False)


def share(key: Key, one: Curves, other: Curves) -> Effect:
    """Estimate the score of one arm as a share of another's."""
    x, y = normalized_scores(one), normalized_scores(other)
    return stats.compare(key, x, y, ratio, paired=False)


def ratio(x: Array, y: Array) -> Array:
    """Divide the IQM of one by that of the other."""
    return stats.iqm(x) / stats.iqm(y)


def activated(key: Key, features: Curves) -> Effect:
    """Estimate the share of tasks whose sets are as large as wanted, within a factor of 2."""
    return estimated(key, late(features, features["activated"], 0.25))


def figure(key: Key, curves: Mapping[str, Curves]) -> tuple[Panel, ...]:
    """Draw returns with rewards, and scores of all arms."""
    label = {"tasks 100": "100 tasks", "tasks 1": "1 task", "random": "random", "DQN": "DQN"}
    lines = tuple(
        over_time(key, text, curves[arm], "episode_return") for arm, text in label.items()
    )
    found = {text: estimated(key, normalized_scores(curves[arm])) for arm, text in label.items()}
    return (
        Lines("Returns", "environment steps with rewards", "return, IQM", lines),
        ranking("Final scores", "normalized score", found, 0.0, 0.05),
    )


STUDY = Study(
    __doc__,
    arms,
    (
        Claim(
            "A linear agent scores more on features of 100 tasks than on random ones.",
            ("tasks 100", "random"),
            more,
            MORE,
        ),
        Claim(
            "It scores more on features of 100 tasks than on those of one.",
            ("tasks 100", "tasks 1"),
            more,
            MORE,
        ),
        Claim(
            "On features of 100 tasks it reaches half of DQN's score.",
            ("tasks 100", "DQN"),
            share,
            MORE,
            smallest=0.0,
            against=0.5,
            unit=SHARE,
        ),
    ),
    figure,
    gates=(
        reaches("learns", "DQN learns every game.", "DQN", LEARNT),
        Gate(
            "sets",
            "Of 100 tasks most have sets as large as wanted, within a factor of 2.",
            ("features 100",),
            activated,
            MORE,
            0.7,
            "share of tasks",
            "a longer warm-up, or other random networks",
        ),
    ),
    quick=Budget((minatar.CATCH,), 3, 4e3),
    standard=Budget(("Breakout-MinAtar",), 16, 6e4, first_seed=1000),
    full=Budget(minatar.FOUR_GAMES, 32, 5e5, first_seed=2000),
)
