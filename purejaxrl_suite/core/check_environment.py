"""Check that an environment does what `Environment` promises; also run before training."""

from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from purejaxrl_suite.core import tree
from purejaxrl_suite.core.argument import function, instance, integer, wrong
from purejaxrl_suite.core.compiling import QUICK
from purejaxrl_suite.core.host import refuse_host
from purejaxrl_suite.core.spaces import abstract
from purejaxrl_suite.core.types import (
    Array,
    Box,
    Discrete,
    Environment,
    Key,
    PyTree,
    Space,
    TimeStep,
)

_EPISODES = 4


def sample(key: Key, space: Space) -> Array:
    """Draw a random element: uniform if both bounds are finite, else a clipped standard normal."""
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
    """Tell whether one element lies within the bounds, bool[]; ignores shape and dtype."""
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
    `final_obs` is `obs`; rewards are finite; no episode is longer than `time_limit`; `init`, `step`
    and `render` may be traced and vmapped, over parameters too; equal keys give equal episodes.

    Args:
        env: the environment, without auto-reset.
        key: for the random episodes.
        steps: length of each; where an episode ends, its first state is used again.

    Raises:
        ValueError: a promise is broken; it says which, what was expected and what was found.
    """
    _check_fields(env)
    refuse_host(env, "check_environment")
    for one in _tasks(env, distinct=False):
        _check_signature(one, strict=True)
        _check_play(one, key, steps)


def check_quickly(env: Environment, steps: int = 16) -> None:
    """Check what training needs of an environment, in a small part of the start-up time.

    As `check_environment`, but plays two episodes (among several tasks, of one task per dynamics)
    on the CPU, in a barely optimized program that is always cached; rewards may have any numeric
    dtype.
    """
    _check_fields(env)
    for one in () if env.host is not None else _tasks(env, distinct=True):
        one = one._replace(**{n: jax.jit(getattr(one, n), inline=True) for n in ("init", "step")})
        _check_signature(one, strict=False)  # traced once, for this and for what follows
        played = _compiled_quickly(one, steps)
        for seed in range(2):
            drawn = _drawn(one, steps, np.random.default_rng(seed))
            first, again = (jax.tree.map(np.asarray, played(*drawn, one.params)) for _ in range(2))
            _check_played(one, first, again)


def _compiled_quickly(env: Environment, steps: int) -> Callable[..., Any]:
    """Compile (key data, actions, params) -> the result of `_rollout`."""

    def play(bits: Array, actions: Array, params: PyTree) -> Any:
        return _rollout(env, jax.random.wrap_key_data(bits), actions, params)

    cached = "jax_persistent_cache_min_compile_time_secs"
    before = getattr(jax.config, cached)
    jax.config.update(cached, 0.0)
    drawn = _drawn(env, steps, np.random.default_rng(0))
    try:
        with jax.default_device(jax.local_devices(backend="cpu")[0]):
            return jax.jit(play).lower(*drawn, env.params).compile(QUICK)
    finally:
        jax.config.update(cached, before)


def _drawn(
    env: Environment, steps: int, generator: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Draw key data of steps + 1 keys, and actions as `sample` does, without compiling."""
    width = jax.eval_shape(lambda: jax.random.key_data(jax.random.key(0))).shape
    bits = generator.integers(0, 2**32, (steps + 1, *width), np.uint32)
    space = env.action
    if isinstance(space, Discrete):
        return bits, generator.integers(0, space.n, steps, np.int32)
    low, high = (np.broadcast_to(np.asarray(x), space.shape) for x in (space.low, space.high))
    bounded = np.isfinite(low) & np.isfinite(high)
    start, width = np.where(bounded, low, 0.0), np.where(bounded, high - low, 0.0)
    shape = steps, *space.shape
    normal = np.clip(generator.standard_normal(shape), low, high)
    actions = np.where(bounded, start + width * generator.random(shape), normal)
    return bits, actions.astype(space.dtype)


def _tasks(env: Environment, *, distinct: bool) -> Iterator[Environment]:
    """Yield each task; or the first of each dynamics, told apart by the shapes of parameters."""
    seen = set()
    names, each = (env.tasks, env.params) if env.tasks else ((env.name,), (env.params,))
    for name, params in zip(names, each, strict=True):
        look = jax.tree.structure(params), *map(np.shape, jax.tree.leaves(params))
        if not distinct or look not in seen:
            yield env._replace(name=name, params=params, tasks=())
        seen.add(look)


