"""Every environment of navix 4 (arXiv:2407.19396), with the tasks that navix releases.

The implementation differs in three ways:
- The raw step is called, without navix's auto-reset, which ignores the action after an end and so
  adds one transition (s_T, a, 0, s_0) to every episode.
- `terminated` and `truncated` may both be True; navix then reports only termination.
- The carried state has the grid (int8), the entities and the mission. The rendering cache (12.5
  of 13 kB in DoorKey-8x8) is a function of the grid, the event record is cleared at every step, and
  the random key is an argument of `step`, so none of these is carried.
"""

import difflib
import functools
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from purejaxrl_suite.core import tree
from purejaxrl_suite.core.types import Array, Box, Discrete, Environment, Key, PyTree, TimeStep
from purejaxrl_suite.envs.minigrid_view import VIEW, crop
from purejaxrl_suite.envs.recipe import called

# Codes per channel of the symbolic grid: objects 0..10, colours 0..5, and a third channel with the
# door state 0..2 or the agent's direction 0..3 (minigrid.core.constants: OBJECT_TO_IDX,
# COLOR_TO_IDX, STATE_TO_IDX).
SYMBOLIC_CATEGORIES = (11, 6, 4)
_FLOOR, _WALL = (1, 0, 0), (2, 5, 0)  # object, colour, state
_FLOOR_CODE, _WALL_CODE = 1, 2 + 16 * 5  # object + 16 * colour + 256 * state
_OUT_OF_GRID = 100  # navix's padding of the categorical first-person view


class State(NamedTuple):
    """State of an episode.

    grid: i8[height, width], 0 floor, -1 wall.
    entities: {name: navix entity}. mission: navix's targets, () where there is none.
    t: i32[], steps since the start.
    background: u8[height * width * 3], the symbols of floor and walls, which no step changes; u8[0]
        where the observation is not "symbolic".
    """

    grid: Array
    entities: PyTree
    mission: PyTree
    t: Array
    background: Array


class _Observation(NamedTuple):
    """An observation function.

    function: (navix state, background) -> array. categories: codes per channel, () for images.
    background: grid -> the part of the observation that is constant in an episode.
    """

    function: Callable[[Any, Array], Array]
    categories: tuple[int, ...]
    background: Callable[[Array], Array] = lambda grid: jnp.zeros(0, jnp.uint8)


def ids() -> tuple[str, ...]:
    """List the ids of navix's registry, sorted: `Navix-<name>-v0`."""
    import navix

    return tuple(sorted(navix.registry()))


def make(
    env_id: str, *, observation: str = "symbolic", max_steps: int | None = None
) -> Environment:
    """Make a navix environment.

    `info["success"]` is 1.0 where the step terminated with a positive reward, else 0.0. There are
    no traced parameters: `params` is ().

    Args:
        env_id: one of `ids()`.
        observation: the name of one of navix's observation functions. "symbolic" u8[height, width,
            3] (navix's default) and "symbolic_first_person" u8[7, 7, 3] (no occlusion) are codes of
            object, colour and state; "categorical" u8[height, width, 1] has 0 for walls, 1 for
            floor, 1 + object; "categorical_first_person" u8[7, 7, 1] also 12, out of the grid;
            "rgb" u8[8 height, 8 width, 3] and "rgb_first_person" u8[56, 56, 3] are images.
        max_steps: time limit; None is navix's own (mostly 4 * height * width).

    Returns:
        The environment.

    Raises:
        ValueError: the id or observation is unknown, or the time limit is below 1.
    """
    engine = make_engine(env_id, max_steps)
    observations = _observations()
    if observation not in observations:
        raise ValueError(
            f"observation={observation!r} is not offered: expected one of {sorted(observations)}"
        )
    made = _environment(env_id, engine, observations[observation])
    how = called("make", env_id, observation=observation, max_steps=int(engine.max_steps))
    return made._replace(recipe=(how,))


