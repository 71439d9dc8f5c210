"""Does it help to give credit to all pasts that lead to a state, and not to the present one alone?

Paper: van Hasselt et al. 2021, Expected eligibility traces, arXiv 2007.01839.
Figure: its figure 1 (values after the first reward) and the errors on chains that join.
Claim: ET(lambda), whose trace is the expected one of a state, learns faster than TD(lambda), as it
    credits states of earlier episodes that could have come before.

Nothing is trained by the engine: a seed is a stream of episodes, from which all methods learn
tables. lambda is 0.9, the i-th episode has the step size i^-0.5, and the expected trace z moves by
1 / visits. Errors are root mean squared ones of all states alike, after each of 512 episodes. The
sizes of the square and of the chains are our settings.
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
from purejaxrl_suite.studies.panels import Bars, Heat, Lines, Panel, row, spread
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

METHODS = {
    "TD(0)": (0.0, 1.0),
    "TD(lambda)": (0.9, 1.0),
    "ET(lambda)": (0.9, 0.0),
    "mixture": (0.9, 0.5),
}
"""{name: (lambda, eta)}."""
CHAINS = {
    "4 chains of 4, certain": (4, 4, 1.0),
    "4 chains of 4": (4, 4, 0.9),
    "16 chains of 4": (16, 4, 0.9),
    "16 chains of 8": (16, 8, 0.9),
}
"""{name: (chains, length, probability of reward 1)}."""
SQUARE = "square of 5"
FIRST = 7
"""The episode on the square that has the first reward, as in the figure."""
EPISODES = 512
MEASURED = {
    "4 chains of 4, certain": (0.1278, 0.0294, 0.0294, 0.0294),
    "4 chains of 4": (0.1246, 0.1069, 0.0671, 0.0797),
    "16 chains of 4": (0.5068, 0.2497, 0.2219, 0.2291),
    "16 chains of 8": (0.6332, 0.2775, 0.2572, 0.2623),
}
"""Mean errors of the methods over 64 seeds of another program."""
OTHERS = 64
CHUNK = 32
"""Seeds that learn at once: their tables of traces fit into caches."""


def chained(name: str, hypers: mdps.TraceHypers, key: Key) -> Array:
    """Learn the values of chains that join, f[EPISODES]: the error after each episode."""
    one = mdps.multi_chain(*CHAINS[name])
    episode = CHAINS[name][1] + 1
    stream = mdps.experience(key, one.mdp, one.behaviour, one.target, EPISODES * episode)
    features, weights, v = (jnp.asarray(x, jnp.float32) for x in (one.features, one.weights, one.v))
    visits = jnp.asarray(one.d_mu > 0) / np.sum(one.d_mu > 0)
    measure = partial(mdps.value_error, features, v=v, visits=visits)
    rule = mdps.expected_trace_td()
    return mdps.learn(
        rule,
        hypers,
        features,
        weights,
        stream,
        lambda state: measure(state.weights),
        every=episode,
    )[1]


def walked(hypers: mdps.TraceHypers, key: Key) -> Array:
    """Walk over the square until the first reward, in episode FIRST: |v| f[25].

    Rewards do not depend on the way, so to condition on the first one is to set it.
    """
    one = mdps.corner_walk(5)
    steps = FIRST * 9
    stream = mdps.experience(key, one.mdp, one.behaviour, one.target, steps)
    stream = stream._replace(reward=(jnp.arange(steps) == steps - 1).astype(jnp.float32))
    features, weights = jnp.asarray(one.features, jnp.float32), jnp.zeros(25)
    hypers = hypers._replace(power=jnp.float32(0.0))
    state, _ = mdps.learn(mdps.expected_trace_td(), hypers, features, weights, stream)
    return jnp.abs(state.weights)


def compute(method: str, tasks: tuple[str, ...], seeds: Sequence[int]) -> dict[str, np.ndarray]:
    """Learn by a method: {task: errors f[S, EPISODES], or |v| f[S, 25] of the square}."""
    lambda_, eta = METHODS[method]
    hypers = mdps.TraceHypers(step_size=1.0, power=0.5, lambda_=lambda_, eta=eta)
    hypers = jax.tree.map(jnp.float32, hypers)
    keys, found = jax.vmap(jax.random.key)(np.asarray(seeds)), {}
    for task in tasks:
        found[task] = np.asarray(program(task)(hypers, keys))
    return found


@cache
def program(task: str) -> Callable[[mdps.TraceHypers, Key], Array]:
    """Make the program of many seeds; lambda and eta are traced, so methods share it."""
    each = walked if task == SQUARE else partial(chained, task)

    def run(hypers: mdps.TraceHypers, keys: Key) -> Array:
        return mdps.map_members(partial(each, hypers), keys, CHUNK)

    return jax.jit(run)


def arms(budget: Budget) -> dict[str, Computation]:
    """Make an arm for each method."""
    tasks, seeds = budget.environments, budget.seed_numbers
    return {
        name: Computation(name, partial(compute, name, tasks), seeds, tasks, budget.steps)
        for name in METHODS
    }


def gain(task: str) -> Callable[[Key, Computed, Computed], Effect]:
    """Make the effect: by how much the mean error of one arm is above that of another."""

    def effect(key: Key, one: Computed, other: Computed) -> Effect:
        errors = [arm.values[task].mean(axis=1) for arm in (one, other)]
        return stats.difference(key, errors[0], errors[1], stats.mean, paired=True)

    return effect


def credited(key: Key, arm: Computed) -> Effect:
    """Count the states of the square whose value has moved with the first reward."""
    moved = np.sum(arm.values[SQUARE] > 0, axis=1).astype(float)
    return Effect(*stats.estimate(key, moved, stats.mean), np.int32(len(moved)))


def disagreement(key: Key, *methods: Computed) -> float:
    """Compute the largest difference from the other program's table, in standard errors."""
    del key  # nothing is drawn
    found = []
    for number, arm in enumerate(methods):
        for task, known in MEASURED.items():
            errors = arm.values[task].mean(axis=1)
            of_both = errors.std(ddof=1) * np.sqrt(1.0 / len(errors) + 1.0 / OTHERS)
            found.append(abs(errors.mean() - known[number]) / of_both)
    return float(max(found))


