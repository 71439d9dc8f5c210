"""Adapters for the environments of gymnax 1.0 (Lange 2022, github.com/RobertTLange/gymnax).

`step_env` and `reset_env` are called directly, without gymnax's auto-reset, so no unused reset is
computed. Where gymnax declares wrong bounds or dtypes of observations, this file has the right
ones. Rewards are float32, boards of zeros and ones uint8, integer observations one-hot (Discrete)
or float32 (vectors), state and parameters strongly typed.

An option of `make` is either an argument of the gymnax class (static, such as board sizes) or a
field of its `EnvParams`. The latter become `Environment.params`, all of them traced, so any may be
swept. Bounds and time limit of the returned `Environment` are those of the parameters that it was
made with.

Environments with a goal have two parameters more than gymnax's: `goal_x` and `goal_y`. If they are
finite, every episode has that goal; infinite coordinates, the default, are drawn by gymnax in each
episode. Fields that follow from others, such as the total mass of CartPole, are not parameters
here: they are computed where they are used, so they are never out of date.
"""

import dataclasses
import functools
import inspect
import math
import os
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from purejaxrl_suite.core import tree
from purejaxrl_suite.core.parameter import like
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
from purejaxrl_suite.envs.recipe import called

REFUSED = {"MNISTBandit-bsuite": "gymnax downloads MNIST when it is made"}

# Every entry of these observations is 0 or 1, whatever dtype and bounds gymnax declares.
_BOARDS = {
    "Asterix-MinAtar",
    "Breakout-MinAtar",
    "Freeway-MinAtar",
    "Seaquest-MinAtar",
    "SpaceInvaders-MinAtar",
    "Catch-bsuite",
    "DeepSea-bsuite",
    "FourRooms-misc",  # with use_visual_obs
    "Pong-misc",
}

# The field of the state with the goal of an episode, f32[2].
_GOALS = {"PointRobot-misc": "goal", "Reacher-misc": "goal_xy"}

# Fields of gymnax's parameters that follow from other fields.
_DERIVED: dict[str, dict[str, Callable[[Any], Any]]] = {
    "CartPole-v1": {
        "total_mass": lambda params: params.masscart + params.masspole,
        "polemass_length": lambda params: params.masspole * params.length,
    }
}

# Height and width of the pictures of gymnax's renderer.
_CLASSIC = {
    "Acrobot-v1": (500, 500),
    "CartPole-v1": (400, 600),
    "MountainCar-v0": (400, 600),
    "MountainCarContinuous-v0": (400, 600),
    "Pendulum-v1": (500, 500),
}


def ids() -> tuple[str, ...]:
    """List the ids that `make` takes: gymnax's own and those given to `gymnax.register`."""
    import gymnax

    return tuple(id for id in gymnax.registered_envs if id not in REFUSED)


def make(id: str, **options: Any) -> Environment:
    """Make a gymnax environment.

    Args:
        id: a gymnax id, such as `"CartPole-v1"`.
        **options: arguments of the gymnax class and fields of its `EnvParams`.

    Raises:
        ValueError: the id or an option is unknown, refused or malformed.
    """
    game, defaults = _construct(id, options)
    whole = functools.partial(_whole, id, game)
    observation, observe = _observation(id, game, whole(defaults))
    action_space, act = _action(game, whole(defaults))

    def init(key: Key, params: PyTree) -> tuple[PyTree, Array]:
        params = whole(_cast(params, defaults))
        with jax.numpy_rank_promotion("allow"):  # Swimmer relies on it
            obs, state = game.reset_env(key, params)
            if id in _GOALS:
                state = _aimed(_GOALS[id], params, state)
                obs = game.get_obs(state, params)
        return tree.strong(state), observe(obs)

    def step(key: Key, params: PyTree, state: PyTree, action: Array) -> tuple[PyTree, TimeStep]:
        params = whole(_cast(params, defaults))
        with jax.numpy_rank_promotion("allow"):
            obs, state, reward, terminated, _ = game.step_env(key, state, act(action), params)
        obs = observe(obs)
        reward = jnp.asarray(reward, jnp.float32)
        terminated = jnp.asarray(terminated, bool)
        truncated = jnp.asarray(game.is_truncated(state, params), bool)
        return tree.strong(state), TimeStep(
            obs=obs,
            reward=reward,
            terminated=terminated,
            truncated=truncated,
            final_obs=obs,
            info={},
        )

    def render_board(params: PyTree, state: PyTree) -> Array:
        with jax.numpy_rank_promotion("allow"):
            obs = game.observe(jax.random.key(0), state, None, whole(_cast(params, defaults)))
        return _draw(observe(obs))

    board = observation.dtype == "uint8" and len(observation.shape) == 3
    render = render_board if board else _host_render(id, whole)
    return Environment(
        name=id,
        observation=observation,
        action=action_space,
        time_limit=_limit(defaults),
        params=defaults,
        init=init,
        step=step,
        render=render,
        limit=_limit,
        recipe=(_recipe(id, game, options),),
    )