def make_engine(env_id: str, max_steps: int | None = None) -> Any:
    """Make the navix object, with checked arguments and without an observation function."""
    import navix

    if env_id not in navix.registry():
        close = difflib.get_close_matches(env_id, ids(), n=3, cutoff=0.4)
        raise ValueError(f"env_id={env_id!r} is unknown to navix; nearest: {', '.join(close)}")
    if max_steps is not None and max_steps < 1:
        raise ValueError(f"max_steps={max_steps} must be at least 1")
    limit = {} if max_steps is None else {"max_steps": int(max_steps)}
    return navix.make(env_id, observation_fn=navix.observations.none, **limit)


def _environment(name: str, engine: Any, observation: _Observation) -> Environment:
    observe = observation.function

    @as_navix_does
    def init(key: Key, params: PyTree) -> tuple[State, Array]:
        state = reset(engine, key)
        background = observation.background(state.grid)
        return _pack(state, jnp.zeros((), jnp.int32), background), observe(state, background)

    @as_navix_does
    def step(key: Key, params: PyTree, state: State, action: Array) -> tuple[State, TimeStep]:
        after = engine._step(_timestep(_unpack(state, key), state.t), action)
        terminated, truncated = after.step_type == 2, after.t >= engine.max_steps
        obs = observe(after.state, state.background)
        now = timestep(obs, after.reward, terminated, truncated)
        return _pack(after.state, after.t, state.background), now

    @as_navix_does
    def render(params: PyTree, state: State) -> Array:
        # Drawing uses no randomness, so any key will do.
        return _draw("rgb", _unpack(state, jax.random.key(0)))

    # The shape is traced: in KeyCorridor navix's height and width are not those of the grid.
    _, obs = jax.eval_shape(init, jax.eval_shape(jax.random.key, 0), ())
    return Environment(
        name=name,
        observation=box(obs.shape, observation.categories),
        action=Discrete(len(engine.action_set)),
        time_limit=engine.max_steps,
        params=(),
        init=init,
        step=step,
        render=render,
    )


def box(shape: tuple[int, ...], categories: tuple[int, ...]) -> Box:
    """Make the space of grids u8[..., len(categories)] of codes, or of images without codes."""
    high = tuple(float(n - 1) for n in categories) or 255.0
    return Box(shape=shape, dtype="uint8", low=0.0, high=high, categories=categories)


def as_navix_does(function: Callable[..., Any]) -> Callable[..., Any]:
    """Allow implicit rank promotion while a function is traced: navix relies on it."""

    @functools.wraps(function)
    def wrapped(*args: Any) -> Any:
        with jax.numpy_rank_promotion("allow"):
            return function(*args)

    return wrapped


def reset(engine: Any, key: Key) -> Any:
    """Draw a navix start state; navix draws no rendering cache if it is given one."""
    from navix.rendering.cache import RenderingCache

    return engine.reset(key, RenderingCache(patches=jnp.zeros((), jnp.uint8))).state


def _pack(state: Any, t: Array, background: Array) -> State:
    """Take the parts of a navix state that are carried."""
    grid = state.grid.astype(jnp.int8)
    return tree.strong(
        State(grid=grid, entities=state.entities, mission=state.mission, t=t, background=background)
    )


def _unpack(state: State, key: Key) -> Any:
    """Rebuild the navix state of a carried one: `key` for its randomness, no cache, no events."""
    from navix.states import State as NavixState

    # A new dict: navix's actions write into the one they are given.
    return NavixState(
        key=key,
        grid=state.grid.astype(jnp.int32),
        cache=None,  # pyright: ignore[reportArgumentType]
        entities=dict(state.entities),
        mission=state.mission,
    )


def timestep(obs: Array, reward: Array, terminated: Array, truncated: Array) -> TimeStep:
    """Make a TimeStep of navix or MiniGrid; success is termination with a positive reward."""
    reward = jnp.asarray(reward, jnp.float32)
    success = (terminated & (reward > 0)).astype(jnp.float32)
    return TimeStep(
        obs=obs,
        reward=reward,
        terminated=terminated,
        truncated=truncated,
        final_obs=obs,
        info={"success": success},
    )


