"""A 2-d convolution that is written for its backend.

XLA:CPU runs the gradient of a small convolution inside `lax.scan` 6-7 times slower than outside;
shifted slices and one matrix product do not suffer from it. The two forms agree to float
tolerance.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from purejaxrl_suite.core.types import Array
from purejaxrl_suite.nets.product import multiply


def output_size(size: int, kernel: int, stride: int, padding: str) -> int:
    """Entries along one axis after a convolution; not positive when the kernel does not fit."""
    return -(-size // stride) if padding == "SAME" else (size - kernel) // stride + 1


def convolve(x: Array, kernel: Array, strides: tuple[int, int], padding: str) -> Array:
    """Convolve [B, height, width, C] with [kh, kw, C, features] in the form of the backend."""
    form = convolve_slices if jax.default_backend() == "cpu" else convolve_lax
    return form(x, kernel, strides, padding)


def convolve_lax(x: Array, kernel: Array, strides: tuple[int, int], padding: str) -> Array:
    """The convolution of XLA."""
    return jax.lax.conv_general_dilated(
        x, kernel, strides, padding, dimension_numbers=("NHWC", "HWIO", "NHWC")
    )


def convolve_slices(x: Array, kernel: Array, strides: tuple[int, int], padding: str) -> Array:
    """The same as shifted slices side by side on the channel axis, times the kernel as a matrix."""
    rows, columns = kernel.shape[:2]
    sizes = [output_size(x.shape[1 + i], kernel.shape[i], strides[i], padding) for i in (0, 1)]
    if padding == "SAME":
        pads = jax.lax.padtype_to_pads(x.shape[1:3], kernel.shape[:2], strides, "SAME")
        x = jnp.pad(x, ((0, 0), *pads, (0, 0)))

    def window(i: int, j: int) -> Array:
        height, width = (strides[axis] * (sizes[axis] - 1) + 1 for axis in (0, 1))
        return x[:, i : i + height : strides[0], j : j + width : strides[1]]

    patches = [window(i, j) for i in range(rows) for j in range(columns)]
    stacked = jnp.concatenate(patches, axis=-1)
    found = multiply(*(jnp.reshape(each, (-1, each.shape[-1])) for each in (stacked, kernel)))
    return jnp.reshape(found, (*stacked.shape[:-1], kernel.shape[-1]))


class Conv(nn.Module):
    """Convolution and bias: [B, height, width, C] -> [B, height', width', features].

    dtype is that of the computation; parameters are float32.
    """

    features: int
    kernel: tuple[int, int]
    strides: tuple[int, int]
    padding: str
    kernel_init: Callable[..., Array]
    dtype: Any

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Apply to a batch."""
        shape = (*self.kernel, x.shape[-1], self.features)
        kernel = self.param("kernel", self.kernel_init, shape, jnp.float32)
        bias = self.param("bias", nn.initializers.zeros, (self.features,), jnp.float32)
        y = convolve(x.astype(self.dtype), kernel.astype(self.dtype), self.strides, self.padding)
        return y + jnp.expand_dims(bias.astype(self.dtype), (0, 1, 2))