def _limit(params: PyTree) -> Any:
    """Return the step at which an episode is truncated, for parameters [...]."""
    found = np.ceil(params.max_steps_in_episode)
    return int(found) if np.ndim(found) == 0 else found


def _recipe(id: str, game: Any, options: dict[str, Any]) -> str:
    """Write the call with all arguments of the gymnax class and the non-default parameters."""
    arguments = _arguments(game)
    static = {name: options.get(name, default) for name, default in arguments.items()}
    params = {
        name: np.asarray(value)
        for name, value in options.items()
        if name not in arguments
        and not np.array_equal(value, getattr(game.default_params, name, np.nan))
    }
    return called("make", id, **static, **params)


def _arguments(game: Any) -> dict[str, Any]:
    """Return {name: default} of the arguments of a gymnax class."""
    arguments = inspect.signature(type(game).__init__).parameters.values()
    return {
        a.name: a.default
        for a in arguments
        if a.kind is a.POSITIONAL_OR_KEYWORD and a.name != "self"
    }


def _construct(id: str, options: dict[str, Any]) -> tuple[Any, Any]:
    """Make the gymnax object and its default parameters, as strongly typed numpy arrays."""
    if id in REFUSED:
        raise ValueError(f"id: {id} is refused: {REFUSED[id]}")
    game, params = _gymnax(id)
    names = list(_arguments(game))
    fields = [field.name for field in dataclasses.fields(params)]
    unknown = sorted(set(options) - set(names) - set(fields))
    if unknown:
        raise ValueError(f"{id} has no option {', '.join(unknown)}; it has {names + fields}")
    static = {name: value for name, value in options.items() if name in names}
    if static:
        game, params = _reconstruct(id, static)
    strong = {name: _strong(name, getattr(params, name), options) for name in fields}
    if strong["max_steps_in_episode"] < 1:
        limit = strong["max_steps_in_episode"]
        raise ValueError(f"max_steps_in_episode: {limit}, expected at least 1")
    return game, params.replace(**strong)


def _gymnax(id: str, **static: Any) -> tuple[Any, Any]:
    """Call `gymnax.make`; add parameters for a goal, and remove derived ones."""
    import gymnax

    game, params = gymnax.make(id, **static)
    if id in _DERIVED:
        return game, _without(type(params), frozenset(_DERIVED[id]))()
    return game, _with_goal(type(params))() if id in _GOALS else params


@functools.cache
def _without(kind: type, derived: frozenset[str]) -> type:
    """Return a class of parameters without the derived fields."""
    from gymnax.environments.environment import EnvParams

    known = [f for f in dataclasses.fields(kind) if f.name not in derived]
    fields: list[Any] = [(f.name, f.type, f.default) for f in known]
    made = dataclasses.make_dataclass(kind.__name__, fields, bases=(EnvParams,), frozen=True)
    return jax.tree_util.register_dataclass(made)


