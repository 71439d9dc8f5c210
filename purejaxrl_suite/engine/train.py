"""The training loop: a pure function of one member, to be vmapped, segmented and resumed."""

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
    Inspection,
    Intervention,
    Key,
    Metric,
    PyTree,
    Run,
)
from purejaxrl_suite.engine import rows
from purejaxrl_suite.engine.evaluate import Evaluating, make_evaluating, tell
from purejaxrl_suite.engine.keys import UpdateKeys, member_keys, update_keys
from purejaxrl_suite.engine.rows import Kinds
from purejaxrl_suite.engine.source import Source, online

History = dict[str, Array]

Init = Callable[[Key, Any, PyTree], Run]
"""(key, hypers, data) -> the state of a member before its first update."""

Update = Callable[[Key, Any, PyTree, Run, Clock], tuple[Run, History]]
"""(key, hypers, data, run, clock) -> (run, row {name: f32[]}): one update, or several with their
history {name: f32[R]}."""


class Train(NamedTuple):
    """Training of one member, as pure functions.

    `make_train` makes it for an agent in an environment; `data` are then environment parameters.
    `training` makes it from any two functions, with or without an environment.

    init: (key, hypers, data) -> Run, or another state.
    update: (key, hypers, data, run, clock) -> (run, row {name: f32[]}). One update, which may be
        scanned and differentiated; the key is the member's own at every update, and the clock makes
        their random numbers different.
    train: (key, hypers, data, run, clock) -> (run, history). Advances by `updates_per_call`
        updates, or by the rest of `clock.updates`; history is {name: f32[R]}, with a row for each
        `updates_per_row` updates (`engine.rows`; the last row of training may have fewer) and NaN
        in rows that were not run. Under vmap the clock stays unbatched. The number of updates is
        known only at run time, so it has no reverse-mode derivative: scan `update` for that.
    updates_per_call, updates_per_row: of `train`.
    params: run -> the learnt parameters; a member in which they are not finite has diverged.
    kinds: () -> Kinds of the metrics; called if a row spans several updates.
    """

    init: Init
    update: Update
    train: Update
    updates_per_call: int
    params: Callable[[Run], PyTree]
    kinds: Callable[[], Kinds] = Kinds
    updates_per_row: int = 1

    def __reduce__(self) -> Any:
        """Pickle the untraced functions, for another process."""
        known = self._asdict() | {"init": _untraced(self.init), "update": _untraced(self.update)}
        del known["train"]
        return partial(training, **known), ()


def _untraced(function: Any) -> Any:
    return inspect.unwrap(function, stop=lambda one: not isinstance(one, jax.stages.Wrapped))


def learnt(run: Run) -> PyTree:
    """Return the parameters of an agent."""
    return run.agent.learner.params


def training(
    init: Init,
    update: Update,
    updates_per_call: int = 1,
    params: Callable[[Run], PyTree] = learnt,
    kinds: Callable[[], Kinds] = Kinds,
    updates_per_row: int = 1,
) -> Train:
    """Make a `Train` of two functions; JAX traces each only once, however often it is called.

    Args:
        init: as `Train.init`.
        update: as `Train.update`.
        updates_per_call: updates of one call of `train`.
        params: run -> the learnt parameters; a member in which they are not finite has diverged.
        kinds: () -> Kinds of the metrics in rows of `update`.
        updates_per_row: updates of one row of the history.

    Returns:
        The `Train`.

    Raises:
        ValueError: less than one update per call or row, or a call is not a whole number of rows.
    """
    return _repeated(
        jax.jit(init, inline=True),
        jax.jit(update, inline=True),
        updates_per_call=updates_per_call,
        params=params,
        kinds=kinds,
        updates_per_row=updates_per_row,
    )


def repeat(train: Train, updates_per_call: int, updates_per_row: int = 1) -> Train:
    """Change the updates per call and per row of a training."""
    return _repeated(
        train.init,
        train.update,
        updates_per_call=updates_per_call,
        params=train.params,
        kinds=train.kinds,
        updates_per_row=updates_per_row,
    )


