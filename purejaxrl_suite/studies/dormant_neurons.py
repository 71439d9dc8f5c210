"""Do units fall asleep the sooner the more is learnt from each step, and does waking them help?

Paper: Sokar et al. 2023, The dormant neuron phenomenon in deep reinforcement learning,
    arXiv 2302.12902.
Figure: its figures on dormant neurons of DQN at replay ratios from 0.25 to 2, on the overlap of
    their sets over time, on pruning them, and on returns with ReDo; there of 17 Atari games and 10M
    frames, here of MinAtar (full), CartPole (standard) or Catch (quick).
Claim: dormant neurons become more with the number of gradient steps, stay dormant and are not
    needed; ReDo, which recycles them, keeps them few and the return from collapsing at high ratios.

A unit is dormant if its mean activation is at most a tenth of its layer's mean (tau 0.1), or zero
(tau 0), on 256 replayed observations; shares are of all hidden units, averaged over the last
quarter of training. `standard` has eight times the default learning rate of `dqn` (our setting),
with which units become dormant in a small part of the paper's steps. A trend is the mean over seeds
of each seed's rank correlation with the order of the settings, the effect of Page's test. ReDo acts
every 1,000 gradient steps.
"""

from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
import numpy as np

from purejaxrl_suite import nets, plasticity, stats
from purejaxrl_suite.agents.dqn import DQNConfig, DQNHypers, dqn
from purejaxrl_suite.core.types import Array, Environment, Intervention, Key, Network
from purejaxrl_suite.envs import make
from purejaxrl_suite.plasticity import scores
from purejaxrl_suite.stats import Effect, Estimate
from purejaxrl_suite.studies import minatar
from purejaxrl_suite.studies.gates import LEARNT, reaches, recycles
from purejaxrl_suite.studies.panels import Lines, Panel, line
from purejaxrl_suite.studies.plasticity_panels import layer_map, over_time
from purejaxrl_suite.studies.protocol import EQUAL, LESS, MORE, Budget, Claim, Curves, Gate, Study
from purejaxrl_suite.studies.scores import estimated, late, normalized_scores
from purejaxrl_suite.sweeps.experiment import Experiment

RATIOS = (0.25, 0.5, 1.0, 2.0)
"""Gradient steps per environment step; Dopamine's default is the first."""
NUM_ENVS, LENGTH = 8, 4
PERIOD = 1000
"""Gradient steps between recyclings."""
TAU = 0.1
LOOKS = 40
"""Measurements in a run."""
QUARTERS = 4
UNITS, RANKS = "share of units", "rank correlation"
THERE = ("learns", "dormant", "more and more")
"""Gates: the findings that the paper starts from."""
COUNTER = "redo_recycled"
FAST = 2e-3
"""Learning rate at which units become dormant within 4e4 steps of CartPole; at 2.5e-4 they wake."""


def network(env: Environment) -> Network:
    """Make Young and Tian's network for MinAtar, two dense layers on smaller boards.

    Initialised as Dopamine's.
    """
    hidden = (128,) if len(env.observation.shape) == 3 else (64, 64)
    draw = jax.nn.initializers.xavier_uniform()
    options = {"hidden": hidden, "layer_norm": False, "kernel_init": draw}
    return nets.q_network(env.observation, env.action, **options)


