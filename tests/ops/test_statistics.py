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


def exactly(moments):
    """(count, mean, variance) as float64."""
    pairs = zip(moments[:3], moments.left, strict=True)
    return [np.asarray(x, np.float64) + np.asarray(y, np.float64) for x, y in pairs]


@jax.jit
def one_by_one(moments, data):
    """The moments after the samples of data [n, ...], each a batch of its own."""
    return jax.lax.scan(lambda m, x: (statistics.update(m, x[None]), None), moments, data)[0]


def check_against_float64(moments, data, rtol):
    data = data.astype(np.float64)
    count, mean, variance = exactly(moments)
    assert count == len(data)
    deviation = data.std(0)
    np.testing.assert_allclose(mean, data.mean(0), atol=rtol * np.max(deviation), rtol=1e-7)
    np.testing.assert_allclose(variance, data.var(0), rtol=rtol)


def test_single_samples_count_after_ten_million():
    """The second 300,000, of another deviation, come when a float32 could count no further."""
    rng = np.random.default_rng(0)
    many = rng.normal(size=2**24).astype(np.float32)
    more = rng.normal(loc=20.0, scale=9.0, size=300_000).astype(np.float32)
    moments = statistics.init()
    for batch in np.split(many, 4):
        moments = jax.jit(statistics.update)(moments, batch)
    check_against_float64(one_by_one(moments, more), np.concatenate([many, more]), 1e-6)


def test_a_large_mean_hides_no_small_deviation():
    """Constants are shown as zeros; 12,345 +- 0.01 has steps of 0.001."""
    rng = np.random.default_rng(1)
    data = np.stack([np.full(20_000, 12_345.678), 12_345.678 + 0.01 * rng.normal(size=20_000),
                     1e-4 * rng.normal(size=20_000), np.full(20_000, -1e-3)], 1)  # fmt: skip
    data = data.astype(np.float32)
    moments = statistics.init((4,))
    batches = statistics.update(jax.jit(statistics.update)(moments, data[:7001]), data[7001:])
    for found in (one_by_one(moments, data), batches):
        assert not np.any(exactly(found)[2][[0, 3]])
        shown = np.asarray(statistics.normalize(found, data))
        assert not np.any(shown[:, [0, 3]])
        check_against_float64(found, data, 1e-4)
        np.testing.assert_allclose(shown[:, 1].std(), 1.0, rtol=1e-3)


def test_what_was_seen_first_may_be_far_from_the_rest():
    rng = np.random.default_rng(2)
    data = (1e4 + rng.normal(size=50_000)).astype(np.float32)
    data[0] = 0.0
    moments = one_by_one(statistics.init(), data)
    check_against_float64(moments, data, 1e-5)


def test_any_number_of_leading_axes_and_scalars():
    data = jnp.arange(24.0).reshape(2, 3, 4)
    np.testing.assert_allclose(
        statistics.update(statistics.init((4,)), data).mean, data.mean((0, 1))
    )
    scalar = statistics.update(statistics.init(), data)
    np.testing.assert_allclose(scalar.variance, np.var(data), rtol=1e-6)


def test_normalize():
    moments = statistics.init((2,))._replace(
        count=jnp.float32(2), mean=jnp.array([1.0, 2.0]), variance=jnp.array([4.0, 1e-4])
    )
    found = statistics.normalize(moments, jnp.array([[3.0, 2.0], [1.0, 3.0]]), clip=10.0)
    np.testing.assert_allclose(found, [[1.0, 0.0], [0.0, 10.0]], rtol=1e-6)
    fresh = statistics.normalize(statistics.init((2,)), jnp.array([[3, 2]], jnp.uint8))
    np.testing.assert_allclose(fresh, [[3.0, 2.0]])


def test_structure_and_dtypes_are_kept():
    before = statistics.init((2,))
    after = jax.eval_shape(statistics.update, before, jnp.ones((5, 2)))
    for x, y in zip(*map(jax.tree.leaves, (before, after)), strict=True):
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
