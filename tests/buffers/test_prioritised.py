"""Proportional sampling: sums against numpy, draws against their probabilities."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from purejaxrl_suite.buffers import prioritised, pyramid
from tests.buffers import histories

ALPHA = 0.5
ROWS, ENVS, LENGTH, MAX_N = 12, 2, 4, 3


@functools.cache
def replay():
    made = prioritised(
        histories.OBSERVATION,
        histories.ACTION,
        capacity=ROWS * ENVS,
        num_envs=ENVS,
        rollout_length=LENGTH,
        max_n=MAX_N,
    )
    return made._replace(
        add=jax.jit(made.add),
        draw=jax.jit(made.draw, static_argnums=2),
        update=jax.jit(made.update),
    )


def filled(rows, alpha=ALPHA):
    state, none = replay().init(), np.zeros((LENGTH, ENVS), bool)
    for row in range(0, rows, LENGTH):
        state = replay().add(state, histories.rollout(row, none, none), alpha)
    return state


def masses(state):
    return np.asarray(state.masses[0]).ravel()[: ROWS * ENVS]


put, find = jax.jit(pyramid.put), jax.jit(pyramid.find)


@pytest.mark.parametrize("size", [1, 8, 9, 5000])
def test_sums_are_kept_and_shares_found(size):
    rng = np.random.default_rng(size)
    numbers, sums = np.zeros(size, np.float32), pyramid.init(size)
    for _ in range(4):
        index = rng.integers(0, size, 40)
        value = (rng.random(size, np.float32) * (rng.random(size) < 0.7))[index]
        sums = put(sums, index, value)
        numbers[index] = value
    np.testing.assert_array_equal(np.asarray(sums[0]).ravel()[:size], numbers)
    for below, level in zip(sums, sums[1:], strict=False):
        groups = np.asarray(below).sum(1)
        np.testing.assert_allclose(np.asarray(level).ravel()[: len(groups)], groups, 1e-6)
    # Shares in the middle of every number's interval find it, whatever the rounding.
    owners = np.flatnonzero(numbers)
    edges = np.concatenate([[0.0], np.cumsum(numbers[owners], dtype=np.float64)])
    middle = ((edges[1:] + edges[:-1]) / 2 / edges[-1]).astype(np.float32)
    np.testing.assert_array_equal(find(sums, np.resize(middle, 200)), np.resize(owners, 200))


@settings(max_examples=50, deadline=None)
@given(st.lists(st.sampled_from([0.0, 1e-30, 1e-6, 0.3, 1.0, 1e6]), min_size=100, max_size=100))
def test_a_zero_is_never_found(values):
    numbers = np.asarray(values, np.float32)
    sums = put(pyramid.init(100), np.arange(100), numbers)
    shares = np.concatenate([np.linspace(0.0, 1.0, 63), [1.0 - 2**-24]]).astype(np.float32)
    found = np.asarray(find(sums, shares))
    assert np.all((found >= 0) & (found < 104))
    assert not numbers.any() or np.all(numbers[np.minimum(found, 99)] > 0)


def test_new_steps_have_the_largest_priority_once_their_windows_are_complete():
    state = filled(LENGTH)
    np.testing.assert_array_equal(masses(state)[:4], [1, 1, 0, 0])  # row 0 has three successors
    state = replay().update(state, np.asarray([0, 1]), np.asarray([9.0, 0.25]), ALPHA)
    np.testing.assert_allclose(masses(state)[:2], [3.0, 0.5])
    assert state.largest == 9.0
    none = np.zeros((LENGTH, ENVS), bool)
    state = replay().add(state, histories.rollout(LENGTH, none, none), ALPHA)
    expected = [3.0, 0.5] + [3.0] * 8 + [0.0] * 14
    np.testing.assert_allclose(masses(state), expected)
    # Around the ring: the newest three rows are always those without mass.
    state = filled(20)
    rows = masses(state).reshape(ROWS, ENVS)
    np.testing.assert_array_equal(rows[:, 0] == 0, [r in (5, 6, 7) for r in range(ROWS)])


def test_draws_are_proportional_to_powers_of_priorities():
    state = filled(20)
    slots = np.flatnonzero(masses(state))
    priority = np.random.default_rng(0).random(len(slots)).astype(np.float32) + 0.01
    state = replay().update(state, slots, priority, ALPHA)
    chance = priority.astype(float) ** ALPHA
    chance /= chance.sum()
    # Strata of one draw each are independent draws.
    keys = jax.random.split(jax.random.key(0), 20_000)
    alone = jax.jit(jax.vmap(lambda key: replay().draw(key, state, 1).slot[0]))(keys)
    counts = np.bincount(np.asarray(alone), minlength=ROWS * ENVS)
    assert counts.sum() == counts[slots].sum()
    assert stats.chisquare(counts[slots], chance * counts.sum()).pvalue > 1e-3
    # A stratified batch has every share of it to within two draws.
    drawn = replay().draw(jax.random.key(1), state, 512)
    counts = np.bincount(np.asarray(drawn.slot), minlength=ROWS * ENVS)[slots]
    assert np.all(np.abs(counts - 512 * chance) <= 2.0)
    of_slot = dict(zip(slots, chance, strict=True))
    mine = np.asarray([of_slot[slot] for slot in np.asarray(drawn.slot)])
    np.testing.assert_allclose(drawn.probability, mine, 1e-4)


def test_an_exponent_of_zero_is_uniform_replay():
    state = filled(20, alpha=0.0)
    slots = np.flatnonzero(masses(state))
    state = replay().update(state, slots, np.linspace(0, 5, len(slots), dtype=np.float32), 0.0)
    np.testing.assert_array_equal(masses(state)[slots], 1.0)


def test_of_a_slot_drawn_twice_the_greatest_priority_counts():
    slots, priority = np.asarray([3, 5, 3, 3]), np.asarray([4.0, 1.0, 9.0, 1.0], np.float32)
    for order in ([0, 1, 2, 3], [2, 3, 0, 1]):
        state = replay().update(filled(8), slots[order], priority[order], ALPHA)
        np.testing.assert_allclose(masses(state)[[3, 5]], [3.0, 1.0])
        np.testing.assert_allclose(pyramid.total(state.masses), masses(state).sum(), 1e-6)


def test_an_update_that_is_masked_changes_nothing():
    state = filled(12)
    after = replay().update(state, np.arange(3), np.full(3, 7.0), ALPHA, jnp.zeros((), bool))
    jax.tree.map(np.testing.assert_array_equal, state, after)
