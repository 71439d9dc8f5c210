"""Do behavioural metrics shape representations, and does it help?

Paper: Castro et al. 2021, MICo: improved representations via sampling-based state similarity for
    Markov decision processes, arXiv 2106.08229; Castro et al. 2023, A kernel perspective on
    behavioural metrics for Markov decision processes, arXiv 2310.19804.
Figure: their comparisons of agents with and without the loss; there on 60 Atari games, here DQN on
    MinAtar (full, standard) and on Catch (quick).
Claim: features of agents that learn MICo beside values are near where values are, which they are
    not by themselves, and agents score more; KSMe does the same.

Alignment is Spearman's correlation of squared distances of representations and differences of the
agent's own values, over all pairs of a batch from the replay, in the last quarter of training. In
the control rewards are permuted in every batch, so distances of the same sizes mean nothing. DQN
has squared errors, as the papers', and else the settings of `state_of_sparse_training`; the
representation is that of Young and Tian's convolution (on MinAtar and Catch alike), with one layer
of 128 units behind it. Weights of 0.01 are the papers'; ten times as much is ours.
"""

from collections.abc import Callable, Mapping
from typing import Any

from purejaxrl_suite import nets, representations, search, stats
from purejaxrl_suite.agents.dqn import DQNConfig, DQNHypers, dqn
from purejaxrl_suite.core.types import Array, Environment, Key, Network
from purejaxrl_suite.representations import auxiliary, ksme, mico
from purejaxrl_suite.stats import Effect
from purejaxrl_suite.studies import minatar
from purejaxrl_suite.studies.gates import LEARNT, reaches
from purejaxrl_suite.studies.panels import Lines, Panel
from purejaxrl_suite.studies.plasticity_panels import over_time, ranking
from purejaxrl_suite.studies.protocol import EQUAL, MORE, Budget, Claim, Curves, Study
from purejaxrl_suite.studies.scores import estimated, late, normalized_scores
from purejaxrl_suite.sweeps.experiment import Experiment

CONFIG = DQNConfig(num_envs=16, rollout_length=4, gradient_steps=16, huber=False)
HYPERS = DQNHypers(learning_rate=1e-3, epsilon_decay=0.1)
WEIGHTS = (0.01, 0.1)
"""Of the auxiliary losses."""
WEIGHT = WEIGHTS[0]
LOOKS = 20
"""Measurements in a run."""
LATE = 0.25
"""The last part of training, over which measurements are averaged."""
ALIGNMENT = "value_alignment"
UNIT = "rank correlation"
METRICS = representations.value_alignment, representations.effective_dimension


def network(env: Environment) -> Network:
    """Make Young and Tian's network."""
    options: Any = {"encoder": nets.minatar_cnn(), "hidden": (128,), "layer_norm": False}
    return nets.q_network(env.observation, env.action, **options)


def builders() -> dict[str, Callable[..., Any]]:
    """Return the builders of agents with an auxiliary loss."""
    return {
        "MICo": auxiliary(dqn, mico()),
        "KSMe": auxiliary(dqn, ksme()),
        "shuffled": auxiliary(dqn, mico(shuffled_rewards=True)),
    }


