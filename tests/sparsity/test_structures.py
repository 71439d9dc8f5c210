"""What is kept of a kernel, by hand: counts, ties, blocks, channels, n of every m."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from purejaxrl_suite import sparsity
from purejaxrl_suite.sparsity.structures import best, highest
from tests.sparsity.shapes import dense

_mask = partial(jax.jit, static_argnums=0)(best)


def mask(structure, scores, target):
    """The mask as integers, with a traced sparsity."""
    made = _mask(structure, np.float32(scores), np.float32(target))
    return np.asarray(made).astype(int).tolist()


def test_counts_round_half_to_even_and_leave_one():
    """Of equal scores those of lower index are kept."""
    structure = sparsity.unstructured()
    cases = [(5, 0.5, 2), (7, 0.5, 4), (10, 0.85, 1), (10, 0.0, 10), (10, 0.99, 1), (8, 0.3, 6)]
    for size, target, kept in cases:
        assert structure.count(size, np.float32(target)) == kept
    assert mask(structure, np.ones(7), 0.5) == [1, 1, 1, 1, 0, 0, 0]
    assert mask(structure, np.arange(7), 0.7) == [0, 0, 0, 0, 0, 1, 1]
    assert mask(structure, [2, 1, 2, 0, 1, 2, 1], 0.4) == [1, 1, 1, 0, 0, 1, 0]


def test_highest_keeps_exactly_so_many_of_every_row():
    """As a stable sort does, on numbers of every kind."""
    rows = np.float32([[1.0, 3.0, 2.0, 3.0, -1.0], [np.nan, -np.inf, -0.0, np.inf, 0.0]])
    numbers = np.random.default_rng(0)
    ties = np.round(numbers.normal(size=(2, 37)), 1).astype(np.float32)
    for x in (rows, ties, numbers.normal(size=(2, 64)).astype(np.float32)):
        order = np.argsort(-np.where(np.isnan(x), -np.inf, x), axis=1, kind="stable")
        counts = np.arange(1, x.shape[1] + 1)
        found = jax.jit(jax.vmap(highest, (None, 0)))(x, counts)
        for count, kept in zip(counts, np.asarray(found), strict=True):
            expected = np.zeros(x.shape, bool)
            np.put_along_axis(expected, order[:, :count], True, axis=1)
            np.testing.assert_array_equal(kept, expected)
    apart = highest(rows, np.asarray([2, 4]))
    np.testing.assert_array_equal(apart, [[0, 1, 0, 1, 0], [1, 0, 1, 1, 1]])


def test_n_of_m():
    scores = [[1, 8], [2, 7], [3, 6], [4, 5]]
    two, one = sparsity.n_of_m(2, 4), sparsity.n_of_m(1, 2)
    assert mask(two, scores, 0.9) == [[0, 1], [0, 1], [1, 0], [1, 0]]
    assert mask(one, scores, 0.9) == [[0, 1], [1, 0], [0, 1], [1, 0]]
    assert mask(one, scores, 0.0) == [[1, 1]] * 4
    assert mask(one, np.ones((4, 2)), 0.9) == [[1, 1], [0, 0], [1, 1], [0, 0]]
    assert mask(sparsity.n_of_m(1, 2, axis=-1), scores, 0.9) == [[0, 1]] * 4
    conv = np.random.default_rng(0).normal(size=(3, 3, 8, 5))
    groups, kept = (np.asarray(x).reshape(3, 3, 2, 4, 5) for x in (conv, mask(two, conv, 0.9)))
    np.testing.assert_array_equal(kept.sum(axis=3), 2)
    np.testing.assert_array_equal(kept, groups >= np.sort(groups, axis=3)[:, :, :, 2:3])


def test_blocks():
    scores = np.zeros((4, 5))
    scores[0, 0], scores[2:, 2:4], scores[:, 4] = 5.0, 1.0, 2.0
    # Means of blocks of 2 x 2: 1.25, 0, 2 / 0, 1, 2; those at the end are 2 x 1.
    squares = sparsity.block(2, 2)
    found = mask(squares, scores, 0.5)
    assert found == [[1, 1, 0, 0, 1], [1, 1, 0, 0, 1], [0, 0, 0, 0, 1], [0, 0, 0, 0, 1]]
    # Their highest: 5, 0, 2 / 0, 1, 2.
    found = mask(sparsity.block(2, 2, jnp.max), -1.0 + scores, 0.84)
    assert found == [[1, 1, 0, 0, 0], [1, 1, 0, 0, 0], [0] * 5, [0] * 5]
    # Every position of a convolution has its own.
    conv = np.zeros((1, 2, 2, 4))
    conv[0, 1, :, :2] = 1.0
    assert mask(squares, conv, 0.75) == conv.astype(int).tolist()
    assert mask(sparsity.block(3, 3), np.ones((4, 4)), 0.5)[3] == [0] * 4


def test_channels():
    scores = np.asarray([[1.0, 2.0, 4.0, 3.0], [0.0, 9.0, 1.0, 3.0]])
    outputs, inputs = sparsity.channel(), sparsity.channel(-2)
    assert mask(outputs, scores, 0.5) == [[0, 1, 0, 1]] * 2  # of sums 1, 11, 5, 6
    assert mask(inputs, scores, 0.5) == [[0] * 4, [1] * 4]
    conv = np.zeros((2, 2, 3, 2))
    conv[0, 0, :, 1] = 1.0
    found = np.asarray(mask(outputs, conv, 0.5))
    assert found[..., 1].all() and not found[..., 0].any()
    found = np.asarray(mask(inputs, conv, 0.7))
    assert found[:, :, 0].all() and not found[:, :, 1:].any()


def test_refusals():
    with pytest.raises(ValueError, match="n: expected an integer in 1 .. 4, got 5"):
        sparsity.n_of_m(5, 4)
    with pytest.raises(ValueError, match="axis: expected an integer in -4 .. -1, got 0"):
        sparsity.n_of_m(2, 4, axis=0)
    with pytest.raises(ValueError, match="pool: expected jnp.mean or jnp.max"):
        sparsity.block(2, 2, jnp.sum)
    with pytest.raises(ValueError, match="axis: expected an integer in -2 .. -1, got 1"):
        sparsity.channel(1)
    updater = sparsity.magnitude(structure=sparsity.n_of_m(2, 4))
    message = r"dense_0.kernel: expected a multiple of 4 on axis -2 for 2 of 4, got 6 of \[6, 8\]"
    with pytest.raises(ValueError, match=message):
        sparsity.check(updater, dense(6, 8, 4))
    with pytest.raises(ValueError, match=r"axis: expected one of dense_0.kernel \[6, 8\], got -3"):
        sparsity.check(sparsity.magnitude(structure=sparsity.n_of_m(2, 2, axis=-3)), dense(6, 8, 4))
    apart = sparsity.per_leaf({"dense_0.kernel": 0.0})
    sparsity.check(updater._replace(distribution=apart), dense(6, 8, 4))
