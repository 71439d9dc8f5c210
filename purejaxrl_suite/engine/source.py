"""Sources of the experience of an update: an environment or a data set.

`online` acts in N environments for T steps. `dataset` draws from fixed experience, which all
members share: it is an argument of the program and is not copied for each member. `idle` has none:
the agent learns from what its replay holds.
"""

from collections.abc import Callable
from functools import partial
from operator import attrgetter
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from purejaxrl_suite.core import spaces, tree
from purejaxrl_suite.core.argument import instance, wrong
from purejaxrl_suite.core.host import refuse_host
from purejaxrl_suite.core.types import (
    Agent,
    Array,
    Clock,
    Discrete,
    Environment,
    Key,
    PyTree,
    Run,
    Transition,
)
from purejaxrl_suite.engine import resets
from purejaxrl_suite.engine.keys import MemberKeys, UpdateKeys, update_keys
from purejaxrl_suite.engine.parallel import check_fit
from purejaxrl_suite.engine.rollout import counts, rollout, rollout_keys, start
from purejaxrl_suite.engine.rows import Kinds
from purejaxrl_suite.stats.inputs import EPISODES, FINISHED

Collected = tuple[Run, Transition, dict[str, Array]]


class Hosted(NamedTuple):
    """How actors play on the host; see `engine.sebulba`.

    lag: the most updates they are behind. actors: their number. restarts: how often each may open
    its environments again. actor_devices, learner_devices: positions among the local devices; empty
    for the devices of the learner, and for all.
    """

    lag: int
    actors: int
    restarts: int = 0
    actor_devices: tuple[int, ...] = ()
    learner_devices: tuple[int, ...] = ()


def _themselves(params: PyTree) -> PyTree:
    return params


class Source(NamedTuple):
    """A source of experience for an agent's updates: pure functions of one member.

    name: for messages.
    env: the environment whose spaces the experience has, and in which members are evaluated.
    init: (keys, data, agent's state) -> Run, what the source carries beside the agent's state.
    collect: (keys, hypers, data, agent's state, carry, clock) -> (carry, Transition [T, N], row
        {name: f32[]}). carry: a Run whose agent and intervention are (). It may use the keys
        `rollout` and `start`.
    data: environment parameters -> the data that `init` and `collect` are given. It may add leaves
        that all members share and changes no parameter; by default these parameters.
    env_params: data -> the environment parameters in it.
    kinds: () -> Kinds of the metrics in its rows.
    acts: whether the agent acts in the environment.
    observes: whether there are observations, which metrics may look at.
    longest: the most steps between two cuts of experience, if that is not the environment's time
        limit; it decides how many successors of cut steps a replay keeps.
    hosted: how actors play on the host (`engine.sebulba`); None if nothing is played there.
    """

    name: str
    env: Environment
    init: Callable[[MemberKeys, PyTree, Any], Run]
    collect: Callable[[UpdateKeys, Any, PyTree, Any, Run, Clock], Collected]
    data: Callable[[PyTree], PyTree] = _themselves
    env_params: Callable[[PyTree], PyTree] = _themselves
    kinds: Callable[[], Kinds] = Kinds
    acts: bool = False
    longest: int | None = None
    observes: bool = True
    hosted: Hosted | None = None

    def in_force(self, data: PyTree, clock: Clock) -> PyTree:
        """Return the parameters of the environment at a time, to evaluate in."""
        params = self.env_params(data)
        return params if self.env.phase is None else self.env.phase(params, clock)[0]


