"""Sebulba: actors step environments on the host, and a learner is given what they collect.

Podracer architectures (Hessel et al. 2021, arXiv 2104.06272). Any agent learns in this way: its
`act` is compiled for the actors, and its update, in one program with interventions and metrics, for
the learner; `sebulba` is the source whose Transition comes with the data of each call. The threads
and the exchange of parameters and rollouts are in `engine.actors`.

The lag of a rollout is the number of updates since the parameters that acted in it. With lag 0
actors wait for the newest parameters, so acting and learning alternate, as in a compiled loop. With
lag 1 they act with the ones before, always, so a rollout is collected while the learner learns from
the last, and the numbers are the same in every run (as in Cleanba, Huang et al. 2023, arXiv
2310.00036). With a larger one they take the newest that there are, at most `lag` updates old.

Where an actor's environments fail, its rollout in progress is thrown away, all of them are opened
again with other seeds, and the rollout is collected from new episodes. The last step in a replay is
cut off then, as on resuming, so no step leads from one episode into another.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from purejaxrl_suite.core import spaces
from purejaxrl_suite.core.argument import integer, integers
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
from purejaxrl_suite.core.validate import divides
from purejaxrl_suite.engine.keys import UpdateKeys
from purejaxrl_suite.engine.parallel import check_fit, check_tasks
from purejaxrl_suite.engine.rollout import counts
from purejaxrl_suite.engine.rows import Kinds
from purejaxrl_suite.engine.source import Hosted, Source, agent_alone, online
from purejaxrl_suite.stats.inputs import EPISODES, FINISHED

LAG = "policy_lag"
"""Curves `policy_lag_K` count the parts of rollouts, one of each actor, that lagged K updates."""
RESTARTS = "environment_restarts"
"""Curve that counts restarts of actors' environments, where they are allowed."""


class Batch(NamedTuple):
    """What actors have collected for an update. steps: Transition [T, N]. row: {name: f32[]}."""

    steps: Transition
    row: Mapping[str, Any]


def sebulba(
    agent: Agent,
    env: Environment,
    *,
    lag: int = 0,
    actors: int = 1,
    restarts: int = 0,
    actor_devices: Sequence[int] = (),
    learner_devices: Sequence[int] = (),
) -> Source:
    """Make the source of experience that actor threads collect in environments on the host.

    It is the `source` of an experiment: `run(..., source=partial(engine.sebulba, lag=1))`.

    Args:
        agent: that acts.
        env: on the host.
        lag: 0, always the newest parameters; 1, always those before; more, at most so many updates
            old, as it happens.
        actors: threads, each with an equal share of the agent's environments.
        restarts: how often each actor may open its environments again, where one has failed,
            counted from when training begins or goes on; the next failure ends training by name.
        actor_devices: positions among `jax.local_devices()`, which actors take in turn; by default
            they act where the learner learns.
        learner_devices: positions of those over which members are split; by default all.

    Returns:
        The source; its data are a `Batch`.

    Raises:
        ValueError: agent and environment do not fit, the environment is not on the host, the agent
            learns from data sets only, or a number is out of range.
    """
    check_fit(agent, env)
    if env.host is None:
        raise ValueError(f"env: {env.name} is no environment on the host: expected one for sebulba")
    if agent.offline is not None:
        raise ValueError(f"source: {agent.name} learns from a data set only, it never acts")
    if agent.evaluated is not None:
        raise ValueError(f"source: {agent.name} learns from evaluations in its own program")
    integer("lag", lag, 0)
    divides("actors", integer("actors", actors, 1), agent.num_envs, "environments of the agent")
    check_tasks(env, "num_envs / actors", agent.num_envs // actors)
    integer("restarts", restarts, 0)
    where = _devices("actor_devices", actor_devices), _devices("learner_devices", learner_devices)
    how = Hosted(lag, actors, restarts, *where)

    def collect(
        keys: UpdateKeys, hypers: Any, data: Batch, state: Any, carry: Run, clock: Clock
    ) -> tuple[Run, Transition, dict[str, Array]]:
        return carry, data.steps, dict(data.row)

    return Source(
        name=_name(how),
        env=env,
        data=partial(_prototype, agent, env, row_names(env, how)),
        env_params=_nothing,
        init=agent_alone,
        collect=collect,
        kinds=partial(_kinds, env, how),
        acts=True,
        hosted=how,
    )


def _name(how: Hosted) -> str:
    """Write the call, from which a folder is read again: what is not the default."""
    usual = Hosted(how.lag, how.actors)._asdict()
    given = {n: x for n, x in how._asdict().items() if n in ("lag", "actors") or x != usual[n]}
    return f"sebulba({', '.join(f'{name}={x}' for name, x in given.items())})"


def _devices(name: str, positions: Sequence[int]) -> tuple[int, ...]:
    """Return positions of devices; ValueError for one that there is not, or that comes twice."""
    if isinstance(positions, tuple | list) and not positions:
        return ()
    count = len(jax.local_devices())
    return tuple(integers(name, positions, 0, count - 1, f"positions among {count} devices"))


def acting(agent: Agent, env: Environment, *, reset_pool: int = 1) -> Source:
    """Make the source in which the agent acts: `online`, or `sebulba` on the host."""
    if env.host is None:
        return online(agent, env, reset_pool=reset_pool)
    if reset_pool != 1:
        raise ValueError(
            f"reset_pool: expected the default, as {env.name} starts its own episodes on the host, "
            f"got {reset_pool}"
        )
    return sebulba(agent, env)


def row_names(env: Environment, how: Hosted) -> list[str]:
    """List the entries of `Batch.row`."""
    kinds = _kinds(env, how)
    return [*kinds.counts, *sorted(kinds.totals), *sorted(kinds.last)]


def _kinds(env: Environment, how: Hosted) -> Kinds:
    each = ["", *(f"_{task}" for task in env.tasks)]
    counted = [*(f"{LAG}_{i}" for i in range(how.lag + 1)), *([RESTARTS] if how.restarts else [])]
    totals = frozenset([*counted, *(EPISODES + end for end in each)])
    return Kinds(counts(env), totals, frozenset(FINISHED + end for end in each))


def _nothing(data: PyTree) -> PyTree:
    return ()


def _prototype(agent: Agent, env: Environment, names: Sequence[str], params: PyTree) -> Batch:
    """Make a Batch of zeros, for shapes; the environment has no parameters."""
    steps = jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), abstract_steps(agent, env))
    return Batch(steps, {name: np.zeros((), np.float32) for name in names})


def abstract_steps(agent: Agent, env: Environment) -> Transition:
    """Find shapes and dtypes of the Transition [T, N] of one member."""
    n, length = agent.num_envs, agent.rollout_length

    def act(key: Key, obs: Array) -> Any:
        hypers = jax.tree.map(jnp.float32, agent.hypers)
        state = agent.init(key, hypers)
        return agent.act(agent.noise(key, n), hypers, state, agent.memory(n), obs, True)

    key, obs = jax.eval_shape(jax.random.key, 0), spaces.abstract(env.observation, n)
    _, action, extras = jax.eval_shape(act, key, obs)

    def over_time(x: Any) -> Any:
        return jax.ShapeDtypeStruct((length, *x.shape), x.dtype)

    one: Any = jax.ShapeDtypeStruct
    flag, number = (one((length, n), kind) for kind in (bool, np.float32))
    return Transition(
        obs=over_time(obs),
        action=over_time(action),
        reward=number,
        terminated=flag,
        truncated=flag,
        next_obs=over_time(obs),
        extras=jax.tree.map(over_time, extras),
        life_lost=flag if env.host is not None and env.host.lives else None,
    )
