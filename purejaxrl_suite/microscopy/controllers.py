"""Greedy controllers of a silicon atom, and the offset of the beam that they are made of.

A greedy controller chooses the neighbour that is nearest to the goal and puts the beam at a fixed
offset from the silicon, turned to that neighbour (arXiv 2311.17894). The best offset for some rates
is found on a grid.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from purejaxrl_suite.agents.shared.acting import only_acting
from purejaxrl_suite.core import argument
from purejaxrl_suite.core.types import Agent, Array, Environment, Key, Memory, PyTree
from purejaxrl_suite.engine.evaluate import Evaluation, make_evaluate
from purejaxrl_suite.envs.honeycomb import BOND
from purejaxrl_suite.envs.silicon import SiliconParams
from purejaxrl_suite.envs.silicon_rates import Rate

ON_NEIGHBOUR, SHORT, SIDEWAYS = (1.42, 0.0), (0.58, 0.0), (1.42, 0.42)
LEARNED_V3, LEARNED_V5 = (1.869, 0.0), (2.172, -0.152)
"""Offsets of released controllers, in angstrom: along the bond, and across it to the left."""
REACH, SPACING = 5.0, 0.05
"""Of the grid that the best offset is searched on, in angstrom."""


class Chosen(NamedTuple):
    """State of a controller. offset: f32[2], of the beam, as in `greedy`."""

    offset: Array


def greedy(env: Environment, offset: tuple[float, float], seconds: float | None = None) -> Agent:
    """Make the controller that pushes the silicon to the neighbour nearest to the goal.

    Args:
        env: from `envs.silicon`, whose default distance and dwells the actions are for.
        offset: of the beam from the silicon, in angstrom: along the bond to that neighbour, and
            across it to the left. It must be within reach however the bond lies.
        seconds: of each dwell, where the environment lets choose; else None.

    Returns:
        An agent that only acts, for `evaluate` and `Policy`.

    Raises:
        ValueError: the offset or the dwell is out of reach, or none is to be chosen.
    """
    params: SiliconParams = argument.instance("env.params", env.params, SiliconParams)
    reach = float(params.distance) * BOND
    along, across = (argument.number("offset", float(x)) for x in offset)
    if math.hypot(along, across) > reach * (1.0 + 1e-6):
        raise argument.wrong("offset", f"at most {reach:.3g} angstrom, as `distance` says", offset)
    dwell = _action_of(params, seconds)

    def act(noise: Any, hypers: Any, state: Chosen, memory: Memory, obs: Array, explore: bool):
        to = obs[:, 2:4]
        left = jnp.stack([-to[:, 1], to[:, 0]], axis=-1)
        action = (state.offset[0] * to + state.offset[1] * left) / reach
        if dwell is not None:
            action = jnp.concatenate([action, jnp.full((len(action), 1), dwell)], axis=-1)
        return memory, action, {}

    return only_acting(
        "greedy",
        env,
        act=act,
        noise=lambda key, batch: jnp.zeros((batch, 0)),
        init=lambda key, hypers: Chosen(jnp.array([along, across], jnp.float32)),
        discounted=True,
    )


def _action_of(params: SiliconParams, seconds: float | None) -> float | None:
    """Return the action in -1 .. 1 that dwells so long; None where there is no choice."""
    if (seconds is None) != (params.longest is None):
        expected = "None, as all dwells are the same" if seconds is not None else "seconds"
        raise argument.wrong("seconds", expected, seconds)
    if seconds is None:
        return None
    low, high = float(params.shortest), float(params.longest or 0.0)
    argument.number("seconds", seconds, low, high=high)
    return 2.0 * (seconds - low) / (high - low) - 1.0


def best_offset(rate: Rate, params: PyTree, reach: float = REACH) -> Array:
    """Find the offset of the beam with the greatest rate to a neighbour, on a grid.

    Args:
        rate: of hops.
        params: of the rate.
        reach: angstrom; the disc that is searched. Of rates that were learnt, that of their data.

    Returns:
        f32[2], angstrom along the bond to the neighbour, and across it to the left.
    """
    axis = SPACING * np.arange(-round(reach / SPACING), round(reach / SPACING) + 1)
    along, across = np.meshgrid(axis, axis, indexing="ij")
    points = np.stack([along.ravel(), across.ravel()], axis=-1)
    points = jnp.asarray(points[np.hypot(*points.T) <= reach + 1e-9], jnp.float32)
    found = jax.vmap(lambda beam: rate(params, beam, jnp.asarray(CANONICAL))[0])(points)
    return points[jnp.argmax(found)]


CANONICAL = BOND * np.array(
    [[1.0, 0.0], [-0.5, math.sqrt(3.0) / 2.0], [-0.5, -math.sqrt(3.0) / 2.0]], np.float32
)
"""f32[3, 2], bonds of a silicon atom with a neighbour along x, counter-clockwise."""


def seconds_to_goal(found: Evaluation) -> tuple[Array, Array]:
    """Compute the share of episodes that reached the goal, and their mean seconds, f32[] each."""
    success = found.info["success"]
    return jnp.mean(success), jnp.sum(success * found.info["seconds"]) / jnp.sum(success)


def evaluating(agent: Agent, env: Environment, episodes: int) -> Callable[[Key, Any], Evaluation]:
    """Make (key, agent state) -> the evaluation of a controller, jitted."""
    evaluate = make_evaluate(agent, env, episodes=episodes)
    return jax.jit(lambda key, state: evaluate(key, agent.hypers, env.params, state))
