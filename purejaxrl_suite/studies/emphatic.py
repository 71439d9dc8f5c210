"""Does emphasis make off-policy temporal differences of n steps stable, and clipping not?

Paper: Jiang et al. 2021, Emphatic algorithms for deep reinforcement learning, arXiv 2106.11779;
    Sutton et al. 2016, An emphatic approach to the problem of off-policy temporal-difference
    learning, arXiv 1503.04269.
Figure: errors on the two-state problem, Baird's counterexample and the collision task.
Claim: off-policy TD and V-trace diverge where states are weighted by the behaviour; weighting them
    by n-step emphasis (NETD, WETD, NEVtrace) makes them stable, at the price of variance.

Nothing is trained by the engine: a seed is a stream of experience of a diagnostic MDP, from which
every method learns linear values. `expected updates` are the matrices of the methods' expected
updates, by the code of their traces, in float64.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np

from purejaxrl_suite import mdps, stats
from purejaxrl_suite.core.types import Array, Key
from purejaxrl_suite.stats import Effect
from purejaxrl_suite.studies.computation import Computed
from purejaxrl_suite.studies.panels import Lines, line, spread
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

PLAIN, CLIPPED = mdps.NStepHypers(), mdps.NStepHypers(0.0, 1.0, 1.0, 1.0)
METHODS = {
    "TD": (False, False, PLAIN),
    "TD in windows": (False, True, PLAIN),
    "NETD": (True, False, PLAIN),
    "WETD": (True, True, PLAIN),
    "V-trace": (False, False, CLIPPED),
    "NEVtrace": (True, False, CLIPPED),
    "NETD, clipped trace": (True, False, PLAIN._replace(emphasis_clip=1.0)),
}
"""{name: (emphatic, windowed, clips)} of `mdps.n_step_td`."""
SWEPT = ("TD", "NETD", "V-trace", "NEVtrace")
"""Methods that learn the collision task, with every step size."""
FEWER = 4
"""Of so many seeds one learns the collision task, the first ones."""
TWO, BAIRD, COLLISION = "two states", "Baird", "collision"
STEPS = {TWO: 5000, BAIRD: 10_000, COLLISION: 20_000}
STEP_SIZES = {TWO: (0.01,), BAIRD: (0.001,), COLLISION: tuple(0.5**k for k in range(1, 15))}
N = {TWO: (1, 2, 3, 5, 10), BAIRD: (1, 5), COLLISION: (5,)}
"""Steps of targets."""
POINTS = 50
CHUNK = 50
"""Seeds that learn at once: their streams fit into caches."""
DIVERGED = 10.0
"""Times the first error."""
LOW, HIGH = 1e-6, 1e6
"""Ends of the axes of errors."""
PUBLISHED = {
    (mdps.two_state, 0.9, 1): (-0.2000, -0.2000, 3.4000, 3.4000, -0.1000, 0.0636),
    (mdps.two_state, 0.9, 2): (0.0700, -0.0650, 3.3100, 3.3550, -0.0325, 0.0411),
    (mdps.two_state, 0.9, 3): (0.3130, 0.0610, 3.2290, 3.3130, -0.0021, 0.0310),
    (mdps.two_state, 0.9, 5): (0.7285, 0.2887, 3.0905, 3.2371, 0.0177, 0.0244),
    (mdps.two_state, 0.9, 10): (1.4540, 0.7414, 2.8487, 3.0862, 0.0226, 0.0228),
    (mdps.two_state, 0.99, 1): (-0.4700, -0.4700, 3.4900, 3.4900, -0.2350, -0.2154),
    (mdps.two_state, 0.99, 5): (-0.3530, -0.4112, 3.4510, 3.4704, -0.2212, -0.2200),
    (mdps.two_state, 0.99, 20): (0.0463, -0.2041, 3.3179, 3.4014, -0.2203, -0.2203),
    (mdps.baird, 0.99, 1): (-0.2393, -0.2393, 0, 0, -0.0342, -0.0278),
    (mdps.baird, 0.99, 5): (-0.0834, -0.1069, 0, 0, -0.0330, -0.0330),
    (mdps.baird, 0.99, 20): (0, -0.0231, 0, 0, -0.0330, -0.0330),
}
"""Least real parts of the eigenvalues of expected updates, found by another program: of TD, TD in
windows, NETD, WETD, V-trace and NEVtrace; below 0 is unstable."""


def learnt(
    rule: mdps.Predictor, task: str, hypers: mdps.NStepHypers, key: Key, features: Array
) -> dict[str, Array]:
    """Learn from one stream with each step size: errors f[step sizes, POINTS] and their mean."""
    one = {TWO: mdps.two_state, BAIRD: mdps.baird, COLLISION: mdps.collision}[task]()
    steps = STEPS[task] + rule.steps - 1
    stream = mdps.experience(key, one.mdp, one.behaviour, one.target, steps)
    weights, v, visits = (jnp.asarray(x, jnp.float32) for x in (one.weights, one.v, one.d_mu))
    measure = partial(mdps.value_error, features, v=v, visits=visits)

    def errors(step_size: Array) -> Array:
        return mdps.learn(
            rule,
            hypers._replace(step_size=step_size),
            features,
            weights,
            stream,
            lambda state: measure(state.weights),
            every=10,
        )[1]

    found = jax.vmap(errors)(jnp.asarray(STEP_SIZES[task]))
    every = found.shape[1] // POINTS
    return {
        "error": found[:, every - 1 :: every],
        "area": jnp.mean(found, axis=1),
        "growth": found[:, -1] / measure(weights),
    }


def compute(name: str, tasks: tuple[str, ...], seeds: Sequence[int]) -> dict[str, np.ndarray]:
    """Learn by a method from every seed's streams: {"task n what": f[S, step sizes, ...]}.

    NaN where a seed does not learn a task.
    """
    emphatic, windowed, clips = METHODS[name]
    hypers, found = jax.tree.map(jnp.float32, clips), {}
    for task in tasks:
        some = seeds[: len(seeds) // FEWER] if task == COLLISION else seeds
        keys = jax.vmap(jax.random.key)(np.asarray(some))
        for n in N[task]:
            run = program(task, n, emphatic, windowed)
            for what, x in run(hypers, keys, features_of(task, some)).items():
                missing = ((0, len(seeds) - len(some)), *[(0, 0)] * (x.ndim - 1))
                found[f"{task} {n} {what}"] = np.pad(x, missing, constant_values=np.nan)
    return found


@cache
def program(task: str, n: int, emphatic: bool, windowed: bool) -> Callable[..., dict[str, Array]]:
    """Make the program of many seeds; clips are traced, so methods share it."""
    each = partial(learnt, mdps.n_step_td(n, emphatic, windowed), task)

    def run(hypers: mdps.NStepHypers, keys: Key, features: Array) -> dict[str, Array]:
        one = partial(each, hypers)
        return mdps.map_members(lambda case: one(*case), (keys, features), CHUNK)

    return jax.jit(run)


def features_of(task: str, seeds: Sequence[int]) -> np.ndarray:
    """Return the features of each seed, f32[S, states, K]; those of the collision task differ."""
    if task == COLLISION:
        found = [mdps.collision(seed=seed).features for seed in seeds]
    else:
        found = [(mdps.two_state if task == TWO else mdps.baird)().features] * len(seeds)
    return np.stack(found).astype(np.float32)


def stability(seeds: Sequence[int]) -> dict[str, np.ndarray]:
    """Compute the least real parts of eigenvalues, the same for every seed, f64[S, rows, 6]."""
    table = []
    for make, gamma, n in PUBLISHED:
        matrices = mdps.in_float64(partial(mdps.expected_updates, make(gamma), n))()
        table.append([np.real(np.linalg.eigvals(one)).min() for one in matrices])
    return {"least": np.broadcast_to(table, (len(seeds), len(table), len(table[0])))}


def arms(budget: Budget) -> dict[str, Computation]:
    """Make an arm for each method, and one for all expected updates."""
    tasks, seeds = budget.environments, budget.seed_numbers
    made = {}
    for name in METHODS:
        own = tuple(task for task in tasks if task != COLLISION or name in SWEPT)
        made[name] = Computation(name, partial(compute, name, own), seeds, own, budget.steps)
    exact = Computation("expected updates", stability, seeds, tasks, budget.steps)
    return made | {"expected updates": exact}


def diverged(task: str, n: int) -> Callable[[Key, Computed], Effect]:
    """Make the effect: the share of streams whose error ends above ten times the first."""

    def effect(key: Key, arm: Computed) -> Effect:
        del key  # the interval is that of Clopper and Pearson
        return share(arm, task, n)

    return effect


def share(arm: Computed, task: str, n: int) -> Effect:
    """Compute the share of streams that diverge, with its exact interval."""
    lost = ~(arm.values[f"{task} {n} growth"][:, 0] <= DIVERGED)
    return Effect(*stats.clopper_pearson(lost.sum(), lost.size), np.int32(lost.size))


def best_areas(arm: Computed) -> np.ndarray:
    """Return mean errors on the collision task, f[S / 8], at the best step size of other seeds."""
    area = arm.values[f"{COLLISION} {N[COLLISION][0]} area"]
    area = area[: len(area) // FEWER]
    return area[1::2, np.nanargmin(area[::2].mean(axis=0))]


def worse(key: Key, arm: Computed, other: Computed) -> Effect:
    """Compute how much larger the mean error of an arm is than that of another one."""
    return stats.difference(key, best_areas(arm), best_areas(other), stats.mean, paired=True)


def disagreement(key: Key, arm: Computed) -> float:
    """Compute the largest difference from the other program's table."""
    del key  # nothing is drawn
    return float(np.abs(arm.values["least"][0] - np.array([*PUBLISHED.values()])).max())


