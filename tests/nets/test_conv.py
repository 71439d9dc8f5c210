"""The forms of a convolution, and of a stack of them, are one function."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from purejaxrl_suite.nets import conv, layers


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
    def all_forms(x, w):
        def batch_last(x, w, strides, padding):
            y = conv.convolve_batch_last(conv.to_batch_last(x), w, strides, padding)
            return conv.to_batch_last(y)

        def pulled(form):
            y, pull = jax.vjp(lambda x, w: form(x, w, strides, padding), x, w)
            return y, pull(jax.random.normal(key_weights, y.shape))

        return tuple(map(pulled, (conv.convolve_lax, conv.convolve_slices, batch_last)))

    expected, found, last = all_forms(x, w)
    for other in (found, last):
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-4), expected, other
        )
    sizes = [conv.output_size((7, 6)[i], kernel[i], strides[i], padding) for i in (0, 1)]
    assert found[0].shape == (2, *sizes, 5)


@pytest.mark.parametrize(
    "activation", [pytest.param(jax.nn.relu, marks=pytest.mark.slow), layers.crelu]
)
def test_a_stack_with_the_batch_last_is_the_one_with_it_first(activation, monkeypatch):
    convolutions = layers.ConvLayer(4, padding="SAME"), layers.ConvLayer(3, (2, 3), (2, 1))
    style = layers.Style(nn.initializers.lecun_normal(), layer_norm=True, dtype=jnp.float32)
    hidden = (*convolutions, layers.DenseLayer(5))
    part = layers.stack(lambda x: x, (6, 5, 2), hidden, activation, style)
    key_x, key_params, key_taps = jax.random.split(jax.random.key(0), 3)
    x = jax.random.normal(key_x, (conv.LONG, 6, 5, 2))
    taps = {"conv_1": jax.random.normal(key_taps, (conv.LONG, 3, 3, 3))}
    params = part.module.init(key_params, x, taps)

    def pulled(last):
        monkeypatch.setattr(layers, "batch_last", lambda batch: last)

        @jax.jit
        def both(params, taps):
            found, pull = jax.vjp(
                lambda *given: part.module.apply(given[0], x, given[1]), params, taps
            )
            return found, pull(jax.tree.map(jnp.cos, found))

        return both(params, taps)

    first, last = pulled(False), pulled(True)
    assert first[0][1]["conv_1"].shape == taps["conv_1"].shape

    def agree(a, b):  # sums over a batch and its places, relative to the largest of them
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-4 * np.max(np.abs(a)))

    jax.tree.map(agree, first, last)


def test_hand_computed():
    x = jnp.arange(9.0).reshape(1, 3, 3, 1)
    w = jnp.array([[1.0, 10.0], [100.0, 1000.0]]).reshape(2, 2, 1, 1)
    found = conv.convolve(x, w, (1, 1), "VALID")[0, :, :, 0]
    np.testing.assert_allclose(found, [[4310.0, 5421.0], [7643.0, 8754.0]])
