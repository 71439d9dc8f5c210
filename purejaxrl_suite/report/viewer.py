"""Show a trained member in the viewer of its environment."""

from pathlib import Path

import jax
import numpy as np

from purejaxrl_suite.core import tree
from purejaxrl_suite.core.argument import place
from purejaxrl_suite.core.types import Key
from purejaxrl_suite.envs import brax
from purejaxrl_suite.report.animation import player
from purejaxrl_suite.sweeps.policy import Policy


def has_viewer(name: str) -> bool:
    """Tell whether the environment of this name has a viewer: those of brax do."""
    return name.startswith(brax.PREFIX)


def view(
    policy: Policy,
    path: str | Path,
    *,
    steps: int = 1000,
    key: Key | int = 0,
    explore: bool = False,
) -> float:
    """Write an HTML page with an episode of a member in an environment of brax.

    The page loads brax's viewer from the network when it is opened.

    Args:
        policy: the member.
        path: the file to write.
        steps: the most that are shown.
        key: of start state and actions.
        explore: False acts greedily, True samples as in training.

    Returns:
        The return of the shown episode.

    Raises:
        ValueError: the environment has no viewer.
    """
    agent, env = policy.agent, policy.env
    if not has_viewer(env.name):
        raise ValueError(f"policy: environment {env.name!r} has no viewer, expected one of brax")
    if steps < 1:
        raise ValueError(f"steps: expected at least 1, got {steps}")
    key = jax.random.key(key) if isinstance(key, int) else key
    play = jax.jit(player(agent, env, steps, explore))
    episode = play(key, policy.hypers, policy.env_params, policy.state)
    count = int(np.max(episode.time)) + 1
    page = brax.page(env.name, tree.index(episode.states, slice(count)))
    where = Path(place("path", path, "a file"))
    where.parent.mkdir(parents=True, exist_ok=True)
    where.write_text(page)
    return float(episode.total[-1])
