"""Compute functional mirror ascent on grids of settings, exactly: the data of a study."""

import itertools
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np

from purejaxrl_suite import mdps
from purejaxrl_suite.core.types import Array, Key
from purejaxrl_suite.mdps import MDP, MirrorHypers, mirror_ascent
from purejaxrl_suite.mdps.mirror_ascent import Surrogate, Update

CLIFF, TREASURE = "Cliff", "Deep Sea Treasure"
SURROGATES = {
    "sPPO": mirror_ascent.sppo,
    "MDPO": mirror_ascent.mdpo,
    "TRPO, regularised": mirror_ascent.trpo,
    "PPO": mirror_ascent.ppo,
}
ETAS = 2.0 ** np.arange(-13, 0)
CLIPS = np.array([0.01, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.99])
DELTAS = 2.0 ** np.arange(-24, 0, 2)
EXACT: dict[str, Update] = {"sPPO": mirror_ascent.exact_sppo, "MDPO": mirror_ascent.exact_mdpo}
EXACT_ETAS = (1.0, 0.125)
NEAR = 0.99
"""Share of the optimal value that counts as found."""
PPO_FROM_STARTS = MirrorHypers(alpha=8.0, clip_range=0.6)
"""PPO's best setting with ten inner steps."""
NAN = float("nan")
POINTS = 40
"""Points of a learning curve."""


class World(NamedTuple):
    """A task, and what another program found on it.

    alphas: the grid of inner step sizes. best: the optimal value. theory: eta of the theory of sPPO
    and of MDPO. table: {inner steps: best final value of each surrogate, as far as known}.
    iterations_to_best: those of exact updates to `NEAR`, for each of `EXACT` and `EXACT_ETAS`.
    """

    mdp: MDP
    iterations: int
    alphas: np.ndarray
    best: float
    theory: tuple[float, float]
    table: Mapping[int, tuple[float, ...]]
    iterations_to_best: tuple[float, ...]


WORLDS = {
    CLIFF: World(
        mdps.cliff_world(),
        2000,
        alphas=2.0 ** np.arange(-13, 4),
        best=0.9**6,
        theory=(9.9e-4, 1.4e-6),
        table={
            1: (0.3445, 0.3445, 0.3445, 0.3445),
            10: (0.4298, 0.4297, 0.4300, 0.4302),
            100: (0.5272, 0.5298, NAN, 0.4304),
        },
        iterations_to_best=(200, 1528, 630, 717),
    ),
    TREASURE: World(
        mdps.deep_sea_treasure(),
        200,
        alphas=2.0 ** np.arange(-13, -1),
        best=0.72358,
        theory=(1.0e-2, 2.8e-4),
        table={
            1: (0.0692, 0.0692, NAN, 0.0692),
            10: (0.6498, 0.6492, NAN, 0.6529),
            100: (0.7191, 0.7190, NAN, 0.7193),
        },
        iterations_to_best=(8, 71, 10, 74),
    ),
}


def named(world: str, what: str, steps: int | float) -> str:
    """Name a number of a computation."""
    return f"{world}, {what}, {steps:g}"


def values_of(world: World, update: Update, hypers: MirrorHypers, logits: Any) -> Any:
    """Climb from logits f[S, A] with hypers f[G]: values f[G, iterations + 1]."""

    def climb(hypers: MirrorHypers) -> Array:
        return mdps.ascend(world.mdp, update, hypers, logits, world.iterations)[1]

    return jax.vmap(climb)(hypers)


def inner_steps(world: World, surrogate: Surrogate) -> Callable[..., Any]:
    """Make the program (hypers, logits, steps) of a surrogate in float64, values f[G, ...]."""

    def run(hypers: MirrorHypers, logits: Array, steps: Array) -> Array:
        return values_of(world, mirror_ascent.gradient_steps(surrogate, steps), hypers, logits)

    return mdps.in_float64(run)


def grid(rows: np.ndarray, alphas: np.ndarray, field: str) -> MirrorHypers:
    """Make hypers f[rows x alphas] of a grid over a field and over alpha."""
    row, alpha = (x.ravel() for x in np.meshgrid(rows, alphas, indexing="ij"))
    ones = np.ones_like(row)
    return MirrorHypers(ones, ones, ones, ones)._replace(**{"alpha": alpha, field: row})


