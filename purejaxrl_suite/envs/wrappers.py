"""Wrappers: functions from an Environment to an Environment, to be composed in any order.

All keep the parameters, both end flags, the true successor and the rendering of the environment
that they wrap. An Environment is one episode, so no wrapper remembers anything beyond its end:
running statistics belong to agents.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from purejaxrl_suite.core.spaces import abstract
from purejaxrl_suite.core.types import (
    Array,
    Box,
    Discrete,
    Environment,
    Key,
    PyTree,
    TimeStep,
)
from purejaxrl_suite.envs.recipe import recorded


class Repeating(NamedTuple):
    """State of `sticky_actions`. action: last executed. started: bool[], whether there was one."""

    env: PyTree
    action: Array
    started: Array


class Stacked(NamedTuple):
    """State of `frame_stack`. frames: the last stacked observation."""

    env: PyTree
    frames: Array


class Timed(NamedTuple):
    """State of `time_limit`. time: i32[], steps taken."""

    env: PyTree
    time: Array


@recorded
def transform_observation(
    env: Environment, function: Callable[[Array], Array], space: Box
) -> Environment:
    """Transform observations by a function.

    Args:
        env: what to wrap.
        function: obs -> an element of `space`.
        space: of the new observations.

    Returns:
        The wrapped environment.

    Raises:
        ValueError: the result of `function` does not have the shape and dtype of `space`.
    """
    found, wanted = jax.eval_shape(function, abstract(env.observation)), abstract(space)
    if (found.shape, found.dtype) != (wanted.shape, wanted.dtype):
        raise ValueError(f"function: it returns {found}, expected {wanted} as `space` says")

    def init(key: Key, params: PyTree) -> tuple[PyTree, Array]:
        state, obs = env.init(key, params)
        return state, function(obs)

    def step(key: Key, params: PyTree, state: PyTree, action: Array) -> tuple[PyTree, TimeStep]:
        state, now = env.step(key, params, state, action)
        obs = function(now.final_obs)
        return state, now._replace(obs=obs, final_obs=obs)

    return env._replace(observation=space, init=init, step=step)


@recorded
def normalize_observation(env: Environment, mean: Any, scale: Any) -> Environment:
    """Normalize observations by constants, to (obs - mean) / scale as float32.

    Running statistics belong to agents, as an Environment is a single episode.

    Args:
        env: what to wrap.
        mean: a number, or an array that broadcasts to the observation.
        scale: the same, positive.

    Returns:
        The wrapped environment.

    Raises:
        ValueError: they do not broadcast, are not finite, or `scale` is not positive.
    """
    shape = env.observation.shape
    mean, scale = _constant("mean", mean, shape), _constant("scale", scale, shape)
    if np.any(scale <= 0):
        raise ValueError(f"scale: {scale}, expected positive numbers")
    low = _per_channel(np.min, (np.asarray(env.observation.low, np.float32) - mean) / scale)
    high = _per_channel(np.max, (np.asarray(env.observation.high, np.float32) - mean) / scale)
    space = Box(shape, "float32", low, high)
    return transform_observation(env, lambda obs: (obs.astype(jnp.float32) - mean) / scale, space)


@recorded
def frame_stack(env: Environment, frames: int) -> Environment:
    """Concatenate the last `frames` observations on the last axis, the newest last.

    At the start of an episode its first observation fills the stack.

    Raises:
        ValueError: `frames` is less than 1, or observations are scalars.
    """
    if frames < 1:
        raise ValueError(f"frames: {frames}, expected at least 1")
    if not env.observation.shape:
        raise ValueError(f"env: {env.name} has scalar observations, expected at least one axis")
    *leading, channels = env.observation.shape

    def tiled(values: Any) -> Any:
        return tuple(values) * frames if isinstance(values, tuple) else values

    box = env.observation
    space = Box(
        shape=(*leading, channels * frames),
        dtype=box.dtype,
        low=tiled(box.low),
        high=tiled(box.high),
        categories=tiled(box.categories),
    )

    def init(key: Key, params: PyTree) -> tuple[Stacked, Array]:
        state, obs = env.init(key, params)
        stack = jnp.concatenate([obs] * frames, axis=-1)
        return Stacked(state, stack), stack

    def step(key: Key, params: PyTree, state: Stacked, action: Array) -> tuple[Stacked, TimeStep]:
        inner, now = env.step(key, params, state.env, action)
        stack = jnp.concatenate([state.frames[..., channels:], now.final_obs], axis=-1)
        return Stacked(inner, stack), now._replace(obs=stack, final_obs=stack)

    return env._replace(observation=space, init=init, step=step, render=_inner_render(env))


@recorded
def sticky_actions(env: Environment, probability: float = 0.25) -> Environment:
    """Repeat the last executed action with `probability`, in place of the given one.

    Machado et al. 2018, "Revisiting the Arcade Learning Environment" (arXiv 1709.06009), section 5.
    The first action of an episode is always executed: there is none to repeat (the ALE repeats its
    no-op there).

    Raises:
        ValueError: `probability` is not in [0, 1].
    """
    if not 0.0 <= probability <= 1.0:
        raise ValueError(f"probability: {probability}, expected a number in [0, 1]")
    blank = abstract(env.action)

    def init(key: Key, params: PyTree) -> tuple[Repeating, Array]:
        state, obs = env.init(key, params)
        return Repeating(state, jnp.zeros(blank.shape, blank.dtype), jnp.zeros((), bool)), obs

    def step(
        key: Key, params: PyTree, state: Repeating, action: Array
    ) -> tuple[Repeating, TimeStep]:
        key_repeat, key_step = jax.random.split(key)
        repeat = state.started & jax.random.bernoulli(key_repeat, probability)
        action = jnp.where(repeat, state.action, jnp.asarray(action, blank.dtype))
        inner, now = env.step(key_step, params, state.env, action)
        return Repeating(inner, action, jnp.ones((), bool)), now

    return env._replace(init=init, step=step, render=_inner_render(env))


@recorded
def time_limit(env: Environment, steps: int) -> Environment:
    """Truncate episodes after `steps` steps, if they have not ended by then.

    Raises:
        ValueError: `steps` is less than 1.
    """
    if steps < 1:
        raise ValueError(f"steps: {steps}, expected at least 1")

    def init(key: Key, params: PyTree) -> tuple[Timed, Array]:
        state, obs = env.init(key, params)
        return Timed(state, jnp.int32(0)), obs

    def step(key: Key, params: PyTree, state: Timed, action: Array) -> tuple[Timed, TimeStep]:
        inner, now = env.step(key, params, state.env, action)
        time = state.time + 1
        return Timed(inner, time), now._replace(truncated=now.truncated | (time >= steps))

    own = env.limit
    both = None if own is None else lambda params: jnp.minimum(own(params), steps)
    made = env._replace(time_limit=min(steps, env.time_limit or steps), limit=both)
    return made._replace(init=init, step=step, render=_inner_render(env))


@recorded
def episodic_life(env: Environment, lives: Callable[[PyTree], Array]) -> Environment:
    """Let agents learn from a lost life as from a termination, although the episode goes on.

    Mnih et al. 2015 (Nature 518, 529-533), methods. Returns and lengths stay those of whole
    episodes, and agents keep their memory.

    Args:
        env: what to wrap.
        lives: state of `env` -> the lives left, i32[].

    Returns:
        The wrapped environment.

    Raises:
        ValueError: `lives` does not return an integer.
    """
    left = jax.eval_shape(lambda key: lives(env.init(key, env.params)[0]), jax.random.key(0))
    if left.shape != () or not jnp.issubdtype(left.dtype, jnp.integer):
        raise ValueError(f"lives: it returns {left}, expected one integer")

    def step(key: Key, params: PyTree, state: PyTree, action: Array) -> tuple[PyTree, TimeStep]:
        following, now = env.step(key, params, state, action)
        return following, now._replace(life_lost=lives(following) < lives(state))

    return env._replace(step=step)


@recorded
def permute_observation(env: Environment, seed: int) -> Environment:
    """Permute the entries of vectors, or the positions of images, in one random order.

    Channels keep their places. Several seeds in a stream make tasks that differ only in their
    inputs. The name tells the seed.

    Raises:
        ValueError: observations are scalars.
    """
    box = env.observation
    if not box.shape:
        raise ValueError(f"env: {env.name} has scalar observations, expected at least one axis")
    places = box.shape if len(box.shape) == 1 else box.shape[:-1]
    order = np.random.default_rng(seed).permutation(math.prod(places))
    if len(box.shape) == 1:
        low, high, categories = (
            tuple(x[i] for i in order) if isinstance(x, tuple) and x else x
            for x in (box.low, box.high, box.categories)
        )
        box = box._replace(low=low, high=high, categories=categories)

    def permute(obs: Array) -> Array:
        rows = jnp.reshape(obs, (len(order), *obs.shape[len(places) :]))
        return jnp.reshape(rows[order], obs.shape)

    shown = transform_observation(env, permute, box)
    return shown._replace(name=f"{env.name}/permuted-{seed}")


@recorded
def remap_actions(env: Environment, seed: int) -> Environment:
    """Permute the meanings of Discrete actions at random; the name tells the seed.

    Raises:
        ValueError: actions are not Discrete.
    """
    if not isinstance(env.action, Discrete):
        raise ValueError(f"env: {env.name} has actions {env.action}, expected Discrete")
    order = np.random.default_rng(seed).permutation(env.action.n).astype(np.int32)

    def step(key: Key, params: PyTree, state: PyTree, action: Array) -> tuple[PyTree, TimeStep]:
        return env.step(key, params, state, jnp.asarray(order)[action])

    return env._replace(step=step, name=f"{env.name}/remapped-{seed}")


@recorded
def unit_actions(env: Environment) -> Environment:
    """Scale actions from [-1, 1] to the bounds of the environment's own.

    For agents whose policy does not know the bounds, such as PPO's Gaussian, whose initial standard
    deviation is 1.

    Raises:
        ValueError: actions are not a Box with finite bounds.
    """
    box = env.action
    low, high = (np.asarray(getattr(box, name, np.nan), np.float32) for name in ("low", "high"))
    if not isinstance(box, Box) or not np.all(np.isfinite([low, high]) & (low <= high)):
        raise ValueError(f"env: {env.name} has actions {box}, expected a Box with finite bounds")

    def step(key: Key, params: PyTree, state: PyTree, action: Array) -> tuple[PyTree, TimeStep]:
        share = 0.5 * (jnp.clip(action, -1.0, 1.0) + 1.0)
        return env.step(key, params, state, share * (high - low) + low)

    return env._replace(action=box._replace(low=-1.0, high=1.0), step=step)


@recorded
def scale_reward(env: Environment, scale: float) -> Environment:
    """Multiply rewards by `scale`.

    Raises:
        ValueError: `scale` is not finite.
    """
    if not math.isfinite(scale):
        raise ValueError(f"scale: {scale}, expected a finite number")
    return _transform_reward(env, lambda reward: reward * scale)


@recorded
def clip_reward(env: Environment, low: float = -1.0, high: float = 1.0) -> Environment:
    """Clip rewards to [low, high], by default as Mnih et al. 2015 (Nature 518, 529-533) do.

    Raises:
        ValueError: `low` is not below `high`.
    """
    if not low < high:
        raise ValueError(f"low: {low}, expected less than high = {high}")
    return _transform_reward(env, lambda reward: jnp.clip(reward, low, high))


def _transform_reward(env: Environment, function: Callable[[Array], Array]) -> Environment:
    def step(key: Key, params: PyTree, state: PyTree, action: Array) -> tuple[PyTree, TimeStep]:
        state, now = env.step(key, params, state, action)
        return state, now._replace(reward=function(now.reward))

    return env._replace(step=step)


def _inner_render(env: Environment) -> Callable[[PyTree, PyTree], Array] | None:
    """Make the rendering of the state inside a wrapper's state."""
    render = env.render
    return None if render is None else lambda params, state: render(params, state.env)


def _constant(name: str, value: Any, shape: tuple[int, ...]) -> np.ndarray:
    try:
        constant = np.broadcast_to(np.asarray(value, np.float32), shape)
    except ValueError as error:
        raise ValueError(f"{name}: {value}, expected to broadcast to {shape}") from error
    if not np.all(np.isfinite(constant)):
        raise ValueError(f"{name}: {value}, expected finite numbers")
    return constant


def _per_channel(reduce: Callable[..., np.ndarray], bound: np.ndarray) -> tuple[float, ...] | float:
    """Reduce bounds to the outermost one of each entry of the last axis."""
    if bound.ndim == 0:
        return float(bound)
    return tuple(float(value) for value in reduce(bound.reshape(-1, bound.shape[-1]), axis=0))