def online(agent: Agent, env: Environment, *, reset_pool: int = 1) -> Source:
    """Make the source in which the agent acts in the environment; data are its parameters.

    Args:
        agent: that acts.
        env: in which it acts.
        reset_pool: start states per environment in a pool, 0 for exact resets; see
            `engine.resets`.

    Returns:
        The source.

    Raises:
        ValueError: agent and environment do not fit, the agent learns from data sets only or not
            with the discounts of steps, or reset_pool is negative.
    """
    refuse_host(env, "online; its source is engine.sebulba")
    check_fit(agent, env)
    _check_discounts(agent, env)
    if agent.offline is not None:
        raise ValueError(
            f"source: {agent.name} learns from a data set only: expected one, as in "
            "source=datasets.load(path).source, or --dataset PATH, got none"
        )
    if reset_pool < 0:
        raise ValueError(f"reset_pool must be 0 (exact resets) or more, got {reset_pool}")
    if agent.online is not None:
        return agent.online(agent, env, reset_pool)
    shared = resets.lasts(agent, env, reset_pool) > 1

    def init(keys: MemberKeys, params: PyTree, state: Any) -> Run:
        run = start(agent, env, key=keys.environments, params=params, state=state)
        if shared:  # drawn at the first update, wherever training begins
            first = rollout_keys(update_keys(keys, Clock(np.int32(0), np.int32(1))).rollout).reset
            pool = resets.draw(agent, env, key=first, params=params, reset_pool=reset_pool)
            run = run._replace(pool=pool)
        return run

    def collect(
        keys: UpdateKeys, hypers: Any, params: PyTree, state: Any, carry: Run, clock: Clock
    ) -> Collected:
        run = carry._replace(agent=state)
        if env.phase is not None:
            run, params = enter_phase(
                agent, env, key=keys.start, params=params, run=run, clock=clock
            )
        if shared:
            pool = resets.renew(
                agent,
                env,
                key=rollout_keys(keys.rollout).reset,
                params=params,
                pool=run.pool,
                clock=clock,
                reset_pool=reset_pool,
            )
            run = run._replace(pool=pool)
        run, transition, row = rollout(
            agent,
            env,
            key=keys.rollout,
            hypers=hypers,
            params=params,
            run=run,
            reset_pool=reset_pool,
        )
        if env.phase is not None:
            transition = leave_phase(env, params, transition, clock)
        return run._replace(agent=()), transition, row

    return Source(
        name=f"online({env.name})",
        env=env,
        init=init,
        collect=collect,
        kinds=partial(_kinds, env),
        acts=True,
    )


def _check_discounts(agent: Agent, env: Environment) -> None:
    """Raise ValueError unless the agent learns with the discounts that steps have, if any."""
    if agent.discounted != env.discounted:
        steps = "discounts of their own" if env.discounted else "no discounts"
        raise ValueError(
            f"agent {agent.name!r}: steps of {env.name!r} have {steps} (TimeStep.discount): "
            "expected an agent that learns with them, such as ppo, sac or td3, built from this "
            f"environment, got discounted={agent.discounted}"
        )


def _check_no_discounts(env: Environment) -> None:
    """Raise ValueError for a source other than `online` where steps have discounts."""
    if env.discounted:
        raise ValueError(
            f"source: steps of {env.name!r} have discounts of their own (TimeStep.discount), "
            "expected agents to act there: data sets keep none"
        )


def _kinds(env: Environment) -> Kinds:
    each = ["", *(f"_{task}" for task in env.tasks)]
    totals = frozenset(EPISODES + end for end in each)
    return Kinds(counts(env), totals, frozenset(FINISHED + end for end in each))


def enter_phase(
    agent: Agent, env: Environment, key: Key, params: PyTree, run: Run, clock: Clock
) -> tuple[Run, PyTree]:
    """Return run and parameters for an update; where a phase begins, all episodes start anew."""
    assert env.phase is not None
    params, begins = env.phase(params, clock)

    def anew(run: Run) -> Run:
        return tree.strong(start(agent, env, key=key, params=params, state=run.agent))

    return jax.lax.cond(begins, anew, lambda run: run, run), params


def leave_phase(
    env: Environment, params: PyTree, transition: Transition, clock: Clock
) -> Transition:
    """Truncate the last step of a rollout if a new phase begins with the next update."""
    assert env.phase is not None
    _, ends = env.phase(params, clock._replace(update=clock.update + 1))
    last = transition.truncated[-1] | ends
    return transition._replace(truncated=transition.truncated.at[-1].set(last))


class Dataset(NamedTuple):
    """Data of `dataset`. steps: Transition, leaves [E, ...]. params: of the environment."""

    steps: Transition
    params: PyTree


