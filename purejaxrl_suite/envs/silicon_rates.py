"""Rates at which an electron beam moves a silicon atom in graphene, and the hops that follow.

Rates are per second, for each of the three neighbours that the silicon may change places with, as
functions of where the beam is. Hops are drawn by kinetic Monte Carlo: wait for an exponential time,
choose a neighbour in proportion to its rate, go on until the dwell is over. The beam stays where it
is, so rates change with every hop. Functions of rates are those of the released code of the
experiments (arXiv 2311.17894, github.com/google/putting-dune, graphene.py).
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from purejaxrl_suite.core import tree
from purejaxrl_suite.core.types import Array, Key, PyTree
from purejaxrl_suite.envs import honeycomb
from purejaxrl_suite.envs.honeycomb import BOND, Sheet, Site

MOST_COMPONENTS = 16
"""Of a mixture; the number is 1 + Poisson(2), which exceeds it once in 5 billion draws."""

Rate = Callable[[PyTree, Array, Array], Array]
"""(parameters, beam f32[2], bonds f32[3, 2]) -> f32[3], hops per second to each neighbour; beam and
bonds are relative to the silicon, in angstrom."""


class Rates(NamedTuple):
    """Rates of an environment, as functions.

    name: for recipes and messages.
    params: what they depend on, a pytree of arrays or numbers; traced, so it may be swept.
    draw: (key, params) -> the parameters of an episode, such as a mixture of its own.
    rate: (parameters of an episode, beam, bonds) -> f32[3].
    """

    name: str
    params: PyTree
    draw: Callable[[Key, PyTree], PyTree]
    rate: Rate


def fixed(name: str, params: PyTree, rate: Rate) -> Rates:
    """Make rates that are the same in all episodes."""
    return Rates(name, params, lambda key, params: params, rate)


class Simple(NamedTuple):
    """Parameters of simple rates. sharpness: f32[], per bond. peak: f32[], hops per second."""

    sharpness: Array | float = 4.0
    peak: Array | float = 1.0


def simple() -> Rates:
    """Make rates that decay with the distance of the beam from each neighbour.

    k = peak / ((sharpness d)^2 + 1), d in bonds: 1 per second where the beam is on the neighbour.
    """

    def rate(params: Simple, beam: Array, bonds: Array) -> Array:
        squares = jnp.sum(jnp.square((beam[None] - bonds) / BOND), axis=-1)
        return params.peak / (jnp.square(params.sharpness) * squares + 1.0)

    return fixed("simple", Simple(), rate)


class Prior(NamedTuple):
    """Parameters of the human prior.

    mean: f32[], bonds along the bond. variance: f32[], square bonds. peak: f32[], per second.
    """

    mean: Array | float = 0.85
    variance: Array | float = 0.1
    peak: Array | float = math.log(2.0) / 3.0


def prior() -> Rates:
    """Make the human prior: a Gaussian around a point before each neighbour.

    With the beam at the peak half of the atoms have moved after three seconds.
    """

    def rate(params: Prior, beam: Array, bonds: Array) -> Array:
        gaps = (beam[None] - params.mean * bonds) / BOND
        squares = jnp.sum(jnp.square(gaps), axis=-1)
        return params.peak * jnp.exp(-0.5 * squares / params.variance)

    return fixed("prior", Prior(), rate)


class Mixture(NamedTuple):
    """A mixture of Gaussians around each bond; leaves f32[K], and peak f32[].

    weight: 0 for components that are not there. centre: in bonds along the bond.
    along, across: variances in square angstrom. peak: of the greatest component alone, per second;
    the sum of all may be greater.
    """

    weight: Array
    centre: Array
    along: Array
    across: Array
    peak: Array


def mixtures() -> Rates:
    """Make rates that are another mixture of Gaussians in every episode (domain randomisation).

    1 + Poisson(2) components, weights U(0, 10) normalised, centres U(-2, 3) bonds along the bond,
    variances U(.1, 5) square angstrom, and a peak of U(.01, 1) per second.
    """
    return Rates("mixtures", (), lambda key, params: draw_mixture(key), mixture_rate)


def draw_mixture(key: Key) -> Mixture:
    """Draw a mixture of `mixtures`."""
    count, weight, centre, along, across, peak = jax.random.split(key, 6)
    k = (MOST_COMPONENTS,)
    there = jnp.arange(MOST_COMPONENTS) <= jax.random.poisson(count, 2.0)
    weights = jnp.where(there, jax.random.uniform(weight, k, maxval=10.0), 0.0)
    return Mixture(
        weight=weights / jnp.sum(weights),
        centre=jax.random.uniform(centre, k, minval=-2.0, maxval=3.0),
        along=jax.random.uniform(along, k, minval=0.1, maxval=5.0),
        across=jax.random.uniform(across, k, minval=0.1, maxval=5.0),
        peak=jax.random.uniform(peak, (), minval=0.01, maxval=1.0),
    )


def mixture_rate(params: Mixture, beam: Array, bonds: Array) -> Array:
    """Compute the rates of a mixture; a `Rate`."""
    unit = bonds / BOND
    along = unit @ beam
    across = unit[:, 0] * beam[1] - unit[:, 1] * beam[0]
    gap = along[:, None] - BOND * params.centre[None]
    squares = jnp.square(gap) / params.along[None]
    squares = squares + jnp.square(across)[:, None] / params.across[None]
    heights = params.weight / jnp.sqrt(params.along * params.across)
    density = jnp.sum(heights[None] * jnp.exp(-0.5 * squares), axis=-1)
    return params.peak * density / jnp.max(heights)


class Hopped(NamedTuple):
    """What a dwell did. site: where the silicon is. hops: i32[]."""

    site: Site
    hops: Array


def dwell(
    key: Key, rate: Callable[[Array, Array], Array], sheet: Sheet, site: Site, beam: Array, seconds
) -> Hopped:
    """Draw the hops of a silicon atom while the beam stays somewhere.

    Args:
        key: of the hops.
        rate: (beam, bonds), both relative to the silicon -> f32[3] per second.
        sheet: how the lattice lies.
        site: of the silicon.
        beam: f32[2], where the beam is, in angstrom.
        seconds: f32[], how long it stays.

    Returns:
        Where the silicon is then. Hops have no derivative: they do not change with the beam.
    """
    beam, seconds = jax.lax.stop_gradient((beam, jnp.asarray(seconds, jnp.float32)))
    forward = honeycomb.bonds(sheet, jnp.zeros_like(site.sublattice))
    start = beam - honeycomb.position(sheet, site)

    def going(carry: tuple) -> Array:
        return carry[-1]

    def hop(carry: tuple) -> tuple:
        before, offset, left, _ = carry
        bonds = honeycomb.orientation(before.site.sublattice) * forward
        each = rate(offset, bonds)
        total = jnp.sum(each)
        waited, chosen = jax.random.uniform(jax.random.fold_in(key, before.hops), (2,))
        # Without any rate nothing ever happens.
        wait = jnp.where(total > 0.0, -jnp.log1p(-waited) / total, jnp.inf)
        moves = wait < left
        # Comparisons in place of a search and of gathers, which take longer than all else here.
        mark = chosen * total
        which = (mark >= each[0]).astype(jnp.int32) + (mark >= each[0] + each[1])
        along = (which == jnp.arange(3))[:, None]
        way = jnp.sum(jnp.where(along, bonds, 0.0), axis=0)
        after = Hopped(
            site=tree.where(moves, honeycomb.neighbour(before.site, which), before.site),
            hops=before.hops + moves,
        )
        offset = jnp.where(moves, offset - way, offset)
        return after, offset, left - jnp.where(moves, wait, 0.0), moves

    none = Hopped(site, jnp.int32(0))
    return jax.lax.while_loop(going, hop, (none, start, seconds, seconds > 0.0))[0]
