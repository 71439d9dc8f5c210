"""Adapter for the environments of brax (Freeman et al. 2021, arXiv 2106.13281), an extra.

Brax is imported when the first of them is made. Tasks that are alike are one environment with
other parameters: which way to go, how fast, what to reach, how heavy everything is, how strong the
motors are.
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
    """gravity: f32[], acceleration downwards in m/s^2. strength: f32[], of all motors, times brax's
    own.
    """

    gravity: Any
    strength: Any = 1.0


class Running(NamedTuple):
    """Parameters of creatures that run.

    gravity: f32[], acceleration downwards in m/s^2. direction: f32[], the angle in radians of the
    way to go: 0 is brax's own, pi is backwards; others only make sense for ants, humanoids and
    swimmers. speed: f32[], in m/s: what counts is the distance from it, -|velocity - speed|;
    infinity is brax's own task, the faster the better. strength: f32[], of all motors, times
    brax's own.
    """

    gravity: Any
    direction: Any = 0.0
    speed: Any = float("inf")
    strength: Any = 1.0


class Reaching(NamedTuple):
    """Parameters of the reacher.

    gravity, strength: as of `Physics`. goal_x, goal_y: f32[], where the target of every episode
    lies, in m from the shoulder, which is in the middle; brax draws what is infinite within 0.2 m
    of it, in each episode anew.
    """

    gravity: Any
    strength: Any = 1.0
    goal_x: Any = float("inf")
    goal_y: Any = float("inf")


def ids() -> tuple[str, ...]:
    """Ids that `make` takes; none where brax is not installed."""
    return () if REFUSED else _IDS


def make(
    id: str,
    *,
    backend: str = "generalized",
    episode_length: int = 1000,
    action_repeat: int = 1,
    **options: Any,
) -> Environment:
    """Make a brax environment, beneath brax's wrappers.

    Args:
        id: such as `"Brax-ant"`.
        backend: the physics: one of BACKENDS. Swimmer has "generalized" alone.
        episode_length: brax's steps until an episode is truncated.
        action_repeat: brax's steps that take one action.
        **options: fields of `Running`, `Reaching` or `Physics`, which become
            `Environment.params`, and arguments of the class of brax, such as `ctrl_cost_weight`.

    Raises ValueError for an option that there is not, and where brax is not installed.
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
    """Brax's own viewer of an episode as one HTML page, which loads its program from the network.

    states: of the environment `id`, leaves [T, ...]. The creature is drawn, so options of `make`
    do not matter.
    """
    from brax.io import html

    poses = jax.tree.map(np.asarray, states.game.pipeline_state.x)
    count = poses.pos.shape[0]
    frames = [_Frame(jax.tree.map(lambda x, i=i: x[i], poses)) for i in range(count)]
    system: Any = _construct(id, "generalized", {}, Physics).sys
    return html.render(system, frames, colab=False)  # pyright: ignore[reportArgumentType]


class _Frame(NamedTuple):
    """x: positions and rotations of all links, all that the viewer reads."""

    x: Any


def import_brax() -> ModuleType:
    """`brax.envs`, imported quietly."""
    with quietly():
        from brax import envs
    return envs


def _construct(id: str, backend: str, static: dict[str, Any], kind: Any) -> Any:
    """Brax's object; ValueError for arguments that its class does not have."""
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
    """The object with another gravity, other motors and another target."""
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
    """Brax's target of an episode, with the goal's coordinates where they are finite."""
    key, drawn = game._random_target(key)
    goal = jnp.stack([params.goal_x, params.goal_y])
    return key, jnp.where(jnp.isinf(goal), drawn, goal)


def _own_reward(world: Any, params: PyTree, state: Any) -> Array:
    return state.reward


def _running_reward(world: Any, params: PyTree, state: Any) -> Array:
    """Brax's reward with the task's progress in place of the velocity along x."""
    forward = state.metrics["x_velocity"]
    sideways = state.metrics.get("y_velocity", 0.0)
    velocity = jnp.cos(params.direction) * forward + jnp.sin(params.direction) * sideways
    endless = jnp.isinf(params.speed)
    distance = -jnp.abs(velocity - jnp.where(endless, 0.0, params.speed))
    progress = jnp.where(endless, velocity, distance)
    weight = getattr(world, "_forward_reward_weight", 1.0)  # an ant has none
    changed = state.reward + weight * (progress - forward)
    return jnp.where(endless & (params.direction == 0.0), state.reward, changed)
