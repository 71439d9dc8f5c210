"""When does planning backward help, and when planning forward?

Paper: Chelu, Precup and van Hasselt 2020, Forethought and hindsight in credit assignment, arXiv
    2010.13685.
Figure: errors on layers of many causes and few effects to few causes and many effects, and
    reference states on a maze.
Claim: with many causes of few effects planning backward from the state that was reached is better,
    with few causes of many effects planning forward from the state that was left.

Nothing is trained by the engine: a seed is an environment with its experience, the same for every
method. c_ plans at S_{t+1}, p_ at S_t, mb_ learns by planning alone; models are learnt by maximum
likelihood, and all step sizes fall from 1 to 0. Layers have gamma 0.9, the maze 0.99, epsilon falls
from 0.5 to 0. Errors are root mean squared ones of all states that are not terminal, after every
episode; how many episodes each size has is our choice within the paper's 2,500 - 4,000. Claims of
the maze are about steps: all methods reach the goal in 95 or more of 100 episodes, so that rewards
hardly differ, as a first run at standard (200 other seeds) showed.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from purejaxrl_suite import mdps, stats
from purejaxrl_suite.core.types import Array, Key
from purejaxrl_suite.mdps.planning import falling
from purejaxrl_suite.mdps.solve import backup
from purejaxrl_suite.stats import Effect
from purejaxrl_suite.studies.computation import Computed
from purejaxrl_suite.studies.panels import Bars, Intervals, Lines, Panel, line, row
from purejaxrl_suite.studies.protocol import (
    LESS,
    Budget,
    Claim,
    Computation,
    Gate,
    Study,
)


class Method(NamedTuple):
    """What distinguishes an arm; plans: whether it plans at all."""

    backward: bool = False
    current: bool = False
    model_free: bool = True
    plans: bool = True


FREE = "model-free"
METHODS = {
    FREE: Method(plans=False),
    "c_bw": Method(True, True),
    "p_fw": Method(False, False),
    "mb_c_bw": Method(True, True, False),
    "mb_p_fw": Method(False, False, False),
    "p_bw": Method(True, False),
    "c_fw": Method(False, True),
}
ELSEWHERE = ("p_bw", "c_fw")
"""Methods with the other reference state, which learn the maze only."""
LAYERS = {
    "500 to 5": (500, 5),
    "50 to 5": (50, 5),
    "5 to 5": (5, 5),
    "5 to 50": (5, 50),
    "5 to 500": (5, 500),
}
EPISODES = {"500 to 5": 2500, "50 to 5": 2500, "5 to 5": 2500, "5 to 50": 2500, "5 to 500": 4000}
MAZE = "maze of 48"
FEW = {"500 to 5": 1500, "50 to 5": 1500, "5 to 5": 1000, "5 to 50": 1000, "5 to 500": 600}
"""Episodes of another program."""
MEASURED = {
    "500 to 5": (8.53, 8.28, 9.41, 9.88, 11.01),
    "50 to 5": (6.10, 5.24, 5.21, 5.12, 5.85),
    "5 to 5": (4.39, 4.01, 2.82, 3.17, 2.54),
    "5 to 50": (5.80, 5.42, 3.73, 3.85, 3.49),
    "5 to 500": (6.20, 6.16, 6.64, 8.63, 8.61),
}
"""Its mean errors, 4 seeds, of the first five methods."""
OTHERS = 4
MAZE_EPISODES, LIMIT, POINTS = 100, 400, 40


def moments(episodes: int) -> np.ndarray:
    """Return the episodes at which curves are kept, evenly on a logarithmic axis."""
    return np.unique(np.geomspace(1, episodes, POINTS).round().astype(int))


def predicted(
    layers: tuple[int, ...],
    most: int,
    rule: mdps.Predictor,
    hypers: mdps.PlanningHypers,
    key: Key,
) -> dict[str, Array]:
    """Learn the values of layers: the mean error f[] of the episodes, and errors at `moments`."""
    of_mdp, of_stream = jax.random.split(key)
    one = mdps.bipartite(of_mdp, layers)
    policy = jnp.ones((sum(layers), 1))
    v = jnp.zeros(sum(layers))
    for _ in layers[1:]:  # an episode has no more steps
        v = backup(one, v)[:, 0]
    features = 1.0 - one.terminal
    per_episode = len(layers) - 1
    stream = mdps.experience(of_stream, one, policy, policy, most * per_episode)
    measure = partial(mdps.value_error, features, v=v, visits=features / jnp.sum(features))
    _, errors = mdps.learn(
        rule,
        hypers,
        features,
        jnp.zeros(sum(layers)),
        stream,
        lambda state: measure(state.weights),
        every=per_episode,
    )
    asked = jnp.where(jnp.arange(most) < hypers.episodes, errors, 0.0)
    return {"error": jnp.sum(asked) / hypers.episodes, "curve": errors[moments(most) - 1]}


def controlled(rule: mdps.Predictor, hypers: mdps.PlanningHypers, key: Key) -> dict[str, Array]:
    """Learn to leave the maze: rewards and steps of all episodes, f[] each."""
    maze, pairs = mdps.maze_48(), 41 * 4

    def greed(rule: mdps.PlanningControlState) -> Array:
        return 0.5 * falling(rule.episode, MAZE_EPISODES)

    def count(rule: mdps.PlanningControlState, step: mdps.Step) -> dict[str, Array]:
        now = rule.episode < MAZE_EPISODES
        return {"reward": jnp.where(now, step.reward, 0.0), "steps": now.astype(jnp.float32)}

    def goes_on(carry: tuple[mdps.Life, dict[str, Array]]) -> Array:
        return carry[0].rule.episode < MAZE_EPISODES

    options = {
        "predictor": rule,
        "hypers": hypers._replace(gamma=jnp.float32(0.99)),
        "features": jnp.repeat(1.0 - jnp.asarray(maze.terminal, jnp.float32), 4),
        "weights": jnp.zeros(pairs),
        "key": key,
        "mdp": maze,
        "behaviour": mdps.epsilon_greedy(lambda rule: rule.weights.reshape(-1, 4), greed),
        "steps": LIMIT,
        "every": LIMIT,
        "total": count,
        "time_limit": LIMIT,
    }

    def block(
        carry: tuple[mdps.Life, dict[str, Array]],
    ) -> tuple[mdps.Life, dict[str, Array]]:
        life, rows = mdps.play(**options, life=carry[0])
        return life, jax.tree.map(lambda sums, more: sums + more[0], carry[1], rows.total)

    life, rows = mdps.play(**options)
    first = jax.tree.map(lambda more: more[0], rows.total)
    return jax.lax.while_loop(goes_on, block, (life, first))[1]


def compute(name: str, tasks: tuple[str, ...], seeds: Sequence[int]) -> dict[str, np.ndarray]:
    """Learn by a method: {"task what": f[S, ...]}."""
    method, keys, found = METHODS[name], jax.vmap(jax.random.key)(np.asarray(seeds)), {}
    hypers = mdps.PlanningHypers(planning_step_size=1.0 if method.plans else 0.0)
    hypers = jax.tree.map(jnp.float32, hypers)
    for task in tasks:
        runs = {"": MAZE_EPISODES} if task == MAZE else {"": EPISODES[task], "few ": FEW[task]}
        for prefix, episodes in runs.items():
            run = program(task, method._replace(plans=True))
            results = run(hypers._replace(episodes=jnp.float32(episodes)), keys)
            found |= {f"{task} {prefix}{what}": np.asarray(x) for what, x in results.items()}
    return found


@cache
def program(task: str, method: Method) -> Callable[..., dict[str, Array]]:
    """Make the program of many seeds, one after the other; step sizes and episodes are traced.

    Tables of one seed stay in a cache of the processor, and are changed in place.
    """
    sides = method.backward, method.current
    if task == MAZE:
        each = partial(controlled, mdps.planned_q(4, *sides, model_free=method.model_free))
    else:
        rule = mdps.planned_td(*sides, model_free=method.model_free)
        each = partial(predicted, LAYERS[task], EPISODES[task], rule)

    def run(hypers: mdps.PlanningHypers, keys: Key) -> dict[str, Array]:
        return mdps.map_members(partial(each, hypers), keys, 1)

    return jax.jit(run)


def arms(budget: Budget) -> dict[str, Computation]:
    """Make an arm for each method."""
    seeds, made = budget.seed_numbers, {}
    for name in METHODS:
        everywhere = name not in ELSEWHERE
        tasks = tuple(task for task in budget.environments if everywhere or task == MAZE)
        made[name] = Computation(name, partial(compute, name, tasks), seeds, tasks, budget.steps)
    return made


Compare = Callable[[Key, Computed, Computed], Effect]


def difference(name: str) -> Compare:
    """Make the effect: a number of one arm less that of another, paired by environments."""

    def effect(key: Key, one: Computed, other: Computed) -> Effect:
        return stats.difference(key, one.values[name], other.values[name], stats.mean, paired=True)

    return effect


def disagreement(key: Key, *methods: Computed) -> float:
    """Compute the largest difference from the other program's table, in standard errors."""
    del key  # nothing is drawn
    found = []
    for number, arm in enumerate(methods):
        for task in _layers(arm):
            known, errors = MEASURED[task], arm.values[f"{task} few error"]
            of_both = errors.std(ddof=1) * np.sqrt(1.0 / len(errors) + 1.0 / OTHERS)
            found.append(abs(errors.mean() - known[number]) / of_both)
    return float(max(found))


