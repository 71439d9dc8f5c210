"""Contracts that anyone can check: does a new environment or agent keep its type's promises?

A check raises AssertionError with the first promise that is broken; passing it means "added".
"""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from purejaxrl_suite.core import estimates, tree
from purejaxrl_suite.core.look import look_at
from purejaxrl_suite.core.spaces import abstract
from purejaxrl_suite.core.types import (
    Agent,
    Array,
    Box,
    Clock,
    Discrete,
    Environment,
    Intervention,
    Key,
    Learner,
    PyTree,
    Space,
    Transition,
)

_EPISODES = 4


def sample(key: Key, space: Space) -> Array:
    """A random element: uniform where both bounds are finite, clipped standard normal elsewhere."""
    if isinstance(space, Discrete):
        return jax.random.randint(key, (), 0, space.n)
    low, high = (np.broadcast_to(np.asarray(x), space.shape) for x in (space.low, space.high))
    bounded = np.isfinite(low) & np.isfinite(high)
    key_uniform, key_normal = jax.random.split(key)
    start, width = np.where(bounded, low, 0.0), np.where(bounded, high - low, 0.0)
    uniform = start + width * jax.random.uniform(key_uniform, space.shape)
    normal = jnp.clip(jax.random.normal(key_normal, space.shape), low, high)
    return jnp.where(bounded, uniform, normal).astype(space.dtype)


def contains(space: Space, x: Array) -> Array:
    """bool[]: whether one element lies within the bounds (shape and dtype are not looked at)."""
    if isinstance(space, Discrete):
        return (x >= 0) & (x < space.n)
    shape = space.shape
    low, high = (np.broadcast_to(np.asarray(b, np.float32), shape) for b in (space.low, space.high))
    value = x.astype(jnp.float32)
    inside = jnp.all((value >= low) & (value <= high))
    if not space.categories:
        return inside
    return inside & jnp.all(value < np.broadcast_to(np.asarray(space.categories), shape))


def check_environment(env: Environment, key: Key, steps: int = 64) -> None:
    """Check the contract of `Environment` on four random episodes; compiles one program (a task).

    Checked: the spaces make sense; shapes and dtypes of everything that `init` and `step` return;
    the state keeps its structure and has strong dtypes; observations lie in the declared space;
    `final_obs` is `obs`; rewards are finite; no episode outlives `time_limit`; `init`, `step` and
    `render` may be traced and vmapped, over parameters too; equal keys give equal episodes.

    Args:
        env: the environment, as the library gives it: without auto-reset.
        key: of the random episodes.
        steps: length of each; where an episode ends, its first state is taken again.

    Raises:
        AssertionError: a promise is broken; the message says which.
    """
    for name, params in zip(env.tasks, env.params if env.tasks else (), strict=True):
        check_environment(env._replace(name=name, params=params, tasks=()), key, steps)
    if env.tasks:
        return
    _check_spaces(env)
    _check_signature(env)
    rollout = jax.jit(jax.vmap(lambda key, params: _rollout(env, steps, key, params)))
    params = jax.tree.map(lambda leaf: jnp.stack([jnp.asarray(leaf)] * _EPISODES), env.params)
    keys = jax.random.split(key, _EPISODES)
    promises, trace = rollout(keys, params)
    for promise, kept in promises.items():
        _require(env, bool(np.all(kept)), promise)
    again = rollout(keys, params)[1]
    same = jax.tree.map(lambda x, y: np.array_equal(x, y, equal_nan=True), trace, again)
    _require(env, all(jax.tree.leaves(same)), "equal keys give equal episodes")


def _require(env: Environment, condition: bool, promise: str) -> None:
    if not condition:
        raise AssertionError(f"{env.name} breaks the contract of Environment: {promise}")


