"""Do options that were discovered on some goals help a new manager with goals it has never seen?

Paper: Veeriah et al. 2021, Discovery of options via meta-learned subgoals, arXiv 2102.06741.
Figure: its curves of new managers on unseen tasks of four rooms, and where each option ends.
Claim: options whose rewards and terminations are learnt by meta-gradients make a new manager learn
    unseen tasks sooner than actions alone.

Options are discovered on goals in three rooms; then they are frozen, and a new manager learns goals
in the fourth, with a tenth of the steps. Scores are rewards per step, as a share of what shortest
paths give, averaged over the manager's learning. `doorways` has four options made by hand, each of
which goes to a doorway and ends there. Rates, networks, the switching cost and the number of steps
are our setting.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from purejaxrl_suite import meta, stats
from purejaxrl_suite.core.types import Array, Clock, Environment, Key, PyTree
from purejaxrl_suite.engine.keys import member_keys, update_keys
from purejaxrl_suite.engine.train import make_train
from purejaxrl_suite.envs import make
from purejaxrl_suite.envs.lifetime_goals import MOVES, ROOMS, free_cells, moves_in
from purejaxrl_suite.meta import lifetime
from purejaxrl_suite.meta.learner import System
from purejaxrl_suite.meta.modac import MODACConfig, MODACHypers, modac, system
from purejaxrl_suite.meta.options import choices_of
from purejaxrl_suite.ops import optimizers
from purejaxrl_suite.stats import Effect
from purejaxrl_suite.studies.computation import Computed
from purejaxrl_suite.studies.panels import Heat, Lines, Panel, line
from purejaxrl_suite.studies.protocol import MORE, Budget, Claim, Computation, Gate, Study
from purejaxrl_suite.studies.scores import estimated

ROOM = "Meta-FourRooms"
CONFIG = MODACConfig(options=4, num_envs=64, rollout_length=20, updates=5, units=0)
HYPERS = MODACHypers()
STEPS = CONFIG.num_envs * CONFIG.rollout_length
"""Of an update of the agent."""
NEW = 0.1
"""Steps of a new manager, as a share of those of the discovery."""
POINTS = 20
CHUNK = 8
"""Seeds that learn side by side."""
LATE = 5
"""Points that are the end of learning."""
MODAC, RANDOM, DOORWAYS, ACTIONS = "modac", "random options", "doorways", "actions alone"
DOORS = ((3, 6), (6, 2), (7, 9), (10, 6))
SURE = 10.0
"""Logits of what options made by hand do."""


class Known(NamedTuple):
    """What a new manager is given. options: parameters of policies, rule: of terminations."""

    options: PyTree
    rule: PyTree


def rooms(test: bool) -> Environment:
    """Make four rooms, with goals of training or of test."""
    return make(ROOM, test=test)


def made() -> System:
    """Make the agent that lives with options."""
    return system(rooms(True), CONFIG, None, HYPERS)


@cache
def best(test: bool) -> float:
    """Compute the reward per step of shortest paths, over all starts and goals."""
    steps = distances()
    goals = np.nonzero(rooms(test).params.chances)[0]
    return float(1.0 / np.mean([np.delete(steps[:, goal], goal).mean() for goal in goals]))


@cache
def distances() -> np.ndarray:
    """Compute the steps between all cells of four rooms, i64[cells, cells]."""
    after = moves_in(free_cells())
    found = np.where(np.eye(len(after), dtype=bool), 0, 10_000)
    for _ in range(len(after)):
        found = np.minimum(found, 1 + found[after].min(axis=1))
    return found


def discovered(steps: float, key: Key) -> tuple[Known, dict[str, Array]]:
    """Discover options on the goals of training: what they are, and how it went, f[POINTS]."""
    env = rooms(False)
    train = make_train(modac(env, CONFIG, None, HYPERS), env)
    hypers = jax.tree.map(jnp.float32, HYPERS)
    updates = int(steps) // (STEPS * CONFIG.updates)

    def step(run: Any, update: Array) -> tuple[Any, dict[str, Array]]:
        return train.update(key, hypers, env.params, run, Clock(update, np.int32(updates)))

    run = train.init(key, hypers, env.params)
    run, rows = jax.lax.scan(step, run, jnp.arange(updates, dtype=jnp.int32))
    state = run.agent
    known = Known(state.agent.learner.params["options"], state.learner.params)
    share, starts = (thin(rows[name]) for name in ("option_share", "option_starts"))
    score = thin(rows["step_reward"]) / best(False)
    return known, {"discovery": score, "share": share, "length": share / starts}


def by_chance(steps: float, key: Key) -> tuple[Known, dict[str, Array]]:
    """Draw options as they are before anything is learnt."""
    agents = made()
    of_rule, of_agent = jax.random.split(key)
    hypers = jax.tree.map(jnp.float32, HYPERS)
    rule = agents.init(of_rule, hypers)
    state = agents.agent.init(of_agent, agents.inner(rule, hypers))
    return Known(state.learner.params["options"], rule), {}


def by_hand(steps: float, key: Key) -> tuple[Known, dict[str, Array]]:
    """Make options that take a shortest path to a doorway and end there."""
    doors = [free_cells().index(door) for door in DOORS]
    after, far = moves_in(free_cells()), distances()[:, doors]
    policy = SURE * np.eye(len(MOVES))[np.argmin(far[after], axis=1).T]
    ends = SURE * np.where(far == 0, 1.0, -1.0)
    known, _ = by_chance(steps, key)
    rule = jax.tree.map(jnp.zeros_like, known.rule)
    rule["terminations"]["head"]["kernel"] = jnp.float32(ends)
    options = {"heads": {**known.options["heads"], "policy": {"kernel": jnp.float32(policy)}}}
    return Known(options, rule), {}


def managed(steps: float, key: Key, known: Known) -> dict[str, Array]:
    """Let a new manager learn the goals of test with given options, which learn no more.

    Returns:
        score f[POINTS], and of all that was done ends f[K, cells], in which cells options ended.
    """
    agents, env = made(), rooms(True)._replace(sample_task=None)
    how = lifetime.living(agents.agent, env)
    rates = jax.tree.map(jnp.float32, HYPERS._replace(option_learning_rate=0.0))
    hypers = agents.inner(known.rule, rates)
    run = lifetime.begin(how, hypers, env.params, key, jnp.int32(0)).run
    params = {**run.agent.learner.params, "options": known.options}
    run = run._replace(agent=run.agent._replace(learner=run.agent.learner._replace(params=params)))
    updates, keys, cells = int(steps * NEW) // STEPS, member_keys(key), len(free_cells())

    def step(carry: tuple[Any, Array], update: Array) -> tuple[Any, Array]:
        run, ends = carry
        now = Clock(update, np.int32(updates))
        bare = run._replace(agent=(), intervention=())
        each = update_keys(keys, now)
        after, steps, _ = how.source.collect(each, hypers, env.params, run.agent, bare, now)
        state, _ = agents.agent.update(each.update, hypers, run.agent, steps)
        _, before, chosen = choices_of(steps)
        ended = chosen & (before < CONFIG.options)
        place = jnp.where(ended, before * cells + steps.obs[..., 0], CONFIG.options * cells)
        ends = ends + jnp.bincount(jnp.ravel(place), length=ends.size + 1)[:-1]
        return (after._replace(agent=state, intervention=()), ends), jnp.mean(steps.reward)

    ends = jnp.zeros(CONFIG.options * cells, jnp.int32)
    (_, ends), rewards = jax.lax.scan(step, (run, ends), jnp.arange(updates, dtype=jnp.int32))
    ends = jnp.reshape(ends, (CONFIG.options, cells)).astype(jnp.float32)
    return {"score": thin(rewards) / best(True), "ends": ends}


def thin(rows: Array) -> Array:
    """Average rows f[U] over POINTS windows; the first ones are left out if U is no multiple."""
    every = len(rows) // POINTS
    return jnp.mean(jnp.reshape(rows[len(rows) - POINTS * every :], (POINTS, every)), axis=1)


Makes = Callable[[float, Key], tuple[Known, dict[str, Array]]]
"""(steps of the discovery, key) -> the options, and how they came about."""


def with_options(make_options: Makes, steps: float, seeds: Sequence[int]) -> dict[str, np.ndarray]:
    """Compute an arm whose manager has options: numbers f[S, ...]."""

    def one(key: Key) -> dict[str, Array]:
        of_options, of_manager = jax.random.split(key)
        known, found = make_options(steps, of_options)
        return {**found, **managed(steps, of_manager, known)}

    return each(one, seeds)


def alone(steps: float, seeds: Sequence[int]) -> dict[str, np.ndarray]:
    """Compute the arm without options: an actor-critic with the same network and rates."""
    env = rooms(True)._replace(sample_task=None)
    config = meta.ActorCriticConfig(
        CONFIG.num_envs, CONFIG.rollout_length, optimizer=optimizers.adam
    )
    rates = meta.ActorCriticHypers(
        learning_rate=HYPERS.learning_rate,
        gamma=HYPERS.gamma,
        gae_lambda=1.0,
        entropy_coefficient=HYPERS.entropy_coefficient,
        value_coefficient=HYPERS.value_coefficient,
    )
    agent = meta.actor_critic(env, config, None, rates)
    train, updates = make_train(agent, env), int(steps * NEW) // STEPS
    hypers = jax.tree.map(jnp.float32, rates)

    def one(key: Key) -> dict[str, Array]:
        def step(run: Any, update: Array) -> tuple[Any, Array]:
            now = Clock(update, np.int32(updates))
            run, row = train.update(key, hypers, env.params, run, now)
            return run, row["step_reward"]

        run = train.init(key, hypers, env.params)
        _, rewards = jax.lax.scan(step, run, jnp.arange(updates, dtype=jnp.int32))
        return {"score": thin(rewards) / best(True)}

    return each(one, seeds)


def each(one: Callable[[Key], dict[str, Array]], seeds: Sequence[int]) -> dict[str, np.ndarray]:
    """Compute something of every seed, some of them side by side."""
    keys = jax.vmap(jax.random.key)(np.asarray(seeds))
    run = jax.jit(lambda keys: jax.lax.map(one, keys, batch_size=min(CHUNK, len(seeds))))
    return jax.device_get(run(keys))


def arms(budget: Budget) -> dict[str, Computation]:
    """Make the arms: managers with options of each kind, and without."""
    how: dict[str, Callable[[float, Sequence[int]], Mapping[str, Any]]] = {
        MODAC: partial(with_options, discovered),
        RANDOM: partial(with_options, by_chance),
        DOORWAYS: partial(with_options, by_hand),
        ACTIONS: alone,
    }
    seeds, tasks, steps = budget.seed_numbers, budget.environments, budget.steps
    share = {MODAC: 1.0 + NEW}
    return {
        name: Computation(name, partial(compute, steps), seeds, tasks, share.get(name, NEW) * steps)
        for name, compute in how.items()
    }


def area(arm: Computed) -> np.ndarray:
    """Return the scores of an arm, averaged over the learning of new managers, f[S, 1]."""
    return np.asarray(arm.values["score"]).mean(axis=1, keepdims=True)


def gain(key: Key, one: Computed, other: Computed) -> Effect:
    """Estimate by how much the mean score of one arm exceeds that of another."""
    return stats.difference(key, area(one), area(other), stats.mean, paired=True)


def part(key: Key, one: Computed, other: Computed) -> Effect:
    """Estimate by how much the score of one arm exceeds seven tenths of another's."""
    return stats.difference(key, area(one), 0.7 * area(other), stats.mean, paired=True)