def dataset(agent: Agent, env: Environment, steps: Transition) -> Source:
    """Make the source of fixed experience, drawn uniformly with replacement; the agent never acts.

    An update draws N windows of T consecutive steps (`num_envs`, `rollout_length` of the agent).
    The last step of a window counts as truncated, so no return reaches into another one. Agents
    with replay keep the successors of truncated steps apart, with room for as many as the time
    limit of their environment allows. Experiments use `built_for` to build the agent for windows
    of T steps; an agent that is built for longer episodes learns from fewer of the last steps.

    Args:
        agent: an off-policy agent, which learns from the actions of any policy.
        env: the environment whose spaces the experience has, and in which members are evaluated.
        steps: leaves [E, ...], E steps in the order of time, episode after episode. The last step
            of an incomplete episode must be truncated. Windows have the `extras` of their steps,
            whatever an agent wants to know beside a step, such as the next action.

    Returns:
        The source.

    Raises:
        ValueError: the agent needs what it recorded when it acted (`Transition.extras`, a memory),
            shapes or dtypes do not fit the spaces, an action is outside its space, a number is not
            finite, or there are fewer than T steps.
    """
    check_fit(agent, env)
    _check_no_discounts(env)
    if env.observation.frames:
        raise ValueError(
            f"env: observations of {env.name} are stacks, of which a replay keeps each frame once, "
            "but steps of a data set do not follow each other: expected frames=0 in its space"
        )
    steps = check_steps(env, steps)
    _check_agent(agent)
    length, n, count = agent.rollout_length, agent.num_envs, len(steps.reward)
    if count < length:
        raise ValueError(f"steps: expected at least {length} of them, got {count}")

    def init(keys: MemberKeys, data: Dataset, state: Any) -> Run:
        known = state if agent.offline is None else agent.offline(state, data.steps)
        return agent_alone(keys, data, known)

    def collect(
        keys: UpdateKeys, hypers: Any, data: Dataset, state: Any, carry: Run, clock: Clock
    ) -> Collected:
        first = jax.random.randint(keys.rollout, (n,), 0, count - length + 1)
        drawn = tree.index(data.steps, jnp.arange(length)[:, None] + first[None])
        cut = drawn.truncated.at[-1].set(True)
        return carry, drawn._replace(truncated=cut), {}

    return Source(
        name=f"dataset({env.name})",
        env=env,
        data=partial(Dataset, steps),
        env_params=attrgetter("params"),
        init=init,
        collect=collect,
        longest=length,
    )


def agent_alone(keys: MemberKeys, data: PyTree, state: Any) -> Run:
    """Make a Run without environments."""
    return run_of(state)


def run_of(state: Any, env: PyTree = ()) -> Run:
    """Make the Run of an agent's state that follows no episodes.

    env: what takes the place of environments, such as the lifetimes of a meta-learner's agents.
    """
    nothing: Any = ()
    return Run(
        agent=state,
        env=env,
        obs=nothing,
        memory=nothing,
        episode_return=nothing,
        episode_length=nothing,
        finished_once=nothing,
    )


def idle(agent: Agent, env: Environment) -> Source:
    """Make the source without experience: nobody acts, nothing is drawn, no random number used.

    The agent learns from what is in its replay already, such as another agent's experience that
    it begins with (`sweeps.stages`). An update counts as N x T steps, as if the agent had acted.

    Args:
        agent: that learns without new experience: its replay is `buffers.frozen`.
        env: the environment in which members are evaluated; data are its parameters.

    Returns:
        The source; its Transition is [0, N].

    Raises:
        ValueError: agent and environment do not fit, or the agent needs experience.
    """
    check_fit(agent, env)
    _check_no_discounts(env)
    obs = spaces.abstract(env.observation, agent.num_envs)
    action = spaces.abstract(env.action, agent.num_envs)

    def nothing() -> Transition:
        def none(shape: Any, dtype: Any) -> Array:
            return jnp.zeros((0, *shape), dtype)

        n = (agent.num_envs,)
        return Transition(
            obs=none(obs.shape, obs.dtype),
            action=none(action.shape, action.dtype),
            reward=none(n, jnp.float32),
            terminated=none(n, bool),
            truncated=none(n, bool),
            next_obs=none(obs.shape, obs.dtype),
            extras={},
        )

    def collect(
        keys: UpdateKeys, hypers: Any, params: PyTree, state: Any, carry: Run, clock: Clock
    ) -> Collected:
        return carry, nothing(), {}

    _check_needs_nothing(agent, nothing)
    return Source(
        name=f"idle({env.name})",
        env=env,
        init=agent_alone,
        collect=collect,
        observes=False,
    )


def _check_needs_nothing(agent: Agent, nothing: Callable[[], Transition]) -> None:
    """Raise ValueError for an agent whose update fails without experience, by tracing it."""

    def update(key: Key) -> Any:
        hypers = jax.tree.map(jnp.float32, agent.hypers)
        return agent.update(key, hypers, agent.init(key, hypers), nothing())

    try:
        jax.eval_shape(update, jax.eval_shape(jax.random.key, 0))
    except Exception as error:
        raise ValueError(
            f"agent {agent.name!r} cannot learn without new experience: expected one whose replay "
            "is frozen, such as dqn(env, replay=buffers.frozen)"
        ) from error


