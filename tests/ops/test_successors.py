"""Values of successors, against evaluating all of them."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from purejaxrl_suite.ops.successors import next_values


def value(scale, rows):
    return scale * rows["obs"]


@pytest.mark.parametrize("rate", [0.0, 0.1, 0.9])
def test_equals_the_value_of_every_true_successor(rate):
    length, n = 7, 3
    draw = np.random.default_rng(0)
    start = draw.normal(size=(length, n)).astype(np.float32)
    successors = draw.normal(size=(length, n)).astype(np.float32)
    terminated, truncated = (draw.uniform(size=(2, length, n)) < rate / 2) | False
    start, successors = jnp.asarray(start), jnp.asarray(successors)
    terminated[2, 1] = truncated[2, 1] = rate > 0  # both at once: no bootstrap
    done = jnp.asarray(terminated | truncated)
    obs = jnp.concatenate([start[:1], jnp.where(done[:-1], start[1:], successors[:-1])])
    flags = jnp.asarray(terminated), jnp.asarray(truncated)
    known = value(10.0, {"obs": obs})
    got = jax.jit(lambda: next_values(value, 10.0, known, {"obs": successors}, *flags))()
    np.testing.assert_allclose(got[~terminated], 10.0 * np.asarray(successors)[~terminated])
    assert np.isfinite(got).all()


def test_only_missing_rows_are_evaluated_and_each_has_its_derivative():
    flags = jnp.zeros((4, 2), bool), jnp.zeros((4, 2), bool).at[1, 0].set(True)

    def total(scale):
        obs = jnp.arange(8.0).reshape(4, 2)
        return jnp.sum(next_values(lambda s, x: s * x, scale, scale * obs, obs + 100.0, *flags))

    # Rows 0-2 show their successors in the next row; (1, 0) and the last row do not.
    assert total(1.0) == (2 + 3) + (102 + 5) + (6 + 7) + (106 + 107)
    assert jax.grad(total)(1.0) == total(1.0)
