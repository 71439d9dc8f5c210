"""Adapter for the environments of brax (Freeman et al. 2021, arXiv 2106.13281), an extra.

Brax is imported when its first environment is made. Variants of a task are one environment with
other parameters: the direction and speed to run, the target to reach, gravity, motor strength.
"""

import inspect
from functools import partial
from importlib.util import find_spec
from types import ModuleType
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from purejaxrl_suite.core.types import Array, Environment, PyTree
from purejaxrl_suite.envs.brax_interface import (
    Playing,
    Rules,
    altered,
    check_numbers,
    environment,
    quietly,
    strong,
)
from purejaxrl_suite.envs.recipe import called

PREFIX = "Brax-"
BACKENDS = ("generalized", "positional", "spring", "mjx")
_RUNNERS = ("ant", "halfcheetah", "hopper", "humanoid", "swimmer", "walker2d")
_OTHERS = (
    "humanoidstandup",
    "inverted_double_pendulum",
    "inverted_pendulum",
    "pusher",
    "reacher",
)
_IDS = tuple(sorted(PREFIX + name for name in (*_RUNNERS, *_OTHERS)))
_MISSING = 'brax is not installed: pip install "purejaxrl_suite[brax]"'
REFUSED = {} if find_spec("brax") else dict.fromkeys(_IDS, _MISSING)


class Physics(NamedTuple):
    """Parameters of environments that neither run nor reach.

    gravity: f32[], acceleration downwards in m/s^2. strength: f32[], factor on all motors.
    """

    gravity: Any
    strength: Any = 1.0


class Running(NamedTuple):
    """Parameters of creatures that run.

    gravity: f32[], acceleration downwards in m/s^2.
    direction: f32[], the angle of the direction to run, in radians: 0 is brax's own, pi is
        backwards; others only make sense for ants, humanoids and swimmers.
    speed: f32[], in m/s: rewards are -|velocity - speed|; infinity is brax's own task, the faster
        the better.
    strength: f32[], factor on all motors.
    """

    gravity: Any
    direction: Any = 0.0
    speed: Any = float("inf")
    strength: Any = 1.0


class Reaching(NamedTuple):
    """Parameters of the reacher.

    gravity, strength: as in `Physics`. goal_x, goal_y: f32[], the target of every episode, in m
    from the shoulder, which is in the middle; an infinite coordinate is drawn by brax within 0.2 m
    of the shoulder, anew in each episode.
    """

    gravity: Any
    strength: Any = 1.0
    goal_x: Any = float("inf")
    goal_y: Any = float("inf")


def ids() -> tuple[str, ...]:
    """List the ids that `make` takes; none if brax is not installed."""
    return () if REFUSED else _IDS


def make(
    id: str,
    *,
    backend: str = "generalized",
    episode_length: int = 1000,
    action_repeat: int = 1,
    **options: Any,
) -> Environment:
    """Make a brax environment, without brax's wrappers.

    Args:
        id: such as `"Brax-ant"`.
        backend: the physics: one of BACKENDS. Swimmer only has "generalized".
        episode_length: brax's steps until an episode is truncated.
        action_repeat: brax's steps for each action.
        **options: fields of `Running`, `Reaching` or `Physics`, which become
            `Environment.params`, and arguments of brax's class, such as `ctrl_cost_weight`.

    Returns:
        The environment.

    Raises:
        ValueError: an option is unknown, the id is refused, or brax is not installed.
    """
    if id in REFUSED:
        raise ValueError(f"id: {id}: {REFUSED[id]}")
    if backend not in BACKENDS:
        raise ValueError(f"backend: {backend!r}, expected one of {', '.join(BACKENDS)}")
    name = id.removeprefix(PREFIX)
    kind = Running if name in _RUNNERS else Reaching if name == "reacher" else Physics
    known = {field: options[field] for field in kind._fields if field in options}
    check_numbers(known)
    static = {field: x for field, x in options.items() if field not in known}
    game = _construct(id, backend, static, kind)
    params = strong(kind(**{"gravity": -game.sys.gravity[2]} | known))
    rules = Rules(_world, _running_reward if kind is Running else _own_reward)
    limits = {"episode_length": episode_length, "action_repeat": action_repeat}
    made = environment(id, game, params, rules, actions=game.sys.act_size(), **limits)
    return made._replace(recipe=(called("make", id, backend=backend, **limits, **options),))