def _repeated(
    init: Init,
    update: Update,
    *,
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
            end = jnp.minimum((i + 1) * each, left)
            run, sums = _summed(
                one, kinds(), start=i * each, end=end, run=run, sums=rows.empty(names)
            )
            return run, rows.whole(kinds(), sums, tree.all_finite(params(run)))

        def body(i: Array, carry: tuple[Run, History]) -> tuple[Run, History]:
            run, history = carry
            run, row = one(i, run) if each == 1 else block(i, run)
            return run, {name: history[name].at[i].set(row[name]) for name in history}

        count = left if each == 1 else rows.row_count(left, each)
        return jax.lax.fori_loop(0, count, body, (run, history))

    return Train(
        init=init,
        update=update,
        train=train,
        updates_per_call=updates_per_call,
        params=params,
        kinds=kinds,
        updates_per_row=updates_per_row,
    )


def _summed(
    update: Callable[[Array, Run], tuple[Run, History]],
    kinds: Kinds,
    *,
    start: Array,
    end: Array,
    run: Run,
    sums: rows.Sums,
) -> tuple[Run, rows.Sums]:
    """Run the updates start .. end - 1; return the run and the sums of their rows."""

    def body(i: Array, carry: tuple[Run, rows.Sums]) -> tuple[Run, rows.Sums]:
        run, row = update(i, carry[0])
        return run, rows.add(kinds, carry[1], row)

    return jax.lax.fori_loop(start, end, body, (run, sums))


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
    """Make the training of an agent on a source of experience.

    The random numbers of a member depend on its key and the clock only, so neither segments nor
    other members change them; nor do metrics, interventions and evaluation. Evaluation changes no
    other result, either, but of agents that learn from it.

    Args:
        agent: that learns.
        source: of its experience; an environment is one in which it acts (`online`).
        updates_per_call: updates of one call of `train`.
        reset_pool: start states per environment in a pool, if the agent acts; see `engine.resets`.
        intervention: applied after each update.
        metrics: measured after every `measure_every` updates, before the intervention; NaN in
            other rows.
        measure_every: updates from one measurement to the next.
        evaluation: when and how the agent is evaluated, after the intervention; some agents learn
            from it (`Agent.evaluated`).

    Returns:
        The training of one member.

    Raises:
        ValueError: agent and source do not fit, there is no network to measure, the agent learns
            from evaluations and there are none, or a number is out of range.

    Example:
        >>> env = pjs.make("CartPole-v1")
        >>> train = pjs.make_train(pjs.ppo(env), env, updates_per_call=10)
        >>> train.updates_per_call
        10
    """
    if isinstance(source, Environment):
        source = online(agent, source, reset_pool=reset_pool)
    plasticity = observed(intervention, metrics, measure_every)
    if plasticity is not None and agent.network is None:
        raise ValueError(f"agent {agent.name!r} has no network, so there is nothing to measure")
    if agent.evaluated is not None and evaluation is None:
        raise ValueError(
            f"evaluate_every: expected a number of updates, as {agent.name!r} learns from its "
            "evaluations, got None"
        )
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
        """Collect experience, update the agent, and apply the intervention."""
        hypers, carry = agent.anneal(hypers, clock), run._replace(agent=(), intervention=())
        carry, transition, episodes = source.collect(keys, hypers, data, run.agent, carry, clock)
        with jax.named_scope("update"):
            state, metrics = agent.update(keys.update, hypers, run.agent, transition)
        found = {}
        if agent.maintain is not None:
            with jax.named_scope("maintain"):
                state, found = agent.maintain(keys.maintain, clock, hypers, state, transition)
        parts = {"the engine": episodes, "the agent": metrics, "its maintenance": found}
        row = joined(parts)
        if plasticity is None:
            return carry._replace(agent=state), row
        with jax.named_scope("metrics"):
            inspection = inspect_agent(
                agent,
                key=keys.look,
                hypers=hypers,
                before=run.agent,
                after=state,
                transition=transition,
            )
            if not source.observes:
                inspection = _blind(source, inspection)
            learner, kept, found = plasticity.apply(
                keys.intervention, clock, run.intervention, state.learner, inspection
            )
        state = state._replace(learner=inspection.network.project(learner))
        row = joined({"the agent": row, "what is measured or done": found})
        return carry._replace(agent=state, intervention=kept), row

    def update(key: Key, hypers: Any, data: PyTree, run: Run, clock: Clock) -> tuple[Run, History]:
        keys = update_keys(member_keys(key), clock)
        run, row = learn(keys, hypers, data, run, clock)
        if evaluate is None or evaluation is None:
            return run, row
        params = source.in_force(data, clock)
        found = evaluate(keys.evaluation, hypers, params, run.agent, clock)
        state = tell(agent, evaluation, agent.anneal(hypers, clock), run.agent, found, clock)
        return run._replace(agent=state), joined({"training": row, "evaluation": found})

    return training(init, update, updates_per_call, kinds=partial(_kinds, source, plasticity))


def _blind(source: Source, inspection: Inspection) -> Inspection:
    """An inspection without the observations and actions of a rollout, where there is none."""

    def refuse() -> Any:
        raise ValueError(
            f"metrics, intervention: expected none that look at observations of the last rollout, "
            f"as {source.name} has no rollouts"
        )

    return inspection._replace(obs=refuse, actions=refuse)


def _kinds(source: Source, plasticity: Intervention | None) -> Kinds:
    """Return the kinds of metrics of the source, of the agent and of the intervention."""
    kinds, counted = source.kinds(), () if plasticity is None else plasticity.counters
    return kinds._replace(totals=kinds.totals.union(counted), last=kinds.last | {"gradient_steps"})
