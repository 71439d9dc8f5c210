"""The honeycomb lattice of graphene in closed form: no array of atoms, and no edge.

A site is two integers and a sublattice, 0 or 1. In bonds of a sheet that is not turned, the sites
of sublattice 0 are at i (sqrt 3, 0) + j (sqrt 3 / 2, 3 / 2), and those of sublattice 1 one bond
above them. Every site has its three neighbours on the other sublattice. Lengths are in angstrom.
"""

import math
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from purejaxrl_suite.core.types import Array

BOND = 1.42
"""From an atom to its nearest neighbours."""
CELL = np.array([[math.sqrt(3.0), 0.0], [math.sqrt(3.0) / 2.0, 1.5]], np.float32) * BOND
"""f32[2, 2], the steps along the two integers of a site, of a sheet that is not turned."""
BONDS = (
    np.array([[0.0, 1.0], [-math.sqrt(3.0) / 2.0, -0.5], [math.sqrt(3.0) / 2.0, -0.5]], np.float32)
    * BOND
)
"""f32[3, 2], from a site of sublattice 0 to its neighbours; from one of sublattice 1 reversed."""
MOVES = np.array([[0, 0], [0, -1], [1, -1]], np.int32)
"""i32[3, 2], what the integers of a site change by along BONDS."""


class Site(NamedTuple):
    """A site: place i32[..., 2], sublattice i32[...]."""

    place: Array
    sublattice: Array


class Sheet(NamedTuple):
    """How the lattice lies. angle: f32[], by which it is turned. offset: f32[2], of its origin."""

    angle: Array
    offset: Array


def turned(vectors: Array, angle: Array) -> Array:
    """Rotate vectors f32[..., 2] by an angle f32[], counter-clockwise."""
    x, y = vectors[..., 0], vectors[..., 1]
    cosine, sine = jnp.cos(angle), jnp.sin(angle)
    return jnp.stack([cosine * x - sine * y, sine * x + cosine * y], axis=-1)


def position(sheet: Sheet, site: Site) -> Array:
    """Compute where sites are, f32[..., 2]."""
    i, j = (site.place[..., k].astype(jnp.float32) for k in range(2))
    x = i * CELL[0, 0] + j * CELL[1, 0]
    y = j * CELL[1, 1] + site.sublattice.astype(jnp.float32) * BOND
    offset = jnp.reshape(sheet.offset, (1,) * (x.ndim) + (2,))
    return turned(jnp.stack([x, y], axis=-1), sheet.angle) + offset


def bonds(sheet: Sheet, sublattice: Array) -> Array:
    """Compute the vectors f32[3, 2] from a site to its neighbours."""
    return orientation(sublattice) * turned(jnp.asarray(BONDS), sheet.angle)


def orientation(sublattice: Array) -> Array:
    """Return the sign f32[...] of bonds: 1 for sublattice 0, -1 for sublattice 1."""
    return 1.0 - 2.0 * sublattice.astype(jnp.float32)


def neighbour(site: Site, which: Array) -> Site:
    """Return the neighbour of a site along one of its `bonds`; which: i32[], 0, 1 or 2."""
    sign = 1 - 2 * site.sublattice
    # MOVES[which] without a gather, which takes long for every silicon atom at every hop.
    move = jnp.stack([jnp.where(which == 2, 1, 0), jnp.where(which > 0, -1, 0)])
    return Site(site.place + sign * move.astype(jnp.int32), 1 - site.sublattice)


def nearest(sheet: Sheet, point: Array) -> Site:
    """Find the site nearest to a point f32[2].

    The candidates are the corners of the cell that the point is in, of both sublattices; the
    nearest site of a sublattice is one of them, as the two cell vectors enclose 60 degrees.
    """
    flat = turned(point - sheet.offset, -sheet.angle)
    both = jnp.arange(2, dtype=jnp.int32)
    base = flat[None] - both.astype(jnp.float32)[:, None] * jnp.asarray([[0.0, BOND]])
    j = base[:, 1] / CELL[1, 1]
    i = (base[:, 0] - j * CELL[1, 0]) / CELL[0, 0]
    corner = jnp.floor(jnp.stack([i, j], axis=-1)).astype(jnp.int32)
    step = jnp.asarray([[0, 0], [1, 0], [0, 1], [1, 1]], jnp.int32)
    place = jnp.reshape(corner[:, None] + step[None], (-1, 2))
    sites = Site(place, jnp.repeat(both, 4))
    gaps = position(sheet, sites) - point[None]
    best = jnp.argmin(jnp.sum(jnp.square(gaps), axis=-1))
    return Site(sites.place[best], sites.sublattice[best])


def around(site: Site, reach: float) -> Site:
    """List all sites within `reach` of a site, and some beyond: leaves [n, ...], n is static."""
    rows = math.ceil((reach + BOND) / CELL[1, 1])
    columns = math.ceil((reach + BOND) / CELL[0, 0]) + 1
    j, i = np.meshgrid(np.arange(-rows, rows + 1), np.arange(-columns, columns + 1), indexing="ij")
    # A row is shifted by half a cell against the one below: the patch stays a rectangle.
    places = np.stack([i - np.floor_divide(j, 2), j], axis=-1).reshape(-1, 2).astype(np.int32)
    count = len(places)
    sublattice = jnp.repeat(jnp.arange(2, dtype=jnp.int32), count)
    return Site(site.place[None] + jnp.asarray(np.concatenate([places] * 2)), sublattice)