def _check_spaces(env: Environment) -> None:
    _require(env, bool(env.name) and isinstance(env.name, str), f"name is an id, not {env.name!r}")
    _require(env, isinstance(env.observation, Box), "observation is a Box")
    limit = env.time_limit
    _require(
        env,
        limit is None or (isinstance(limit, int) and limit > 0),
        f"time_limit is None or a positive int, not {limit!r}",
    )
    if env.limit is not None:
        steps = float(env.limit(env.params[0] if env.tasks else env.params))
        within = limit is not None and 1 <= steps <= limit
        _require(
            env, within, f"limit of its own params is in 1 .. time_limit={limit}, not {steps:g}"
        )
    for name, space in (("observation", env.observation), ("action", env.action)):
        if isinstance(space, Discrete):
            _require(env, isinstance(space.n, int) and space.n > 0, f"{name}.n is positive")
            continue
        fit = all(np.shape(b) in ((), space.shape[-1:]) for b in (space.low, space.high))
        _require(env, fit, f"bounds of {name} are numbers or one per entry of its last axis")
        _require(env, bool(np.all(np.less_equal(space.low, space.high))), f"{name}.low <= high")


def _check_signature(env: Environment) -> None:
    """Shapes, dtypes and structures, by abstract evaluation: compiles nothing."""
    key = jax.eval_shape(jax.random.key, 0)
    state, obs = jax.eval_shape(env.init, key, env.params)
    after, timestep = jax.eval_shape(env.step, key, env.params, state, abstract(env.action))
    weak = [_name(path) for path, leaf in jax.tree.leaves_with_path(state) if leaf.weak_type]
    _require(env, not weak, f"state has strong dtypes, not so in {weak}")
    before, now = _signature(state), _signature(after)
    _require(env, jax.tree.structure(state) == jax.tree.structure(after), "state has one structure")
    changed = {name: (before[name], now[name]) for name in before if before[name] != now[name]}
    _require(env, not changed, f"state keeps shapes and dtypes, not so in {changed}")
    expected = {
        "init's obs": (obs, abstract(env.observation)),
        "obs": (timestep.obs, abstract(env.observation)),
        "final_obs": (timestep.final_obs, abstract(env.observation)),
        "reward": (timestep.reward, jax.ShapeDtypeStruct((), jnp.float32)),
        "terminated": (timestep.terminated, jax.ShapeDtypeStruct((), jnp.bool_)),
        "truncated": (timestep.truncated, jax.ShapeDtypeStruct((), jnp.bool_)),
    }
    for name, (found, wanted) in expected.items():
        _require(env, _signature(found) == _signature(wanted), f"{name} is {wanted}, not {found}")
    scalar = all(jnp.shape(value) == () for value in timestep.info.values())
    _require(env, scalar, "info holds scalars")
    if env.render is not None:
        picture = jax.eval_shape(env.render, env.params, state)
        colour = picture.dtype == jnp.uint8 and picture.ndim == 3 and picture.shape[2] == 3
        _require(env, colour, f"render gives u8[height, width, 3], not {picture}")


def _signature(x: PyTree) -> dict[str, tuple[Any, ...]]:
    """{path: (shape, dtype, weak type)} of every leaf."""
    leaves = jax.tree.leaves_with_path(x)
    return {_name(path): (leaf.shape, leaf.dtype, leaf.weak_type) for path, leaf in leaves}


def _name(path: tuple[Any, ...]) -> str:
    return jax.tree_util.keystr(path)


def _rollout(
    env: Environment, steps: int, key: Key, params: PyTree
) -> tuple[dict[str, Array], PyTree]:
    """Random actions for `steps` steps: {promise: kept} and a trace to compare."""
    key_init, key_steps = jax.random.split(key)
    start, first = env.init(key_init, params)

    def step(carry: tuple[PyTree, Array], key: Key) -> tuple[Any, Any]:
        state, length = carry
        key_action, key_step = jax.random.split(key)
        action = sample(key_action, env.action)
        state, now = env.step(key_step, params, state, action)
        done, length = now.terminated | now.truncated, length + 1
        kept = {
            "observations lie in the declared space": contains(env.observation, now.obs),
            "final_obs is obs before a reset": jnp.all(now.final_obs == now.obs),
            "rewards are finite": jnp.isfinite(now.reward),
            "an episode ends within time_limit": done | (length < (env.time_limit or steps + 1)),
        }
        total = jnp.sum(now.obs.astype(jnp.float32))
        carry = tree.where(done, (start, jnp.int32(0)), (state, length))
        return carry, (kept, (total, now.reward, now.terminated, now.truncated))

    _, (kept, trace) = jax.lax.scan(step, (start, jnp.int32(0)), jax.random.split(key_steps, steps))
    kept["the first observation lies in the declared space"] = contains(env.observation, first)
    return kept, (trace, jnp.sum(first.astype(jnp.float32)))


