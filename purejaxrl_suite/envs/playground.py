"""Adapter for MuJoCo Playground's DM Control Suite (arXiv 2502.08844), an extra.

Physics is MuJoCo in JAX (mjx). Playground is imported when its first environment is made.
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
    """Parameters of a task. gravity: f32[], acceleration downwards in m/s^2."""

    gravity: Any


def ids() -> tuple[str, ...]:
    """List the ids that `make` takes; none if playground is not installed."""
    return tuple(id for id in _IDS if id not in REFUSED)


def make(
    id: str, *, episode_length: int = 1000, action_repeat: int = 1, **options: Any
) -> Environment:
    """Make a task of the DM Control Suite, without playground's wrappers.

    Args:
        id: such as `"Playground-CartpoleSwingup"`.
        episode_length: control steps until an episode is truncated; otherwise a task only ends if
            playground's state is no longer finite.
        action_repeat: control steps for each action.
        **options: `gravity`, which becomes `Environment.params`, and entries of playground's
            configuration of the task, such as `sim_dt`.

    Returns:
        The environment.

    Raises:
        ValueError: an option is unknown, the id is refused, or playground is not installed.
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
    """Import playground's `dm_control_suite` without its warnings."""
    with quietly():
        from mujoco_playground import dm_control_suite
    return dm_control_suite


def _construct(id: str, static: dict[str, Any]) -> Any:
    """Make playground's object; ValueError for options that its configuration does not have."""
    suite, name = import_suite(), id.removeprefix(PREFIX)
    config = suite.get_default_config(name)
    unknown = sorted(set(static) - set(config))
    if unknown:
        known = [*Physics._fields, *config]
        raise ValueError(f"{id} has no option {', '.join(unknown)}; it has {known}")
    with quietly():
        return suite.load(name, config=config, config_overrides={"impl": "jax"} | static)


def _world(game: Any, params: PyTree) -> Any:
    """Return the object with the gravity of the parameters."""
    gravity = jnp.array([0.0, 0.0, -1.0]) * params.gravity
    return altered(game, _mjx_model=game.mjx_model.tree_replace({"opt.gravity": gravity}))


def _reward(world: Any, params: PyTree, state: Any) -> Array:
    return state.reward
