"""Is MICo a bound on differences of values, and its reduced form a good approximation of them?

Paper: Castro et al. 2021, MICo: improved representations via sampling-based state similarity for
    Markov decision processes, arXiv 2106.08229; Castro et al. 2023, A kernel perspective on
    behavioural metrics for Markov decision processes, arXiv 2310.19804.
Figure: the comparison of distances with differences of values on random MDPs.
Claim: MICo is never below the difference of two states' values, but far above it; with
    self-distances subtracted it is near, no bound any more, and the distance of features of a
    positive definite kernel.

Nothing is trained: distances and values of random MDPs with random policies are computed exactly,
in float64. A seed is a random MDP, drawn as in the second paper's code, four actions, gamma 0.9.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from purejaxrl_suite import mdps, stats
from purejaxrl_suite.core.types import Array, Key
from purejaxrl_suite.stats import Effect
from purejaxrl_suite.studies.computation import Computed
from purejaxrl_suite.studies.panels import Lines, line
from purejaxrl_suite.studies.protocol import (
    EQUAL,
    LESS,
    MORE,
    Budget,
    Claim,
    Computation,
    Gate,
    Study,
)

ACTIONS = 4
SIZES = {"5 states": 5, "10 states": 10, "20 states": 20}
MEASURED = {"MICo": (2.08, 2.45, 2.69), "reduced MICo": (0.0096, 0.0168, 0.0100)}
"""Mean differences from those of values, 200 MDPs of each size, found by another program."""
ROUNDING = 1e-9
CHUNK = 64
"""MDPs that are solved at once."""


def solved(key: Key, states: int) -> dict[str, Array]:
    """Compare distances with values on one random MDP, f[] each."""
    of_mdp, of_policy = jax.random.split(key)
    mdp = mdps.random_mdp(of_mdp, states, ACTIONS)
    policy = mdps.random_policy(of_policy, states, ACTIONS)
    distance, kernel = mdps.mico(mdp, policy), mdps.ksme(mdp, policy)
    v, reduced = mdps.state_values(mdp, policy), mdps.reduced(distance)
    apart = jnp.abs(v[:, None] - v[None, :])
    own = jnp.diagonal(kernel)
    features = own[:, None] + own[None, :] - 2.0 * kernel
    below = reduced < apart - ROUNDING
    return {
        "gap": jnp.mean(distance - apart),
        "least gap": jnp.min(distance - apart),
        "reduced gap": jnp.mean(reduced - apart),
        "size of reduced gap": jnp.mean(jnp.abs(reduced - apart)),
        "least reduced gap": jnp.min(reduced - apart),
        "pairs below": jnp.sum(below) / (states * (states - 1.0)),
        "kernel": jnp.max(jnp.abs(features - reduced)),
        "residual": jnp.max(jnp.abs(mdps.mico_operator(mdp, policy, distance) - distance)),
    }


def compute(sizes: tuple[int, ...], seeds: Sequence[int]) -> dict[str, np.ndarray]:
    """Solve one MDP of each size for each seed: {name: f64[S, sizes]}."""
    keys = jax.vmap(jax.random.key)(np.asarray(seeds))
    columns = []
    for states in sizes:
        each = partial(mdps.map_members, partial(solved, states=states), block=CHUNK)
        columns.append(mdps.in_float64(each)(keys))
    return jax.tree.map(lambda *found: np.stack(found, axis=1), *columns)


def arms(budget: Budget) -> dict[str, Computation]:
    """Make the one arm."""
    sizes = tuple(SIZES[name] for name in budget.environments)
    what = "exact solutions"
    return {
        "exact": Computation(
            what, partial(compute, sizes), budget.seed_numbers, budget.environments
        )
    }


def share(
    of: Callable[[Mapping[str, np.ndarray]], np.ndarray],
) -> Callable[[Key, Computed], Effect]:
    """Make the effect: the share of MDPs of which something is true, with its exact interval."""

    def effect(key: Key, arm: Computed) -> Effect:
        del key  # nothing is drawn
        true = of(arm.values)
        return Effect(*stats.clopper_pearson(true.sum(), true.size), np.int32(true.size))

    return effect


def nearer(key: Key, arm: Computed) -> Effect:
    """Compute by how much reduced MICo is nearer to differences of values than MICo."""
    far, near = arm.values["gap"], arm.values["size of reduced gap"]
    found = stats.difference(key, far, near, stats.mean, paired=True)
    return found._replace(seeds=np.int32(far.size))


def half(key: Key, arm: Computed) -> Effect:
    """Compute the share of pairs of states whose reduced MICo is below the difference."""
    below = arm.values["pairs below"]
    return Effect(*stats.estimate(key, below, stats.mean), np.int32(below.size))


def residual(key: Key, arm: Computed) -> float:
    """Compute the largest change of MICo by its own operator."""
    del key  # nothing is drawn
    return float(arm.values["residual"].max())


def figure(key: Key, curves: Mapping[str, Computed]) -> tuple[Lines, ...]:
    """Draw mean and least differences from differences of values against the number of states."""
    values, sizes = (
        curves["exact"].values,
        [*SIZES.values()][: curves["exact"].values["gap"].shape[1]],
    )
    along = partial(stats.estimate, key, statistic=partial(stats.mean, axis=0))
    panels = []
    for title, name in (("MICo", "gap"), ("reduced MICo", "reduced gap")):
        known = np.asarray(MEASURED[title][: len(sizes)])
        lines = (
            line("mean of all pairs", sizes, along(values[name])),
            line("200 MDPs, another program", sizes, stats.Estimate(known, known, known)),
        )
        panels.append(Lines(f"{title} - |v - v'|", "states", "mean of pairs", lines, against=0.0))
    least = tuple(
        line(label, sizes, along(values[name]))
        for label, name in (("MICo", "least gap"), ("reduced MICo", "least reduced gap"))
    )
    return (
        *panels,
        Lines("the pair where it is least", "states", "difference", least, against=0.0),
    )


OVER = ("exact",)
STUDY = Study(
    __doc__,
    arms,
    (
        Claim(
            "MICo is nowhere below the difference of values.",
            OVER,
            share(lambda values: values["least gap"] < -ROUNDING),
            EQUAL,
            smallest=0.01,
            unit="share of MDPs with such a pair",
            counted="MDPs",
        ),
        Claim(
            "Reduced MICo is: it is no bound.",
            OVER,
            share(lambda values: values["least reduced gap"] < -ROUNDING),
            MORE,
            against=0.9,
            smallest=0.0,
            unit="share of MDPs with such a pair",
            counted="MDPs",
        ),
        Claim(
            "On about half of the pairs.",
            OVER,
            half,
            EQUAL,
            against=0.5,
            unit="share of pairs",
            counted="MDPs",
        ),
        Claim(
            "Reduced MICo is nearer to differences of values than MICo.",
            OVER,
            nearer,
            MORE,
            smallest=0.5,
            unit="mean distance from them",
            counted="MDPs",
        ),
        Claim(
            "Reduced MICo is the squared distance of features of the KSMe kernel.",
            OVER,
            share(lambda values: values["kernel"] > 1e-10),
            EQUAL,
            smallest=0.01,
            unit="share of MDPs with another pair",
            counted="MDPs",
        ),
    ),
    figure,
    gates=(
        Gate(
            "exact",
            "MICo is the fixed point of its operator.",
            over=OVER,
            measure=residual,
            direction=LESS,
            bound=1e-10,
            unit="largest change by the operator",
            remedy="more precise solutions",
        ),
    ),
    quick=Budget(("5 states", "10 states"), 64, 1),
    standard=Budget(tuple(SIZES), 1024, 1, first_seed=3000),
    full=Budget(tuple(SIZES), 8192, 1, first_seed=10_000),
)