def late(name: str) -> Callable[[Key, Computed], Effect]:
    """Make the effect: the mean of a curve at the end of the discovery."""

    def effect(key: Key, arm: Computed) -> Effect:
        found = np.asarray(arm.values[name])[:, -LATE:].mean(axis=1, keepdims=True)
        return estimated(key, jnp.asarray(found))

    return effect


def apart(key: Key, arm: Computed) -> Effect:
    """Estimate how far apart options end: total variation between two of them, averaged."""
    ends = np.asarray(arm.values["ends"])
    chances = ends / np.maximum(ends.sum(axis=-1, keepdims=True), 1.0)
    pairs = zip(*np.triu_indices(ends.shape[1], 1), strict=True)
    gaps = [0.5 * np.abs(chances[:, i] - chances[:, j]).sum(axis=-1) for i, j in pairs]
    return estimated(key, jnp.asarray(np.mean(gaps, axis=0)[:, None]))


def figure(key: Key, curves: Mapping[str, Computed]) -> tuple[Panel, ...]:
    """Draw scores of new managers, the discovery, and where the options of a seed end."""
    found = curves[MODAC].values
    steps = curves[ACTIONS].cost.steps / POINTS * (1 + np.arange(POINTS))
    whole = steps / NEW
    mean = partial(stats.mean, axis=0)
    scores = [
        line(name, steps, stats.estimate(key, jnp.asarray(arm.values["score"]), mean))
        for name, arm in curves.items()
    ]
    named = {"score": "discovery", "steps in options": "share"}
    went = [
        line(name, whole, stats.estimate(key, jnp.asarray(found[at]), mean))
        for name, at in named.items()
    ]
    maps = [ending(i, ends) for i, ends in enumerate(np.asarray(found["ends"])[0])]
    return (
        Lines("New managers, unseen goals", "steps", "share of the best", tuple(scores)),
        Lines("Discovery", "steps", "share", tuple(went)),
        *maps,
    )


