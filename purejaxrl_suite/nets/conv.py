"""2-d convolution in a form that is fast on its backend.

XLA:CPU runs the gradient of a small convolution inside `lax.scan` 6-7 times slower than outside;
shifted slices and one matrix product avoid this. With the few channels of small images on the last
axis, LayerNorm works on short rows and takes half the time of a minibatch of PQN; with the batch on
the last axis (`batch_last`) rows are long. Without LayerNorm, on short batches and on one-hot codes
the usual order is faster. All forms agree to float tolerance.
"""

from typing import Any, Protocol

import jax
import jax.numpy as jnp
from flax import linen as nn

from purejaxrl_suite.core.types import Array, Key
from purejaxrl_suite.nets.matmul import multiply

LONG = 64
"""Smallest batch for which the batch is put on the last axis."""


def output_size(size: int, kernel: int, stride: int, padding: str) -> int:
    """Compute the entries along one axis after a convolution; <= 0 if the kernel does not fit.

    Args:
        size: entries before.
        kernel: entries of the kernel.
        stride: step of the kernel.
        padding: "SAME" or "VALID".

    Returns:
        The number of entries.
    """
    return -(-size // stride) if padding == "SAME" else (size - kernel) // stride + 1


def convolve(x: Array, kernel: Array, strides: tuple[int, int], padding: str) -> Array:
    """Convolve [B, height, width, C] with [kh, kw, C, features] in the backend's fastest form."""
    form = convolve_slices if jax.default_backend() == "cpu" else convolve_lax
    return form(x, kernel, strides, padding)


def convolve_lax(x: Array, kernel: Array, strides: tuple[int, int], padding: str) -> Array:
    """Convolve by XLA's own convolution."""
    return jax.lax.conv_general_dilated(
        x, kernel, strides, padding, dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


def batch_last(batch: int) -> bool:
    """Tell whether normalised convolutions put the batch last: on a CPU, if it is `LONG`."""
    return jax.default_backend() == "cpu" and batch >= LONG


def to_batch_last(x: Array) -> Array:
    """Transpose [B, height, width, C] to [C, height, width, B], or back."""
    return jnp.transpose(x, (3, 1, 2, 0))


def convolve_batch_last(x: Array, kernel: Array, strides: tuple[int, int], padding: str) -> Array:
    """Convolve [C, height, width, B] with [kh, kw, C, features]: [features, height', width', B]."""
    patches = jnp.concatenate(windows(x, kernel, strides, padding), axis=0)
    matrix = jnp.reshape(kernel, (-1, kernel.shape[-1]))
    found = matrix.T @ jnp.reshape(patches, (len(matrix), -1))
    return jnp.reshape(found, (-1, *patches.shape[1:]))


def convolve_slices(x: Array, kernel: Array, strides: tuple[int, int], padding: str) -> Array:
    """Convolve by a matrix product of shifted slices, concatenated on the channel axis."""
    stacked = jnp.concatenate(windows(x, kernel, strides, padding), axis=-1)
    found = multiply(*(jnp.reshape(each, (-1, each.shape[-1])) for each in (stacked, kernel)))
    return jnp.reshape(found, (*stacked.shape[:-1], kernel.shape[-1]))


def windows(x: Array, kernel: Array, strides: tuple[int, int], padding: str) -> list[Array]:
    """Return the slice of x [., height, width, .] for each entry of the kernel, row by row."""
    rows, columns = kernel.shape[:2]
    sizes = [output_size(x.shape[1 + i], kernel.shape[i], strides[i], padding) for i in (0, 1)]
    if padding == "SAME":
        pads = jax.lax.padtype_to_pads(x.shape[1:3], kernel.shape[:2], strides, "SAME")
        x = jnp.pad(x, ((0, 0), *pads, (0, 0)))

    def window(i: int, j: int) -> Array:
        height, width = (strides[axis] * (sizes[axis] - 1) + 1 for axis in (0, 1))
        return x[:, i : i + height : strides[0], j : j + width : strides[1]]

    return [window(i, j) for i in range(rows) for j in range(columns)]


class Initializer(Protocol):
    """Draw initial values of a parameter, as `jax.nn.initializers` do."""

    def __call__(self, key: Key, shape: tuple[int, ...], dtype: Any = ..., /) -> Array:
        """Return an array of this shape."""
        ...


class Conv(nn.Module):
    """Convolution and bias: [B, height, width, C] -> [B, height', width', features].

    dtype: of the computation; parameters are float32. batch_last: [C, height, width, B] ->
    [features, height', width', B].
    """

    features: int
    kernel: tuple[int, int]
    strides: tuple[int, int]
    padding: str
    kernel_init: Initializer
    dtype: Any
    batch_last: bool = False

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Apply to a batch."""
        form, axis = (convolve_batch_last, 0) if self.batch_last else (convolve, 3)
        shape = (*self.kernel, x.shape[axis], self.features)
        kernel = self.param("kernel", self.kernel_init, shape, jnp.float32)
        bias = self.param("bias", nn.initializers.zeros, (self.features,), jnp.float32)
        y = form(x.astype(self.dtype), kernel.astype(self.dtype), self.strides, self.padding)
        others = tuple(i for i in range(4) if i != axis)
        return y + jnp.expand_dims(bias.astype(self.dtype), others)