def arms(budget: Budget) -> dict[str, Experiment]:
    """Make arms: DQN, and with each auxiliary loss at each weight."""
    environments = [minatar.board(id) for id in budget.environments]
    updates = int(budget.steps) // (CONFIG.num_envs * CONFIG.rollout_length)
    plain = Experiment(
        dqn,
        environments,
        budget.seed_numbers,
        budget.steps,
        HYPERS,
        CONFIG,
        network,
        metrics=METRICS,
        measure_every=max(1, updates // LOOKS),
    )
    made = {"DQN": plain}
    for name, build in builders().items():
        base = build(environments[0], CONFIG, None, HYPERS).hypers
        kind = "ksme" if name == "KSMe" else "mico"
        levels = search.grid(base, **{f"{kind}_weight": WEIGHTS})
        made[name] = plain._replace(builder=build, hypers=levels)
    return made


def at(curves: Curves, weight: float = WEIGHT) -> Curves:
    """Select the curves of a weight; of DQN, which has none, all."""
    for name in ("mico_weight", "ksme_weight"):
        if name in curves.dims:
            return curves.sel({name: weight})
    return curves


def alignments(curves: Curves) -> Array:
    """Compute alignments late in training, f32[S, environments]."""
    return late(curves, curves[ALIGNMENT], LATE)


def more(measure: Callable[[Curves], Array], weight: float = WEIGHT) -> Callable[..., Effect]:
    """Make the effect: a measure of one arm minus that of another."""

    def effect(key: Key, one: Curves, other: Curves) -> Effect:
        x, y = (measure(at(curves, weight)) for curves in (one, other))
        return stats.difference(key, x, y, paired=False)

    return effect


def heavier(key: Key, curves: Curves) -> Effect:
    """Estimate by how much the larger weight aligns more than the smaller."""
    small, large = (alignments(at(curves, weight)) for weight in WEIGHTS)
    return stats.difference(key, large, small, paired=False)


def scored(curves: Curves) -> Array:
    """Compute the scores of a gate, at the weight of the claims."""
    return normalized_scores(at(curves))


def figure(key: Key, curves: Mapping[str, Curves]) -> tuple[Panel, ...]:
    """Draw returns and alignments over time, and final alignments at each weight."""
    of_weight = {"DQN": curves["DQN"]} | {
        f"{name}, weight {weight:g}": at(curves[name], weight)
        for name in builders()
        for weight in WEIGHTS
    }
    drawn = {name: at(one) for name, one in curves.items()}

    def lines(title: str, label: str, metric: str) -> Lines:
        each = (over_time(key, name, one, metric) for name, one in drawn.items())
        return Lines(title, "environment steps", label, tuple(each))

    found = {name: estimated(key, alignments(one)) for name, one in of_weight.items()}
    return (
        lines("Returns", "return, IQM", "episode_return"),
        lines("Alignment of distances and values", UNIT, ALIGNMENT),
        lines("Effective dimension", "directions", "effective_dimension"),
        ranking("Alignment late in training", UNIT, found, 0.0, 0.05),
    )


LEARNS = ("DQN learns", "MICo learns")
STUDY = Study(
    __doc__,
    arms,
    (
        Claim(
            "Representations of DQN with MICo are more aligned with values than those of DQN.",
            ("MICo", "DQN"),
            more(alignments),
            MORE,
            unit=UNIT,
            gates=LEARNS,
        ),
        Claim(
            "It is what rewards mean: with shuffled ones they are less aligned than with MICo.",
            ("MICo", "shuffled"),
            more(alignments),
            MORE,
            unit=UNIT,
            gates=LEARNS,
        ),
        Claim(
            "DQN scores more with MICo than without.",
            ("MICo", "DQN"),
            more(normalized_scores),
            MORE,
            gates=LEARNS,
        ),
        Claim(
            "With KSMe it scores as with MICo.",
            ("KSMe", "MICo"),
            more(normalized_scores),
            EQUAL,
            smallest=0.05,
            gates=(*LEARNS, "KSMe learns"),
        ),
        Claim(
            "A weight ten times as large aligns more than that of the papers.",
            ("MICo",),
            heavier,
            MORE,
            unit=UNIT,
            gates=LEARNS,
        ),
    ),
    figure,
    gates=tuple(
        reaches(f"{name} learns", f"{name} learns every game.", name, LEARNT, score=scored)
        for name in ("DQN", "MICo", "KSMe")
    ),
    quick=Budget((minatar.CATCH,), 3, 4e3),
    standard=Budget(("Breakout-MinAtar",), 16, 6e4, first_seed=1000),
    full=Budget(minatar.FOUR_GAMES, 32, 5e6, first_seed=2000),
)
