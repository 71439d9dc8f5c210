"""Matrix products that are written for a backend, and their gradients, are plain products."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from purejaxrl_suite.nets.matmul import multiply


@pytest.mark.parametrize(
    ("batch", "inputs", "units", "ours"),
    [
        (128, 64, 6, True),
        (256, 64, 32, True),
        (256, 48, 40, False),
        (16, 8, 5, False),
        (64, 1, 16, False),
        (64, 4, 16, False),
        (64, 16, 2, True),
    ],
)
def test_products_and_gradients_are_those_of_the_plain_product(batch, inputs, units, ours):
    keys = jax.random.split(jax.random.key(0), 3)
    shapes = (batch, inputs), (inputs, units), (batch, units)
    x, kernel, g = map(jax.random.normal, keys, shapes)

    def gradients(product):
        return jax.grad(lambda *given: jnp.sum(product(*given) * g), (0, 1))

    np.testing.assert_allclose(multiply(x, kernel), x @ kernel, rtol=1e-4, atol=1e-5)
    found, expected = (gradients(f)(x, kernel) for f in (multiply, jnp.matmul))
    for ours_, plain in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours_, plain, rtol=1e-4, atol=1e-4)
    text = str(jax.make_jaxpr(gradients(multiply))(x, kernel))
    assert ("optimization_barrier" in text) == (ours and jax.default_backend() == "cpu")
