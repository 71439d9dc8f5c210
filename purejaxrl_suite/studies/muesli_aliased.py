"""Does Muesli find a policy that must draw its actions, where states look alike?

Paper: Hessel et al. 2021, Muesli: combining improvements in policy optimization, arXiv 2104.06159.
Figure: its figure 2, an MDP whose states look alike; ours has the values that the text gives.
Claim: a policy gradient with returns finds the best policy, which takes each action with a
    probability of its own; an agent that is greedy in values, or whose returns bootstrap after one
    step, does not.

The task is `Credit-AliasedStates`: the best share p of action 1 is 5/8, for a return of 9/16.
Without a discount returns of whole episodes (`retrace_lambda` 1) say so. Values after one step are
averages over states that look alike, and what they say is p = 3/4. The network has 8 units, and
learns from 32 sequences of 8 new steps at a time, 2,000 times at standard (our setting).
"""

from collections.abc import Mapping
from functools import partial

from purejaxrl_suite import nets, stats
from purejaxrl_suite.agents.dqn import DQNConfig, DQNHypers, dqn
from purejaxrl_suite.agents.muesli import MuesliConfig, MuesliHypers, muesli
from purejaxrl_suite.core.types import Array, Environment, Key, Network
from purejaxrl_suite.envs import make
from purejaxrl_suite.nets.latent_model import LatentModel
from purejaxrl_suite.stats import Effect
from purejaxrl_suite.studies.panels import Intervals, Lines, Panel, row
from purejaxrl_suite.studies.plasticity_panels import over_time
from purejaxrl_suite.studies.protocol import EQUAL, LESS, MORE, Budget, Claim, Curves, Gate, Study
from purejaxrl_suite.studies.scores import estimated, measured
from purejaxrl_suite.sweeps.experiment import Experiment

TASK, UP = "Credit-AliasedStates", "up"
BEST, WIDTH = 0.625, 0.025
"""The best share of action 1, and how far from it the interval of the paper's text reaches."""
CONFIG = MuesliConfig(
    num_envs=32, rollout_length=8, sequence_length=8, batch_size=32, fresh=32, capacity=2048
)
HYPERS = MuesliHypers(learning_rate=1e-3, gamma=1.0, retrace_lambda=1.0, value_bound=3.0)
OF_DQN = DQNConfig(num_envs=32, rollout_length=8, batch_size=256, capacity=2048)
DQN_HYPERS = DQNHypers(learning_rate=1e-3, gamma=1.0, final_epsilon=0.01)
LATE = 0.1
"""The last part of training, whose episodes are counted."""
MUESLI, ONE_STEP, GREEDY = "Muesli", "one step", "DQN"


def model(env: Environment) -> LatentModel:
    """Make Muesli's network."""
    return nets.latent_model(env.observation, env.action, hidden=(8,), model_units=8, atoms=21)


def values(env: Environment) -> Network:
    """Make DQN's network."""
    return nets.q_network(env.observation, env.action, hidden=(8,))


def arms(budget: Budget) -> dict[str, Experiment]:
    """Make arms: Muesli with returns of episodes, with values after one step, and DQN."""
    environments = [make(id) for id in budget.environments]
    size = budget.seed_numbers, budget.steps
    plain = Experiment(muesli, environments, *size, HYPERS, CONFIG, model)
    return {
        MUESLI: plain,
        ONE_STEP: plain._replace(hypers=HYPERS._replace(retrace_lambda=0.0)),
        GREEDY: plain._replace(builder=dqn, hypers=DQN_HYPERS, config=OF_DQN, network=values),
    }


def ended(curves: Curves, name: str) -> Array:
    """Compute the mean of a number over the last episodes, f32[S, 1]."""
    return measured(curves, name, partial(stats.final_score, share=LATE))


def share_of_1(key: Key, curves: Curves) -> Effect:
    """Estimate the share of action 1, averaged over seeds."""
    return estimated(key, ended(curves, UP))


def gain(key: Key, one: Curves, other: Curves) -> Effect:
    """Estimate by how much the return of one arm is above that of another."""
    x, y = (ended(curves, "episode_return") for curves in (one, other))
    return stats.difference(key, x, y, paired=False)


def figure(key: Key, curves: Mapping[str, Curves]) -> tuple[Panel, ...]:
    """Draw shares of action 1 and returns over training, and shares at its end."""

    def lines(title: str, label: str, name: str, best: float) -> Lines:
        each = tuple(over_time(key, arm, one, name) for arm, one in curves.items())
        return Lines(title, "environment steps", label, each, against=best)

    ends = tuple(row(name, share_of_1(key, one)) for name, one in curves.items())
    return (
        lines("Actions", "share of action 1, IQM", UP, BEST),
        lines("Returns", "return, IQM", "episode_return", 9 / 16),
        Intervals("Actions at the end", "share of action 1", ends, BEST, WIDTH),
    )


STUDY = Study(
    __doc__,
    arms,
    (
        Claim(
            "Muesli takes action 1 as often as is best: its share is in [.60, .65].",
            (MUESLI,),
            share_of_1,
            EQUAL,
            smallest=WIDTH,
            against=BEST,
            unit="share",
        ),
        Claim(
            "With returns that bootstrap after one step it takes it more often.",
            (ONE_STEP,),
            share_of_1,
            MORE,
            smallest=0.0,
            against=BEST + WIDTH,
            unit="share",
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
            "Policies have left the share of 1/2, where they begin.",
            (ONE_STEP,),
            share_of_1,
            MORE,
            0.55,
            "share",
            "more steps",
        ),
    ),
    quick=Budget((TASK,), 4, 1e5),
    standard=Budget((TASK,), 256, 512_000, first_seed=1000),
    full=Budget((TASK,), 1000, 2_048_000, first_seed=2000),
)
