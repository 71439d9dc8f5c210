"""Matrix products of layers, with a gradient that is written for its backend.

The gradient of a kernel, x^T g, contracts over the batch. XLA:CPU computes (g^T x)^T faster where
the layer reads many more units than it has (14 % of a minibatch of PPO on Breakout-MinAtar), and
left alone rewrites either form into the first; a barrier keeps it. Elsewhere XLA has its way.
"""

from typing import Any

import jax

from purejaxrl_suite.core.types import Array


def dot_general(
    x: Array, kernel: Array, dimension_numbers: Any, precision: Any = None, **options: Any
) -> Array:
    """`jax.lax.dot_general` of x[B, D] and kernel[D, H], as flax's `Dense` calls it."""
    inputs, units = kernel.shape
    if jax.default_backend() == "cpu" and inputs >= 2 * units:
        return product(x, kernel)
    return jax.lax.dot_general(x, kernel, dimension_numbers, precision, **options)


@jax.custom_vjp
def product(x: Array, kernel: Array) -> Array:
    """x[B, D] @ kernel[D, H]."""
    return x @ kernel


def _forward(x: Array, kernel: Array) -> tuple[Array, tuple[Array, Array]]:
    return x @ kernel, (x, kernel)


def _backward(saved: tuple[Array, Array], gradient: Array) -> tuple[Array, Array]:
    x, kernel = saved
    return gradient @ kernel.T, jax.lax.optimization_barrier(gradient.T @ x).T


product.defvjp(_forward, _backward)
