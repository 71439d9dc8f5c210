"""Move a silicon atom in graphene to a chosen site with an electron beam (arXiv 2311.17894).

A scanning transmission electron microscope looks at a sheet of graphene with one silicon atom. The
beam rests for some seconds at a point near the atom, which may meanwhile change places with one of
its three neighbours, several times; then an image is taken. Time counts in seconds, so a step's
discount is that of its duration (`TimeStep.discount`), and agents must learn with it. Geometry,
times and goals are those of the released simulator (github.com/google/putting-dune); the order of
the neighbours in observations is our setting.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from purejaxrl_suite.core import argument
from purejaxrl_suite.core.types import Array, Box, Environment, Key, PyTree, TimeStep
from purejaxrl_suite.envs import honeycomb, silicon_rates
from purejaxrl_suite.envs.honeycomb import BOND, Sheet, Site
from purejaxrl_suite.envs.recipe import called, recorded
from purejaxrl_suite.envs.silicon_picture import picture
from purejaxrl_suite.envs.silicon_rates import Rates

SIDES = 15.0, 30.0
"""Smallest and largest side of the field of view, in angstrom."""
NEAR = 0.71
"""The silicon is at the goal within so many angstrom: half a bond."""
INNER = 0.25
"""The field of view is centred anew when the silicon is within this share of a border."""
_IDS: dict[str, Callable[[], Rates]] = {
    "STEM-Silicon-v0": silicon_rates.prior,
    "STEM-SiliconSimple-v0": silicon_rates.simple,
    "STEM-SiliconMixtures-v0": silicon_rates.mixtures,
}


class SiliconParams(NamedTuple):
    """Parameters of the environment, which may be swept.

    rates: of `Rates.params`. gamma: f32[], discount per second. image_seconds: f32[], of an image.
    timeout: f32[], seconds of an episode. shortest, longest: f32[], dwells; longest is None where
    all are the same. distance: f32[], bonds from the silicon to the beam at an action of 1.
    """

    rates: PyTree
    gamma: Array | float
    image_seconds: Array | float
    timeout: Array | float
    shortest: Array | float
    longest: Array | float | None
    distance: Array | float


class State(NamedTuple):
    """State of an episode.

    sheet: of the lattice. silicon: its site. goal, centre, beam: f32[2], where the goal, the field
    of view and the beam last were. side: f32[], of the field of view. rates: of the episode.
    elapsed: f32[], seconds.
    """

    sheet: Sheet
    silicon: Site
    goal: Array
    centre: Array
    beam: Array
    side: Array
    rates: PyTree
    elapsed: Array


def ids() -> tuple[str, ...]:
    """List the ids that `make` takes."""
    return tuple(_IDS)


def make(
    id: str,
    dwell: float | Sequence[float] = 1.5,
    distance: float = 1.0,
    image_seconds: float = 2.0,
    timeout: float = 600.0,
) -> Environment:
    """Make a silicon atom to be moved, by its id.

    Args:
        id: one of `ids()`: `STEM-Silicon-v0` has the rates of the human prior,
            `STEM-SiliconSimple-v0` simple ones, and `STEM-SiliconMixtures-v0` others in each
            episode.
        dwell: as in `silicon`.
        distance: as in `silicon`.
        image_seconds: as in `silicon`.
        timeout: as in `silicon`.

    Returns:
        The environment.

    Raises:
        ValueError: the id is unknown, or a number out of range.
    """
    if id not in _IDS:
        raise ValueError(f"id: expected one of {sorted(_IDS)}, got {id!r}")
    options: dict[str, Any] = {
        "dwell": dwell,
        "distance": distance,
        "image_seconds": image_seconds,
        "timeout": timeout,
    }
    env = silicon(_IDS[id](), **options)
    return env._replace(name=id, recipe=(called("make", id, **options),))


@recorded
def silicon(
    rates: Rates,
    *,
    dwell: float | Sequence[float] = 1.5,
    distance: float = 1.0,
    image_seconds: float = 2.0,
    timeout: float = 600.0,
) -> Environment:
    """Make a silicon atom to be moved by any rates.

    Observations f32[10]: place of the silicon in the field of view, 0 to 1; unit vectors to its
    three neighbours, from the nearest to the goal to the farthest; and the way to the goal in
    angstrom. Actions, clipped to -1 .. 1: where the beam rests relative to the silicon, in units of
    `distance` bonds, and, if dwells differ, for how long. The only reward is that of the step which
    reaches the goal: its discount. So the return is gamma to the power of the seconds that it took.
    `info` has `success` and the `seconds` so far.

    Args:
        rates: of hops, such as `silicon_rates.prior()`.
        dwell: seconds that the beam rests, or the shortest and the longest of them, which agents
            then choose from.
        distance: how far from the silicon the beam may rest, in bonds along each axis.
        image_seconds: of each image; a second one is taken where the field of view is centred anew.
        timeout: seconds after which an episode is truncated.

    Returns:
        The environment, which is `discounted`.

    Raises:
        ValueError: a number is out of range.
    """
    argument.instance("rates", rates, Rates)
    shortest, longest = _dwells(dwell)
    params = SiliconParams(
        rates=rates.params,
        gamma=0.9967,
        image_seconds=argument.number("image_seconds", image_seconds, 0.0),
        timeout=argument.number("timeout", timeout, above=0.0),
        shortest=shortest,
        longest=longest if longest > shortest else None,
        distance=argument.number("distance", distance, above=0.0),
    )
    size = 2 if params.longest is None else 3

    def init(key: Key, params: SiliconParams) -> tuple[State, Array]:
        state = _start(key, rates, params)
        return state, observe(state)

    def step(key: Key, params: SiliconParams, state: State, action: Array):
        action = jnp.clip(jnp.asarray(action, jnp.float32), -1.0, 1.0)
        seconds = jnp.float32(params.shortest)
        if params.longest is not None:
            seconds = seconds + 0.5 * (action[2] + 1.0) * (params.longest - seconds)
        here = honeycomb.position(state.sheet, state.silicon)
        beam = here + action[:2] * (params.distance * BOND)

        def rate(beam: Array, bonds: Array) -> Array:
            return rates.rate(state.rates, beam, bonds)

        hopped = silicon_rates.dwell(key, rate, state.sheet, state.silicon, beam, seconds)
        return _after(params, state._replace(silicon=hopped.site, beam=beam), seconds)

    def limit(params: SiliconParams) -> Any:
        # Image and dwell of each step, after the first image.
        steps = (params.timeout - params.image_seconds) / (params.shortest + params.image_seconds)
        return np.floor(np.maximum(steps, 0.0)) + 1

    return Environment(
        name=f"silicon({rates.name})",
        observation=Box((10,)),
        action=Box((size,), "float32", -1.0, 1.0),
        time_limit=int(limit(params)),
        params=jax.tree.map(np.float32, params),
        init=init,
        step=step,
        render=render,
        limit=limit,
        discounted=True,
    )


def _dwells(dwell: float | Sequence[float]) -> tuple[float, float]:
    """Return the shortest and the longest dwell; ValueError unless they are positive, in order."""
    both = [*dwell] if isinstance(dwell, list | tuple) else [dwell, dwell]
    if len(both) != 2:
        raise argument.wrong("dwell", "seconds, or the shortest and the longest", dwell)
    shortest = argument.number("dwell", both[0], above=0.0)
    return shortest, argument.number("dwell", both[1], shortest, " (the longest)")


def _start(key: Key, rates: Rates, params: SiliconParams) -> State:
    """Draw a sheet, with a silicon atom near the origin, a field of view around it, and a goal."""
    keys = jax.random.split(key, 5)
    angle = jax.random.uniform(keys[0], (), maxval=2.0 * math.pi)
    offset = jax.random.uniform(keys[1], (2,), minval=-NEAR, maxval=NEAR)
    side = jax.random.uniform(keys[2], (), minval=SIDES[0], maxval=SIDES[1])
    sheet = Sheet(angle, offset)
    silicon = honeycomb.nearest(sheet, jnp.zeros(2))
    here = honeycomb.position(sheet, silicon)
    return State(
        sheet=sheet,
        silicon=silicon,
        goal=draw_goal(keys[3], sheet, here, side),
        centre=here,
        beam=here,
        side=side,
        rates=jax.tree.map(jnp.float32, rates.draw(keys[4], params.rates)),
        elapsed=jnp.float32(params.image_seconds),
    )


def draw_goal(key: Key, sheet: Sheet, here: Array, side: Array) -> Array:
    """Draw a site f32[2] of the field of view around the silicon, all equally likely.

    Points are drawn from a square that is larger by a bond on each side, until the nearest site is
    in the field of view and another than the silicon's. All sites have equally much of the plane
    around them, no part of it farther than a bond.
    """
    reach = 0.5 * side

    def outside(carry: tuple[Array, Array]) -> Array:
        away = jnp.max(jnp.abs(carry[1] - here))
        return (away >= reach) | (away <= 0.1)

    def draw(carry: tuple[Array, Array]) -> tuple[Array, Array]:
        number, _ = carry
        share = jax.random.uniform(jax.random.fold_in(key, number), (2,), minval=-1.0)
        point = here + share * (reach + BOND)
        return number + 1, honeycomb.position(sheet, honeycomb.nearest(sheet, point))

    return jax.lax.while_loop(outside, draw, (jnp.int32(0), here))[1]


def _after(params: SiliconParams, state: State, seconds: Array) -> tuple[State, TimeStep]:
    """Take the image after a dwell, and tell what it shows."""
    here = honeycomb.position(state.sheet, state.silicon)
    leaves = jnp.any(jnp.abs(here - state.centre) > (0.5 - INNER) * state.side)
    duration = seconds + params.image_seconds * jnp.where(leaves, 2.0, 1.0)
    elapsed = state.elapsed + duration
    state = state._replace(centre=jnp.where(leaves, here, state.centre), elapsed=elapsed)
    reached = jnp.sum(jnp.square(here - state.goal)) < NEAR**2
    discount, obs = jnp.exp(jnp.log(params.gamma) * duration), observe(state)
    return state, TimeStep(
        obs=obs,
        reward=jnp.where(reached, discount, 0.0),
        terminated=reached,
        truncated=~reached & (elapsed >= params.timeout),
        final_obs=obs,
        info={"success": reached.astype(jnp.float32), "seconds": elapsed},
        discount=discount,
    )


def observe(state: State) -> Array:
    """Compute the observation f32[10] of a state."""
    here = honeycomb.position(state.sheet, state.silicon)
    bonds = honeycomb.bonds(state.sheet, state.silicon.sublattice)
    way = state.goal - here
    gaps = jnp.sum(jnp.square(bonds - way[None]), axis=-1)
    # Ranks by comparison: sorting three numbers would take longer than the rest of a step.
    before, number = gaps[None] < gaps[:, None], jnp.arange(3)
    equal = (gaps[None] == gaps[:, None]) & (number[None] < number[:, None])
    rank = jnp.sum(before | equal, axis=-1)
    chosen = rank[None] == number[:, None]
    ordered = jnp.sum(jnp.where(chosen[..., None], bonds[None], 0.0), axis=1)
    place = (here - state.centre) / state.side + 0.5
    return jnp.concatenate([place, jnp.ravel(ordered / BOND), way])


def render(params: SiliconParams, state: State) -> Array:
    """Draw the field of view, u8[192, 192, 3]: lattice, silicon, goal and beam."""
    del params  # the state says all
    here = honeycomb.position(state.sheet, state.silicon)
    return picture(
        state.sheet,
        state.centre,
        state.side,
        silicon=here,
        goal=state.goal,
        beam=state.beam,
    )
