"""LayerNorm (Ba et al. 2016, arXiv 1607.06450) with the variance of the centred numbers.

flax's default computes it as E[x^2] - E[x]^2, which in float32 has no correct digit if the mean is
a thousand times the standard deviation: at 1,000 +- 0.1 it gave +-356 for +-3.4. So all norms are
made here.

Convolutions that keep the batch on the last axis, on a CPU, have channels on the first one.
XLA:CPU is slow at sums over a few distant channels, above all in a gradient that it fuses with
later operations. A product with a row of equal weights is fast, forwards and backwards.
"""

from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from purejaxrl_suite.core.types import Array

EPSILON = 1e-6
"""Added to the variance; flax's default."""


def layer_norm(dtype: Any, name: str | None) -> nn.LayerNorm:
    """Make a LayerNorm of x[..., H] over H inside the calling module; the result is of `dtype`."""
    return nn.LayerNorm(epsilon=EPSILON, dtype=dtype, use_fast_variance=False, name=name)


class FirstAxisNorm(nn.Module):
    """LayerNorm of x[C, ...] over C, with the parameters of `layer_norm`."""

    dtype: Any

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Apply in float32; the result is of `dtype`."""
        shape = (len(x), *(1,) * (x.ndim - 1))
        scale = self.param("scale", nn.initializers.ones, (len(x),), jnp.float32)
        bias = self.param("bias", nn.initializers.zeros, (len(x),), jnp.float32)
        y = standardize(x.astype(jnp.float32)) * jnp.reshape(scale, shape)
        return (y + jnp.reshape(bias, shape)).astype(self.dtype)


@jax.custom_vjp
def standardize(x: Array) -> Array:
    """Standardize x[C, ...] to mean 0 and standard deviation 1 over C."""
    return _forward(x)[0]


def _forward(x: Array) -> tuple[Array, tuple[Array, Array]]:
    centred = x - _mean(x)
    inverse = jax.lax.rsqrt(_mean(jnp.square(centred)) + EPSILON)
    y = centred * inverse
    return y, (y, inverse)


def _backward(saved: tuple[Array, Array], gradient: Array) -> tuple[Array]:
    y, inverse = saved
    return (inverse * (gradient - _mean(gradient) - y * _mean(gradient * y)),)


standardize.defvjp(_forward, _backward)


def _mean(x: Array) -> Array:
    """Compute the mean over the first axis, and keep that axis."""
    weights = jnp.full((1, len(x)), 1.0 / len(x), x.dtype)
    return jnp.reshape(weights @ jnp.reshape(x, (len(x), -1)), (1, *x.shape[1:]))
