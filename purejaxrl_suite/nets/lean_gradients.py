"""ReLU and softmax whose gradients need only their outputs.

By default JAX and XLA keep, for the gradient, the input of a ReLU beside its output, and also
exponentials and sums of a softmax, as tables of full size. In a mixture of experts these are large.
Barriers keep XLA from recomputing outputs from inputs, which it would have to keep.
"""

from functools import partial

import jax
import jax.numpy as jnp

from purejaxrl_suite.core.types import Array


@jax.custom_jvp
def relu(x: Array) -> Array:
    """Compute max(x, 0), with the gradient of `jax.nn.relu`."""
    return jnp.maximum(x, 0)


@relu.defjvp
def _relu(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    y = jax.lax.optimization_barrier(relu(*primals))
    return y, jnp.where(y > 0, tangents[0], 0)


@partial(jax.custom_jvp, nondiff_argnums=(1,))
def softmax(x: Array, axis: int) -> Array:
    """Compute `jax.nn.softmax`."""
    return jax.nn.softmax(x, axis=axis)


@softmax.defjvp
def _softmax(axis: int, primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    y, change = jax.lax.optimization_barrier(softmax(*primals, axis)), tangents[0]
    return y, y * (change - jnp.sum(y * change, axis=axis, keepdims=True))
