"""ReLU and softmax with gradients that need their outputs and nothing else.

What JAX and XLA keep for a gradient by themselves is the input of a ReLU beside its output, and of
a softmax also exponentials and sums, as tables of full size. A mixture of experts has very many of
these numbers. Barriers keep XLA from computing outputs again from inputs that it would have to
keep for it.
"""

from functools import partial

import jax
import jax.numpy as jnp

from purejaxrl_suite.core.types import Array


@jax.custom_jvp
def relu(x: Array) -> Array:
    """max(x, 0), with the gradient of `jax.nn.relu`."""
    return jnp.maximum(x, 0)


@relu.defjvp
def _relu(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    y = jax.lax.optimization_barrier(relu(*primals))
    return y, jnp.where(y > 0, tangents[0], 0)


@partial(jax.custom_jvp, nondiff_argnums=(1,))
def softmax(x: Array, axis: int) -> Array:
    """`jax.nn.softmax`."""
    return jax.nn.softmax(x, axis=axis)


@softmax.defjvp
def _softmax(axis: int, primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    y, change = jax.lax.optimization_barrier(softmax(*primals, axis)), tangents[0]
    return y, y * (change - jnp.sum(y * change, axis=axis, keepdims=True))
