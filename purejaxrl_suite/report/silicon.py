"""The way of a silicon atom on its lattice: one episode of a policy, as a figure."""

from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import matplotlib
import numpy as np
from matplotlib.figure import Figure

from purejaxrl_suite.core.argument import instance, integer
from purejaxrl_suite.envs import honeycomb
from purejaxrl_suite.envs.silicon import State
from purejaxrl_suite.report.animation import Episode, player
from purejaxrl_suite.report.figures import COLOURS, STYLE, save
from purejaxrl_suite.sweeps.policy import Policy


def silicon_path(policy: Policy, path: str | Path | None = None, *, seed: int = 0) -> Figure:
    """Plot where the silicon was, where the beam rested, and the goal, of one greedy episode.

    Args:
        policy: in an environment of `envs.silicon`.
        path: where to write the picture, if anywhere (PNG, PDF or SVG by its suffix).
        seed: of the episode.

    Returns:
        The figure.

    Raises:
        ValueError: the policy is for another environment.

    Example:
        >>> env = pjs.make("STEM-Silicon-v0")
        >>> result = pjs.run(pjs.ppo(env), env, seeds=4, steps=1e6)
        >>> figure = pjs.report.silicon_path(result.policy(seed=0), "silicon.png")
    """
    env = instance("policy", policy, Policy).env
    key = jax.random.key(integer("seed", seed, 0))
    steps = env.time_limit or 1
    play = jax.jit(player(policy.agent, env, steps, explore=False))
    episode = play(key, policy.hypers, policy.env_params, policy.state)
    instance("policy.env's state", episode.states, State)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(5.6, 4.6), layout="constrained")
        _drawn(figure.subplots(), episode)
        save(figure, path)
    return figure


def _drawn(ax: Any, episode: Episode) -> None:
    """Draw an episode: lattice, path, beams, goal."""
    count = int(np.max(np.asarray(episode.time))) + 1
    states = jax.tree.map(lambda x: np.asarray(x)[:count], episode.states)
    at = np.asarray(jax.vmap(honeycomb.position)(states.sheet, states.silicon))
    first = jax.tree.map(lambda x: x[0], states)
    span = np.concatenate([at, states.goal[:1]])
    low, high = span.min(0) - 3.0, span.max(0) + 3.0
    sites = honeycomb.around(first.silicon, float(np.max(np.abs(span - at[0]))) + 8.0)
    _lattice(ax, first, sites)
    ax.scatter(*states.beam[1:].T, s=16, color=COLOURS[3], marker="x", label="beam", zorder=7)
    ax.plot(*at.T, color=COLOURS[4], zorder=4)
    ax.scatter(*at.T, s=26, color=COLOURS[4], label="silicon", zorder=5)
    ax.scatter(*at[0], s=70, facecolor="none", edgecolor="#000000", label="start", zorder=6)
    ring = {"facecolor": "none", "edgecolor": COLOURS[2], "linewidth": 2.0}
    ax.scatter(*states.goal[0], s=130, label="goal", zorder=6, **ring)
    ax.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), aspect="equal")
    ax.set(xlabel="angstrom", ylabel="angstrom")
    ax.grid(False)
    seconds = float(states.elapsed[-1])
    ax.set_title(f"{count - 1} steps, {seconds:.0f} seconds")
    ax.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)


def _lattice(ax: Any, state: State, sites: honeycomb.Site) -> None:
    """Draw atoms and bonds around the silicon."""
    places = np.asarray(honeycomb.position(state.sheet, sites))
    even = places[np.asarray(sites.sublattice) == 0]
    for bond in np.asarray(honeycomb.bonds(state.sheet, jnp.int32(0))):
        ends = np.stack([even, even + bond[None]], axis=1)
        lines = np.concatenate([ends, np.full((len(ends), 1, 2), np.nan)], axis=1)
        ax.plot(*lines.reshape(-1, 2).T, color="#d0d0d0", linewidth=1.0, zorder=1)
    ax.scatter(*places.T, s=8, color="#a0a0a0", zorder=2)
