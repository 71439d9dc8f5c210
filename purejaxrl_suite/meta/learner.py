"""Meta-learners: agents whose experience is lifetimes of other agents.

In each update every lifetime advances by a window (`meta.lifetime`), and the meta-parameters take
one step along the mean gradient of what all windows say of them. A meta-learner is an `Agent` like
any other, with a source of its own: `run`, `sweep`, `plan`, checkpoints, resuming and reports take
it unchanged. Its steps are environment steps of all lifetimes that agents learn from; the rollout
that judges a window is drawn again as the first of the next, and counts once.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from purejaxrl_suite.core import tree
from purejaxrl_suite.core.types import (
    Agent,
    Array,
    Clock,
    Environment,
    Estimates,
    Key,
    Learner,
    Memory,
    PyTree,
    Run,
)
from purejaxrl_suite.core.validate import divides
from purejaxrl_suite.engine.keys import MemberKeys, UpdateKeys
from purejaxrl_suite.engine.rows import Kinds
from purejaxrl_suite.engine.source import Source, run_of
from purejaxrl_suite.meta import lifetime
from purejaxrl_suite.meta.lifetime import Lifetime, Living, Window
from purejaxrl_suite.ops import descent
from purejaxrl_suite.ops.differentiable import norm

Objective = Callable[[PyTree, Any, Window], tuple[Array, dict[str, Array]]]
"""(meta-parameters, hypers, window of one lifetime) -> (loss f[], metrics {name: f[]})."""


class Practice(NamedTuple):
    """How lifetimes that begin are told what became of earlier ones.

    start: what is known before any. inform: (hypers, hypers of the agent, what is known) -> hypers
    of the agent with which lifetimes begin. learn: (what is known, lifetimes [L] after a window,
    metrics {name: f[L, K]} of its updates, bool[L, K] which took place) -> what is known.
    """

    start: PyTree
    inform: Callable[[Any, Any, PyTree], Any]
    learn: Callable[[PyTree, Lifetime, dict[str, Array], Array], PyTree]


class System(NamedTuple):
    """What is learnt about learning.

    name: of the meta-learner. agent: that lives; meta-parameters reach it in its hypers. init:
    (key, hypers) -> meta-parameters. inner: (meta-parameters, hypers) -> hypers of the agent.
    objective: what a window says of the meta-parameters, to be minimised. optimizer: hypers -> the
    optimizer of the meta-parameters, which nothing is differentiated through. practice: how
    lifetimes begin; None where all do alike.
    """

    name: str
    agent: Agent
    init: Callable[[Key, Any], PyTree]
    inner: Callable[[PyTree, Any], Any]
    objective: Objective
    optimizer: Callable[[Any], optax.GradientTransformation]
    practice: Practice | None = None


class Lives(NamedTuple):
    """How many lifetimes there are, and how they are differentiated.

    lifetimes: side by side (L). updates: of a window (K). at_once: lifetimes whose derivatives are
    in memory together; 0 is all of them, else a divisor of L. shortest, longest: of lifetimes, in
    rollouts; 0 is endless, and the same as the shortest. remat, collect_first: as in
    `lifetime.advance`.
    """

    lifetimes: int
    updates: int
    at_once: int = 0
    shortest: int = 0
    longest: int = 0
    remat: bool = True
    collect_first: bool = False


class MetaState(NamedTuple):
    """State of a meta-learner.

    agent: of the agent that lives in the first place, to act with. known: of earlier lifetimes
    (`Practice`); () without.
    """

    learner: Learner
    agent: Any
    known: PyTree = ()


class Lived(NamedTuple):
    """Experience of a meta-learner.

    gradient: the mean of all windows. agent: to act with. known: as in `MetaState`.
    """

    gradient: PyTree
    agent: Any
    known: PyTree = ()


def lives_of(config: Any) -> Lives:
    """Read `Lives` from the fields of a Config that has them all."""
    return Lives(**{name: getattr(config, name) for name in Lives._fields})


def meta_learner(
    env: Environment, system: System, lives: Lives, *, hypers: Any, config: Any = ()
) -> Agent:
    """Make the meta-learner of a system.

    Args:
        env: the task, or the distribution of tasks.
        system: what is learnt.
        lives: how many lifetimes there are.
        hypers: its Hypers.
        config: its Config, to be recorded.

    Returns:
        The agent. It acts as the agent in its first place.

    Raises:
        ValueError: `at_once` does not divide the lifetimes, or a length is out of range.
    """
    agent, at_once = system.agent, lives.at_once or lives.lifetimes
    divides("at_once", at_once, lives.lifetimes, "lifetimes")
    shortest = lives.shortest or lifetime.ENDLESS
    span = {"shortest": shortest, "longest": lives.longest or shortest}
    lifetime.living(agent, env, **span)  # whatever is wrong with it is said here

    def init(key: Key, hypers: Any) -> MetaState:
        of_rule, of_agent = jax.random.split(key)
        params = system.init(of_rule, hypers)
        learner = Learner(params, system.optimizer(hypers).init(params))
        first = agent.init(of_agent, system.inner(params, hypers))
        known = () if system.practice is None else system.practice.start
        return MetaState(learner, first, jax.tree.map(jnp.asarray, known))

    def inner(hypers: Any, state: MetaState) -> Any:
        return system.inner(state.learner.params, hypers)

    def act(noise: Any, hypers: Any, state: MetaState, memory: Memory, obs: Array, explore: bool):
        return agent.act(noise, inner(hypers, state), state.agent, memory, obs, explore)

    def update(key: Key, hypers: Any, state: MetaState, lived: Any) -> Any:
        learner = descent.move(system.optimizer(hypers), state.learner, lived.gradient)
        metrics = {"meta_gradient_norm": norm(lived.gradient)}
        return MetaState(learner, lived.agent, lived.known), metrics

    def probe(key: Key, hypers: Any, state: MetaState, lived: Any) -> Any:
        raise ValueError(
            f"agent: expected one with a loss of its own to look at, got {system.name}"
        )

    def estimate(
        hypers: Any, state: MetaState, memory: Memory, obs: Array, action: Any = None
    ) -> Estimates:
        assert agent.estimate is not None
        return agent.estimate(inner(hypers, state), state.agent, memory, obs, action)

    def source(made: Agent, env: Environment, reset_pool: int) -> Source:
        how = lifetime.living(agent, env, reset_pool=reset_pool, **span)
        return _lifetimes(system, how, lives._replace(at_once=at_once), env, hypers)

    return Agent(
        name=system.name,
        observation=env.observation,
        action=env.action,
        hypers=hypers,
        num_envs=lives.lifetimes * agent.num_envs,
        rollout_length=lives.updates * agent.rollout_length,
        init=init,
        act=act,
        update=update,
        probe=probe,
        noise=agent.noise,
        memory=agent.memory,
        config=config,
        estimate=None if agent.estimate is None else estimate,
        gradient_steps=1,
        online=source,
    )


def _lifetimes(
    system: System, how: Living, lives: Lives, env: Environment, defaults: Any
) -> Source:
    """Make the source of a meta-learner: windows of L lifetimes and their mean gradient."""

    def init(keys: MemberKeys, params: PyTree, state: MetaState) -> Run:
        """Make lifetimes that are over: the first update, which knows the hypers, begins all."""
        places = jax.random.split(keys.environments, lives.lifetimes)
        known = system.inner(state.learner.params, jax.tree.map(jnp.asarray, defaults))
        start = jax.vmap(partial(lifetime.begin, how), (None, None, 0, None))
        nobody = start(known, params, places, jnp.int32(-1))
        return run_of(state, nobody._replace(age=nobody.length - 1))

    def judge(rule: PyTree, hypers: Any, lifetimes: Lifetime) -> tuple[Array, Any]:
        """Return the mean loss of some lifetimes, and what they have lived."""

        def one(life: Lifetime) -> tuple[Array, Any]:
            agents = system.inner(rule, hypers)
            options = {"remat": lives.remat, "collect_first": lives.collect_first}
            window = lifetime.advance(how, agents, life, lives.updates, **options)
            loss, metrics = system.objective(rule, hypers, window)
            return loss, (window.lifetime, window.rows, window.alive, metrics)

        losses, lived = jax.vmap(one)(lifetimes)
        return jnp.mean(losses), (losses, lived)

    def collect(
        keys: UpdateKeys, hypers: Any, params: PyTree, state: MetaState, carry: Run, clock: Clock
    ) -> Any:
        rule, practice = state.learner.params, system.practice
        agents = system.inner(rule, hypers)
        agents = agents if practice is None else practice.inform(hypers, agents, state.known)
        lifetimes = lifetime.renew(how, agents, params, carry.env)
        by_part = jax.tree.map(lambda x: _split(x, lives.at_once), lifetimes)
        parts = lives.lifetimes // lives.at_once

        def part(total: PyTree, lifetimes: Lifetime) -> tuple[PyTree, Any]:
            found, gradient = jax.value_and_grad(judge, has_aux=True)(rule, hypers, lifetimes)
            return jax.tree.map(jnp.add, total, gradient), found[1]

        zeros = jax.tree.map(jnp.zeros_like, rule)
        total, (losses, lived) = jax.lax.scan(part, zeros, by_part)
        gradient = jax.tree.map(lambda x: x / parts, total)
        lifetimes, rows, alive, metrics = tree.merge(lived)
        row = over_lifetimes(how.source.kinds(), rows, alive)
        row |= {name: jnp.mean(x) for name, x in metrics.items()}
        row |= {"meta_loss": jnp.mean(losses)}
        known = () if practice is None else practice.learn(state.known, lifetimes, rows, alive)
        return run_of((), lifetimes), Lived(gradient, _first(lifetimes), known), row

    return Source(
        name=f"lifetimes({env.name})",
        env=env,
        init=init,
        collect=collect,
        kinds=how.source.kinds,
        acts=True,
        observes=False,
    )


def _first(lifetimes: Lifetime) -> Any:
    return tree.index(lifetimes.run.agent, 0)


def _split(x: Array, size: int) -> Array:
    return jnp.reshape(x, (-1, size, *x.shape[1:]))


def over_lifetimes(kinds: Kinds, rows: dict[str, Array], alive: Array) -> dict[str, Array]:
    """Compute one row of the rows of all lifetimes.

    Args:
        kinds: of the metrics, as rows of several updates are made by `engine.rows`.
        rows: {name: f[L, K]}.
        alive: bool[L, K], which updates took place.

    Returns:
        {name: f[]}; means are NaN where no update has any.
    """
    found = {}
    for name, x in rows.items():
        if name in kinds.last:
            last = jnp.maximum(jnp.sum(alive, axis=1) - 1, 0)
            found[name] = jnp.mean(x[jnp.arange(len(x)), last])
            continue
        known = alive & ~jnp.isnan(x)
        weight = jnp.where(known, rows[kinds.counts[name]], 0.0) if name in kinds.counts else known
        total = jnp.sum(jnp.where(known, x * weight, 0.0))
        found[name] = total if kinds.is_total(name) else total / jnp.sum(weight)
    return found
