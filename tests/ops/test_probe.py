"""The probe on a network of two units, computed by hand."""

import jax.numpy as jnp
import numpy as np

from purejaxrl_suite.ops.probe import probe


def loss(params, taps):
    x = jnp.array([[1.0, 2.0]])
    hidden = jnp.square(params["w"] * x) + taps.get("hidden", 0.0)
    return jnp.sum(hidden * params["v"]), {"hidden": hidden}


def test_hand_computed():
    params = {"w": jnp.array([[3.0, 0.5]]), "v": jnp.array([[2.0, -1.0]])}
    look = probe(loss, params)
    np.testing.assert_allclose(look.features["hidden"], [[9.0, 1.0]])
    np.testing.assert_allclose(look.feature_grads["hidden"], [[2.0, -1.0]])
    np.testing.assert_allclose(look.grads["v"], [[9.0, 1.0]])
    # d/dw (w x)^2 v = 2 w x^2 v
    np.testing.assert_allclose(look.grads["w"], [[12.0, -4.0]])
