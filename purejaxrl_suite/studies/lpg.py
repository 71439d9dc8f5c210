"""Can an update rule be learnt by which fresh agents learn, and does it need predictions?

Paper: Oh et al. 2020, Discovering reinforcement learning algorithms, arXiv 2007.08794.
Figure: learning curves of agents on the tasks on which the rule was learnt, and its ablation of
    predictions.
Claim: a rule that is learnt over many lifetimes teaches fresh agents as well as rules made by hand,
    on larger tasks, too; it does so by predictions whose meaning it has found itself.

A seed is a meta-seed: a rule is learnt with it, and then 64 fresh agents live by that rule, each in
a task of its own; all arms have the same tasks. A score is the return in the last quarter of these
lifetimes as a share of the best possible one; a chain pays 1 or -1. Grids draw walls, objects and
time limits. Chains are longer than rollouts, so nothing can be learnt without some kind of
bootstrapping. The actor-critic has the best of four rates for each family, chosen on other tasks.
Families, sizes and rates of the small budgets are our settings; `full` has the paper's sizes.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from purejaxrl_suite import envs, meta, stats
from purejaxrl_suite.core import tree
from purejaxrl_suite.core.types import Agent, Array, Environment, Key, PyTree
from purejaxrl_suite.envs.lifetime_grids import optimal_return
from purejaxrl_suite.meta import LPGConfig, LPGHypers, lifetime
from purejaxrl_suite.meta.lpg import system
from purejaxrl_suite.meta.lpg_rule import init_rule
from purejaxrl_suite.stats import Effect
from purejaxrl_suite.studies.computation import Computed
from purejaxrl_suite.studies.panels import Bars, Lines, Panel, line, row
from purejaxrl_suite.studies.protocol import MORE, Budget, Claim, Computation, Gate, Study
from purejaxrl_suite.sweeps.run import run

LIFETIMES = 64
"""Fresh agents of each rule, and of each family."""
LATE = 0.25
OTHERS = 2**31
"""Number of the key of the tasks on which rates are chosen."""
RULES = {"learned": None, "learned, a number": 1, "learned, no prediction": 0}
"""{arm: length of predictions}; None is that of the family."""
RANDOM, BY_HAND = "random rule", "actor-critic"
KINDS = "grids", "chains"


class Family(NamedTuple):
    """Tasks of a study. larger: held-out ones, on which nothing is learnt. updates: of a fresh
    agent. rates: of the actor-critic."""

    make: Callable[[], Environment]
    larger: Callable[[], Environment]
    config: LPGConfig
    hypers: LPGHypers
    updates: int
    rates: tuple[float, ...]


def _grids(**options: Any) -> Callable[[], Environment]:
    return partial(envs.make, "Meta-Grids", **options)


def _chains(**options: Any) -> Callable[[], Environment]:
    return partial(envs.make, "Meta-DelayedChain", **options)


SMALL = LPGConfig(
    lifetimes=16,
    num_envs=8,
    at_once=0,
    shortest=41,
    bins=8,
    units=16,
    rate_factors=(1.0,),
    prediction_factors=(1.0,),
    remat=False,
)
FEW = LPGHypers(meta_learning_rate=3e-3, gamma=0.95, max_gradient_norm=1.0)
FAMILIES = {
    "small grids": Family(
        _grids(sides=[3, 4], walls=2, objects=[1, 2], time_limits=[8, 20]),
        _grids(sides=[5, 5], walls=4, objects=[1, 2], time_limits=[12, 30]),
        SMALL._replace(rollout_length=8),
        FEW._replace(learning_rate=20.0, baseline_learning_rate=2.0),
        updates=60,
        rates=(2.0, 8.0, 32.0, 128.0),
    ),
    "small chains": Family(
        _chains(lengths=[4, 8]),
        _chains(lengths=[9, 12]),
        SMALL._replace(rollout_length=4),
        FEW._replace(learning_rate=10.0, baseline_learning_rate=1.0),
        updates=60,
        rates=(2.0, 8.0, 32.0, 128.0),
    ),
    "grids": Family(
        _grids(), _grids(sides=[11, 13]), LPGConfig(), LPGHypers(), 2344, (10.0, 40.0, 160.0, 640.0)
    ),
    "chains": Family(
        _chains(lengths=[21, 30]),
        _chains(lengths=[31, 50]),
        LPGConfig(),
        LPGHypers(),
        2344,
        (10.0, 40.0, 160.0, 640.0),
    ),
}
"""{name: family}."""


def kind_of(name: str) -> str:
    """Return what kind of tasks a family has."""
    return name.removeprefix("small ")


def learnt_rules(family: Family, bins: int, steps: float, seeds: Sequence[int]) -> PyTree:
    """Learn a rule with every seed; parameters [S, ...]."""
    env = family.make()
    learner = meta.lpg(env, family.config._replace(bins=bins), None, family.hypers)
    result = run(learner, env, seeds=seeds, steps=steps, progress=False)
    return tree.stack([result.policy(seed=seed).state.learner.params for seed in seeds])


class Lived(NamedTuple):
    """What fresh agents of S rules have got. score: f[S]. curve: f[S, updates], reward per step."""

    score: Array
    curve: Array


def lived(
    agent: Agent, env: Environment, updates: int, hypers: PyTree, seeds: Sequence[int]
) -> Lived:
    """Let fresh agents live in tasks that depend on the seed alone; hypers [S, ...]."""
    how = meta.living(agent, env, shortest=updates + 1)

    def one(given: tuple[Array, PyTree]) -> tuple[Array, Array]:
        seed, hypers = given
        key = jax.random.key(seed)
        rows = meta.live(agent, env, key, lifetimes=LIFETIMES, updates=updates, hypers=hypers)
        late = updates - max(1, round(LATE * updates))
        episodes = rows["episodes"][:, late:]
        returns = jnp.where(episodes > 0, rows["episode_return"][:, late:] * episodes, 0.0)
        found = jnp.sum(returns, axis=1) / jnp.maximum(jnp.sum(episodes, axis=1), 1.0)
        draw = partial(lifetime.task_of, how, env.params)
        places = jax.random.split(key, LIFETIMES)
        best = _best(env, jax.vmap(draw, (0, None))(places, jnp.int32(0)))
        return jnp.sum(found) / jnp.sum(best), jnp.mean(rows["step_reward"], axis=0)

    numbers = jnp.asarray(np.asarray(seeds, np.uint32))
    return Lived(*jax.jit(partial(jax.lax.map, one))((numbers, hypers)))


def _best(env: Environment, tasks: PyTree) -> Array:
    """Compute the best returns of tasks [E], f[E]."""
    if env.name == "Meta-DelayedChain":
        return jnp.ones(LIFETIMES)
    assert env.time_limit is not None
    return jax.vmap(partial(optimal_return, time_limit=env.time_limit))(tasks)


def compute(
    arm: str, tasks: tuple[str, ...], steps: float, seeds: Sequence[int]
) -> dict[str, np.ndarray]:
    """Learn the rules of an arm, and let fresh agents live by them."""
    found: dict[str, np.ndarray] = {}
    for name in tasks:
        family, kind = FAMILIES[name], kind_of(name)
        agents = taught(arm, family, steps, seeds)
        for place, make in (("", family.make), ("larger ", family.larger)):
            got = agents(make(), seeds)
            found[place + kind] = np.asarray(got.score)
            found[f"{place}{kind} curve"] = np.asarray(got.curve)
    return found


Agents = Callable[[Environment, Sequence[int]], Lived]
"""(env, seeds) -> what fresh agents of an arm have got there."""


def taught(arm: str, family: Family, steps: float, seeds: Sequence[int]) -> Agents:
    """Prepare the agents of an arm: learn or draw its rules, or choose its rate."""
    if arm == BY_HAND:
        return partial(_by_hand, family, chosen_rate(family))
    bins = RULES.get(arm)
    bins = family.config.bins if bins is None else bins
    config = family.config._replace(bins=bins, rate_factors=(1.0,), prediction_factors=(1.0,))
    if arm == RANDOM:
        numbers = jnp.asarray(np.asarray(seeds, np.uint32))
        draw = partial(init_rule, bins=bins, units=config.units)
        rules = jax.vmap(lambda seed: draw(jax.random.key(seed)))(numbers)
    else:
        rules = learnt_rules(family, bins, steps, seeds)

    def agents(env: Environment, seeds: Sequence[int]) -> Lived:
        made = system(env, config, None, family.hypers)
        hypers = jax.vmap(lambda rule: made.inner(rule, family.hypers))(rules)
        return lived(made.agent, env, family.updates, hypers, seeds)

    return agents


def _by_hand(family: Family, rate: float, env: Environment, seeds: Sequence[int]) -> Lived:
    sizes = family.config.num_envs, family.config.rollout_length
    given = meta.ActorCriticHypers(rate, family.hypers.gamma, value_coefficient=0.5)
    agent = meta.actor_critic(env, meta.ActorCriticConfig(*sizes), None, given)
    hypers = jax.tree.map(lambda x: jnp.full(len(seeds), x, jnp.float32), agent.hypers)
    return lived(agent, env, family.updates, hypers, seeds)


def chosen_rate(family: Family) -> float:
    """Choose the rate of the actor-critic with the best score on other tasks of the family."""
    scores = [_by_hand(family, rate, family.make(), [OTHERS]).score[0] for rate in family.rates]
    return family.rates[int(np.argmax(np.asarray(scores)))]


def arms(budget: Budget) -> dict[str, Computation]:
    """Make the arms: rules with and without predictions, random ones, and the actor-critic."""
    tasks, seeds = budget.environments, budget.seed_numbers
    return {
        name: Computation(name, partial(compute, name, tasks, budget.steps), seeds, tasks,
                          budget.steps if name in RULES else 1.0)
        for name in (*RULES, RANDOM, BY_HAND)
    }  # fmt: skip


def gain(what: str) -> Callable[[Key, Computed, Computed], Effect]:
    """Make the effect: by how much one arm's scores are above another's, rule by rule."""

    def effect(key: Key, one: Computed, other: Computed) -> Effect:
        scores = one.values[what], other.values[what]
        return stats.difference(key, *scores, stats.mean, paired=True)

    return effect


def figure(key: Key, curves: Mapping[str, Computed]) -> tuple[Panel, ...]:
    """Draw the learning curves of fresh agents, and their scores on both sizes of tasks."""
    panels = []
    for kind in KINDS:
        lines = []
        for name, arm in curves.items():
            values = arm.values[f"{kind} curve"]
            x = np.unique(np.linspace(0, values.shape[1] - 1, 30).round().astype(int))
            found = stats.sample_efficiency(key, values[:, x], stats.mean)
            lines.append(line(name, x + 1, found))
        panels.append(Lines(f"{kind}: fresh agents", "updates", "reward per step", tuple(lines)))
    places = [place + kind for kind in KINDS for place in ("", "larger ")]
    rows = tuple(
        tuple(row(place, stats.estimate(key, arm.values[place], stats.mean)) for place in places)
        for arm in curves.values()
    )
    return (*panels, Bars("Scores", "share of the best return", tuple(places), (*curves,), rows))


def _better(statement: str, what: str, other: str, **changes: Any) -> Claim:
    known = {"smallest": 0.05, "unit": "share of the best return", "counted": "meta-seeds"}
    return Claim(statement, ("learned", other), gain(what), MORE, **known | changes)


def _claims(kind: str) -> tuple[Claim, ...]:
    learnable, learnt = f"{kind}: learnable", f"{kind}: learnt"
    return (
        _better(
            f"On {kind} fresh agents get more by the learned rule than by random ones.",
            kind,
            RANDOM,
            gates=(learnable,),
        ),
        _better(
            f"So they do on larger {kind}, on which nothing was learnt.",
            f"larger {kind}",
            RANDOM,
            gates=(learnable,),
        ),
        _better(
            f"On {kind} they get less by rules that were learnt without predictions.",
            kind,
            "learned, no prediction",
            gates=(learnable, learnt),
        ),
        _better(
            f"On {kind} they get less by rules whose prediction is a number.",
            kind,
            "learned, a number",
            gates=(learnable, learnt),
        ),
        _better(
            f"On {kind} they get at most 0.05 less than an actor-critic whose rate was chosen.",
            kind,
            BY_HAND,
            against=-0.05,
            gates=(learnable, learnt),
        ),
    )


def _gates(kind: str) -> tuple[Gate, ...]:
    unit, bound = "share of the best return", 0.1
    return (
        Gate(
            f"{kind}: learnable",
            f"An actor-critic gets more on {kind} than agents with random rules.",
            over=(BY_HAND, RANDOM),
            measure=gain(kind),
            direction=MORE,
            bound=bound,
            unit=unit,
            remedy="longer lifetimes",
        ),
        Gate(
            f"{kind}: learnt",
            f"So do agents with the learned rule on {kind}.",
            over=("learned", RANDOM),
            measure=gain(kind),
            direction=MORE,
            bound=bound,
            unit=unit,
            remedy="more meta-training",
        ),
    )


STUDY = Study(
    __doc__,
    arms,
    (*_claims("grids"), *_claims("chains")),
    figure,
    gates=(*_gates("grids"), *_gates("chains")),
    quick=Budget(("small grids", "small chains"), 2, 1e5),
    standard=Budget(("small grids", "small chains"), 8, 2e6, first_seed=1000),
    full=Budget(("grids", "chains"), 16, 1.6e10, first_seed=10_000),
)