def _check_fields(env: Environment) -> None:
    """Check that the declared fields make sense by themselves."""
    what = f"environment {env.name!r}"
    if not (isinstance(env.name, str) and env.name):
        raise wrong("environment: name", "an id", env.name)
    instance(f"{what}: observation", env.observation, Box)
    if env.time_limit is not None:
        integer(f"{what}: time_limit", env.time_limit, 1)
    if env.limit is not None:
        steps = float(env.limit(env.params[0] if env.tasks else env.params))
        if env.time_limit is None or not 1 <= steps <= env.time_limit:
            span = f"1 .. time_limit={env.time_limit}"
            raise wrong(f"{what}: limit of its own params", f"steps in {span}", steps)
    for name, space in (("observation", env.observation), ("action", env.action)):
        _check_space(f"{what}: {name}", space)
    function(f"{what}: init", env.init, 2, "(key, params) -> (state, obs)")
    function(f"{what}: step", env.step, 4, "(key, params, state, action) -> (state, TimeStep)")
    for path, leaf in jax.tree_util.tree_leaves_with_path(env.params):
        if not hasattr(leaf, "dtype") and not isinstance(leaf, bool | int | float):
            raise wrong(f"{what}: params{_name(path)}", "an array or a number", leaf)


def _check_space(what: str, space: Any) -> None:
    if isinstance(space, Discrete):
        integer(f"{what}.n", space.n, 1)
        return
    instance(what, space, Box)
    if not isinstance(space.shape, tuple) or not all(isinstance(n, int) for n in space.shape):
        raise wrong(f"{what}.shape", "a tuple of integers", space.shape)
    try:
        jnp.dtype(space.dtype)
    except TypeError:
        raise wrong(f"{what}.dtype", "the name of a dtype", space.dtype) from None
    for name in ("low", "high"):
        bound = getattr(space, name)
        fits = np.shape(bound) in ((), space.shape[-1:])
        if not fits or np.asarray(bound).dtype.kind not in "biuf":
            raise wrong(f"{what}.{name}", "a number, or one per entry of the last axis", bound)
    if not np.all(np.less_equal(space.low, space.high)):
        raise wrong(f"{what}.low", f"at most high, which is {space.high}", space.low)


def _check_signature(env: Environment, strict: bool) -> None:
    """Check shapes, dtypes and structures by abstract evaluation: compiles nothing."""
    what = f"environment {env.name!r}"
    key = jax.eval_shape(lambda: jax.random.key(0))
    state, obs = _two(f"{what}: init", "(state, obs)", env.init, key, env.params)
    made = "(state, TimeStep)"
    action = abstract(env.action)
    after, now = _two(f"{what}: step", made, env.step, key, env.params, state, action)
    instance(f"{what}: step's second result", now, TimeStep)
    weak = [_name(path) for path, leaf in jax.tree.leaves_with_path(state) if leaf.weak_type]
    if strict and weak:
        raise ValueError(f"{what}: state: expected strong dtypes, got weak ones in {weak}")
    before, then = signature(state), signature(after)
    if jax.tree.structure(state) != jax.tree.structure(after):
        raise ValueError(
            f"{what}: step: expected a state of the structure that init gives, "
            f"got {_words(after)} after {_words(state)}"
        )
    for name, leaf in before.items():
        if leaf != then[name]:
            raise ValueError(f"{what}: step: expected state{name} {leaf}, got {then[name]}")
    expected = {
        "init's obs": (obs, abstract(env.observation)),
        "obs": (now.obs, abstract(env.observation)),
        "final_obs": (now.final_obs, abstract(env.observation)),
        "terminated": (now.terminated, jax.ShapeDtypeStruct((), jnp.bool_)),
        "truncated": (now.truncated, jax.ShapeDtypeStruct((), jnp.bool_)),
        "reward": (now.reward, jax.ShapeDtypeStruct((), jnp.float32)),
    }
    numeric = getattr(now.reward, "shape", None) == () and now.reward.dtype.kind in "iuf"
    if not strict and numeric:
        del expected["reward"]
    if now.life_lost is not None:
        expected["life_lost"] = now.life_lost, jax.ShapeDtypeStruct((), jnp.bool_)
    if env.discounted:
        expected["discount"] = now.discount, jax.ShapeDtypeStruct((), jnp.float32)
    elif now.discount is not None:
        raise ValueError(f"{what}: discounted: expected True of steps with a discount, got False")
    for name, (found, wanted) in expected.items():
        if signature(found) != signature(wanted):
            raise ValueError(f"{what}: {name}: expected {_words(wanted)}, got {_words(found)}")
    _check_extras(env, what, state, now)


def _check_extras(env: Environment, what: str, state: PyTree, now: Any) -> None:
    """Check `info` and `render`."""
    info = now.info if hasattr(now.info, "items") else {"": now.info}
    for name, value in info.items():
        if not isinstance(name, str) or not name or getattr(value, "shape", None) != ():
            raise ValueError(f"{what}: info[{name!r}]: expected a scalar, got {_words(value)}")
    if env.render is not None:
        picture = jax.eval_shape(env.render, env.params, state)
        if not (picture.dtype == jnp.uint8 and picture.ndim == 3 and picture.shape[2] == 3):
            form = "u8[height, width, 3]"
            raise ValueError(f"{what}: render: expected {form}, got {_words(picture)}")


