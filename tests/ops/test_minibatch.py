"""The keyed permutation: a bijection for every n, and by statistics a uniform one."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from purejaxrl_suite.ops import minibatch

SIZES = (1, 2, 63, 64, 65, 97, 104, 128, 1000, 1021, 1155, 2048, 6000, 2**15)
KEYS = 8000


def draw(n, keys):
    """KEYS permutations [keys, n]."""
    function = jax.jit(jax.vmap(lambda key: minibatch.permutation(key, n)))
    return np.asarray(function(jax.random.split(jax.random.key(7), keys)))


def chi_square(counts, expected, freedom):
    """Deviation of counts from uniform, in standard deviations of chi-square."""
    return (np.sum((counts - expected) ** 2 / expected) - freedom) / np.sqrt(2 * freedom)


@pytest.mark.parametrize("n", SIZES)
def test_bijection(n):
    for row in draw(n, 3):
        np.testing.assert_array_equal(np.sort(row), np.arange(n))
        assert row.dtype == np.int32


@pytest.fixture(scope="module", params=[64, 104, 128])
def permutations(request):
    """Balanced and lopsided factors, at small sizes, where mixing is hardest."""
    return draw(request.param, KEYS)


def test_every_value_is_equally_likely_at_every_position(permutations):
    n = permutations.shape[1]
    flat = (np.arange(n) * n + permutations).ravel()
    counts = np.bincount(flat, minlength=n * n)
    assert abs(chi_square(counts, len(permutations) / n, (n - 1) ** 2)) < 4


@pytest.mark.parametrize("lag", [1, 2, 8, 13, 32])
def test_differences_of_neighbours_are_uniform(permutations, lag):
    n = permutations.shape[1]
    difference = ((permutations[:, lag:] - permutations[:, :-lag]) % n).ravel()
    counts = np.bincount(difference, minlength=n)[1:]
    assert abs(chi_square(counts, difference.size / (n - 1), n - 2)) < 4


def test_pairs_share_a_minibatch_as_often_as_they_should(permutations):
    n = permutations.shape[1]
    group = np.argsort(permutations, axis=1) // (n // 4)
    shared = np.mean(group[:, :, None] == group[:, None, :], axis=0)[np.triu_indices(n, 1)]
    probability = (n / 4 - 1) / (n - 1)
    deviation = np.sqrt(probability * (1 - probability) / KEYS)
    assert np.mean(((shared - probability) / deviation) ** 2) == pytest.approx(1.0, abs=0.1)
    assert np.max(np.abs(shared - probability)) < 5.5 * deviation


def test_permutation_is_free_of_sorts_and_one_draw_of_bits():
    lowered = jax.make_jaxpr(lambda key: minibatch.permutation(key, 512))(jax.random.key(0))
    text = str(lowered)
    assert "sort" not in text
    assert text.count("random_bits") == 1
    exact = jax.make_jaxpr(lambda key: minibatch.exact_permutation(key, 512))(jax.random.key(0))
    assert "sort" in str(exact)


@pytest.mark.parametrize("permutation", [minibatch.permutation, minibatch.exact_permutation])
def test_minibatches_visit_every_sample_once(permutation):
    indices = minibatch.minibatch_indices(jax.random.key(1), 96, 4, permutation)
    assert indices.shape == (4, 24)
    np.testing.assert_array_equal(np.sort(np.ravel(indices)), np.arange(96))


def test_epochs_differ_and_each_visits_every_sample():
    indices = np.asarray(minibatch.epochs(jax.random.key(1), 2, 96, 4)).reshape(2, 96)
    assert not np.array_equal(*indices)
    np.testing.assert_array_equal(np.sort(indices, axis=1), np.tile(np.arange(96), (2, 1)))


def test_bad_sizes_are_named():
    key = jax.random.key(0)
    with pytest.raises(ValueError, match="minibatches=5"):
        minibatch.minibatch_indices(key, 96, 5)
    with pytest.raises(ValueError, match="n=0"):
        minibatch.permutation(key, 0)


def test_same_key_same_permutation_under_vmap():
    keys = jax.random.split(jax.random.key(3), 2)
    batched = jax.vmap(lambda key: minibatch.permutation(key, 96))(keys)
    alone = jnp.stack([minibatch.permutation(key, 96) for key in keys])
    np.testing.assert_array_equal(batched, alone)
