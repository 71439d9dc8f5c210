"""Augmentation of pixel observations: random shifts and intensities.

Yarats et al. 2021 (DrQ, arXiv 2004.13649) and Schwarzer et al. 2021 (SPR, arXiv 2007.05929).
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from purejaxrl_suite.core.types import Array, Box, Key

SMALLEST_SIDE = 36  # pixels: a shift by 4 takes a tenth of such an image, and most of a small board


def random_shift(key: Key, image: Array, pad: int) -> Array:
    """Move an image [height, width, C] by up to `pad` pixels in each direction, its edge repeated.

    All channels, and so all frames of a stack, get the same offset. Equal to padding with the edge
    and cropping at random.
    """
    down, right = jax.random.randint(key, (2,), -pad, pad + 1)
    height, width = image.shape[:2]
    rows = jnp.clip(jnp.arange(height) + down, 0, height - 1)
    columns = jnp.clip(jnp.arange(width) + right, 0, width - 1)
    return image[rows][:, columns]


def random_intensity(key: Key, image: Array, scale: float) -> Array:
    """Multiply an image by 1 + scale * normal, clipped at two deviations: f32, of equal shape."""
    factor = 1.0 + scale * jnp.clip(jax.random.normal(key), -2.0, 2.0)
    return image.astype(jnp.float32) * factor


def augmentation(
    observation: Box, pad: int = 4, scale: float = 0.05
) -> Callable[[Key, Array], Array]:
    """Make the augmentation of a space's observations: random shifts, then random intensities.

    Every observation gets its own shift and intensity; pixels come back as f32 in their own units.
    Observations that are not pixels (boards of fewer than 36 cells a side, category codes,
    vectors) are returned unchanged: a shifted or dimmed board is a different board.

    Args:
        observation: the space.
        pad: largest shift, in pixels.
        scale: standard deviation of the relative intensity.

    Returns:
        The function (key, obs[..., height, width, C]) -> obs.

    Raises:
        ValueError: pad or scale is negative.
    """
    if pad < 0 or scale < 0.0:
        raise ValueError(f"pad={pad}, scale={scale}: expected numbers of at least 0")
    if not is_pixels(observation):
        return lambda key, obs: obs

    def one(key: Key, image: Array) -> Array:
        shift_key, intensity_key = jax.random.split(key)
        return random_intensity(intensity_key, random_shift(shift_key, image, pad), scale)

    def augment(key: Key, obs: Array) -> Array:
        images = jnp.reshape(obs, (-1, *observation.shape))
        augmented = jax.vmap(one)(jax.random.split(key, len(images)), images)
        return jnp.reshape(augmented, obs.shape)

    return augment


def is_pixels(observation: Box) -> bool:
    """Tell whether a space holds images: uint8, three axes, no category codes, 36 pixels a side."""
    shape = observation.shape
    image = observation.dtype == "uint8" and len(shape) == 3 and not observation.categories
    return image and min(shape[:2]) >= SMALLEST_SIDE
