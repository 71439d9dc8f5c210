"""Running moments: equal to those of all samples at once."""

import jax
import jax.numpy as jnp
import numpy as np

from purejaxrl_suite.ops import statistics


def test_batches_merge_to_the_moments_of_all_samples():
    rng = np.random.default_rng(0)
    data = (rng.normal(size=(60, 3)) * [1.0, 10.0, 0.1] + [100.0, 0.0, -5.0]).astype(np.float32)
    moments = statistics.init((3,))
    for batch in (data[:1], data[1:7], data[7:]):
        moments = statistics.update(moments, jnp.asarray(batch))
    assert moments.count == 60
    np.testing.assert_allclose(moments.mean, data.mean(0), rtol=1e-5)
    np.testing.assert_allclose(moments.variance, data.var(0), rtol=1e-3)


def test_any_number_of_leading_axes_and_scalars():
    data = jnp.arange(24.0).reshape(2, 3, 4)
    np.testing.assert_allclose(
        statistics.update(statistics.init((4,)), data).mean, data.mean((0, 1))
    )
    scalar = statistics.update(statistics.init(), data)
    np.testing.assert_allclose(scalar.variance, np.var(data), rtol=1e-6)


def test_normalize():
    moments = statistics.Moments(jnp.float32(2), jnp.array([1.0, 2.0]), jnp.array([4.0, 1e-4]))
    found = statistics.normalize(moments, jnp.array([[3.0, 2.0], [1.0, 3.0]]), clip=10.0)
    np.testing.assert_allclose(found, [[1.0, 0.0], [0.0, 10.0]], rtol=1e-6)
    fresh = statistics.normalize(statistics.init((2,)), jnp.array([[3, 2]], jnp.uint8))
    np.testing.assert_allclose(fresh, [[3.0, 2.0]])


def test_structure_and_dtypes_are_kept():
    before = statistics.init((2,))
    after = jax.eval_shape(statistics.update, before, jnp.ones((5, 2)))
    for x, y in zip(before, after, strict=True):
        assert (x.shape, x.dtype) == (y.shape, y.dtype) and not y.weak_type


def test_groups_are_standardized_by_hand():
    """Group 0 holds 1 and 3 (mean 2, deviation 1), group 1 10, 30, 50 (30, sqrt(800 / 3))."""
    x, group = jnp.array([[1.0, 10.0, 30.0], [3.0, 50.0, 7.0]]), jnp.array([[0, 1, 1], [0, 1, 2]])
    found = statistics.standardize(x, group, 4)  # nothing is in group 3
    off = 20.0 / np.sqrt(800 / 3)
    np.testing.assert_allclose(found, [[-1.0, -off, 0.0], [1.0, off, 0.0]], rtol=1e-5, atol=1e-6)
    every = statistics.standardize(x, jnp.zeros_like(group), 1)
    np.testing.assert_allclose(every, statistics.standardize(x), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(statistics.standardize(x), (x - x.mean()) / x.std(), rtol=1e-5)
