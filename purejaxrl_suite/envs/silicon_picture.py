"""Draw graphene as a microscope's field of view: atoms, bonds, silicon, goal and beam."""

import jax
import jax.numpy as jnp

from purejaxrl_suite.core.types import Array
from purejaxrl_suite.envs import honeycomb
from purejaxrl_suite.envs.honeycomb import BOND, Sheet

PIXELS = 192
BACKGROUND, BONDS, CARBON = (18, 22, 32), (70, 78, 96), (150, 160, 180)
SILICON, GOAL, BEAM = (255, 170, 60), (90, 220, 130), (240, 80, 110)


def picture(
    sheet: Sheet, centre: Array, side: Array, *, silicon: Array, goal: Array, beam: Array
) -> Array:
    """Draw a field of view, u8[PIXELS, PIXELS, 3], y upwards.

    Args:
        sheet: how the lattice lies.
        centre: f32[2], of the field of view, in angstrom.
        side: f32[], of the field of view.
        silicon: f32[2], an orange disc.
        goal: f32[2], a green ring.
        beam: f32[2], a red dot.

    Returns:
        The picture.
    """
    axis = (jnp.arange(PIXELS) + 0.5) / PIXELS - 0.5
    x, y = jnp.meshgrid(axis, -axis)
    points = jnp.stack([x, y], axis=-1) * side + jnp.reshape(centre, (1, 1, 2))
    atom, bond = jax.vmap(jax.vmap(lambda point: _lattice(sheet, point)))(points)

    def away(place: Array) -> Array:
        gap = points - jnp.reshape(place, (1, 1, 2))
        return jnp.sqrt(jnp.sum(jnp.square(gap), axis=-1))

    thin = jnp.maximum(side / PIXELS, 0.12)  # at least a pixel
    layers = (
        (bond < 0.5 * thin, BONDS),
        (atom < 0.35, CARBON),
        (jnp.abs(away(goal) - 0.75) < thin, GOAL),
        (away(silicon) < 0.6, SILICON),
        (away(beam) < 2.0 * thin, BEAM),
    )
    image = jnp.broadcast_to(jnp.asarray(BACKGROUND, jnp.uint8), (PIXELS, PIXELS, 3))
    for mask, colour in layers:
        paint = jnp.reshape(jnp.asarray(colour, jnp.uint8), (1, 1, 3))
        image = jnp.where(mask[..., None], paint, image)
    return image


def _lattice(sheet: Sheet, point: Array) -> tuple[Array, Array]:
    """Compute the distances f32[] of a point to the nearest atom, and to the bonds from there."""
    site = honeycomb.nearest(sheet, point)
    gap = point - honeycomb.position(sheet, site)
    unit = honeycomb.bonds(sheet, site.sublattice) / BOND
    along = jnp.clip(unit @ gap, 0.0, BOND)
    beside = gap[None] - along[:, None] * unit
    bond = jnp.sqrt(jnp.min(jnp.sum(jnp.square(beside), axis=-1)))
    return jnp.sqrt(jnp.sum(jnp.square(gap))), bond
