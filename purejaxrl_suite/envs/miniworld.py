"""MiniWorld as released (Chevalier-Boisvert et al. 2023, arXiv 2306.13831), on the host, headless.

Observations are what the agent sees, u8[60, 80, 3]; where there is a goal beside them it is refused
(`MiniWorld-Sign-v0`), since pixels and codes have no common flattening. Each copy has a process of
its own: in one process, pictures depend on how many windows there were before, and on the thread.
"""

import difflib
import math
from functools import partial
from importlib.util import find_spec
from typing import Any

from purejaxrl_suite.core.argument import integer
from purejaxrl_suite.core.types import Environment
from purejaxrl_suite.envs.gymnasium import host_environment
from purejaxrl_suite.envs.recipe import called

PREFIX = "miniworld:"
_MISSING = 'miniworld is not installed: pip install "purejaxrl_suite[miniworld]"'


def ids() -> tuple[str, ...]:
    """List no ids: those of the package are ids after `miniworld:`."""
    return ()


def takes(id: str) -> bool:
    """Tell whether `make` is responsible for an id."""
    return id.startswith(PREFIX)


def make(id: str, *, max_steps: int | None = None, patience: float = 60.0) -> Environment:
    """Make a task of the package `miniworld`, drawn without a display (EGL).

    Args:
        id: such as `"miniworld:MiniWorld-Hallway-v0"`.
        max_steps: after which an episode is truncated, which also scales the reward; None is the
            task's own. `MiniWorld-RoomObjects-v0` has none.
        patience: as in `envs.gymnasium.make`.

    Returns:
        The environment.

    Raises:
        ValueError: the id is unknown, its observation is no picture, a number is out of range, or
            miniworld is not installed.
    """
    if not find_spec("miniworld"):
        raise ValueError(f"id: {id} is refused: {_MISSING}")
    _import()
    import gymnasium

    name = id.removeprefix(PREFIX)
    known = [one for one in gymnasium.registry if one.startswith("MiniWorld-")]
    if name not in known:
        nearest = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
        hint = f"; did you mean {', '.join(nearest)}?" if nearest else ""
        raise ValueError(f"id: miniworld has no task {name!r}{hint}")
    limit = {} if max_steps is None else {"max_episode_steps": integer("max_steps", max_steps, 1)}
    build = partial(_build, name, limit)
    first = build()
    space: Any = first.observation_space
    steps: Any = first.unwrapped.max_episode_steps
    first.close()
    if not isinstance(space, gymnasium.spaces.Box):
        raise ValueError(f"id: {id} is refused: its observations are no pictures, but {space}")
    made = host_environment(build, name=id, asynchronous=True, patience=patience)
    bound = int(steps) if steps is not None and math.isfinite(steps) else None
    recipe = called("make", id, max_steps=max_steps, patience=patience)
    return made._replace(time_limit=bound, recipe=(recipe,))


def _import() -> None:
    """Import miniworld, which opens a display unless pyglet is told before that there is none."""
    import pyglet

    pyglet.options["headless"] = True
    import miniworld  # noqa: F401  (it registers its ids)


def _build(name: str, limit: dict[str, Any]) -> Any:
    _import()
    import gymnasium

    # The keyword of the task itself; `gymnasium.make` would take it for that of a wrapper.
    made: Any = gymnasium.make(name, disable_env_checker=True)
    for field, steps in limit.items():
        setattr(made.unwrapped, field, steps)
    return made