def _layers(arm: Computed) -> tuple[str, ...]:
    """List the layers that an arm has learnt."""
    return tuple(task for task in LAYERS if f"{task} error" in arm.values)


def figure(key: Key, curves: Mapping[str, Computed]) -> tuple[Panel, ...]:
    """Draw mean errors by fan-in, errors over episodes, and rewards in the maze."""
    names, layers = tuple(METHODS)[:5], _layers(curves[FREE])
    rows = tuple(
        tuple(
            row(task, stats.estimate(key, curves[name].values[f"{task} error"], stats.mean))
            for task in layers
        )
        for name in names
    )
    panels: list[Panel] = [Bars("Mean error by fan-in and fan-out", "RMSVE", layers, names, rows)]
    along = partial(stats.estimate, key, statistic=partial(stats.mean, axis=0))
    for task in ("500 to 5", "5 to 5", "5 to 50"):
        lines = tuple(
            line(name, moments(EPISODES[task]), along(curves[name].values[f"{task} curve"]))
            for name in names
        )
        panels.append(Lines(task, "episodes", "RMSVE", lines, logarithmic=True))
    for what, label in (("reward", "rewards of 100 episodes"), ("steps", "steps of 100 episodes")):
        found = tuple(
            row(name, stats.estimate(key, arm.values[f"{MAZE} {what}"], stats.mean))
            for name, arm in curves.items()
        )
        panels.append(Intervals(f"{MAZE}: reference states", label, found))
    return tuple(panels)


