"""Rows of observations: what goes in comes out, in as few bytes as promised."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from purejaxrl_suite.buffers.packing import packing
from purejaxrl_suite.core.check import sample
from purejaxrl_suite.core.types import Box

BOXES = {  # box, bytes of a row
    "minatar": (Box((10, 10, 4), "bool"), 50),
    "minatar-10": (Box((10, 10, 10), "uint8", 0.0, 1.0), 125),
    "odd": (Box((3, 5), "bool"), 2),
    "codes": (Box((7, 7, 3), "uint8", 0.0, (10.0, 5.0, 3.0)), 147),
    "image": (Box((84, 84, 4), "uint8", 0.0, 255.0), 84 * 84 * 4),
    "vector": (Box((6,), "float32"), 24),
    "unit interval": (Box((6,), "float32", 0.0, 1.0), 24),
    "scalar": (Box((), "float32"), 4),
}


@pytest.mark.parametrize("name", BOXES)
def test_round_trip(name):
    box, size = BOXES[name]
    rows = packing(box)
    keys = jax.random.split(jax.random.key(0), 6)
    x = jax.vmap(lambda key: jnp.asarray(sample(key, box), box.dtype))(keys)
    x = jnp.reshape(x, (2, 3, *box.shape))
    packed = rows.pack(x)
    assert packed.shape == (2, 3, rows.size) and packed.dtype == rows.dtype
    assert packed[0, 0].nbytes == size
    back = rows.unpack(packed)
    assert back.dtype == x.dtype
    np.testing.assert_array_equal(back, x)