def arms(budget: Budget) -> dict[str, Experiment]:
    """Make arms: plain DQN at all ratios, with ReDo at the two highest, with pruning at 1."""
    look = max(1, int(budget.steps) // (NUM_ENVS * LENGTH) // LOOKS)
    watch = plasticity.every(look, plasticity.overlap(TAU))
    plain = Experiment(
        dqn,
        [make(id) for id in budget.environments],
        budget.seed_numbers,
        budget.steps,
        config=[_config(ratio) for ratio in RATIOS],
        hypers=DQNHypers(learning_rate=FAST) if budget == STUDY.standard else None,
        network=network,
        intervention=watch,
        metrics=(plasticity.dormant(0.0), plasticity.dormant(TAU)),
        measure_every=look,
    )

    def treated(ratio: float, cure: Intervention) -> Experiment:
        period = max(1, round(PERIOD / _config(ratio).gradient_steps))
        both = plasticity.chain(watch, plasticity.every(period, cure))
        return plain._replace(config=_config(ratio), intervention=both)

    chosen = plasticity.threshold(TAU)
    prune = plasticity.recycle_by("prune", scores.activation, chosen, draw=plasticity.zeros)
    return {
        "plain": plain,
        "redo-1": treated(1.0, plasticity.redo(TAU)),
        "redo-2": treated(2.0, plasticity.redo(TAU)),
        "pruned-1": treated(1.0, prune),
    }


def _config(ratio: float) -> DQNConfig:
    steps = round(ratio * NUM_ENVS * LENGTH)
    return DQNConfig(NUM_ENVS, LENGTH, gradient_steps=steps, huber=True)


def shares(curves: Curves, tau: float) -> Array:
    """Average dormant units over the last quarter of training, f32[S, ..., environments]."""
    return late(curves, curves[f"dormant_{tau:g}"], 1.0 / QUARTERS)


def at(ratio: float, plain: Curves) -> Curves:
    """Select a replay ratio of the plain arm."""
    return plain.isel(config=RATIOS.index(ratio))


def growth(values: Array) -> Array:
    """Correlate ranks of f32[..., K] with the order of K settings, f32[...]; NaN if one is NaN."""
    rows = jnp.reshape(values, (-1, values.shape[-1]))
    effect = jax.vmap(lambda one: stats.page(jax.random.key(0), one, permutations=1).effect)
    return jnp.reshape(effect(rows), values.shape[:-1])


def over_ratios(tau: float) -> Callable[[Key, Curves], Effect]:
    """Make the effect: the growth of the share of dormant units with the replay ratio."""

    def effect(key: Key, plain: Curves) -> Effect:
        return estimated(key, growth(jnp.moveaxis(shares(plain, tau), 1, -1)))

    return effect


def over_quarters(curves: Curves, metric: str) -> Array:
    """Compute the growth of a metric over the quarters of training, f32[S, ..., environments]."""
    found = curves[metric].where(~curves["diverged"])
    found = found.coarsen(step=found.sizes["step"] // QUARTERS, boundary="trim").mean()
    return growth(found.transpose("seed", ..., "environment", "step").values)


def overlap_grows(key: Key, plain: Curves) -> Effect:
    """Estimate how the overlap with earlier dormant units grows over the quarters of training."""
    return estimated(key, over_quarters(plain, "overlap_ever"))


def fewer_dormant(ratio: float) -> Callable[[Key, Curves, Curves], Effect]:
    """Make the effect: the share of dormant units with ReDo minus that without."""

    def effect(key: Key, redo: Curves, plain: Curves) -> Effect:
        pair = shares(redo, TAU), shares(at(ratio, plain), TAU)
        return stats.difference(key, *pair, paired=True)

    return effect


def score_changes(ratio: float) -> Callable[[Key, Curves, Curves], Effect]:
    """Make the effect: the final score with an intervention minus that without."""

    def effect(key: Key, treated: Curves, plain: Curves) -> Effect:
        pair = normalized_scores(treated), normalized_scores(at(ratio, plain))
        return stats.difference(key, *pair, paired=True)

    return effect


def lowest(plain: Curves) -> Array:
    """Compute final scores at the lowest replay ratio."""
    return normalized_scores(at(RATIOS[0], plain))


def ratio_costs(key: Key, plain: Curves) -> Effect:
    """Estimate the final score at the highest replay ratio minus that at the lowest."""
    most, least = (normalized_scores(at(ratio, plain)) for ratio in (RATIOS[-1], RATIOS[0]))
    return stats.difference(key, most, least, paired=True)


def asleep(key: Key, plain: Curves) -> Effect:
    """Estimate the share of dormant units at the highest replay ratio, late in training."""
    return estimated(key, shares(at(RATIOS[-1], plain), TAU))


def falls_asleep(key: Key, plain: Curves) -> Effect:
    """Estimate the growth of that share over the quarters of training."""
    return estimated(key, over_quarters(at(RATIOS[-1], plain), f"dormant_{TAU:g}"))


def figure(key: Key, curves: Mapping[str, Curves]) -> tuple[Panel, ...]:
    """Draw dormant units and scores against replay ratios; dormant units over time and by layer."""
    plain = curves["plain"]
    kinds = {
        "as it is": {ratio: at(ratio, plain) for ratio in RATIOS},
        "ReDo": {1.0: curves["redo-1"], 2.0: curves["redo-2"]},
        "pruned": {1.0: curves["pruned-1"]},
    }
    measures = {
        "Dormant units, tau 0.1": (lambda one: shares(one, TAU), UNITS),
        "Dormant units, tau 0": (lambda one: shares(one, 0.0), UNITS),
        "Final score": (normalized_scores, "normalized score"),
    }
    against = [
        Lines(title, "replay ratio", label, _by_ratio(key, kinds, measure), logarithmic=True)
        for title, (measure, label) in measures.items()
    ]
    name, steps = f"dormant_{TAU:g}", "environment steps"
    parts = [(f"ratio {ratio:g}", at(ratio, plain)) for ratio in RATIOS]
    parts += [("ratio 2, ReDo", curves["redo-2"])]
    dormant = tuple(over_time(key, label, one, name) for label, one in parts)
    overlap = (
        over_time(key, "with any before", plain, "overlap_ever"),
        over_time(key, "with the look before", plain, "overlap_last"),
    )
    return (
        *against,
        Lines("Dormant units over time", steps, UNITS, dormant),
        Lines("Overlap of dormant sets, all ratios", steps, "overlap coefficient", overlap),
        layer_map("Dormant units by layer, ratio 2", at(2.0, plain), name, UNITS),
    )


def _by_ratio(
    key: Key,
    kinds: Mapping[str, Mapping[float, Curves]],
    measure: Callable[[Curves], Array],
) -> tuple:
    lines = []
    for label, by_ratio in kinds.items():
        found = [stats.estimate(key, measure(one)) for one in by_ratio.values()]
        along = Estimate(*(np.array([float(one[i]) for one in found]) for i in range(3)))  # pyright: ignore[reportArgumentType]
        lines.append(line(label, tuple(by_ratio), along))
    return tuple(lines)


STUDY = Study(
    __doc__,
    arms,
    (
        Claim(
            "Dormant units (tau 0.1) become more with the replay ratio.",
            ("plain",),
            over_ratios(TAU),
            MORE,
            smallest=0.3,
            unit=RANKS,
            gates=THERE,
        ),
        Claim(
            "So do those that are exactly silent (tau 0).",
            ("plain",),
            over_ratios(0.0),
            MORE,
            smallest=0.3,
            unit=RANKS,
            gates=THERE,
        ),
        Claim(
            "ReDo keeps dormant units few at a replay ratio of 1.",
            ("redo-1", "plain"),
            fewer_dormant(1.0),
            LESS,
            unit=UNITS,
            gates=(*THERE, "redo-1 acts"),
        ),
        Claim(
            "So it does at a replay ratio of 2.",
            ("redo-2", "plain"),
            fewer_dormant(2.0),
            LESS,
            unit=UNITS,
            gates=(*THERE, "redo-2 acts"),
        ),
        Claim(
            "ReDo scores more at a replay ratio of 2.",
            ("redo-2", "plain"),
            score_changes(2.0),
            MORE,
            gates=(*THERE, "redo-2 acts", "ratio costs"),
        ),
        Claim(
            "Units that are dormant overlap ever more with those that were.",
            ("plain",),
            overlap_grows,
            MORE,
            smallest=0.3,
            unit=RANKS,
            gates=THERE,
        ),
        Claim(
            "Pruning dormant units in training, at a replay ratio of 1, changes no score.",
            ("pruned-1", "plain"),
            score_changes(1.0),
            EQUAL,
            gates=(*THERE, "pruning acts"),
        ),
    ),
    figure,
    gates=(
        reaches(
            "learns",
            "DQN learns at the lowest replay ratio.",
            arm="plain",
            bound=LEARNT,
            score=lowest,
        ),
        Gate(
            "dormant",
            "At the highest replay ratio units are dormant: there is something to recycle.",
            over=("plain",),
            measure=asleep,
            direction=MORE,
            bound=0.05,
            unit=UNITS,
            remedy="longer runs, or a task on which units are lost",
        ),
        Gate(
            "more and more",
            "There they become more while the agent learns, as the paper begins with.",
            over=("plain",),
            measure=falls_asleep,
            direction=MORE,
            bound=0.0,
            unit=RANKS,
            remedy="longer runs, or a task on which units are lost",
        ),
        recycles(
            "redo-1 acts",
            "ReDo recycles units at a ratio of 1.",
            arm="redo-1",
            counter=COUNTER,
            bound=5.0,
        ),
        recycles(
            "redo-2 acts",
            "ReDo recycles units at a ratio of 2.",
            arm="redo-2",
            counter=COUNTER,
            bound=5.0,
        ),
        recycles(
            "pruning acts", "Units are pruned.", arm="pruned-1", counter="prune_recycled", bound=5.0
        ),
        Gate(
            "ratio costs",
            "The highest replay ratio scores less than the lowest: there is something to prevent.",
            over=("plain",),
            measure=ratio_costs,
            direction=LESS,
            bound=0.0,
            unit="normalized score",
            remedy="higher replay ratios, or a task on which they cost score",
        ),
    ),
    quick=Budget(("Catch-bsuite",), 6, 2e4),
    standard=Budget(("CartPole-v1",), 24, 4e4, first_seed=5000),
    full=Budget(minatar.FOUR_GAMES, 32, 1e6, first_seed=2000),
)
