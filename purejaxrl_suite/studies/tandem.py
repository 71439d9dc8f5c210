"""How hard is it to learn from what another learner does?

Paper: Ostrovski, Castro and Dabney 2021, The difficulty of passive learning in deep reinforcement
    learning, arXiv 2110.14020.
Figure: its figures on the tandem and on what makes it better or worse: targets, own data, tied
    layers, exploration; there Double DQN on four Atari games, here on MinAtar (full), on CartPole
    (standard) and on Catch (quick).
Claim: a passive learner fails on the data from which the active one learns. With the active one's
    targets it no longer overestimates, and still fails; with as much data of its own, with the
    active one's hidden layers, or with more exploration the gap closes.

What is judged is rho, the passive learner's score as a share of the active one's: IQMs over games
and seeds, resampled in pairs. Scores are of greedy evaluations in the last quarter of training.
Active learners of one seed are the same in all arms but those of own data and of other exploration.
Networks have two dense layers of 64 units, on MinAtar Young and Tian's encoder and one layer of
128; settings are those of DQN in `state_of_sparse_training`, with the paper's loss (our setting).
"own" has twice as many environments, half of them the passive learner's. Forked tandems are not
asked here.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import jax.numpy as jnp
import numpy as np

from purejaxrl_suite import nets, search, stats
from purejaxrl_suite.agents.shared import passive
from purejaxrl_suite.agents.tandem import TandemConfig, TandemHypers, tandem
from purejaxrl_suite.core.types import Array, Environment, Key, Network
from purejaxrl_suite.engine.evaluate import RETURN, Evaluating
from purejaxrl_suite.stats import Effect
from purejaxrl_suite.studies import minatar
from purejaxrl_suite.studies.dormant_neurons import growth
from purejaxrl_suite.studies.gates import LEARNT, reaches
from purejaxrl_suite.studies.panels import Lines, Panel
from purejaxrl_suite.studies.plasticity_panels import over_time, ranking
from purejaxrl_suite.studies.protocol import EQUAL, LESS, MORE, Budget, Claim, Curves, Gate, Study
from purejaxrl_suite.studies.scores import estimated, late, lost, measured
from purejaxrl_suite.sweeps.experiment import Experiment

CONFIG = TandemConfig(num_envs=16, rollout_length=4, gradient_steps=16)
HYPERS = TandemHypers(learning_rate=1e-3, epsilon_decay=0.1)
EPSILON = HYPERS.final_epsilon
EPSILONS = (EPSILON, 0.1)
FRACTIONS = (0.0, 0.1, 0.5, 1.0)
LOOKS, EPISODES = 10, 8
"""Evaluations in a run, and episodes in each."""
CATCH_STEPS = 10
"""A ball of Catch has fallen by then; its episodes would be scanned to a limit of 1,000 steps."""
LATE = 0.25
"""The last part of training, over which evaluations and values are averaged."""
PASSIVE = f"{RETURN}_passive"
SHARE = "share of the active learner's score"
Select = Callable[[Curves], Curves]


def network(env: Environment) -> Network:
    """Make the network of both learners, with two hidden layers."""
    options: Any = {"layer_norm": False}
    if env.name.endswith("MinAtar"):
        options |= {"encoder": nets.minatar_cnn(), "hidden": (128,)}
    else:
        options |= {"encoder": nets.flat(), "hidden": (64, 64)}
    return nets.q_network(env.observation, env.action, **options)


def evaluating(budget: Budget, every: int) -> Evaluating:
    """Make the evaluations of a budget's environments; those of Catch alone are short."""
    only_catch = set(budget.environments) == {minatar.CATCH}
    return Evaluating(max(1, every), EPISODES, steps=CATCH_STEPS if only_catch else None)


