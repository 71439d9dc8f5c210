"""Which of actor and critics bears sparsity?

Paper: Graesser et al. 2022, The state of sparse training in deep reinforcement learning,
    arXiv 2206.10369.
Figure: its figure on how the parameters of SAC are divided between actor and critics; there on
    MuJoCo, here on brax (full) and on Pendulum (else).
Claim: critics that have a tenth of all parameters cost SAC much of its score, an actor that has a
    tenth of them costs nothing.

90 % of all weights are zero in every sparse arm, and SET moves the others: 30 % at first, by a
cosine none after 75 % of training. "balanced" spreads the weights over all layers by ERK, which
leaves actor and critics about as many as their sizes are (a third for the actor, as in the paper);
"actor-light" gives the actor, "critic-light" both critics together a tenth of them, and the others
the rest, each by ERK over its own layers. On Pendulum layers have 64 units, on brax 256. Masks are
renewed 40 times in a run (our setting). Scores are final returns, scaled so that dense agents begin
at 0 and end at 1 on average over seeds.
"""

from collections.abc import Mapping
from functools import partial

import jax.numpy as jnp
import numpy as np

from purejaxrl_suite import sparsity, stats
from purejaxrl_suite.agents.sac import sac
from purejaxrl_suite.core.types import Array, Key
from purejaxrl_suite.envs import make
from purejaxrl_suite.sparsity import Distribution
from purejaxrl_suite.sparsity.layers import Layer
from purejaxrl_suite.stats import Effect, final_score
from purejaxrl_suite.studies.gates import smallest_mean
from purejaxrl_suite.studies.grama_continuous import (
    BEGINNING,
    CONFIG,
    HYPERS,
    HYPERS_ON_BRAX,
    ON_BRAX,
    relu,
)
from purejaxrl_suite.studies.panels import Lines, Panel
from purejaxrl_suite.studies.plasticity_panels import over_time, ranking
from purejaxrl_suite.studies.protocol import EQUAL, LESS, MORE, Budget, Claim, Curves, Gate, Study
from purejaxrl_suite.studies.scores import estimated, measured, returns
from purejaxrl_suite.studies.state_of_sparse_training import HIGH, off_target, with_method
from purejaxrl_suite.sweeps.experiment import Experiment

LIGHT = 0.1
"""The share of all weights that a light part has."""
DENSE, BALANCED, ACTOR, CRITIC = "dense", "balanced", "actor-light", "critic-light"
SPARSE = BALANCED, ACTOR, CRITIC


def divided(actor: float) -> Distribution:
    """Make the distribution that gives the actor this share of all weights, and critics the rest.

    Each part is pruned by ERK. A part that would have more weights than there are is dense, and the
    total then less than asked: a gate of the study compares it.
    """
    erk = sparsity.erk()

    def allocate(layers: tuple[Layer, ...], target: Array) -> Array:
        whole = sum(layer.size for layer in layers)
        of_actor = np.array([".actor." in layer.name for layer in layers])
        found = jnp.zeros(len(layers))
        for share, inside in ((actor, of_actor), (1.0 - actor, ~of_actor)):
            own = tuple(layer for layer, yes in zip(layers, inside, strict=True) if yes)
            size = sum(layer.size for layer in own)
            level = jnp.maximum(1.0 - share * (1.0 - target) * whole / size, 0.0)
            found = found.at[np.flatnonzero(inside)].set(erk.allocate(own, level))
        return found

    return Distribution(f"divided({actor:g})", allocate)


def arms(budget: Budget) -> dict[str, Experiment]:
    """Make arms: SAC with dense networks, and with weights divided in three ways."""
    environments = [make(id) for id in budget.environments]
    on_brax = all(id.startswith("Brax-") for id in budget.environments)
    config, hypers = (ON_BRAX, HYPERS_ON_BRAX) if on_brax else (CONFIG, HYPERS)
    of = partial(relu, units=256 if on_brax else 64)
    plain = Experiment(
        sac, environments, budget.seed_numbers, budget.steps, hypers, config, network=of
    )
    weights = {BALANCED: sparsity.erk(), ACTOR: divided(LIGHT), CRITIC: divided(1.0 - LIGHT)}
    made = {DENSE: plain}
    for name, distribution in weights.items():
        method = sparsity.sparse_evolutionary(
            drop=sparsity.cosine_drop(), distribution=distribution
        )
        made[name] = with_method(plain, method, (HIGH,))
    return made