def built_for(
    source: Callable[[Agent, Environment], Source],
    build: Callable[[Environment], Agent],
    env: Environment,
) -> tuple[Agent, Source]:
    """Build an agent and its source; the agent's replay has room for the source's cuts."""
    agent = build(env)
    made = source(agent, env)
    if made.longest is None:
        return agent, made
    agent = build(env._replace(time_limit=made.longest))
    return agent, source(agent, env)


def check_steps(env: Environment, steps: Transition) -> Transition:
    """Return steps, leaves [E, ...], as numpy arrays, if they fit the spaces of an environment.

    Raises:
        ValueError: a shape or dtype does not fit, an action is outside its space, or a number is
            not finite; the message names the field, and the step.
    """
    steps = _arrays(instance("steps", steps, Transition))
    count, seen, action = len(steps.reward), *map(spaces.abstract, (env.observation, env.action))
    flags = {name: ((), bool) for name in ("terminated", "truncated")}
    expected = {"obs": (seen.shape, seen.dtype), "next_obs": (seen.shape, seen.dtype)}
    expected |= {"action": (action.shape, action.dtype), "reward": ((), np.float32)} | flags
    for name, (shape, dtype) in expected.items():
        found = getattr(steps, name)
        if found.shape != (count, *shape) or found.dtype != dtype:
            raise ValueError(
                f"steps.{name}: expected {np.dtype(dtype)}{[count, *shape]}, "
                f"got {found.dtype}{list(found.shape)}"
            )
    _check_values(env, steps)
    return steps


def _arrays(steps: Transition) -> Transition:
    """Convert steps to numpy; ValueError for a leaf that is no array or has another length."""

    def array(path: Any, x: Any) -> Any:
        name = f"steps{jax.tree_util.keystr(path)}"
        try:
            found = np.asarray(x)
        except ValueError as error:  # lists of different lengths
            raise ValueError(f"{name}: expected an array, but {error}") from None
        if found.ndim == 0 or found.dtype.kind not in "biuf":
            raise wrong(name, "an array of numbers with steps as its first axis", x)
        return found

    made = jax.tree_util.tree_map_with_path(array, steps, is_leaf=lambda x: isinstance(x, list))
    for path, x in jax.tree_util.tree_leaves_with_path(made):
        if len(x) != len(made.reward):
            name, expected = jax.tree_util.keystr(path), f"{len(made.reward)} steps, as reward has"
            raise ValueError(f"steps{name}: expected {expected}, got {len(x)}")
    return made


def _check_values(env: Environment, steps: Transition) -> None:
    """Raise ValueError for a number that is not finite, and for an action outside its space."""
    for name in ("obs", "action", "reward", "next_obs"):
        x = np.asarray(getattr(steps, name))
        bad = np.flatnonzero(~np.isfinite(x.reshape(len(x), -1)).all(axis=1))
        if bad.size:
            raise ValueError(f"steps.{name}: expected finite numbers, got others in step {bad[0]}")
    space, action = env.action, np.asarray(steps.action)
    low, high = (0, space.n - 1) if isinstance(space, Discrete) else (space.low, space.high)
    # In the actions' own precision: the float32 number next to a bound may lie beyond it.
    kind = action.dtype if action.dtype.kind == "f" else None
    inside = (np.asarray(low, kind) <= action) & (action <= np.asarray(high, kind))
    if not inside.all():
        step = np.flatnonzero(~inside.reshape(len(inside), -1).all(axis=1))[0]
        expected = spaces.describe(space)
        raise ValueError(
            f"steps.action: expected those of {expected}, got {action[step]} in step {step}"
        )


def _check_agent(agent: Agent) -> None:
    """Raise ValueError if the agent cannot learn from steps of any policy."""

    def act(key: Key, obs: Array) -> Any:
        hypers = jax.tree.map(jnp.float32, agent.hypers)
        state, memory = agent.init(key, hypers), agent.memory(agent.num_envs)
        return agent.act(agent.noise(key, agent.num_envs), hypers, state, memory, obs, True)

    key, obs = jax.eval_shape(jax.random.key, 0), spaces.abstract(agent.observation, agent.num_envs)
    memory, _, extras = jax.eval_shape(act, key, obs)
    needed = [*extras] + ["memory"] * bool(jax.tree.leaves(memory))
    if needed:
        raise ValueError(
            f"agent {agent.name!r} learns from what it noted when it acted "
            f"({', '.join(needed)}): expected one that learns from anybody's experience"
        )