def swept(world: World, method: str, steps: Sequence[int]) -> dict[int, dict[str, np.ndarray]]:
    """Sweep a surrogate: for each number of steps, best final values of rows, and the best curve.

    The rows are those of eta, or of PPO's clip range; of each it is the best alpha that counts.
    """
    field, rows = ("clip_range", CLIPS) if method == "PPO" else ("eta", ETAS)
    program = inner_steps(world, SURROGATES[method])
    hypers, logits = grid(rows, world.alphas, field), np.zeros(world.mdp.transition.shape[:2])
    found = {}
    for m in steps:
        values = program(hypers, logits, np.int32(m))
        final = values[:, -1].reshape(len(rows), len(world.alphas))
        curve = values[np.nanargmax(values[:, -1])]
        found[m] = {"final": np.nanmax(final, axis=1), "curve": thin(curve)}
    return found


def thin(values: np.ndarray) -> np.ndarray:
    """Select POINTS of values f[..., iterations + 1]."""
    return values[..., at_points(values.shape[-1])]


def at_points(count: int) -> np.ndarray:
    """Return which of 0 .. count - 1 are shown: dense at first."""
    return np.unique(np.geomspace(1, count, POINTS).astype(int)) - 1


def grids(
    worlds: Sequence[str], steps: Sequence[int], seeds: Sequence[int]
) -> dict[str, np.ndarray]:
    """Sweep all surrogates; all seeds have the same row, as nothing is drawn."""
    found = {}
    for name, method in itertools.product(worlds, SURROGATES):
        for m, parts in swept(WORLDS[name], method, steps).items():
            for part, x in parts.items():
                found[f"{part} of {named(name, method, m)}"] = x
    return repeated(found, seeds)


def repeated(values: dict[str, Any], seeds: Sequence[int]) -> dict[str, np.ndarray]:
    """Give each seed the same row."""
    return {name: np.repeat(np.asarray(x)[None], len(seeds), 0) for name, x in values.items()}


def exact(worlds: Sequence[str], seeds: Sequence[int]) -> dict[str, np.ndarray]:
    """Climb by exact updates and trust regions, from the uniform policy and from the seeds'."""
    found: dict[str, np.ndarray] = {}
    keys = jax.vmap(jax.random.key)(np.asarray(seeds))
    for name in worlds:
        found |= repeated(from_uniform(name), seeds) | from_starts(name, keys)
    return found


def from_uniform(name: str) -> dict[str, np.ndarray]:
    """Climb from the uniform policy: iterations to the best value, the least step, the curve."""
    world, found = WORLDS[name], {}
    logits, one = np.zeros(world.mdp.transition.shape[:2]), np.ones(len(DELTAS))
    for method, update in EXACT.items():
        hypers = MirrorHypers(np.array(EXACT_ETAS), *(np.ones(len(EXACT_ETAS)),) * 3)
        values = mdps.in_float64(partial(values_of, world, update))(hypers, logits)
        for eta, row in zip(EXACT_ETAS, values, strict=True):
            found[f"iterations of {named(name, method, eta)}"] = until(row, world.best)
            found[f"least step of {named(name, method, eta)}"] = np.diff(row).min()
    hypers = MirrorHypers(one, one, one, DELTAS)
    program = mdps.in_float64(partial(values_of, world, mirror_ascent.trust_region))
    values = program(hypers, logits)
    iterations = until(values, world.best)
    found[f"iterations of {name}, TRPO"] = iterations.min()
    found[f"curve of {name}, TRPO"] = thin(values[np.argmin(iterations)])
    return found


def until(values: np.ndarray, best: float) -> np.ndarray:
    """Count outer iterations until a value is NEAR the best, f[...]; infinity if it never is."""
    there = values >= NEAR * best
    return np.where(there.any(-1), np.argmax(there, axis=-1), np.inf)


def from_starts(name: str, keys: Key) -> dict[str, np.ndarray]:
    """Climb from drawn policies, one for each key: numbers f[S]."""
    world, found = WORLDS[name], {}
    inner = mirror_ascent.gradient_steps(mirror_ascent.ppo, 10)
    cases = {method: (update, MirrorHypers(eta=1.0)) for method, update in EXACT.items()}
    cases["TRPO"] = mirror_ascent.trust_region, MirrorHypers(delta=DELTAS[-1])
    cases["PPO"] = inner, PPO_FROM_STARTS

    def climb(update: Update, hypers: MirrorHypers, key: Key) -> Array:
        logits = jax.random.normal(key, world.mdp.transition.shape[:2])
        return mdps.ascend(world.mdp, update, hypers, logits, world.iterations)[1]

    for method, (update, hypers) in cases.items():
        values = mdps.in_float64(jax.vmap(partial(climb, update, hypers)))(keys)
        found[f"final from starts of {name}, {method}"] = values[:, -1]
        found[f"iterations from starts of {name}, {method}"] = until(values, world.best)
        found[f"least step from starts of {name}, {method}"] = np.diff(values).min(axis=1)
    return found