def unlearnt(key: Key, arm: Computed) -> Effect:
    """Compute the share of the first error that is left, on average over the collision task."""
    first = np.sqrt(np.sum(mdps.collision().d_mu * mdps.collision().v ** 2))
    areas = best_areas(arm) / first
    return Effect(*stats.estimate(key, areas, stats.mean), np.int32(len(areas)))


def figure(key: Key, curves: Mapping[str, Computed]) -> tuple[Lines, ...]:
    """Draw errors over steps, shares of divergence over n, and the sweep of the collision task."""
    trained = {name: curves[name] for name in METHODS}
    shares = [
        line(name, N[TWO], _along([share(arm, TWO, n) for n in N[TWO]]))
        for name, arm in trained.items()
    ]
    return (
        _errors(TWO, trained),
        _errors(BAIRD, trained),
        Lines("two states: streams that diverge", "n", "share", tuple(shares)),
        _sweep(key, trained),
    )


def _errors(task: str, arms: Mapping[str, Computed]) -> Lines:
    """Draw the errors of one step of those methods that differ at n = 1."""
    steps = STEPS[task] // POINTS * (1 + np.arange(POINTS))
    lines = []
    for name in ("TD", "NETD", "NETD, clipped trace", "V-trace", "NEVtrace"):
        found = arms[name].values[f"{task} 1 error"][:, 0]
        lines.append(spread(name, steps, np.clip(np.nan_to_num(found, nan=HIGH), LOW, HIGH)))
    title = f"{task}, n = 1: medians, 10 - 90 %"
    return Lines(title, "steps", "RMSVE", tuple(lines), logarithmic_y=True)