def progress(curves: Curves, dense: Curves) -> Array:
    """Scale final returns, f32[S, environments]: dense agents begin at 0 and end at 1 on average.

    NaN where these learnt nothing.
    """
    low = jnp.nanmean(measured(dense, measure=_beginning), axis=0, keepdims=True)
    span = jnp.nanmean(returns(dense), axis=0, keepdims=True) - low
    return jnp.where(span > 0, (returns(_plain(curves)) - low) / span, jnp.nan)


def _beginning(values: np.ndarray, episodes: np.ndarray | None) -> Array:
    assert episodes is not None
    few = max(1, round(BEGINNING * values.shape[-1]))
    return final_score(values[..., :few], episodes[..., :few], share=1.0)


def _plain(curves: Curves) -> Curves:
    """Drop the axis of the one level of sparsity."""
    return curves.isel(sparsity=0, drop=True) if "sparsity" in curves.dims else curves


def gain(key: Key, one: Curves, other: Curves, dense: Curves) -> Effect:
    """Estimate the IQM of scores of one arm minus that of another."""
    return stats.difference(key, progress(one, dense), progress(other, dense), paired=True)


def learnt(key: Key, curves: Curves) -> Effect:
    """Estimate what an arm gains in training, in standard deviations of its seeds.

    Final minus initial returns; the smallest of all environments.
    """
    known = _plain(curves)
    gained = returns(known) - measured(known, measure=_beginning)
    deviation = jnp.nanstd(gained, axis=0, ddof=1, keepdims=True)
    return estimated(key, gained / deviation, smallest_mean)


def figure(key: Key, curves: Mapping[str, Curves]) -> tuple[Panel, ...]:
    """Draw scores less those of dense networks, and returns over time."""
    dense = curves[DENSE]
    found = {name: gain(key, curves[name], dense, dense) for name in SPARSE}
    title, text = f"SAC, {HIGH:.0%} sparse", "final score less that of dense networks"
    lines = tuple(
        over_time(key, name, _plain(one), "episode_return") for name, one in curves.items()
    )
    return (
        ranking(title, text, found, 0.0, 0.05),
        Lines("SAC", "environment steps", "return in training, IQM", lines),
    )


GATES = ("dense learns", "balanced learns", "masks")
STUDY = Study(
    __doc__,
    arms,
    (
        Claim(
            "Critics with a tenth of all weights score less than with two thirds.",
            (CRITIC, BALANCED, DENSE),
            gain,
            LESS,
            unit="score of dense",
            gates=GATES,
        ),
        Claim(
            "An actor with a tenth of all weights scores what one with a third does.",
            (ACTOR, BALANCED, DENSE),
            gain,
            EQUAL,
            unit="score of dense",
            gates=GATES,
        ),
    ),
    figure,
    gates=(
        *(
            Gate(
                f"{name} learns",
                f"SAC with {name} networks gains more than luck makes.",
                over=(name,),
                measure=learnt,
                direction=MORE,
                bound=2.0,
                unit="standard deviations of seeds",
                remedy="more steps",
            )
            for name in (DENSE, BALANCED)
        ),
        Gate(
            "masks",
            "In the end all networks are as sparse as was asked.",
            SPARSE,
            off_target,
            LESS,
            0.005,
            "share of weights",
            "larger networks, in which a light part leaves room for the other",
        ),
    ),
    quick=Budget(("Pendulum-v1",), 5, 8e3),
    standard=Budget(("Pendulum-v1",), 16, 3e4, first_seed=1000),
    full=Budget(("Brax-halfcheetah", "Brax-walker2d"), 16, 1e6, first_seed=2000),
)