def ending(number: int, ends: np.ndarray) -> Heat:
    """Draw in which cells an option ended, as shares of its ends; walls are unknown."""
    size = len(ROOMS.strip().splitlines())
    board = np.full((size, size), np.nan)
    board[tuple(np.transpose(free_cells()))] = ends / max(ends.sum(), 1.0)
    return Heat(
        title=f"Where option {number} ends, first seed",
        x="column",
        unit="share",
        rows=tuple(f"row {i}" for i in range(size)),
        at=tuple(map(float, range(size))),
        values=tuple(tuple(map(float, row)) for row in board),
        high=max(float(np.nanmax(board)), 0.01),
    )


def sooner(statement: str, other: str) -> Claim:
    """Make the claim: new managers learn sooner with discovered options than another arm's."""
    return Claim(
        statement, (MODAC, other), gain, MORE, unit="share of the best", gates=("learns", "doors")
    )


STUDY = Study(
    __doc__,
    arms,
    (
        sooner("New managers learn unseen goals sooner with discovered options.", ACTIONS),
        sooner("They do so more than with options drawn by chance.", RANDOM),
        Claim(
            "Discovered options are worth 70 % of those made by hand or more.",
            (MODAC, DOORWAYS),
            part,
            MORE,
            smallest=0.0,
            unit="share of the best",
            gates=("learns", "doors"),
        ),
        Claim(
            "At the end of the discovery 30 % of the steps are in options or more.",
            (MODAC,),
            late("share"),
            MORE,
            smallest=0.0,
            against=0.3,
            unit="share of steps",
            gates=("learns",),
        ),
        Claim(
            "Options then last three steps or more.",
            (MODAC,),
            late("length"),
            MORE,
            smallest=0.0,
            against=3.0,
            unit="steps",
            gates=("learns",),
        ),
        Claim(
            "Options end in different places.",
            (MODAC,),
            apart,
            MORE,
            smallest=0.0,
            against=0.5,
            unit="total variation",
            gates=("learns",),
        ),
    ),
    figure,
    gates=(
        Gate(
            "learns",
            "The agent that discovers options learns its own goals.",
            (MODAC,),
            late("discovery"),
            MORE,
            0.3,
            "share of the best",
            "more steps, or other rates",
        ),
        Gate(
            "doors",
            "Options made by hand help a new manager.",
            (DOORWAYS, ACTIONS),
            gain,
            MORE,
            0.1,
            "share of the best",
            "fewer or more steps of new managers, or harder goals",
        ),
    ),
    quick=Budget((ROOM,), 3, 4e5),
    standard=Budget((ROOM,), 16, 1e7, first_seed=1000),
    full=Budget((ROOM,), 32, 3e7, first_seed=2000),
)
