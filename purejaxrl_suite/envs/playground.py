"""Adapter for MuJoCo Playground's DM Control Suite (arXiv 2502.08844), an extra.

Physics is MuJoCo in JAX (mjx). Playground is imported when the first of these is made.
"""

from importlib.util import find_spec
from types import ModuleType
from typing import Any, NamedTuple

import jax.numpy as jnp

from purejaxrl_suite.core.types import Array, Environment, PyTree
from purejaxrl_suite.envs.brax_interface import (
    Rules,
    altered,
    check_numbers,
    environment,
    quietly,
    strong,
)
from purejaxrl_suite.envs.recipe import called

PREFIX = "Playground-"
_SUITE = (
    "AcrobotSwingup",
    "AcrobotSwingupSparse",
    "BallInCup",
    "CartpoleBalance",
    "CartpoleBalanceSparse",
    "CartpoleSwingup",
    "CartpoleSwingupSparse",
    "CheetahRun",
    "FingerSpin",
    "FingerTurnEasy",
    "FingerTurnHard",
    "FishSwim",
    "HopperHop",
    "HopperStand",
    "HumanoidRun",
    "HumanoidStand",
    "HumanoidWalk",
    "PendulumSwingup",
    "PointMass",
    "ReacherEasy",
    "ReacherHard",
    "SwimmerSwimmer6",
    "WalkerRun",
    "WalkerStand",
    "WalkerWalk",
)
_ROBOTS = (
    "AeroCubeRotateZAxis",
    "AlohaHandOver",
    "AlohaSinglePegInsertion",
    "ApolloJoystickFlatTerrain",
    "BarkourJoystick",
    "BerkeleyHumanoidJoystickFlatTerrain",
    "BerkeleyHumanoidJoystickRoughTerrain",
    "G1JoystickFlatTerrain",
    "G1JoystickRoughTerrain",
    "Go1Footstand",
    "Go1Getup",
    "Go1Handstand",
    "Go1JoystickFlatTerrain",
    "Go1JoystickRoughTerrain",
    "H1InplaceGaitTracking",
    "H1JoystickGaitTracking",
    "LeapCubeReorient",
    "LeapCubeRotateZAxis",
    "Op3Joystick",
    "PandaOpenCabinet",
    "PandaPickCube",
    "PandaPickCubeCartesian",
    "PandaPickCubeOrientation",
    "PandaRobotiqPushCube",
    "SpotFlatTerrainJoystick",
    "SpotGetup",
    "SpotJoystickGaitTracking",
    "T1JoystickFlatTerrain",
    "T1JoystickRoughTerrain",
)
_CLONES = "its robot is in a repository that playground clones when it is made"
_MISSING = 'playground is not installed: pip install "purejaxrl_suite[playground]"'
_IDS = tuple(PREFIX + name for name in _SUITE)
REFUSED = {PREFIX + name: _CLONES for name in _ROBOTS}
if not find_spec("mujoco_playground"):
    REFUSED |= dict.fromkeys(_IDS, _MISSING)


class Physics(NamedTuple):
    """gravity: f32[], acceleration downwards in m/s^2."""

    gravity: Any


def ids() -> tuple[str, ...]:
    """Ids that `make` takes; none where playground is not installed."""
    return tuple(id for id in _IDS if id not in REFUSED)


def make(
    id: str, *, episode_length: int = 1000, action_repeat: int = 1, **options: Any
) -> Environment:
    """Make a task of the DM Control Suite, beneath playground's wrappers.

    Args:
        id: such as `"Playground-CartpoleSwingup"`.
        episode_length: steps of control until an episode is truncated; no task ends otherwise
            but where playground's state is no longer finite.
        action_repeat: steps of control that take one action.
        **options: `gravity`, which becomes `Environment.params`, and entries of playground's
            configuration of the task, such as `sim_dt`.

    Raises ValueError for an option that there is not, and for what is refused.
    """
    if id in REFUSED:
        raise ValueError(f"id: {id} is refused: {REFUSED[id]}")
    known = {name: options[name] for name in Physics._fields if name in options}
    check_numbers(known)
    game = _construct(id, {name: x for name, x in options.items() if name not in known})
    params = strong(Physics(**{"gravity": -game.mj_model.opt.gravity[2]} | known))
    limits = {"episode_length": episode_length, "action_repeat": action_repeat}
    rules = Rules(_world, _reward)
    made = environment(id, game, params, rules, actions=game.action_size, **limits)
    return made._replace(recipe=(called("make", id, **limits, **options),))


def import_suite() -> ModuleType:
    """Playground's `dm_control_suite`, imported quietly."""
    with quietly():
        from mujoco_playground import dm_control_suite
    return dm_control_suite


def _construct(id: str, static: dict[str, Any]) -> Any:
    """Playground's object; ValueError for what its configuration does not have."""
    suite, name = import_suite(), id.removeprefix(PREFIX)
    config = suite.get_default_config(name)
    unknown = sorted(set(static) - set(config))
    if unknown:
        known = [*Physics._fields, *config]
        raise ValueError(f"{id} has no option {', '.join(unknown)}; it has {known}")
    with quietly():
        return suite.load(name, config=config, config_overrides={"impl": "jax"} | static)


def _world(game: Any, params: PyTree) -> Any:
    """The object with another gravity."""
    gravity = jnp.array([0.0, 0.0, -1.0]) * params.gravity
    return altered(game, _mjx_model=game.mjx_model.tree_replace({"opt.gravity": gravity}))


def _reward(world: Any, params: PyTree, state: Any) -> Array:
    return state.reward
