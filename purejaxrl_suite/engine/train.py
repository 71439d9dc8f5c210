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
    Transition,
)
from purejaxrl_suite.engine import resets, rows
from purejaxrl_suite.engine.evaluate import Evaluating, make_evaluating
from purejaxrl_suite.engine.parallel import check_fit
from purejaxrl_suite.engine.rollout import counts, rollout, rollout_keys, start
from purejaxrl_suite.engine.rows import Kinds
from purejaxrl_suite.stats.inputs import EPISODES, FINISHED

History = dict[str, Array]


class MemberKeys(NamedTuple):
    """What the key of a member is split into.

    agent, environments: how they start. updates: of all of training; fold_in makes those of one
    update of it, so it must not be used for anything else.
    """

    agent: Key
    environments: Key
    updates: Key


class UpdateKeys(NamedTuple):
    """What the key of an update is split into, whether or not all are used.

    rollout, update: of acting and learning. look, intervention: of what is measured and done after
    it. start: of episodes that all start anew, where a phase begins. evaluation: of its episodes.
    """

    rollout: Key
    update: Key
    look: Key
    intervention: Key
    start: Key
    evaluation: Key


def member_keys(key: Key) -> MemberKeys:
    """The keys of a member."""
    return MemberKeys(*jax.random.split(key, len(MemberKeys._fields)))


def update_keys(key: Key, clock: Clock) -> UpdateKeys:
    """The keys of the update at which the clock stands, of a member's own key."""
    now = jax.random.fold_in(member_keys(key).updates, clock.update)
    return UpdateKeys(*jax.random.split(now, len(UpdateKeys._fields)))


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

        count = left if each == 1 else -(-left // each)
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
    env: Environment,
    *,
    updates_per_call: int = 1,
    reset_pool: int = 1,
    intervention: Intervention | None = None,
    metrics: Sequence[Metric] = (),
    measure_every: int = 10,
    evaluation: Evaluating | None = None,
) -> Train:
    """Bind an agent to an environment.

    `reset_pool` is that of `engine.resets`. The random numbers of a member depend on its key and
    the clock only, so neither segments nor neighbours change them.

    After every `measure_every` updates `metrics` are measured (other rows of theirs are NaN), and
    after each update `intervention` is applied; `evaluation` looks at what is there then. The
    random numbers of all else stay what they are.
    """
    check_fit(agent, env)
    plasticity = observed(intervention, metrics, measure_every)
    if plasticity is not None and agent.network is None:
        raise ValueError(f"agent {agent.name!r} has no network, so there is nothing to measure")
    evaluate = None if evaluation is None else make_evaluating(agent, env, evaluation)
    if reset_pool < 0:
        raise ValueError(f"reset_pool must be 0 (exact resets) or more, got {reset_pool}")
    shared = resets.lasts(agent, env, reset_pool) > 1

    def init(key: Key, hypers: Any, params: PyTree) -> Run:
        keys = member_keys(key)
        run = start(agent, env, keys.environments, params, agent.init(keys.agent, hypers))
        if shared:  # by whom training begins, whenever that is
            first = rollout_keys(update_keys(key, Clock(0, 1)).rollout).reset
            run = run._replace(pool=resets.draw(agent, env, first, params, reset_pool))
        if plasticity is not None and agent.network is not None:
            kept = plasticity.init(agent.network, run.agent.learner)
            run = run._replace(intervention=kept)
        return tree.strong(run)

    def learn(
        keys: UpdateKeys, hypers: Any, params: PyTree, run: Run, clock: Clock
    ) -> tuple[Run, History, PyTree]:
        """A rollout, the agent's update, what intervenes; and the parameters in force."""
        hypers, acted = agent.anneal(hypers, clock), run._replace(intervention=())
        if env.phase is not None:
            acted, params = enter_phase(agent, env, keys.start, params, acted, clock)
        if shared:
            pool = rollout_keys(keys.rollout).reset, params, acted.pool, clock, reset_pool
            acted = acted._replace(pool=resets.renew(agent, env, *pool))
        acted, transition, episodes = rollout(
            agent, env, keys.rollout, hypers, params, acted, reset_pool=reset_pool
        )
        if env.phase is not None:
            transition = leave_phase(env, params, transition, clock)
        with jax.named_scope("update"):
            state, metrics = agent.update(keys.update, hypers, acted.agent, transition)
        row = episodes | dict(metrics)
        if plasticity is None:
            return acted._replace(agent=state), row, params
        with jax.named_scope("metrics"):
            inspection = inspect_agent(agent, keys.look, hypers, acted.agent, state, transition)
            known = keys.intervention, clock, run.intervention, state.learner, inspection
            learner, kept, found = plasticity.apply(*known)
        state = state._replace(learner=learner)
        row = joined({"the agent": row, "what is measured or done": found})
        return acted._replace(agent=state, intervention=kept), row, params

    def update(
        key: Key, hypers: Any, params: PyTree, run: Run, clock: Clock
    ) -> tuple[Run, History]:
        keys = update_keys(key, clock)
        run, row, params = learn(keys, hypers, params, run, clock)
        if evaluate is None:
            return run, row
        found = evaluate(keys.evaluation, hypers, params, run.agent, clock)
        return run, joined({"training": row, "evaluation": found})

    return training(init, update, updates_per_call, kinds=partial(_kinds, env, plasticity))


def _kinds(env: Environment, plasticity: Intervention | None) -> Kinds:
    """What the rows of an agent in an environment tell."""
    each = ["", *(f"_{task}" for task in env.tasks)]
    counted = () if plasticity is None else plasticity.counters
    totals = frozenset(EPISODES + end for end in each) | frozenset(counted)
    last = frozenset(FINISHED + end for end in each) | {"gradient_steps"}  # of all of training
    return Kinds(counts(env), totals, last)


def enter_phase(
    agent: Agent, env: Environment, key: Key, params: PyTree, run: Run, clock: Clock
) -> tuple[Run, PyTree]:
    """The run and the parameters of an update; where a phase begins, all episodes start anew."""
    assert env.phase is not None
    params, begins = env.phase(params, clock)

    def anew(run: Run) -> Run:
        return tree.strong(start(agent, env, key, params, run.agent))

    return jax.lax.cond(begins, anew, lambda run: run, run), params


def leave_phase(
    env: Environment, params: PyTree, transition: Transition, clock: Clock
) -> Transition:
    """The rollout, its last step truncated if another phase begins with the next update."""
    assert env.phase is not None
    _, ends = env.phase(params, clock._replace(update=clock.update + 1))
    last = transition.truncated[-1] | ends
    return transition._replace(truncated=transition.truncated.at[-1].set(last))