def check_agent(agent: Agent, key: Key) -> None:
    """Check the contract of `Agent` on made-up experience; compiles one program.

    Checked: the state is arrays of strong dtypes and keeps its structure; `state.learner` is a
    Learner; `act` gives actions of the declared space for any number of observations, greedily the
    same whatever the noise; estimates fit them, and each other; metrics are finite f32 scalars;
    `update` changes the parameters and may be vmapped over members with hypers of their own; the
    probe's features, feature gradients and gradients fit each other and are finite; nothing traced
    outlives its trace.

    Raises:
        AssertionError: a promise is broken; the message says which.
    """
    n, length = agent.num_envs, agent.rollout_length
    hypers = jax.tree.map(lambda x: jnp.full(2, x, jnp.float32), agent.hypers)

    def member(key: Key, hypers: Any) -> dict[str, PyTree]:
        keys = jax.random.split(key, 6)
        state = agent.init(keys[0], hypers)
        transition = _experience(agent, keys[1], hypers, state)
        memory, obs = agent.memory(n), transition.obs[0]
        noise, other = agent.noise(keys[4], n), agent.noise(keys[5], n)
        after, metrics = agent.update(keys[2], hypers, state, transition)
        greedy = agent.act(noise, hypers, state, memory, obs, False)[1]
        return {
            "state": state,
            "after": after,
            "metrics": metrics,
            "probe": agent.probe(keys[3], hypers, state, transition),
            "action": agent.act(noise, hypers, state, memory, obs, True)[1],
            "greedy": greedy,
            "again": agent.act(other, hypers, state, memory, obs, False)[1],
            "estimates": estimates.told(agent, hypers, state, memory, obs, greedy),
        }

    with _checking_leaks():
        found = jax.jit(jax.vmap(member))(jax.random.split(key, 2), hypers)
    _require_agent(agent, length >= 1 and n >= 1, "num_envs and rollout_length are positive")
    _check_found(agent, found)
    for promise, kept in estimates.promises(agent, found["estimates"], found["greedy"]).items():
        _require_agent(agent, kept, promise)


def _experience(agent: Agent, key: Key, hypers: Any, state: Any) -> Transition:
    """A rollout of random observations and rewards, with ends of both kinds."""
    n, length = agent.num_envs, agent.rollout_length
    obs_key, act_key, reward_key, end_key = jax.random.split(key, 4)

    def observations(key: Key) -> Array:
        keys = jax.random.split(key, (length + 1, n))
        return jax.vmap(jax.vmap(lambda key: sample(key, agent.observation)))(keys)

    def step(memory: Any, inputs: tuple[Array, Key]) -> tuple[Any, Any]:
        obs, key = inputs
        noise = agent.noise(key, n)
        memory, action, extras = agent.act(noise, hypers, state, memory, obs, True)
        return memory, (action, extras)

    obs = observations(obs_key)
    keys = jax.random.split(act_key, length)
    _, (action, extras) = jax.lax.scan(step, agent.memory(n), (obs[:-1], keys))
    reward = jax.random.normal(reward_key, (length, n))
    ends = jax.random.uniform(end_key, (2, length, n)) < 0.1
    return Transition(obs[:-1], action, reward, ends[0], ends[1], obs[1:], extras)


