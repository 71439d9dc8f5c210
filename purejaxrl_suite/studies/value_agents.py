"""Do the value-based agents learn MinAtar, and how far are they from published scores?

Paper: Obando-Ceron and Castro 2021, Revisiting Rainbow: promoting more insightful and inclusive
    deep reinforcement learning research, arXiv 2011.14826. PQN is of Gallici et al. 2024,
    arXiv 2407.04811.
Figure: the paper's learning curves of DQN, distributional DQN and Rainbow on MinAtar.
Claim: all of them learn, and what Rainbow adds to DQN pays on small environments, too.

DQN and Rainbow have Dopamine's settings for MinAtar, C51 the same with Rainbow's atoms, PQN those
of its paper: see `presets`. Exploration decays over 2.5 % of training, as in the published 1e7
steps. A score is 0 for random actions and 1 at the published score of `stats.REFERENCES`, of PPO
after 1e7 steps; it is measured in training, with the agents' own exploration. Games are gymnax's,
without sticky actions and with time limits, so the paper's scores are no reference. PQN takes five
times as many steps as the others. `standard` is two games. `quick` has 1/500 of the steps of
`full`, most of an hour on one core, and only two games for agents with atoms, the expensive ones:
it shows whether learning begins, not what is reached. Agents are compared on the games that both
have played.
"""

from collections.abc import Mapping

import numpy as np

from purejaxrl_suite import stats
from purejaxrl_suite.core.types import Key
from purejaxrl_suite.envs import make
from purejaxrl_suite.presets import PRESETS
from purejaxrl_suite.stats import Effect
from purejaxrl_suite.studies.gates import LEARNT, reaches
from purejaxrl_suite.studies.minatar import FOUR_GAMES
from purejaxrl_suite.studies.panels import Intervals, Lines, Panel, row
from purejaxrl_suite.studies.plasticity_panels import over_time
from purejaxrl_suite.studies.protocol import MORE, Budget, Claim, Curves, Gate, Study
from purejaxrl_suite.studies.scores import estimated, normalized_scores
from purejaxrl_suite.sweeps.experiment import Experiment

PRESET = {
    "DQN": "dopamine-minatar",
    "C51": "c51-minatar",
    "Rainbow": "dopamine-rainbow-minatar",
    "PQN": "purejaxql-minatar",
}
ATOMS = ("C51", "Rainbow")
TWO_GAMES = ("Breakout-MinAtar", "SpaceInvaders-MinAtar")
LONGER = 5
"""Steps of PQN for each step of the others."""
DECAY = 0.025


def arms(budget: Budget) -> dict[str, Experiment]:
    """Make an arm for each agent; `Budget.treatments` are the games of those with atoms."""
    steps = {name: budget.steps * (LONGER if name == "PQN" else 1) for name in PRESET}

    def arm(name: str) -> Experiment:
        preset = PRESETS[PRESET[name]]
        hypers = preset.hypers
        if name == "Rainbow":
            hypers = hypers._replace(epsilon_decay_steps=DECAY * steps[name])
        few = budget.treatments if name in ATOMS else ()
        environments = [make(id) for id in few or budget.environments]
        sizes = budget.seed_numbers, steps[name]
        return Experiment(
            preset.builder, environments, *sizes, hypers, preset.config, preset.network
        )

    return {name: arm(name) for name in PRESET}


def reached(key: Key, curves: Curves) -> Effect:
    """Estimate the IQM of final scores over games and seeds."""
    return estimated(key, normalized_scores(curves), stats.iqm)


def ahead(key: Key, x: Curves, y: Curves) -> Effect:
    """Estimate the lead of one agent over another, on the games that both have played."""
    both = [name for name in x["environment"].values if name in y["environment"].values]
    ours, theirs = (normalized_scores(one.sel(environment=both)) for one in (x, y))
    return stats.difference(key, ours, theirs, paired=False)


def length(key: Key, curves: Curves) -> float:
    """Compute the steps of each member as a share of those of the published scores."""
    del key  # nothing is drawn
    return float(curves["step"].values[-1]) / 1e7


def figure(key: Key, curves: Mapping[str, Curves]) -> tuple[Panel, ...]:
    """Draw returns in training by game, and all final scores."""
    games = [str(name) for name in curves["DQN"]["environment"].values]
    lines = tuple(
        Lines(
            game,
            "environment steps",
            "return in training, IQM",
            tuple(
                over_time(key, name, one.sel(environment=game), "episode_return")
                for name, one in curves.items()
                if _known(one, game)
            ),
            logarithmic=True,
            against=stats.REFERENCES[game].random.value,
        )
        for game in games
    )
    rows = tuple(row(name, reached(key, one)) for name, one in curves.items())
    label = "normalized score, 95 % interval (1: published, PPO)"
    return *lines, Intervals("Final scores, all games played", label, rows, against=1.0)


def _known(curves: Curves, game: str) -> bool:
    """Tell whether any episode of a game has ended, which takes 2,500 steps in Freeway."""
    if game not in curves["environment"].values:
        return False
    return bool(np.isfinite(curves["episode_return"].sel(environment=game).values).any())


STUDY = Study(
    __doc__,
    arms,
    (
        *(Claim(f"{n} learns.", (n,), reached, MORE, gates=("learnable",)) for n in PRESET),
        *(
            Claim(f"{x} scores more than {y}.", (x, y), ahead, MORE, gates=(f"{y} learns",))
            for x, y in (("C51", "DQN"), ("Rainbow", "DQN"), ("Rainbow", "C51"))
        ),
        Claim(
            "PQN comes within 0.1 of the published scores.",
            ("PQN",),
            reached,
            MORE,
            smallest=0.0,
            against=0.9,
            gates=("as long",),
        ),
    ),
    figure,
    gates=(
        reaches("learnable", "PQN, with five times the steps, learns every game.", "PQN", LEARNT),
        reaches("DQN learns", "DQN learns every game that it is compared on.", "DQN", LEARNT),
        reaches("C51 learns", "C51 learns every game that it is compared on.", "C51", LEARNT),
        Gate(
            "as long",
            "PQN plays as long as the published agents did.",
            over=("PQN",),
            measure=length,
            direction=MORE,
            bound=0.99,
            unit="of 1e7 steps",
            remedy="the full budget",
        ),
    ),
    quick=Budget(FOUR_GAMES, 16, 2e4, TWO_GAMES),
    standard=Budget(TWO_GAMES, 8, 8e4, TWO_GAMES, first_seed=1000),
    full=Budget(FOUR_GAMES, 32, 1e7, first_seed=2000),
)