def _whole(id: str, game: Any, params: Any) -> Any:
    """Convert to gymnax's parameters, by computing the derived ones."""
    if id not in _DERIVED:
        return params
    known = {field.name: getattr(params, field.name) for field in dataclasses.fields(params)}
    derived = {name: follow(params) for name, follow in _DERIVED[id].items()}
    return type(game.default_params)(**known, **derived)


@functools.cache
def _with_goal(kind: type) -> type:
    """Return a class of parameters with the fields of a goal."""
    fields: list[Any] = [(name, float, math.inf) for name in ("goal_x", "goal_y")]
    made = dataclasses.make_dataclass(f"Goal{kind.__name__}", fields, bases=(kind,), frozen=True)
    return jax.tree_util.register_dataclass(made)


def _aimed(field: str, params: Any, state: Any) -> Any:
    """Set the state's goal to the parameters' one; infinite coordinates stay as drawn."""
    goal = jnp.stack([params.goal_x, params.goal_y])
    return state.replace(**{field: jnp.where(jnp.isinf(goal), getattr(state, field), goal)})


def _reconstruct(id: str, static: dict[str, Any]) -> tuple[Any, Any]:
    """Call `_gymnax` with arguments; ValueError naming them if gymnax fails."""
    try:
        game, params = _gymnax(id, **static)
        jax.eval_shape(game.reset_env, jax.random.key(0), params)
    except (AssertionError, IndexError, TypeError, ValueError) as error:
        raise ValueError(f"{id}: gymnax cannot build it with {static}: {error!r}") from error
    return game, params


def _strong(name: str, default: Any, options: dict[str, Any]) -> np.ndarray:
    """Convert a parameter to the default's shape and strong dtype, in numpy to touch no device."""
    dtype = jax.dtypes.canonicalize_dtype(np.asarray(default).dtype)
    return np.asarray(like(name, options.get(name, default), default), dtype)


def _cast(params: PyTree, defaults: PyTree) -> PyTree:
    """Cast parameters to their defaults' dtypes: a swept integer would change the state's."""
    return jax.tree.map(lambda x, default: jnp.asarray(x, default.dtype), params, defaults)


def _observation(id: str, game: Any, params: Any) -> tuple[Box, Callable[[Array], Array]]:
    """Return the true space of observations, and the function that converts them to it."""
    space = game.observation_space(params)
    if hasattr(space, "n"):
        n = int(space.n)
        return Box((n,), "float32", 0.0, 1.0), lambda obs: jax.nn.one_hot(obs, n)
    if getattr(space, "shape", None) is None:
        raise ValueError(f"{id}: observation space {space} is neither a Box nor Discrete")
    shape = tuple(int(size) for size in space.shape)
    if id in _BOARDS and len(shape) > 1:
        return Box(shape, "uint8", 0.0, 1.0), lambda obs: jnp.asarray(obs, jnp.uint8)
    low, high = _bounds(id, params, shape=shape, low=space.low, high=space.high)
    return Box(shape, "float32", low, high), lambda obs: jnp.asarray(obs, jnp.float32)


def _bounds(id: str, params: Any, shape: tuple[int, ...], low: Any, high: Any) -> tuple[Any, Any]:
    """Correct the declared bounds of gymnax 1.0.1; float32 max becomes infinity."""
    low = np.array(np.broadcast_to(np.asarray(low, np.float32), shape))
    high = np.array(np.broadcast_to(np.asarray(high, np.float32), shape))
    if id == "MemoryChain-bsuite":
        # [time left, query, bits]: the bits are -1 or 1, declared as 0 .. 2.
        low[2:], high[:] = -1.0, 1.0
        high[1] = max(shape[0] - 3, 1)
    if id in ("GaussianBandit-misc", "MetaMaze-misc"):
        # The last reward, declared as 0 .. 2 and 0 .. 1, has no bound of its own.
        entry = 0 if id == "GaussianBandit-misc" else -2
        low[entry], high[entry] = -np.inf, np.inf
    if id in ("BernoulliBandit-misc", "GaussianBandit-misc", "MetaMaze-misc"):
        # Time counts up to the limit, or is normalised and starts at -1; either may be declared.
        low[-1] = min(-1.0, getattr(params, "min_lim", -1.0))
        high[-1] = max(params.max_steps_in_episode, _last_time(params))
    limit = np.finfo(np.float32).max
    low[low <= -limit], high[high >= limit] = -np.inf, np.inf
    return _compact(low), _compact(high)


