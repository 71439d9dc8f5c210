"""Every environment of navix 4 (arXiv:2407.19396), behaving as navix releases it, as our `Environment`.

What differs is the machinery, not the task:

- The raw step is called, beneath navix's auto-reset, which ignores the action after an end and so adds one
  transition (s_T, a, 0, s_0) to every episode.
- `terminated` and `truncated` may both be True; navix reports termination alone.
- The carried state holds the grid (int8), the entities and the mission. The rendering cache (12.5 of 13 kB in
  DoorKey-8x8) is a function of the grid, the event record is cleared at every step, and the random key is the one
  that `step` is given, so none of them is carried.
"""

import difflib
import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from purejaxrl_suite.core import tree
from purejaxrl_suite.core.types import Array, Box, Discrete, Environment, Key, PyTree, TimeStep

# Codes per channel of the symbolic grid: objects 0..10, colours 0..5, and a third channel with the door state
# 0..2 or the agent's direction 0..3 (minigrid.core.constants: OBJECT_TO_IDX, COLOR_TO_IDX, STATE_TO_IDX).
SYMBOLIC_CATEGORIES = (11, 6, 4)
_OUT_OF_GRID = 100  # what navix pads the categorical first-person view with


class State(NamedTuple):
    """What one episode carries.

    grid: i8[height, width], 0 floor, -1 wall.
    entities: {name: navix entity}. mission: navix's targets, () where there is none.
    t: i32[], steps since the start.
    """

    grid: Array
    entities: PyTree
    mission: PyTree
    t: Array


class _Observation(NamedTuple):
    """function: navix state -> array. categories: codes per channel, () for images."""

    function: Callable[[Any], Array]
    categories: tuple[int, ...]


def ids() -> tuple[str, ...]:
    """Every id of navix's registry, sorted: `Navix-<name>-v0`."""
    import navix

    return tuple(sorted(navix.registry()))


def make(
    env_id: str, *, observation: str = "symbolic", max_steps: int | None = None
) -> Environment:
    """Build a navix environment.

    env_id: one of `ids()`.
    observation: navix's observation functions by name. "symbolic" u8[height, width, 3] (navix's default) and
        "symbolic_first_person" u8[7, 7, 3] (no occlusion) are codes of object, colour and state;
        "categorical" u8[height, width, 1] holds 0 wall, 1 floor, 1 + object; "categorical_first_person"
        u8[7, 7, 1] also 12, out of the grid; "rgb" u8[8 height, 8 width, 3] and "rgb_first_person" u8[56, 56, 3]
        are images.
    max_steps: time limit; None is navix's own (mostly 4 * height * width).

    `info["success"]` is 1.0 where the step terminated with a positive reward, else 0.0. There are no traced
    parameters: `params` is ().

    Raises ValueError for an unknown id or observation, or a time limit below 1.
    """
    engine = make_engine(env_id, max_steps)
    observations = _observations()
    if observation not in observations:
        raise ValueError(
            f"observation={observation!r} is not offered: expected one of {sorted(observations)}"
        )
    function, categories = observations[observation]

    def step(key: Key, params: PyTree, state: State, action: Array) -> tuple[State, TimeStep]:
        before = unpack(state, key)
        after = engine._step(_timestep(before, state.t), action)
        terminated = after.step_type == 2
        return pack(after.state, after.t), timestep(
            function(after.state), after.reward, terminated, after.t >= engine.max_steps
        )

    return environment(env_id, engine, function, categories, step)


def make_engine(env_id: str, max_steps: int | None, **options: Any) -> Any:
    """The navix environment object with checked arguments and without an observation of its own."""
    import navix

    if env_id not in navix.registry():
        close = difflib.get_close_matches(env_id, ids(), n=3, cutoff=0.4)
        raise ValueError(f"env_id={env_id!r} is unknown to navix; nearest: {', '.join(close)}")
    if max_steps is not None:
        if max_steps < 1:
            raise ValueError(f"max_steps={max_steps} must be at least 1")
        options["max_steps"] = int(max_steps)
    return navix.make(env_id, observation_fn=navix.observations.none, **options)


