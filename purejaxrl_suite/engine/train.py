"""The one training loop: a pure function of one member, to be vmapped, segmented and resumed."""

import inspect
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from purejaxrl_suite.core import spaces, tree
from purejaxrl_suite.core.interventions import joined, observed
from purejaxrl_suite.core.look import look_at
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
from purejaxrl_suite.engine.parallel import check_tasks
from purejaxrl_suite.engine.rollout import rollout, start

History = dict[str, Array]


class Single(NamedTuple):
    """One member: how it begins, and one update; each traced once, however often it is used.

    init: (key, hypers, env_params) -> Run. update: (key, hypers, env_params, run, clock) -> (run,
    row {name: f32[]}); the key is the third of those that the member's own is split into.
    """

    init: jax.stages.Wrapped
    update: jax.stages.Wrapped

    def __reduce__(self) -> Any:
        """Pickled, for another process, as the functions that are traced."""
        return traced_once, (inspect.unwrap(self.init), inspect.unwrap(self.update))


def traced_once(init: Callable[..., Run], update: Callable[..., tuple[Run, History]]) -> Single:
    """A `Single` of two functions that JAX traces once for all who call them while tracing."""
    return Single(jax.jit(init, inline=True), jax.jit(update, inline=True))


class Train(NamedTuple):
    """Two pure functions of one member.

    init: (key, hypers, env_params) -> Run.
    train: (key, hypers, env_params, run, clock) -> (run, history). Advances by `updates_per_call`
        updates, or by what is left of `clock.updates`; history is {name: f32[updates_per_call]},
        NaN in rows that were not run. Under vmap the clock stays unbatched.
    """

    init: Callable[[Key, Any, PyTree], Run]
    train: Callable[[Key, Any, PyTree, Run, Clock], tuple[Run, History]]


def make_train(
    agent: Agent,
    env: Environment,
    *,
    updates_per_call: int,
    reset_pool: int = 1,
    intervention: Intervention | None = None,
    metrics: Sequence[Metric] = (),
    measure_every: int = 10,
) -> Train:
    """Bind an agent to an environment.

    `reset_pool` is K of `engine.rollout`. The random numbers of a member depend on its key and the
    clock only, so neither segments nor neighbours change them.

    After every `measure_every` updates `metrics` are measured (other rows of theirs are NaN), and
    after each update `intervention` is applied. The random numbers of all else stay what they are.
    """
    single = make_single(
        agent,
        env,
        reset_pool=reset_pool,
        intervention=intervention,
        metrics=metrics,
        measure_every=measure_every,
    )
    return repeat(single, updates_per_call)


def make_single(
    agent: Agent,
    env: Environment,
    *,
    reset_pool: int = 1,
    intervention: Intervention | None = None,
    metrics: Sequence[Metric] = (),
    measure_every: int = 10,
) -> Single:
    """What `make_train` repeats; the arguments are its own."""
    check_fit(agent, env)
    plasticity = observed(intervention, metrics, measure_every)
    if plasticity is not None and agent.network is None:
        raise ValueError(f"agent {agent.name!r} has no network, so there is nothing to measure")
    if reset_pool < 0:
        raise ValueError(f"reset_pool must be 0 (exact resets) or more, got {reset_pool}")

    def init(key: Key, hypers: Any, params: PyTree) -> Run:
        agent_key, env_key, _ = jax.random.split(key, 3)
        run = start(agent, env, env_key, params, agent.init(agent_key, hypers))
        if plasticity is not None and agent.network is not None:
            kept = plasticity.init(agent.network, run.agent.learner)
            run = run._replace(intervention=kept)
        return tree.strong(run)

    def update(
        key: Key, hypers: Any, params: PyTree, run: Run, clock: Clock
    ) -> tuple[Run, History]:
        hypers, key = agent.anneal(hypers, clock), jax.random.fold_in(key, clock.update)
        rollout_key, update_key = jax.random.split(key)
        acted = run._replace(intervention=())
        if env.phase is not None:
            acted, params = enter_phase(agent, env, key, params, acted, clock)
        acted, transition, episodes = rollout(
            agent, env, rollout_key, hypers, params, acted, reset_pool=reset_pool
        )
        if env.phase is not None:
            transition = leave_phase(env, params, transition, clock)
        with jax.named_scope("update"):
            state, metrics = agent.update(update_key, hypers, acted.agent, transition)
        row = episodes | dict(metrics)
        if plasticity is None:
            return acted._replace(agent=state), row
        *_, look_key, key = jax.random.split(key, 4)  # the first two are those above
        with jax.named_scope("metrics"):
            look = look_at(agent, look_key, hypers, acted.agent, state, transition)
            kept = run.intervention
            learner, kept, found = plasticity.apply(key, clock, kept, state.learner, look)
        state = state._replace(learner=learner)
        row = joined({"the agent": row, "what is measured or done": found})
        return acted._replace(agent=state, intervention=kept), row

    return traced_once(init, update)


def repeat(single: Single, updates_per_call: int) -> Train:
    """The training of a member by so many updates at a time."""
    if updates_per_call < 1:
        raise ValueError(f"updates_per_call must be at least 1, got {updates_per_call}")
    init, update = single

    def train(key: Key, hypers: Any, params: PyTree, run: Run, clock: Clock) -> tuple[Run, History]:
        # fold_in(key, i) equals split(key)[i]: fold only into a key that nothing else has used.
        *_, update_key = jax.random.split(key, 3)
        rows = jax.eval_shape(update, update_key, hypers, params, run, clock)[1]
        history = {name: jnp.full(updates_per_call, jnp.nan) for name in rows}

        def body(i: Array, carry: tuple[Run, History]) -> tuple[Run, History]:
            run, history = carry
            now = clock._replace(update=clock.update + i)
            run, row = update(update_key, hypers, params, run, now)
            return run, {name: history[name].at[i].set(row[name]) for name in history}

        left = jnp.minimum(updates_per_call, clock.updates - clock.update)
        return jax.lax.fori_loop(0, left, body, (run, history))

    return Train(init, train)


def enter_phase(
    agent: Agent, env: Environment, key: Key, params: PyTree, run: Run, clock: Clock
) -> tuple[Run, PyTree]:
    """The run and the parameters of an update; where a phase begins, all episodes start anew."""
    assert env.phase is not None
    params, begins = env.phase(params, clock)
    start_key = jax.random.split(key, 5)[4]  # the others are those of the update

    def anew(run: Run) -> Run:
        return tree.strong(start(agent, env, start_key, params, run.agent))

    return jax.lax.cond(begins, anew, lambda run: run, run), params


def leave_phase(
    env: Environment, params: PyTree, transition: Transition, clock: Clock
) -> Transition:
    """The rollout, its last step truncated if another phase begins with the next update."""
    assert env.phase is not None
    _, ends = env.phase(params, clock._replace(update=clock.update + 1))
    last = transition.truncated[-1] | ends
    return transition._replace(truncated=transition.truncated.at[-1].set(last))


def check_fit(agent: Agent, env: Environment) -> None:
    """Raise ValueError unless the agent was built for spaces, and tasks, like the environment's."""
    for name in ("observation", "action"):
        ours, theirs = getattr(agent, name), getattr(env, name)
        if ours != theirs:
            raise ValueError(
                f"agent {agent.name!r} was built for {name} {spaces.describe(ours)}, environment "
                f"{env.name!r} has {spaces.describe(theirs)}: build the agent from this environment"
            )
    check_tasks(env, "num_envs", agent.num_envs)
