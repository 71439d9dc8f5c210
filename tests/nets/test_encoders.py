"""How stored observations become float32."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from purejaxrl_suite import nets
from purejaxrl_suite.core.types import Box

STYLE = nets.Style(nn.initializers.lecun_normal(), False, jnp.float32)


def encode(encoder, box, obs, params=None):
    part = encoder(box, STYLE)
    params = part.module.init(jax.random.key(0), obs, {}) if params is None else params
    return part.module.apply(params, obs, {})[0], params


def test_codes_become_one_hot_channel_by_channel():
    box = Box((1, 2, 2), "uint8", 0, 2, (3, 2))
    x, params = encode(nets.flat(), box, jnp.array([[[[2, 0], [0, 1]]]], jnp.uint8))
    np.testing.assert_array_equal(x, [[0, 0, 1, 1, 0, 1, 0, 0, 0, 1]])
    assert not params


def test_embedding_is_the_sum_of_one_vector_per_channel():
    box = Box((1, 1, 2), "uint8", 0, 2, (3, 2))
    obs = jnp.array([[[[2, 1]]]], jnp.uint8)
    x, params = encode(nets.symbolic((), embedding=4), box, obs)
    vectors = params["params"]["conv_0"]["kernel"][0, 0]
    np.testing.assert_allclose(x[0], vectors[2] + vectors[3 + 1], rtol=1e-6)


@pytest.mark.parametrize(
    ("box", "scale"),
    [
        (Box((2, 2, 3), "uint8", 0, 255), 255.0),
        (Box((2, 2, 3), "uint8", 0, 1), 1.0),
        (Box((2, 2, 3), "bool", 0, 1), 1.0),
        (Box((2, 2, 3), "float32", 0, 255), 1.0),
        (Box((12,), "uint8", 0, 255), 1.0),
    ],
)
def test_only_uint8_images_are_scaled(box, scale):
    obs = (jnp.arange(12) % 2).reshape(1, *box.shape).astype(box.dtype)
    x, _ = encode(nets.flat(), box, obs)
    np.testing.assert_allclose(x[0], np.ravel(obs) / scale)
    assert x.dtype == jnp.float32


def test_scalar_observations_are_vectors_of_one():
    x, _ = encode(nets.flat(), Box(()), jnp.array([3.0, 4.0]))
    np.testing.assert_array_equal(x, [[3.0], [4.0]])


@pytest.mark.parametrize(
    ("box", "layers"),
    [
        (Box((4,)), []),
        (Box((10, 5)), []),
        (Box((10, 10, 4), "bool", 0, 1), ["conv_0"]),
        (Box((7, 7, 3), "uint8", 0, 10, (11, 6, 4)), ["conv_0"]),
        (Box((56, 56, 3), "uint8", 0, 255), ["conv_0", "conv_1", "conv_2"]),
    ],
)
def test_default_encoder_suits_the_observation(box, layers):
    part = nets.default_encoder(box)(box, STYLE)
    assert [edge.layer for edge in part.edges] == layers
