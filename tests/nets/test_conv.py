"""The two forms of a convolution are one function."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from purejaxrl_suite.nets import conv


@pytest.mark.parametrize(
    ("padding", "kernel", "strides"),
    [
        ("VALID", (3, 3), (1, 1)),
        ("VALID", (2, 3), (3, 2)),
        ("SAME", (3, 2), (1, 1)),
        ("SAME", (4, 4), (3, 2)),
    ],
)
def test_values_and_gradients_agree(padding, kernel, strides):
    key_x, key_kernel, key_weights = jax.random.split(jax.random.key(0), 3)
    x = jax.random.normal(key_x, (2, 7, 6, 3))
    w = jax.random.normal(key_kernel, (*kernel, 3, 5))

    @jax.jit
    def both(x, w):
        def pulled(form):
            y, pull = jax.vjp(lambda x, w: form(x, w, strides, padding), x, w)
            return y, pull(jax.random.normal(key_weights, y.shape))

        return pulled(conv.convolve_lax), pulled(conv.convolve_slices)

    expected, found = both(x, w)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4), expected, found
    )
    sizes = [conv.output_size((7, 6)[i], kernel[i], strides[i], padding) for i in (0, 1)]
    assert found[0].shape == (2, *sizes, 5)


def test_hand_computed():
    x = jnp.arange(9.0).reshape(1, 3, 3, 1)
    w = jnp.array([[1.0, 10.0], [100.0, 1000.0]]).reshape(2, 2, 1, 1)
    found = conv.convolve(x, w, (1, 1), "VALID")[0, :, :, 0]
    np.testing.assert_allclose(found, [[4310.0, 5421.0], [7643.0, 8754.0]])
