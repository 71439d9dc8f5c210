"""Every norm keeps its digits far from zero: 1,000 +- 0.1, against double precision."""

import re
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from purejaxrl_suite import nets
from purejaxrl_suite.nets.norm import EPSILON, FirstAxisNorm, layer_norm

NORMS = {"last axis": (layer_norm, np.asarray), "first axis": (FirstAxisNorm, np.transpose)}


@pytest.mark.parametrize("name", NORMS)
def test_a_small_deviation_is_seen_beside_a_large_mean(name):
    make, turn = NORMS[name]
    rng = np.random.default_rng(0)
    x = (1000.0 + 0.1 * rng.normal(size=(5, 64))).astype(np.float32)
    weight = rng.normal(size=(5, 64)).astype(np.float32)
    exact = x.astype(np.float64)
    centred = exact - exact.mean(1, keepdims=True)
    scale = 1.0 / np.sqrt(np.mean(centred**2, 1, keepdims=True) + EPSILON)
    expected = centred * scale
    mean, along = (np.mean(z, 1, keepdims=True) for z in (weight, weight * expected))
    norm = make(dtype=jnp.float32, name=None)
    params = norm.init(jax.random.key(0), turn(x))
    found, pull = jax.vjp(lambda x: norm.apply(params, x), jnp.asarray(turn(x)))
    np.testing.assert_allclose(turn(found), expected, atol=2e-3)
    gradient = turn(pull(jnp.asarray(turn(weight)))[0])
    np.testing.assert_allclose(gradient, scale * (weight - mean - expected * along), atol=2e-2)


def test_networks_have_no_other_norms():
    """Those of flax take the variance as E[x^2] - E[x]^2 where they are not told otherwise."""
    for path in sorted(Path(nets.__file__).parent.glob("*.py")):
        if path.name != "norm.py":
            assert not re.search(r"nn\.\w*Norm\b", path.read_text()), path.name