def environment(
    name: str,
    engine: Any,
    observe: Callable[[Any], Array],
    categories: tuple[int, ...],
    step: Callable[..., tuple[State, TimeStep]],
    init_state: Callable[[Key], Any] | None = None,
) -> Environment:
    """Join a navix engine, an observation function and a step to an `Environment`.

    observe: navix state -> u8 array. categories: codes per channel of it, () for an image.
    init_state: key -> navix state; None takes the engine's own reset.
    """
    start = init_state or functools.partial(reset, engine)

    @as_navix_does
    def init(key: Key, params: PyTree) -> tuple[State, Array]:
        state = start(key)
        return pack(state, jnp.zeros((), jnp.int32)), observe(state)

    @as_navix_does
    def render(params: PyTree, state: State) -> Array:
        # Drawing uses no randomness: any key completes the navix state.
        return draw("rgb", unpack(state, jax.random.key(0)))

    # Traced, not computed: navix's declared heights and widths are not those of the grid in KeyCorridor.
    _, obs = jax.eval_shape(init, jax.eval_shape(jax.random.key, 0), ())
    high = tuple(float(n - 1) for n in categories) or 255.0
    box = Box(obs.shape, "uint8", 0.0, high, categories)
    actions = Discrete(len(engine.action_set))
    return Environment(name, box, actions, engine.max_steps, (), init, as_navix_does(step), render)


def as_navix_does(function: Callable[..., Any]) -> Callable[..., Any]:
    """Trace with implicit rank promotion allowed, whatever the user's setting: navix relies on it."""

    @functools.wraps(function)
    def wrapped(*args: Any) -> Any:
        with jax.numpy_rank_promotion("allow"):
            return function(*args)

    return wrapped


def reset(engine: Any, key: Key) -> Any:
    """A navix start state, without the rendering cache (any non-empty one keeps navix from drawing it)."""
    from navix.rendering.cache import RenderingCache

    return engine.reset(key, RenderingCache(patches=jnp.zeros((), jnp.uint8))).state


def pack(state: Any, t: Array) -> State:
    """What is carried of a navix state."""
    return tree.strong(State(state.grid.astype(jnp.int8), state.entities, state.mission, t))


def unpack(state: State, key: Key) -> Any:
    """The navix state of a carried one, with `key` for its random streams, no cache and no events."""
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
    """One TimeStep of a navix or MiniGrid environment; success is termination with a positive reward."""
    reward = jnp.asarray(reward, jnp.float32)
    success = (terminated & (reward > 0)).astype(jnp.float32)
    return TimeStep(obs, reward, terminated, truncated, obs, {"success": success})


def draw(name: str, state: Any) -> Array:
    """navix's image `name` of a state without cache: the cache is drawn from the grid, which never changes."""
    import navix
    from navix.rendering.cache import RenderingCache

    cache = RenderingCache.init(state.grid)
    return getattr(navix.observations, name)(state.replace(cache=cache))


def _timestep(state: Any, t: Array) -> Any:
    """The navix Timestep from which the raw step starts; what it does not read is zero."""
    from navix.environments import Timestep

    zero = jnp.zeros((), jnp.int32)
    return Timestep(
        t=t, observation=zero, action=zero, reward=jnp.zeros(()), step_type=zero, state=state
    )


def _observations() -> dict[str, _Observation]:
    from navix import observations

    def categorical(state: Any) -> Array:
        return (observations.categorical(state) + 1).astype(jnp.uint8)[..., None]

    def categorical_first_person(state: Any) -> Array:
        codes = observations.categorical_first_person(state) + 1
        outside = codes == _OUT_OF_GRID + 1
        return jnp.where(outside, 12, codes).astype(jnp.uint8)[..., None]

    return {
        "symbolic": _Observation(observations.symbolic, SYMBOLIC_CATEGORIES),
        "symbolic_first_person": _Observation(
            observations.symbolic_first_person, SYMBOLIC_CATEGORIES
        ),
        "categorical": _Observation(categorical, (12,)),
        "categorical_first_person": _Observation(categorical_first_person, (13,)),
        "rgb": _Observation(functools.partial(draw, "rgb"), ()),
        "rgb_first_person": _Observation(functools.partial(draw, "rgb_first_person"), ()),
    }