def _last_time(params: Any) -> float:
    """Compute the normalised time at the end of a bandit's episode."""
    low, high = getattr(params, "min_lim", -1.0), getattr(params, "max_lim", 1.0)
    return float((high - low) * params.max_steps_in_episode / getattr(params, "t_max", 100) + low)


def _compact(bound: np.ndarray) -> float | tuple[float, ...]:
    """Reduce bounds to one number if all are equal, else to one per entry of the last axis."""
    values = tuple(float(value) for value in np.atleast_2d(bound).reshape(-1, bound.shape[-1])[0])
    return values[0] if len(set(values)) == 1 else values


def _action(game: Any, params: Any) -> tuple[Space, Callable[[Array], Array]]:
    """Return the action space, and the function that converts actions for gymnax."""
    space = game.action_space(params)
    if hasattr(space, "n"):
        return Discrete(int(space.n)), lambda action: jnp.asarray(action, jnp.int32)
    shape = tuple(int(size) for size in space.shape)
    low = np.array(np.broadcast_to(np.asarray(space.low, np.float32), shape))
    high = np.array(np.broadcast_to(np.asarray(space.high, np.float32), shape))
    # Clipped here because not all environments clip, and MountainCarContinuous computes its cost
    # from the unclipped action.
    return (
        Box(shape, "float32", _compact(low), _compact(high)),
        lambda action: jnp.clip(jnp.asarray(action, jnp.float32), low, high),
    )


def _draw(board: Array) -> Array:
    """Draw a board u8[16 height, 16 width, 3]: cells in the colour of their last set channel."""
    channels = board.shape[-1]
    hues = np.arange(channels)[:, None] / channels + np.array([0.0, 2 / 3, 1 / 3])
    colours = (127.5 + 127.5 * np.cos(2 * np.pi * hues)).astype(np.uint8)
    last = channels - 1 - jnp.argmax(board[..., ::-1], axis=-1)
    picture = jnp.where(jnp.any(board > 0, axis=-1, keepdims=True), jnp.asarray(colours)[last], 0)
    return jnp.repeat(jnp.repeat(picture.astype(jnp.uint8), 16, axis=0), 16, axis=1)


def _host_render(id: str, whole: Callable[[Any], Any]) -> Callable[[PyTree, PyTree], Array] | None:
    """Make gymnax's renderer, which draws on the host by gymnasium; None for ids without one."""
    if id not in _CLASSIC:
        return None
    size = jax.ShapeDtypeStruct((*_CLASSIC[id], 3), "uint8")

    def draw(params: PyTree, state: PyTree) -> np.ndarray:
        from gymnax.visualize import vis_gym

        canvas = _canvas(id)
        vis_gym.set_gym_params(canvas.unwrapped, id, whole(params))
        canvas.unwrapped.state = vis_gym.get_gym_state(state, id)
        if hasattr(state, "last_u"):  # the arrow of Pendulum
            canvas.unwrapped.last_u = np.asarray(state.last_u, np.float64)
        return canvas.render()

    def render(params: PyTree, state: PyTree) -> Array:
        if find_spec("pygame") is None:  # checked before a program that would fail is compiled
            how = 'pip install "purejaxrl_suite[render]"'
            raise ValueError(f"{id} is drawn by pygame, which is not installed: {how}")
        return jax.pure_callback(draw, size, params, state, vmap_method="sequential")

    return render


@functools.cache
def _canvas(id: str) -> Any:
    """Make gymnasium's environment once per id: making it takes longer than many pictures."""
    import gymnasium

    for name in ("SDL_VIDEODRIVER", "SDL_AUDIODRIVER"):  # neither screen nor sound is needed
        os.environ.setdefault(name, "dummy")
    canvas = gymnasium.make(id, render_mode="rgb_array")
    canvas.reset()
    return canvas
