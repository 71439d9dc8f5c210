"""A silicon atom in graphene written plainly in numpy: what the suite's simulator is compared with.

One episode at a time, one hop at a time, from the description of the experiment alone and without
any of the suite's code: the same lattice, rates, times and goals as `STEM-Silicon-v0`, and the
greedy controller.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

BOND = 1.42
DIRECTIONS = np.array([[0.0, 1.0], [-math.sqrt(0.75), -0.5], [math.sqrt(0.75), -0.5]])
Rate = Callable[[np.ndarray, np.ndarray], np.ndarray]


class Found(NamedTuple):
    """Results of an episode: whether the goal was reached, seconds, and steps."""

    success: bool
    seconds: float
    steps: int


def simple(beam: np.ndarray, bonds: np.ndarray) -> np.ndarray:
    """Rates per second that decay with the distance of the beam from each neighbour."""
    distance = np.hypot(*(beam - bonds).T) / BOND
    return 1.0 / ((4.0 * distance) ** 2 + 1.0)


def prior(beam: np.ndarray, bonds: np.ndarray) -> np.ndarray:
    """Rates per second of the human prior."""
    gaps = beam / BOND - 0.85 * bonds / BOND
    return math.log(2.0) / 3.0 * np.exp(-(gaps**2).sum(1) / 0.2)


def hops(
    draw: np.random.Generator, rate: Rate, beam: np.ndarray, bonds: np.ndarray, seconds: float
) -> tuple[np.ndarray, int]:
    """Where the silicon moves while the beam rests, and the sign of its bonds then."""
    moved, sign = np.zeros(2), 1
    while True:
        each = rate(beam - moved, sign * bonds)
        total = each.sum()
        wait = draw.exponential() / total if total > 0 else math.inf
        if wait >= seconds:
            return moved, sign
        seconds -= wait
        chosen = draw.choice(3, p=each / total)
        moved, sign = moved + sign * bonds[chosen], -sign


def start(draw: np.random.Generator) -> tuple[np.ndarray, np.ndarray, float]:
    """Bonds of the silicon, a goal relative to it, and the side of the field of view."""
    angle, side = draw.uniform(0.0, 2.0 * math.pi), draw.uniform(15.0, 30.0)
    cosine, sine = math.cos(angle), math.sin(angle)
    turn = np.array([[cosine, sine], [-sine, cosine]])
    bonds = BOND * DIRECTIONS @ turn
    cells = BOND * np.array([[math.sqrt(3.0), 0.0], [math.sqrt(0.75), 1.5]]) @ turn
    i, j = (x.ravel() for x in np.mgrid[-14:15, -14:15])
    places = i[:, None] * cells[0] + j[:, None] * cells[1]
    sites = np.concatenate([places, places + bonds[0]])
    inside = np.abs(sites).max(1) < 0.5 * side
    allowed = sites[inside & (np.hypot(*sites.T) > 0.1)]
    return bonds, allowed[draw.integers(len(allowed))], side


def episode(
    draw: np.random.Generator,
    rate: Rate,
    offset: float,
    dwell: float,
    *,
    image: float = 2.0,
    timeout: float = 600.0,
) -> Found:
    """Play one episode with the greedy controller."""
    bonds, goal, side = start(draw)
    place, centre, sign = np.zeros(2), np.zeros(2), 1
    elapsed, steps = image, 0
    while elapsed < timeout:
        ways = sign * bonds
        nearest = ways[np.hypot(*(place + ways - goal).T).argmin()]
        moved, turned = hops(draw, rate, offset * nearest / BOND, ways, dwell)
        place, sign = place + moved, sign * turned
        elapsed, steps = elapsed + dwell + image, steps + 1
        if np.abs(place - centre).max() > 0.25 * side:
            elapsed, centre = elapsed + image, place
        if np.hypot(*(place - goal)) < 0.5 * BOND:
            return Found(True, elapsed, steps)
    return Found(False, elapsed, steps)