def _sweep(key: Key, arms: Mapping[str, Computed]) -> Lines:
    """Draw the mean error on the collision task against the step size, up to the first one."""
    name, lines = f"{COLLISION} {N[COLLISION][0]} area", []
    for method in SWEPT:
        found = arms[method].values[name]
        found = found[: len(found) // FEWER]
        most = np.where(found < 1.0, found, 1.0)
        estimated = stats.estimate(key, most, partial(stats.mean, axis=0))
        lines.append(line(method, STEP_SIZES[COLLISION], estimated))
    title = "collision, n = 5: mean error, at most 1"
    return Lines(title, "step size", "RMSVE", tuple(lines), logarithmic=True)


def _along(found: Sequence[Effect]) -> stats.Estimate:
    return stats.Estimate(*(np.array(x) for x in list(zip(*found, strict=True))[:3]))


def _diverges(name: str, statement: str, task: str = TWO, n: int = 1) -> Claim:
    return Claim(
        statement,
        (name,),
        diverged(task, n),
        MORE,
        against=0.99,
        smallest=0.0,
        unit="share of streams",
        counted="streams",
    )


def _stays(name: str, statement: str, task: str = TWO, n: int = 1) -> Claim:
    return Claim(
        statement,
        (name,),
        diverged(task, n),
        EQUAL,
        smallest=0.01,
        unit="share of streams",
        counted="streams",
    )


def _no_worse(name: str, other: str) -> Claim:
    return Claim(
        f"On the collision task with n = 5 {name} is no worse than {other}.",
        (name, other),
        worse,
        LESS,
        against=0.02,
        smallest=0.0,
        unit="RMSVE",
    )


STUDY = Study(
    __doc__,
    arms,
    (
        _diverges("TD", "On two states off-policy TD(0) diverges."),
        _diverges("V-trace", "So does V-trace, whose ratios are clipped."),
        _stays("NETD", "Emphatic TD does not."),
        _stays("NEVtrace", "Nor does V-trace with emphasis."),
        _stays("TD", "Nor does TD with targets of five steps.", n=5),
        _diverges("TD", "On Baird's counterexample TD(0) diverges.", BAIRD),
        _diverges("NETD, clipped trace", "So does TD with emphasis of clipped ratios.", BAIRD),
        Claim(
            "Of streams of emphatic TD, stable in expectation, a third has diverged there.",
            ("NETD",),
            diverged(BAIRD, 1),
            EQUAL,
            against=0.35,
            smallest=0.1,
            unit="share of streams",
            counted="streams",
        ),
        _no_worse("NETD", "TD"),
        _no_worse("NEVtrace", "V-trace"),
    ),
    figure,
    gates=(
        Gate(
            "stability",
            "Eigenvalues of expected updates are those that another program found.",
            over=("expected updates",),
            measure=disagreement,
            direction=LESS,
            bound=1e-3,
            unit="largest difference",
            remedy="traces without errors",
        ),
        Gate(
            "learns",
            "TD learns the collision task.",
            over=("TD",),
            measure=unlearnt,
            direction=LESS,
            bound=0.5,
            unit="share of the first error",
            remedy="more steps",
        ),
    ),
    quick=Budget((TWO, BAIRD, COLLISION), 20, 20_000),
    standard=Budget((TWO, BAIRD, COLLISION), 400, 20_000, first_seed=1000),
    full=Budget((TWO, BAIRD, COLLISION), 1000, 20_000, first_seed=10_000),
)