def _check_found(agent: Agent, found: dict[str, Any]) -> None:
    state, after, look = found["state"], found["after"], found["probe"]
    _require_agent(agent, isinstance(state.learner, Learner), "state.learner is a Learner")
    _require_agent(agent, _signature(state) == _signature(after), "update keeps the state's shape")
    weak = [name for name, signature in _signature(after).items() if signature[2]]
    _require_agent(agent, not weak, f"state has strong dtypes, not so in {weak}")
    for name, value in found["metrics"].items():
        scalar = value.shape == (2,) and value.dtype == jnp.float32
        _require_agent(agent, scalar, f"metric {name} is f32[]")
    _require_agent(agent, _finite(found["metrics"]), "metrics are finite")
    _require_agent(agent, _finite(state) and _finite(after), "state is finite")
    moved = jax.tree.map(np.array_equal, state.learner.params, after.learner.params)
    _require_agent(agent, not all(jax.tree.leaves(moved)), "update changes the parameters")
    expected = abstract(agent.action, 2, agent.num_envs)
    for name in ("action", "greedy"):
        action = found[name]
        fits = action.shape == expected.shape and action.dtype == expected.dtype
        _require_agent(
            agent, fits, f"act gives actions {expected}, not {action.dtype}{action.shape}"
        )
    same = np.array_equal(found["greedy"], found["again"])
    _require_agent(agent, same, "greedy actions do not depend on the noise")
    same = _signature(look.grads) == _signature(state.learner.params)
    _require_agent(agent, same, "probe.grads is like the parameters")
    same = _signature(look.features) == _signature(look.feature_grads)
    _require_agent(agent, same and len(look.features) > 0, "probe.feature_grads is like features")
    _require_agent(agent, _finite(look), "the probe is finite")


def check_intervention(intervention: Intervention, agent: Agent, key: Key) -> dict[str, Array]:
    """Check the contract of `Intervention` on an agent after one update; compiles one program.

    Checked: the learner and the intervention's state keep their structures, and are finite and of
    strong dtypes; metrics are f32 scalars; it may be vmapped over members; nothing traced outlives
    its trace. The clock stands at the first of 2 updates.

    Returns the metrics of two members, f32[2].
    Raises AssertionError: a promise is broken; the message says which.
    """
    hypers = jax.tree.map(lambda x: jnp.full(2, x, jnp.float32), agent.hypers)
    clock = Clock(np.int32(0), np.int32(2))

    def member(key: Key, hypers: Any) -> Any:
        keys = jax.random.split(key, 5)
        before = agent.init(keys[0], hypers)
        transition = _experience(agent, keys[1], hypers, before)
        after, _ = agent.update(keys[2], hypers, before, transition)
        look = look_at(agent, keys[3], hypers, before, after, transition)
        state = tree.strong(intervention.init(look.network, after.learner))
        made = intervention.apply(keys[4], clock, state, after.learner, look)
        return (after.learner, state), made[:2], made[2]

    with _checking_leaks():
        found = jax.jit(jax.vmap(member))(jax.random.split(key, 2), hypers)
    _check_made(f"intervention {intervention.name} on {agent.name}", *found)
    return found[2]


def _check_made(what: str, before: Any, after: Any, metrics: dict[str, Array]) -> None:
    for name, old, new in zip(("learner", "state"), before, after, strict=True):
        _promise(_signature(old) == _signature(new), f"{what} changes the shape of the {name}")
        weak = [leaf for leaf, signature in _signature(new).items() if signature[2]]
        _promise(not weak, f"{what} makes weak dtypes in {weak} of the {name}")
        _promise(_finite(new), f"{what} makes the {name} infinite")
    wrong = [n for n, x in metrics.items() if (x.shape, x.dtype) != ((2,), jnp.float32)]
    _promise(not wrong, f"{what} records {wrong}, which are not f32[]")


@contextmanager
def _checking_leaks() -> Iterator[None]:
    """`jax.checking_leaks`, whose garbage collections skip what is older than the program."""
    gc.freeze()
    try:
        with jax.checking_leaks():
            yield
    finally:
        gc.unfreeze()


def _promise(condition: bool, broken: str) -> None:
    if not condition:
        raise AssertionError(broken)


def _finite(x: PyTree) -> bool:
    leaves = [leaf for leaf in jax.tree.leaves(x) if jnp.issubdtype(leaf.dtype, jnp.floating)]
    return all(np.all(np.isfinite(leaf)) for leaf in leaves)


def _require_agent(agent: Agent, condition: bool, promise: str) -> None:
    if not condition:
        raise AssertionError(f"agent {agent.name!r} breaks the contract of Agent: {promise}")