def figure(key: Key, curves: Mapping[str, Computed]) -> tuple[Panel, ...]:
    """Draw |v| after the first reward, errors over episodes, and their means."""
    names = tuple(METHODS)
    maps = [_map(name, curves[name].values[SQUARE][0]) for name in names[:3]]
    episodes = np.unique(np.geomspace(1, EPISODES, 40).round().astype(int))
    panels = []
    for task in ("4 chains of 4", "16 chains of 8"):
        each = ((name, curves[name].values[task][:, episodes - 1]) for name in names)
        lines = tuple(spread(name, episodes, errors) for name, errors in each)
        title = f"{task}: medians, 10 - 90 %"
        panels.append(
            Lines(title, "episodes", "RMSVE", lines, logarithmic=True, logarithmic_y=True)
        )
    rows = [
        tuple(row(task, stats.estimate(key, curves[name].values[task].mean(axis=1), stats.mean))
              for task in CHAINS)
        for name in names
    ]  # fmt: skip
    groups = tuple(task.replace(" chains of ", "x").replace(",", "") for task in CHAINS)
    bars = Bars("Mean errors of 512 episodes", "RMSVE", groups, names, tuple(rows))
    return (*maps, *panels, bars)


def _map(name: str, values: np.ndarray) -> Heat:
    shown = tuple(tuple(x) for x in values.reshape(5, 5).tolist())
    title = f"{name}: |v| after the first reward, one seed"
    rows = tuple(str(i) for i in range(1, 6))
    return Heat(title, "column", "|v|", rows, tuple(range(1, 6)), shown)


def _gains(task: str) -> Claim:
    return Claim(
        f"On {task} expected traces have smaller errors than instantaneous ones.",
        ("TD(lambda)", "ET(lambda)"),
        gain(task),
        MORE,
        smallest=0.01,
        unit="RMSVE",
    )


STUDY = Study(
    __doc__,
    arms,
    (
        _gains("4 chains of 4"),
        _gains("16 chains of 4"),
        _gains("16 chains of 8"),
        Claim(
            "So has a mixture of both, on 4 chains of 4.",
            ("TD(lambda)", "mixture"),
            gain("4 chains of 4"),
            MORE,
            smallest=0.01,
            unit="RMSVE",
        ),
        Claim(
            "Where the reward is certain there is nothing to gain.",
            ("TD(lambda)", "ET(lambda)"),
            gain("4 chains of 4, certain"),
            EQUAL,
            smallest=0.001,
            unit="RMSVE",
        ),
        Claim(
            "With the first reward TD(0) changes the value of one state.",
            ("TD(0)",),
            credited,
            EQUAL,
            against=1.0,
            smallest=0.01,
            unit="states",
        ),
        Claim(
            "TD(lambda) changes those of one path.",
            ("TD(lambda)",),
            credited,
            EQUAL,
            against=9.0,
            smallest=0.01,
            unit="states",
        ),
        Claim(
            "ET(lambda) changes those of earlier paths, too.",
            ("ET(lambda)",),
            credited,
            MORE,
            against=9.0,
            smallest=3.0,
            unit="states",
        ),
    ),
    figure,
    gates=(
        Gate(
            "agreement",
            "Errors are those that another program found.",
            over=tuple(METHODS),
            measure=disagreement,
            direction=LESS,
            bound=3.5,
            unit="standard errors, the largest of 16",
            remedy="a look at both programs",
        ),
    ),
    quick=Budget((*CHAINS, SQUARE), 16, EPISODES * 9.0),
    standard=Budget((*CHAINS, SQUARE), 256, EPISODES * 9.0, first_seed=1000),
    full=Budget((*CHAINS, SQUARE), 1000, EPISODES * 9.0, first_seed=10_000),
)
