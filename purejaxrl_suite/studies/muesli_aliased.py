"""Does Muesli find a policy that must draw its actions, where states look alike?

Paper: Hessel et al. 2021, Muesli: combining improvements in policy optimization, arXiv 2104.06159.
Figure: its figure 2, an MDP whose states look alike; ours has the values that the text gives.
Claim: a policy gradient with returns finds the best policy, which takes each action with a
    probability of its own; an agent that is greedy in values, or whose returns bootstrap after one
    step, does not.

The task is `probes.aliased`: action 1 is best taken with probability p = 5/8, for a return of 9/16.
Without a discount returns of whole episodes (`retrace_lambda` 1) say so. Values after one step are
averages over states that look alike, and as much as they can say is p = 3/4. The network has 8
units, and learns 2,000 times from 32 sequences of 8 new steps (our setting).
"""

from collections.abc import Mapping

import jax

from purejaxrl_suite import nets, stats
from purejaxrl_suite.agents.dqn import DQNConfig, DQNHypers, dqn
from purejaxrl_suite.agents.muesli import MuesliConfig, MuesliHypers, muesli
from purejaxrl_suite.core.types import (
    Array,
    Environment,
    Inspection,
    Key,
    Learner,
    Network,
    Probe,
)
from purejaxrl_suite.envs import probes
from purejaxrl_suite.nets.latent_model import LatentModel
from purejaxrl_suite.stats import Effect
from purejaxrl_suite.studies.panels import Intervals, Lines, Panel, row
from purejaxrl_suite.studies.plasticity_panels import over_time
from purejaxrl_suite.studies.protocol import EQUAL, LESS, MORE, Budget, Claim, Curves, Gate, Study
from purejaxrl_suite.studies.scores import estimated, late, measured
from purejaxrl_suite.sweeps.experiment import Experiment

BEST, WIDTH = 0.625, 0.025
"""The best probability of action 1, and how far from it the paper's interval reaches."""
CONFIG = MuesliConfig(
    num_envs=32, rollout_length=8, sequence_length=8, batch_size=32, fresh=32, capacity=2048
)
HYPERS = MuesliHypers(learning_rate=1e-3, gamma=1.0, retrace_lambda=1.0, value_bound=3.0)
OF_DQN = DQNConfig(num_envs=32, rollout_length=8, batch_size=256, capacity=2048)
DQN_HYPERS = DQNHypers(learning_rate=1e-3, gamma=1.0, final_epsilon=0.01)
LOOKS, LATE = 40, 0.1
MUESLI, ONE_STEP, GREEDY = "Muesli", "one step", "DQN"
PROBABILITY = "probability_of_1"


def probability(learner: Learner, probe: Probe, inspection: Inspection) -> Mapping[str, Array]:
    """Measure how probable action 1 is, in the one observation that there is."""
    logits, _ = inspection.network.apply(learner.params, inspection.obs()[:1])
    return {PROBABILITY: jax.nn.softmax(logits)[0, 1]}


def model(env: Environment) -> LatentModel:
    """Make Muesli's network."""
    return nets.latent_model(env.observation, env.action, hidden=(8,), model_units=8, atoms=21)


def values(env: Environment) -> Network:
    """Make DQN's network."""
    return nets.q_network(env.observation, env.action, hidden=(8,))


def arms(budget: Budget) -> dict[str, Experiment]:
    """Make arms: Muesli with returns of episodes, with values after one step, and DQN."""
    updates = int(budget.steps) // (CONFIG.num_envs * CONFIG.rollout_length)
    plain = Experiment(
        muesli,
        [probes.aliased()],
        budget.seed_numbers,
        budget.steps,
        HYPERS,
        CONFIG,
        model,
        metrics=(probability,),
        measure_every=max(1, updates // LOOKS),
    )
    return {
        MUESLI: plain,
        ONE_STEP: plain._replace(hypers=HYPERS._replace(retrace_lambda=0.0)),
        GREEDY: plain._replace(
            builder=dqn, hypers=DQN_HYPERS, config=OF_DQN, network=values, metrics=()
        ),
    }


def found(curves: Curves) -> Array:
    """Compute the probability of action 1 late in training, f32[S, 1]."""
    return late(curves, curves[PROBABILITY], LATE)


def mean_probability(key: Key, curves: Curves) -> Effect:
    """Estimate its mean over seeds."""
    return estimated(key, found(curves), stats.mean)


def gain(key: Key, one: Curves, other: Curves) -> Effect:
    """Estimate by how much the return of one arm is above that of another."""
    x, y = (
        measured(curves, "episode_return", lambda x, n: stats.final_score(x, n, share=LATE))
        for curves in (one, other)
    )
    return stats.difference(key, x, y, paired=False)


def figure(key: Key, curves: Mapping[str, Curves]) -> tuple[Panel, ...]:
    """Draw probabilities and returns over training, and probabilities at its end."""
    policies = {name: curves[name] for name in (MUESLI, ONE_STEP)}
    moving = tuple(over_time(key, name, one, PROBABILITY) for name, one in policies.items())
    returns = tuple(over_time(key, name, one, "episode_return") for name, one in curves.items())
    steps = "environment steps"
    ends = tuple(row(name, mean_probability(key, one)) for name, one in policies.items())
    return (
        Lines("Probability of action 1", steps, "probability", moving, against=BEST),
        Lines("Returns", steps, "return, IQM", returns, against=9 / 16),
        Intervals("Probability at the end", "probability of action 1", ends, BEST, WIDTH),
    )


STUDY = Study(
    __doc__,
    arms,
    (
        Claim(
            "Muesli takes action 1 as often as is best: p is in [.60, .65].",
            (MUESLI,),
            mean_probability,
            EQUAL,
            smallest=WIDTH,
            against=BEST,
            unit="probability",
        ),
        Claim(
            "With returns that bootstrap after one step p is above that.",
            (ONE_STEP,),
            mean_probability,
            MORE,
            smallest=0.0,
            against=BEST + WIDTH,
            unit="probability",
        ),
        Claim(
            "DQN, greedy in its values, gets less than Muesli.",
            (GREEDY, MUESLI),
            gain,
            LESS,
            unit="return",
        ),
    ),
    figure,
    gates=(
        Gate(
            "policies move",
            "Policies have left p = 1/2, where they begin.",
            (ONE_STEP,),
            mean_probability,
            MORE,
            0.55,
            "probability",
            "more steps",
        ),
    ),
    quick=Budget(("aliased",), 4, 1e5),
    standard=Budget(("aliased",), 256, 512_000, first_seed=1000),
    full=Budget(("aliased",), 1000, 2_048_000, first_seed=2000),
)