def arms(budget: Budget) -> dict[str, Experiment]:
    """Make arms: the tandem with two rates of exploration, and its variants."""
    environments = [minatar.board(id) for id in budget.environments]
    updates = int(budget.steps) // (CONFIG.num_envs * CONFIG.rollout_length)
    plain = Experiment(
        tandem,
        environments,
        budget.seed_numbers,
        budget.steps,
        HYPERS,
        CONFIG,
        network,
        evaluate_every=evaluating(budget, updates // LOOKS),
    )
    targets = passive.bootstrapped(active_values=True, active_choices=True)
    return {
        "vanilla": plain._replace(hypers=search.grid(HYPERS, final_epsilon=EPSILONS)),
        "regression": plain._replace(builder=partial(tandem, passive=passive.regression())),
        "same targets": plain._replace(builder=partial(tandem, passive=targets)),
        "own": plain._replace(
            steps=2 * budget.steps,
            config=CONFIG._replace(own_data=True),
            hypers=search.grid(HYPERS._replace(own_fraction=0.5), own_fraction=FRACTIONS),
        ),
        "tied 1": plain._replace(config=CONFIG._replace(tied_layers=1)),
        "tied 2": plain._replace(config=CONFIG._replace(tied_layers=2)),
    }


def exploring(curves: Curves, epsilon: float = EPSILON) -> Curves:
    """Select the curves of a rate of exploration."""
    return curves.sel(final_epsilon=epsilon)


def mixed(curves: Curves, fraction: float = 0.5) -> Curves:
    """Select the curves of a fraction of own data."""
    return curves.sel(own_fraction=fraction)


def whole(curves: Curves) -> Curves:
    """Return the curves of an arm without further axes."""
    return curves


def scores(curves: Curves, name: str = RETURN) -> Array:
    """Compute normalized final scores of greedy evaluations, f32[S, ..., environments].

    A member that diverged has the score of a random policy.
    """
    tasks = [str(one) for one in curves["environment"].values]
    random = np.array([stats.random_score(one) for one in tasks])
    late_ones = measured(curves, name, partial(stats.final_score, share=LATE))
    found = stats.with_diverged(late_ones, lost(curves), random)
    each = {one: found[..., i] for i, one in enumerate(tasks)}
    return jnp.stack(list(stats.normalize_tasks(each).values()), axis=-1)


def active(curves: Curves, select: Select) -> Array:
    """Compute the scores of active learners, f32[S, environments]."""
    return scores(select(curves))


def ratio(of_passive: Array, of_active: Array) -> Array:
    """Divide the IQM of one by that of the other."""
    return stats.iqm(of_passive) / stats.iqm(of_active)


def ratio_of_means(of_passive: Array, of_active: Array) -> Array:
    """Divide the mean of one by that of the other."""
    return stats.mean(of_passive) / stats.mean(of_active)


def gain(x: Array, y: Array) -> Array:
    """Subtract two ratios, of f32[..., 2]: the passive learner, the active one."""
    return ratio(x[..., 0], x[..., 1]) - ratio(y[..., 0], y[..., 1])


def rho(select: Select) -> Callable[[Key, Curves], Effect]:
    """Make the effect: the passive learner's score as a share of the active one's."""

    def effect(key: Key, curves: Curves) -> Effect:
        known = select(curves)
        return stats.compare(key, scores(known, PASSIVE), scores(known), ratio, paired=True)

    return effect


def more(x: Select, y: Select) -> Callable[..., Effect]:
    """Make the effect: rho of one arm minus that of another, or of the same arm."""

    def both(curves: Curves) -> Array:
        return jnp.stack([scores(curves, PASSIVE), scores(curves)], axis=-1)

    def effect(key: Key, one: Curves, *other: Curves) -> Effect:
        theirs = other[0] if other else one
        return stats.compare(key, both(x(one)), both(y(theirs)), gain, paired=True)

    return effect


def values(select: Select) -> Callable[[Key, Curves], Effect]:
    """Make the effect: the passive learner's values as a multiple of the active one's.

    Both are of the taken actions in the same batches, late in training.
    """

    def effect(key: Key, curves: Curves) -> Effect:
        known = select(curves)
        its, ours = (late(known, known[name], LATE) for name in ("passive_q_value", "q_value"))
        return stats.compare(key, its, ours, ratio_of_means, paired=True)

    return effect


def grows(key: Key, own: Curves) -> Effect:
    """Estimate the rank correlation of the passive learner's score with its fraction of data."""
    return estimated(key, growth(jnp.moveaxis(scores(own, PASSIVE), 1, -1)))


def figure(key: Key, curves: Mapping[str, Curves]) -> tuple[Panel, ...]:
    """Draw returns of both learners by game, rho of all arms, and values."""
    known = exploring(curves["vanilla"])
    lines = [
        Lines(
            game,
            "environment steps",
            "return of evaluations, IQM",
            tuple(
                over_time(key, label, known.sel(environment=[game]), name)
                for label, name in (("active", RETURN), ("passive", PASSIVE))
            ),
        )
        for game in map(str, known["environment"].values)
    ]
    parts: dict[str, tuple[str, Select]] = {
        "vanilla": ("vanilla", exploring),
        "epsilon 0.1": ("vanilla", partial(exploring, epsilon=0.1)),
        **{f"own data {x:.0%}": ("own", partial(mixed, fraction=x)) for x in FRACTIONS},
        **{x: (x, whole) for x in ("regression", "same targets", "tied 1", "tied 2")},
    }
    rhos = {label: rho(select)(key, curves[arm]) for label, (arm, select) in parts.items()}
    ratios = {
        label: values(select)(key, curves[label])
        for label, select in (("vanilla", exploring), ("same targets", whole))
    }
    return (
        *lines,
        ranking("Passive over active", SHARE, rhos, 1.0, 0.05),
        ranking("Values, passive over active", "ratio of values", ratios, 1.0, 0.1),
    )


ALONE, GAP = ("learns",), ("learns", "gap")
OWN = ("learns beside it", "gap beside it")
STUDY = Study(
    __doc__,
    arms,
    (
        Claim(
            "The passive learner scores less than 80 % of what the active one does.",
            ("vanilla",),
            rho(exploring),
            LESS,
            against=0.8,
            unit=SHARE,
            gates=ALONE,
        ),
        Claim(
            "It overestimates: its values are above those of the active one.",
            ("vanilla",),
            values(exploring),
            MORE,
            against=1.0,
            unit="ratio of values",
            gates=ALONE,
        ),
        Claim(
            "With the active learner's targets its values are those of the active one.",
            ("same targets",),
            values(whole),
            EQUAL,
            smallest=0.1,
            against=1.0,
            unit="ratio of values",
            gates=ALONE,
        ),
        Claim(
            "With the active learner's targets it still scores less than 90 %.",
            ("same targets",),
            rho(whole),
            LESS,
            against=0.9,
            unit=SHARE,
            gates=GAP,
        ),
        Claim(
            "With half of the data its own it scores 90 % or more.",
            ("own",),
            rho(mixed),
            MORE,
            smallest=0.0,
            against=0.9,
            unit=SHARE,
            gates=OWN,
        ),
        Claim(
            "The more data are its own, the more it scores.",
            ("own",),
            grows,
            MORE,
            smallest=0.3,
            unit="rank correlation",
            gates=OWN,
        ),
        Claim(
            "With all hidden layers tied it scores 90 % or more.",
            ("tied 2",),
            rho(whole),
            MORE,
            smallest=0.0,
            against=0.9,
            unit=SHARE,
            gates=GAP,
        ),
        Claim(
            "It scores more with two tied layers than with one.",
            ("tied 2", "tied 1"),
            more(whole, whole),
            MORE,
            unit=SHARE,
            gates=GAP,
        ),
        Claim(
            "It scores more where the active one explores with epsilon 0.1 than with 0.01.",
            ("vanilla",),
            more(partial(exploring, epsilon=0.1), exploring),
            MORE,
            unit=SHARE,
            gates=("learns", "explores"),
        ),
        Claim(
            "Regression to the active learner's values leaves a smaller gap than bootstrapping.",
            ("regression", "vanilla"),
            more(whole, exploring),
            MORE,
            unit=SHARE,
            gates=GAP,
        ),
    ),
    figure,
    gates=(
        reaches(
            "learns",
            "The active learner learns every game.",
            "vanilla",
            LEARNT,
            score=partial(active, select=exploring),
        ),
        reaches(
            "explores",
            "So it does where it explores more.",
            "vanilla",
            LEARNT,
            score=partial(active, select=partial(exploring, epsilon=0.1)),
        ),
        reaches(
            "learns beside it",
            "So it does where the passive learner acts, too.",
            "own",
            LEARNT,
            score=partial(active, select=mixed),
        ),
        Gate(
            "gap",
            "There is a gap between the two learners.",
            ("vanilla",),
            rho(exploring),
            LESS,
            0.9,
            SHARE,
            "harder games",
        ),
        Gate(
            "gap beside it",
            "There is one without own data, too, where the passive learner acts.",
            ("own",),
            rho(partial(mixed, fraction=0.0)),
            LESS,
            0.9,
            SHARE,
            "harder games",
        ),
    ),
    quick=Budget((minatar.CATCH,), 3, 4e3),
    standard=Budget(("CartPole-v1",), 16, 2.5e4, first_seed=1000),
    full=Budget(minatar.FOUR_GAMES, 16, 2e6, first_seed=2000),
)