def _two(what: str, form: str, made_by: Any, *arguments: Any) -> tuple[Any, Any]:
    """Evaluate the shapes of the pair that a function of the environment returns."""
    try:
        found = jax.eval_shape(made_by, *arguments)
    except Exception as error:  # whatever is wrong in it, it is the function's
        reason = (str(error).splitlines() or [""])[0][:200]
        text = f"{what}: expected a function that JAX can trace, got {type(error).__name__}"
        raise ValueError(f"{text}: {reason}") from error
    if type(found) is not tuple or len(found) != 2:
        raise ValueError(f"{what}: expected {form}, got {_words(found)}")
    return found


def signature(x: PyTree) -> dict[str, str]:
    """{path: dtype and shape} of every leaf."""
    leaves = jax.tree.leaves_with_path(x)
    return {_name(path): f"{leaf.dtype}{list(leaf.shape)}" for path, leaf in leaves}


def _words(x: Any) -> str:
    """Write shapes and dtypes in a few words."""
    if not hasattr(x, "shape") and len(jax.tree.leaves(x)) != 1:
        kind = type(x).__name__
        leaves = [f"{name}: {one}" for name, one in signature(x).items()]
        return f"{kind}({', '.join(leaves[:6])}{', ...' if len(leaves) > 6 else ''})"
    return ", ".join(signature(x).values())


def _name(path: tuple[Any, ...]) -> str:
    return jax.tree_util.keystr(path)


def _check_play(env: Environment, key: Key, steps: int) -> None:
    """Check the values of random episodes, on the CPU."""

    def episode(key: Key, params: PyTree) -> Any:
        keys = jax.random.split(key, 2 * steps + 1)
        actions = jax.vmap(lambda key: sample(key, env.action))(keys[:steps])
        return _rollout(env, keys[steps:], actions, params)

    def play(key: Key, params: PyTree) -> Any:
        return jax.vmap(episode)(jax.random.split(key, _EPISODES), params)

    params = jax.tree.map(lambda leaf: jnp.stack([jnp.asarray(leaf)] * _EPISODES), env.params)
    played = jax.jit(play)
    _check_played(env, *(jax.tree.map(np.asarray, played(key, params)) for _ in range(2)))


def _check_played(env: Environment, first: Any, again: Any) -> None:
    """Check two results of `_rollout` for the same keys."""
    for promise, (kept, value) in first[0].items():
        if not np.all(kept):
            worst = value[~kept].ravel()[0]
            raise ValueError(f"environment {env.name!r}: expected {promise}, got {worst:g}")
    same = jax.tree.map(lambda x, y: np.array_equal(x, y, equal_nan=True), first[1], again[1])
    if not all(jax.tree.leaves(same)):
        raise ValueError(
            f"environment {env.name!r}: expected the same episodes of the same keys, got others"
        )


def _rollout(env: Environment, keys: Key, actions: Array, params: PyTree) -> tuple[Any, PyTree]:
    """Take T actions, with T + 1 keys: {promise: (kept, value found)} and a trace to compare."""
    start, first = env.init(keys[0], params)
    steps = len(actions)

    def step(carry: tuple[PyTree, Array], drawn: tuple[Key, Array]) -> tuple[Any, Any]:
        state, length = carry
        key, action = drawn
        state, now = env.step(key, params, state, action)
        done, length = now.terminated | now.truncated, length + 1
        apart = jnp.max(jnp.abs(jnp.subtract(*_floats(now.final_obs, now.obs))), initial=0.0)
        promises = {
            "observations in the declared space": _declared(env.observation, now.obs),
            "final_obs to be obs before a reset, apart by 0": (apart == 0, apart),
            "finite rewards": (jnp.isfinite(now.reward), now.reward),
            f"episodes of at most time_limit={env.time_limit} steps": (
                done | (length < (env.time_limit or steps + 1)),
                length + 1,
            ),
        }
        total = jnp.sum(now.obs.astype(jnp.float32))
        carry = tree.where(done, (start, jnp.int32(0)), (state, length))
        return carry, (promises, (total, now.reward, now.terminated, now.truncated))

    _, (promises, trace) = jax.lax.scan(step, (start, jnp.int32(0)), (keys[1:], actions))
    promises["first observations in the declared space"] = _declared(env.observation, first)
    return promises, (trace, jnp.sum(first.astype(jnp.float32)))


def _floats(*xs: Array) -> list[Array]:
    return [x.astype(jnp.float32) for x in xs]


def _declared(space: Box, x: Array) -> tuple[Array, Array]:
    """Tell whether an observation is in its space, and its entry furthest from the bounds."""
    value = jnp.ravel(x.astype(jnp.float32))
    bounds = (space.low, space.high if not space.categories else np.asarray(space.categories) - 1)
    low, high = (np.ravel(np.broadcast_to(np.asarray(b, np.float32), space.shape)) for b in bounds)
    beyond = jnp.maximum(low - value, value - high)
    return contains(space, x), value[jnp.argmax(beyond)] if value.size else jnp.zeros(())