def _draw(name: str, state: Any, background: Array | None = None) -> Array:
    """Draw navix's image `name` of a state, with a new cache from the grid."""
    import navix
    from navix.rendering.cache import RenderingCache

    cache = RenderingCache.init(state.grid)
    return getattr(navix.observations, name)(state.replace(cache=cache))


def _timestep(state: Any, t: Array) -> Any:
    """Make the navix Timestep that the raw step takes; fields that it does not read are zero."""
    from navix.environments import Timestep

    zero = jnp.zeros((), jnp.int32)
    return Timestep(
        t=t, observation=zero, action=zero, reward=jnp.zeros(()), step_type=zero, state=state
    )


def _background(grid: Array) -> Array:
    """Compute (object, colour, state) of walls and floor, u8[height * width * 3].

    Flat, so that replacing it at a reset is one long loop and not many of three numbers.
    """
    symbols = jnp.where(grid[..., None] == -1, jnp.asarray(_WALL), jnp.asarray(_FLOOR))
    return symbols.astype(jnp.uint8).reshape(-1)


def _symbolic(state: Any, background: Array) -> Array:
    """Compute navix's `symbolic`, without drawing floor and walls anew at every step."""
    height, width = state.grid.shape
    symbols = background.reshape(height, width, 3)
    for row, column, codes in _placed(state):
        triples = jnp.stack(codes, -1, dtype=jnp.uint8)
        symbols = symbols.at[row, column].set(triples, mode="drop")
    return symbols


def _placed(state: Any) -> Iterator[tuple[Array, Array, tuple[Array, Array, Array]]]:
    """Yield rows, columns and (object, colour, state) of entities of each kind, as navix draws.

    Carried or removed entities are at (0, -1), which would wrap around: they are moved out of the
    grid.
    """
    from navix.components import HasColour

    entities: Any = state.entities
    for entity in entities.values():
        coloured = isinstance(entity, HasColour)
        colour = entity.colour if coloured else jnp.zeros(entity.shape)
        row, column = entity.position[..., 0], entity.position[..., 1]
        row = jnp.where((row < 0) | (column < 0), state.grid.shape[0], row)
        yield row, column, (entity.tag, colour, entity.symbolic_state)


def _symbolic_first_person(state: Any, background: Array) -> Array:
    """Compute navix's `symbolic_first_person`.

    navix draws three bytes per cell and turns the whole grid. This draws one number per cell and
    gathers 49 of them.
    """
    player, cells = state.get_player(), jnp.where(state.grid == -1, _WALL_CODE, _FLOOR_CODE)
    for row, column, codes in _placed(state):
        objects, colours, states = (code.astype(jnp.int32) for code in codes)
        code = objects + 16 * colours + 256 * states
        cells = cells.at[row, column].set(code, mode="drop")
    view = crop(cells, player.position, player.direction, _WALL_CODE)
    view = view.at[VIEW - 1, VIEW // 2].set(_FLOOR_CODE)  # like navix, hides the carried object
    return jnp.stack([view & 15, view >> 4 & 15, view >> 8], axis=-1).astype(jnp.uint8)


def _observations() -> dict[str, _Observation]:
    from navix import observations

    def categorical(state: Any, background: Array) -> Array:
        return (observations.categorical(state) + 1).astype(jnp.uint8)[..., None]

    def categorical_first_person(state: Any, background: Array) -> Array:
        codes = observations.categorical_first_person(state) + 1
        outside = codes == _OUT_OF_GRID + 1
        return jnp.where(outside, 12, codes).astype(jnp.uint8)[..., None]

    return {
        "symbolic": _Observation(_symbolic, SYMBOLIC_CATEGORIES, _background),
        "symbolic_first_person": _Observation(_symbolic_first_person, SYMBOLIC_CATEGORIES),
        "categorical": _Observation(categorical, (12,)),
        "categorical_first_person": _Observation(categorical_first_person, (13,)),
        "rgb": _Observation(functools.partial(_draw, "rgb"), ()),
        "rgb_first_person": _Observation(functools.partial(_draw, "rgb_first_person"), ()),
    }