def _smaller(task: str, one: str, other: str) -> Claim:
    return Claim(
        f"{task}: {one} has smaller errors than {other}.",
        (one, other),
        difference(f"{task} error"),
        LESS,
        smallest=0.1,
        unit="RMSVE",
    )


def _sooner(one: str, other: str) -> Claim:
    return Claim(
        f"In the maze {one} takes fewer steps than {other}.",
        (one, other),
        difference(f"{MAZE} steps"),
        LESS,
        smallest=100.0,
        unit="steps of 100 episodes",
    )


STUDY = Study(
    __doc__,
    arms,
    (
        _smaller("500 to 5", "c_bw", "p_fw"),
        _smaller("500 to 5", "c_bw", FREE),
        _smaller("5 to 50", "p_fw", "c_bw"),
        _smaller("5 to 50", "p_fw", FREE),
        _smaller("5 to 5", "p_fw", "c_bw"),
        _smaller("5 to 5", "p_fw", FREE),
        _sooner("c_bw", FREE),
        _sooner("p_fw", FREE),
        _sooner("c_bw", "p_bw"),
        _sooner("p_fw", "c_fw"),
    ),
    figure,
    gates=(
        Gate(
            "agreement",
            "Errors are those that another program found.",
            over=tuple(METHODS)[:5],
            measure=disagreement,
            direction=LESS,
            bound=3.5,
            unit="standard errors, the largest",
            remedy="a look at both programs",
        ),
    ),
    quick=Budget((*LAYERS, MAZE), 4, 2500),
    standard=Budget(("500 to 5", "50 to 5", "5 to 5", "5 to 50", MAZE), 200, 2500, first_seed=3000),
    full=Budget((*LAYERS, MAZE), 1000, 4000, first_seed=10_000),
)