def page(id: str, states: Playing) -> str:
    """Write brax's own viewer of an episode as an HTML page, which loads its script from the web.

    states: of the environment `id`, leaves [T, ...]. Only the creature is drawn, so options of
    `make` do not matter.
    """
    from brax.io import html

    poses = jax.tree.map(np.asarray, states.game.pipeline_state.x)
    count = poses.pos.shape[0]
    frames = [_Frame(jax.tree.map(lambda x, i=i: x[i], poses)) for i in range(count)]
    system: Any = _construct(id, "generalized", {}, Physics).sys
    return html.render(system, frames, colab=False)  # pyright: ignore[reportArgumentType]


class _Frame(NamedTuple):
    """A frame of the viewer. x: positions and rotations of all links, all that it reads."""

    x: Any


def import_brax() -> ModuleType:
    """Import `brax.envs` without its warnings."""
    with quietly():
        from brax import envs
    return envs


def _construct(id: str, backend: str, static: dict[str, Any], kind: Any) -> Any:
    """Make brax's object; ValueError for arguments that its class does not have."""
    game_class = import_brax()._envs[id.removeprefix(PREFIX)]
    own = inspect.signature(game_class.__init__).parameters.values()
    names = [x.name for x in own if x.kind is x.POSITIONAL_OR_KEYWORD]
    names = [name for name in (*names, "n_frames") if name not in ("self", "backend")]
    unknown = sorted(set(static) - set(names))
    if unknown:
        known = [*kind._fields, *names]
        raise ValueError(f"{id} has no option {', '.join(unknown)}; it has {known}")
    with quietly():
        return game_class(backend=backend, **static)


def _world(game: Any, params: PyTree) -> Any:
    """Return the object with the gravity, motors and target of the parameters."""
    gravity = jnp.array([0.0, 0.0, -1.0]) * params.gravity
    system = game.sys
    motors = system.actuator.replace(gear=system.actuator.gear * params.strength)
    changed = system.replace(
        gravity=gravity,
        opt=system.opt.replace(gravity=gravity),
        actuator=motors,
        actuator_gear=system.actuator_gear * params.strength,  # what mjx reads
    )
    if isinstance(params, Reaching):
        return altered(game, sys=changed, _random_target=partial(_target, game, params))
    return altered(game, sys=changed)


def _target(game: Any, params: Reaching, key: Array) -> tuple[Array, Array]:
    """Draw brax's target of an episode, then set its coordinates where the goal's are finite."""
    key, drawn = game._random_target(key)
    goal = jnp.stack([params.goal_x, params.goal_y])
    return key, jnp.where(jnp.isinf(goal), drawn, goal)


def _own_reward(world: Any, params: PyTree, state: Any) -> Array:
    return state.reward


def _running_reward(world: Any, params: PyTree, state: Any) -> Array:
    """Compute brax's reward with the task's progress in place of the velocity along x."""
    forward = state.metrics["x_velocity"]
    sideways = state.metrics.get("y_velocity", 0.0)
    velocity = jnp.cos(params.direction) * forward + jnp.sin(params.direction) * sideways
    endless = jnp.isinf(params.speed)
    distance = -jnp.abs(velocity - jnp.where(endless, 0.0, params.speed))
    progress = jnp.where(endless, velocity, distance)
    weight = getattr(world, "_forward_reward_weight", 1.0)  # an ant has none
    changed = state.reward + weight * (progress - forward)
    return jnp.where(endless & (params.direction == 0.0), state.reward, changed)
