"""Lifetimes: agents that are born, learn and die inside of a program that is differentiated.

A lifetime is one agent in one task, both drawn anew where it begins. It advances by windows of K
updates, each a rollout and the agent's own update (`Train.update`), and ends with a rollout of the
agent that has learnt so far: what the meta-parameters are judged by. The window as a whole is a
function of the agent's hyper-parameters, in which meta-parameters are, and is differentiated by the
meta-learner.

Experience is data: no derivative goes through environments, actions or recorded probabilities. The
last rollout of a window is drawn with the keys and from the states with which the next window
begins, so it is the very rollout that the agent learns from next: no experience is wasted, none is
kept.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.ad_checkpoint import checkpoint_name

from purejaxrl_suite.core import tree
from purejaxrl_suite.core.argument import integer, wrong
from purejaxrl_suite.core.types import (
    Agent,
    Array,
    Clock,
    Environment,
    Key,
    PyTree,
    Run,
    Transition,
)
from purejaxrl_suite.engine.keys import UpdateKeys, member_keys, update_keys
from purejaxrl_suite.engine.source import Collected, Source, online
from purejaxrl_suite.engine.train import Train, make_train

ENDLESS = 2**31 - 1
"""Rollouts of a lifetime that never ends."""
EXPERIENCE = "experience"
"""Name of what a window keeps for its derivative; all else is computed again."""


class Lifetime(NamedTuple):
    """One lifetime, or a batch of them with leading axes.

    key: of the place in which lifetimes follow each other. number: i32[], of those before it there.
    task: parameters of its environment. length: i32[], rollouts until its end; the agent learns
    from all but the last. age: i32[], updates so far. run: of its agent.
    """

    key: Key
    number: Array
    task: PyTree
    length: Array
    age: Array
    run: Run

    @property
    def over(self) -> Array:
        """Tell whether nothing is left to learn from, bool[...]."""
        return self.age >= self.length - 1

    @property
    def clock(self) -> Clock:
        """Return how far it is."""
        return Clock(self.age, self.length)


class Living(NamedTuple):
    """How agents live, as functions of one lifetime; made by `living`.

    train: one update of the agent. source: of its experience, which carries no derivative.
    replayed: one update from experience that is given as data. sample_task: (key, parameters of the
    environment) -> those of a task. shortest, longest: of lifetimes, in rollouts.
    """

    agent: Agent
    train: Train
    source: Source
    replayed: Train
    sample_task: Callable[[Key, PyTree], PyTree]
    shortest: int
    longest: int


class Window(NamedTuple):
    """What a lifetime has lived in a window: what meta-parameters are judged by.

    lifetime: after the K updates. rows: {name: f[K]}, metrics of the updates. alive: bool[K], which
    took place. transition: Transition [T, N], of the agent that has learnt. seen: its observations
    [N, ...] after the last step, where the next rollout would begin.
    """

    lifetime: Lifetime
    rows: dict[str, Array]
    alive: Array
    transition: Transition
    seen: Array


class _Recorded(NamedTuple):
    transition: Transition
    row: dict[str, Array]


def living(
    agent: Agent,
    env: Environment,
    *,
    shortest: int = ENDLESS,
    longest: int | None = None,
    reset_pool: int = 1,
) -> Living:
    """Make the functions of lifetimes of an agent in an environment.

    Args:
        agent: any agent that acts and whose update can be differentiated.
        env: its task, or a distribution of tasks (`Environment.sample_task`).
        shortest: rollouts of the shortest lifetime, at least 2.
        longest: of the longest, each length between is as likely; None is the shortest.
        reset_pool: start states per environment and rollout; 0 resets exactly.

    Returns:
        The functions.

    Raises:
        ValueError: agent and environment do not fit, or a number is out of range.
    """
    integer("shortest", shortest, 2, ENDLESS)
    longest = shortest if longest is None else integer("longest", longest, shortest, ENDLESS)
    if agent.online is not None:
        raise wrong("agent", "one that acts in environments itself", agent.name)
    source = _as_data(online(agent, env, reset_pool=reset_pool))
    return Living(
        agent=agent,
        train=make_train(agent, source),
        source=source,
        replayed=make_train(agent, source._replace(collect=_given)),
        sample_task=env.sample_task or (lambda key, params: params),
        shortest=shortest,
        longest=longest,
    )


def _as_data(source: Source) -> Source:
    """Stop derivatives at the experience of a source; a window keeps it for its derivative."""

    def collect(
        keys: UpdateKeys, hypers: Any, data: PyTree, state: Any, carry: Run, clock: Clock
    ) -> Collected:
        still = jax.lax.stop_gradient((hypers, data, state, carry))
        carry, transition, row = source.collect(keys, *still, clock)
        return carry, checkpoint_name(transition, EXPERIENCE), row

    return source._replace(collect=collect)


def _given(
    keys: UpdateKeys, hypers: Any, data: _Recorded, state: Any, carry: Run, clock: Clock
) -> Collected:
    return carry, data.transition, data.row


def begin(how: Living, hypers: Any, params: PyTree, key: Key, number: Array) -> Lifetime:
    """Begin a lifetime: draw its task and length, its agent, and its first episodes.

    Args:
        how: agents live.
        hypers: of the agent.
        params: of the environment, from which its task is drawn.
        key: of the place, the same for all lifetimes there.
        number: i32[], of lifetimes before it.

    Returns:
        The lifetime, of age 0.
    """
    of_length = jax.random.split(jax.random.fold_in(key, number), 3)[1]
    task = task_of(how, params, key, number)
    length = jnp.int32(how.shortest)
    if how.longest > how.shortest:
        length = jax.random.randint(of_length, (), how.shortest, how.longest + 1, jnp.int32)
    run = how.train.init(life_key(key, number), hypers, task)
    lifetime = Lifetime(key, number, task=task, length=length, age=jnp.int32(0), run=run)
    return tree.strong(lifetime)


def task_of(how: Living, params: PyTree, key: Key, number: Array) -> PyTree:
    """Draw the task of a lifetime, as `begin` does.

    Args:
        how: agents live.
        params: of the environment.
        key: of the place.
        number: i32[], of lifetimes before it.

    Returns:
        Parameters of the task.
    """
    return how.sample_task(jax.random.split(jax.random.fold_in(key, number), 3)[0], params)


def life_key(key: Key, number: Array) -> Key:
    """Make the key of all that an agent does in a lifetime; see `Lifetime`."""
    return jax.random.split(jax.random.fold_in(key, number), 3)[2]


def renew(how: Living, hypers: Any, params: PyTree, lifetimes: Lifetime) -> Lifetime:
    """Begin the next lifetime [L] where one is over: new task, agent, optimizer and episodes."""
    make = jax.vmap(partial(begin, how), (None, None, 0, 0))
    fresh = make(hypers, params, lifetimes.key, lifetimes.number + 1)
    return tree.where(lifetimes.over, fresh, lifetimes)


def advance(
    how: Living,
    hypers: Any,
    lifetime: Lifetime,
    updates: int,
    *,
    remat: bool = True,
    collect_first: bool = False,
) -> Window:
    """Let one lifetime live K updates, and roll out once more; differentiable in `hypers`.

    Args:
        how: agents live.
        hypers: of the agent.
        lifetime: where it goes on; nothing of it changes after its end.
        updates: K.
        remat: keep states and experience alone for the derivative and compute the rest again.
        collect_first: act in all K + 1 rollouts with the agent as it is before the first update.

    Returns:
        The window.
    """
    if collect_first:
        return _collected_first(how, hypers, lifetime, updates, remat=remat)
    train = how.train

    def learn(lifetime: Lifetime, _: None) -> tuple[Run, dict[str, Array]]:
        key = life_key(lifetime.key, lifetime.number)
        return train.update(key, hypers, lifetime.task, lifetime.run, lifetime.clock)

    lifetime, (rows, alive) = _live(learn, lifetime, None, updates, remat=remat)
    key = life_key(lifetime.key, lifetime.number)
    keys = update_keys(member_keys(key), lifetime.clock)
    carry, clock = lifetime.run._replace(agent=(), intervention=()), lifetime.clock
    known = hypers, lifetime.task, lifetime.run.agent
    carry, transition, _ = how.source.collect(keys, *known, carry, clock)
    return Window(lifetime, rows, alive, transition=transition, seen=carry.obs)


Learn = Callable[[Lifetime, Any], tuple[Run, dict[str, Array]]]


def _live(
    learn: Learn, lifetime: Lifetime, given: Any, updates: int, *, remat: bool
) -> tuple[Lifetime, tuple[dict[str, Array], Array]]:
    """Scan K updates; those after the end of the lifetime change nothing."""

    def one(lifetime: Lifetime, given: Any) -> tuple[Lifetime, Any]:
        run, row = learn(lifetime, given)
        alive = ~lifetime.over
        run = tree.where(alive, run, lifetime.run)
        return lifetime._replace(run=run, age=lifetime.age + alive), (row, alive)

    if remat:
        kept = jax.checkpoint_policies.save_only_these_names(EXPERIENCE)
        one = jax.checkpoint(one, policy=kept, prevent_cse=False)
    return jax.lax.scan(one, lifetime, given, length=updates)


def _collected_first(
    how: Living, hypers: Any, lifetime: Lifetime, updates: int, *, remat: bool
) -> Window:
    """Collect all rollouts of a window with one policy, then learn from all but the last."""
    key, agent = life_key(lifetime.key, lifetime.number), lifetime.run.agent

    def act(carry: tuple[Run, Array], _: None) -> Any:
        run, age = carry
        alive = age <= lifetime.length - 1
        clock = Clock(age, lifetime.length)
        keys = update_keys(member_keys(key), clock)
        after, transition, row = how.source.collect(keys, hypers, lifetime.task, agent, run, clock)
        return (tree.where(alive, after, run), age + alive), (after, transition, row)

    bare = lifetime.run._replace(agent=(), intervention=())
    start = bare, lifetime.age
    _, (runs, transitions, found) = jax.lax.scan(act, start, None, length=updates + 1)
    given = tree.index((runs, transitions, found), slice(None, -1))

    def learn(lifetime: Lifetime, given: Any) -> tuple[Run, dict[str, Array]]:
        after, transition, row = given
        run, known = lifetime.run, _Recorded(transition, row)
        run, row = how.replayed.update(key, hypers, known, run, lifetime.clock)
        return after._replace(agent=run.agent, intervention=run.intervention), row

    lifetime, (rows, alive) = _live(learn, lifetime, given, updates, remat=remat)
    judged = jnp.sum(alive)  # the rollout after the last update
    transition, last = tree.index((transitions, runs), judged)
    return Window(lifetime, rows, alive, transition=transition, seen=last.obs)


def live(
    agent: Agent,
    env: Environment,
    key: Key,
    *,
    lifetimes: int,
    updates: int,
    hypers: Any = None,
    params: PyTree = None,
    at_once: int | None = None,
) -> dict[str, Array]:
    """Let fresh agents live in fresh tasks, without any derivative: what a learned rule is worth.

    Lifetime i draws the same task and the same first parameters for every agent that has the same
    network, so agents are compared in pairs.

    Args:
        agent: that lives, such as one with a learned reward.
        env: its task, or a distribution of tasks.
        key: of all lifetimes.
        lifetimes: L.
        updates: of each.
        hypers: of the agent; None for its own.
        params: of the environment; None for its own.
        at_once: lifetimes side by side; None is all of them.

    Returns:
        {name: f32[L, updates]}, the rows of all updates.

    Raises:
        ValueError: a number is out of range, or agent and environment do not fit.
    """
    integer("lifetimes", lifetimes, 1)
    integer("updates", updates, 1, ENDLESS - 1)
    at_once = lifetimes if at_once is None else integer("at_once", at_once, 1)
    how = living(agent, env, shortest=updates + 1)
    hypers = jax.tree.map(jnp.asarray, agent.hypers if hypers is None else hypers)
    params = env.params if params is None else params

    def one(key: Key) -> dict[str, Array]:
        lifetime = begin(how, hypers, params, key, jnp.int32(0))

        def step(run: Run, update: Array) -> tuple[Run, dict[str, Array]]:
            clock = Clock(update, np.int32(updates))
            known = hypers, lifetime.task
            return how.train.update(life_key(key, lifetime.number), *known, run, clock)

        return jax.lax.scan(step, lifetime.run, jnp.arange(updates, dtype=jnp.int32))[1]

    places = jax.random.split(key, lifetimes)
    return jax.jit(lambda keys: jax.lax.map(one, keys, batch_size=min(at_once, lifetimes)))(places)
