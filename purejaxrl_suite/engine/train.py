"""The one training loop: a pure function of one member, to be vmapped, segmented and resumed."""

import inspect
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from purejaxrl_suite.core import tree, validate
from purejaxrl_suite.core.argument import integer
from purejaxrl_suite.core.inspection import inspect_agent
from purejaxrl_suite.core.interventions import joined, observed
from purejaxrl_suite.core.types import (
    Agent,
    Array,
    Clock,
    Environment,
    Intervention,
    Key,
    Metric,
    PyTree,
    Run,
)
from purejaxrl_suite.engine import rows
from purejaxrl_suite.engine.evaluate import Evaluating, make_evaluating
from purejaxrl_suite.engine.keys import UpdateKeys, member_keys, update_keys
from purejaxrl_suite.engine.rows import Kinds
from purejaxrl_suite.engine.source import Source, online

History = dict[str, Array]


class Train(NamedTuple):
    """The training of one member, as pure functions of it: whoever made it, the engine runs it.

    An agent in an environment is one (`make_train`), whose `data` are environment parameters;
    `training` makes one of any two functions, with or without an environment.

    init: (key, hypers, data) -> Run, or another state.
    update: (key, hypers, data, run, clock) -> (run, row {name: f32[]}). One step, which anyone may
        scan and differentiate; the key is the member's own at every update, the clock tells them
        apart.
    train: (key, hypers, data, run, clock) -> (run, history). Advances by `updates_per_call`
        updates, or by what is left of `clock.updates`; history is {name: f32[R]}, a row for each
        `updates_per_row` of them (`engine.rows`), of the last of training for fewer; NaN in rows
        that were not run. Under vmap the clock stays unbatched. How many updates there are is found
        out while it runs, so it has no reverse derivative: scan `update` for that.
    updates_per_call, updates_per_row: of `train`.
    params: run -> what is learnt; a member in which that is not finite has diverged.
    kinds: tells what rows tell; asked where a row is over several updates.
    """

    init: Callable[[Key, Any, PyTree], Run]
    update: Callable[[Key, Any, PyTree, Run, Clock], tuple[Run, History]]
    train: Callable[[Key, Any, PyTree, Run, Clock], tuple[Run, History]]
    updates_per_call: int
    params: Callable[[Run], PyTree]
    kinds: Callable[[], Kinds] = Kinds
    updates_per_row: int = 1

    def __reduce__(self) -> Any:
        """Pickled, for another process, as the functions that are traced."""
        traced = map(_untraced, (self.init, self.update))
        return training, (*traced, *self[3:])


def _untraced(function: Any) -> Any:
    return inspect.unwrap(function, stop=lambda one: not isinstance(one, jax.stages.Wrapped))


def learnt(run: Run) -> PyTree:
    """The parameters of an agent."""
    return run.agent.learner.params


def training(
    init: Callable[..., Run],
    update: Callable[..., tuple[Run, History]],
    updates_per_call: int = 1,
    params: Callable[[Run], PyTree] = learnt,
    kinds: Callable[[], Kinds] = Kinds,
    updates_per_row: int = 1,
) -> Train:
    """The `Train` of two functions; JAX traces each once for all who call it while tracing.

    The arguments are the fields of `Train`. Raises ValueError for fewer than one update per call or
    row, and for calls of no whole rows.
    """
    once = jax.jit(init, inline=True), jax.jit(update, inline=True)
    return _repeated(*once, updates_per_call, params, kinds, updates_per_row)


def repeat(train: Train, updates_per_call: int, updates_per_row: int = 1) -> Train:
    """The same training, by so many updates at a time, with a row for so many of them."""
    known = train.init, train.update, updates_per_call, train.params, train.kinds
    return _repeated(*known, updates_per_row)


