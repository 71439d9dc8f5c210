"""What a space means in arrays."""

import jax
import jax.numpy as jnp

from purejaxrl_suite.core.types import Discrete, Space


def abstract(space: Space, *batch: int) -> jax.ShapeDtypeStruct:
    """Shape and dtype of elements of a space, with leading batch axes."""
    if isinstance(space, Discrete):
        return jax.ShapeDtypeStruct(batch, jnp.int32)
    return jax.ShapeDtypeStruct(batch + tuple(space.shape), jnp.dtype(space.dtype))


def describe(space: Space) -> str:
    """A space in a few words, for messages and tables."""
    if isinstance(space, Discrete):
        return f"Discrete({space.n})"
    shape = "x".join(map(str, space.shape)) or "scalar"
    return f"Box({shape} {jnp.dtype(space.dtype).name})"
