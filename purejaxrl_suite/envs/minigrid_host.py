"""MiniGrid and BabyAI as released (Chevalier-Boisvert et al. 2023, arXiv 2306.13831), on the host.

Observations are those of the suite's own MiniGrid ids: codes of object, colour and state of the 7 x
7 cells in view, which networks embed. The mission, a text, and the direction are not shown.
"""

import difflib
from functools import partial
from importlib.util import find_spec
from typing import Any

from purejaxrl_suite.core.argument import integer
from purejaxrl_suite.core.types import Box, Environment
from purejaxrl_suite.envs.gymnasium import host_environment
from purejaxrl_suite.envs.recipe import called

PREFIX = "minigrid:"
CODES = Box((7, 7, 3), "uint8", 0.0, (10.0, 5.0, 3.0), (11, 6, 4))
"""The space of observations."""
_MISSING = 'minigrid is not installed: pip install "purejaxrl_suite[minigrid]"'


def ids() -> tuple[str, ...]:
    """List no ids: those of the package are ids after `minigrid:`."""
    return ()


def takes(id: str) -> bool:
    """Tell whether `make` is responsible for an id."""
    return id.startswith(PREFIX)


def make(
    id: str,
    *,
    max_steps: int | None = None,
    asynchronous: bool = False,
    patience: float = 60.0,
) -> Environment:
    """Make a task of the package `minigrid`.

    Args:
        id: such as `"minigrid:MiniGrid-DoorKey-5x5-v0"` or `"minigrid:BabyAI-GoToObj-v0"`.
        max_steps: after which an episode is truncated, which also scales the reward; None is the
            task's own. BabyAI's tasks have one of each episode, so they have no time limit here.
        asynchronous: as in `envs.gymnasium.make`.
        patience: as in `envs.gymnasium.make`.

    Returns:
        The environment.

    Raises:
        ValueError: the id is unknown, a number is out of range, or minigrid is not installed.
    """
    if not find_spec("minigrid"):
        raise ValueError(f"id: {id} is refused: {_MISSING}")
    import gymnasium
    import minigrid  # noqa: F401  (it registers its ids)

    name = id.removeprefix(PREFIX)
    known = [one for one in gymnasium.registry if one.startswith(("MiniGrid-", "BabyAI-"))]
    if name not in known:
        nearest = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
        hint = f"; did you mean {', '.join(nearest)}?" if nearest else ""
        raise ValueError(f"id: minigrid has no task {name!r}{hint}")
    limit = {} if max_steps is None else {"max_steps": integer("max_steps", max_steps, 1)}
    how = {"asynchronous": asynchronous, "patience": patience}
    made = host_environment(partial(_build, name, limit), name=id, **how)
    of_each_episode = name.startswith("BabyAI-") and max_steps is None
    known_limit = None if of_each_episode else int(_build(name, limit).unwrapped.max_steps)
    recipe = called("make", id, max_steps=max_steps, **how)
    return made._replace(observation=CODES, time_limit=known_limit, recipe=(recipe,))


def _build(name: str, limit: dict[str, Any]) -> Any:
    """Build a task whose observation is its image."""
    import gymnasium
    from minigrid.wrappers import ImgObsWrapper

    return ImgObsWrapper(gymnasium.make(name, disable_env_checker=True, **limit))
