"""Parameters of small networks, as shapes and as numbers."""

import jax
import jax.numpy as jnp
import numpy as np


def dense(*sizes):
    """{dense_0: kernel and bias ...} of shapes, for layers between so many units."""
    pairs = zip(sizes[:-1], sizes[1:], strict=True)
    return {f"dense_{i}": with_bias(shape) for i, shape in enumerate(pairs)}


def with_bias(shape):
    """One kernel and its bias."""
    return {"kernel": struct(shape), "bias": struct(shape[-1:])}


def struct(shape):
    """An array of which only the shape is known."""
    return jax.ShapeDtypeStruct(shape, jnp.float32)


def drawn(shapes, seed=0):
    """Normal numbers of these shapes."""
    numbers = np.random.default_rng(seed)
    return jax.tree.map(lambda x: jnp.asarray(numbers.normal(size=x.shape), x.dtype), shapes)


MINATAR = {
    "encoder": {"conv_0": with_bias((3, 3, 4, 16))},
    "trunk": {"dense_0": with_bias((1600, 512))},
    "heads": {"q": with_bias((512, 3))},
}
"""Of DQN on Breakout-MinAtar."""