def _repeated(
    init: Callable[..., Run],
    update: Callable[..., tuple[Run, History]],
    updates_per_call: int,
    params: Callable[[Run], PyTree],
    kinds: Callable[[], Kinds],
    updates_per_row: int,
) -> Train:
    integer("updates_per_row", updates_per_row, 1)
    integer("updates_per_call", updates_per_call, 1)
    validate.divides("updates_per_row", updates_per_row, updates_per_call, "updates of a call")
    each = updates_per_row

    def train(key: Key, hypers: Any, data: PyTree, run: Run, clock: Clock) -> tuple[Run, History]:
        names = jax.eval_shape(update, key, hypers, data, run, clock)[1]
        history = {name: jnp.full(updates_per_call // each, jnp.nan) for name in names}
        left = jnp.minimum(updates_per_call, clock.updates - clock.update)

        def one(i: Array, run: Run) -> tuple[Run, History]:
            now = clock._replace(update=clock.update + i)
            return update(key, hypers, data, run, now)

        def block(i: Array, run: Run) -> tuple[Run, History]:
            span = i * each, jnp.minimum((i + 1) * each, left)
            run, sums = _summed(one, kinds(), span, run, rows.empty(names))
            return run, rows.whole(kinds(), sums, tree.all_finite(params(run)))

        def body(i: Array, carry: tuple[Run, History]) -> tuple[Run, History]:
            run, history = carry
            run, row = one(i, run) if each == 1 else block(i, run)
            return run, {name: history[name].at[i].set(row[name]) for name in history}

        count = left if each == 1 else rows.row_count(left, each)
        return jax.lax.fori_loop(0, count, body, (run, history))

    return Train(init, update, train, updates_per_call, params, kinds, updates_per_row)


def _summed(
    update: Callable[[Array, Run], tuple[Run, History]],
    kinds: Kinds,
    span: tuple[Array, Array],
    run: Run,
    sums: rows.Sums,
) -> tuple[Run, rows.Sums]:
    """The run after the updates from the first of the span to before its second, and their sums."""

    def body(i: Array, carry: tuple[Run, rows.Sums]) -> tuple[Run, rows.Sums]:
        run, row = update(i, carry[0])
        return run, rows.add(kinds, carry[1], row)

    return jax.lax.fori_loop(*span, body, (run, sums))


def make_train(
    agent: Agent,
    source: Environment | Source,
    *,
    updates_per_call: int = 1,
    reset_pool: int = 1,
    intervention: Intervention | None = None,
    metrics: Sequence[Metric] = (),
    measure_every: int = 10,
    evaluation: Evaluating | None = None,
) -> Train:
    """Bind an agent to who makes its experience; an environment is one that it acts in (`online`).

    `reset_pool` is that of `engine.resets`, where the agent acts. The random numbers of a member
    depend on its key and the clock only, so neither segments nor neighbours change them.

    After every `measure_every` updates `metrics` are measured (other rows of theirs are NaN), and
    after each update `intervention` is applied; `evaluation` looks at what is there then. The
    random numbers of all else stay what they are.
    """
    if isinstance(source, Environment):
        source = online(agent, source, reset_pool=reset_pool)
    plasticity = observed(intervention, metrics, measure_every)
    if plasticity is not None and agent.network is None:
        raise ValueError(f"agent {agent.name!r} has no network, so there is nothing to measure")
    evaluate = None if evaluation is None else make_evaluating(agent, source.env, evaluation)

    def init(key: Key, hypers: Any, data: PyTree) -> Run:
        keys = member_keys(key)
        run = source.init(keys, data, agent.init(keys.agent, hypers))
        if plasticity is not None and agent.network is not None:
            kept = plasticity.init(agent.network, run.agent.learner)
            run = run._replace(intervention=kept)
        return tree.strong(run)

    def learn(
        keys: UpdateKeys, hypers: Any, data: PyTree, run: Run, clock: Clock
    ) -> tuple[Run, History]:
        """The experience of an update, what the agent learns from it, and what intervenes."""
        hypers, carry = agent.anneal(hypers, clock), run._replace(agent=(), intervention=())
        known = keys, hypers, data, run.agent, carry, clock
        carry, transition, episodes = source.collect(*known)
        with jax.named_scope("update"):
            state, metrics = agent.update(keys.update, hypers, run.agent, transition)
        row = joined({"the engine": episodes, "the agent": metrics})
        if plasticity is None:
            return carry._replace(agent=state), row
        with jax.named_scope("metrics"):
            inspection = inspect_agent(agent, keys.look, hypers, run.agent, state, transition)
            known = keys.intervention, clock, run.intervention, state.learner, inspection
            learner, kept, found = plasticity.apply(*known)
        state = state._replace(learner=learner)
        row = joined({"the agent": row, "what is measured or done": found})
        return carry._replace(agent=state, intervention=kept), row

    def update(key: Key, hypers: Any, data: PyTree, run: Run, clock: Clock) -> tuple[Run, History]:
        keys = update_keys(member_keys(key), clock)
        run, row = learn(keys, hypers, data, run, clock)
        if evaluate is None:
            return run, row
        params = source.in_force(data, clock)
        found = evaluate(keys.evaluation, hypers, params, run.agent, clock)
        return run, joined({"training": row, "evaluation": found})

    return training(init, update, updates_per_call, kinds=partial(_kinds, source, plasticity))


def _kinds(source: Source, plasticity: Intervention | None) -> Kinds:
    """What rows tell: those of the source, of the agent, and of what intervenes."""
    kinds, counted = source.kinds(), () if plasticity is None else plasticity.counters
    return kinds._replace(totals=kinds.totals.union(counted), last=kinds.last | {"gradient_steps"})
