"""Page and Jonckheere-Terpstra: scipy as oracle, and all permutations of small tables."""

import itertools

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import kendalltau, norm, page_trend_test, rankdata

from purejaxrl_suite import stats

KEY = jax.random.key(0)
few = {"permutations": 9}
tied = st.integers(0, 4).map(float)


def test_what_does_not_fit_into_int32_is_refused():
    """Each block of 100 settings that grows adds 100 (100^2 - 1) / 3: 6,443 of them fit."""
    with pytest.raises(ValueError, match="^scores: expected fewer blocks of 100 settings"):
        stats.page(jax.random.key(0), np.tile(np.arange(100.0), (6_444, 1)), permutations=1)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6))
def test_page_is_scipys(seed):
    x = np.random.default_rng(seed).normal(size=(6, 4)).astype(np.float32)
    ours, theirs = stats.page(KEY, x, **few), page_trend_test(x, method="asymptotic")
    np.testing.assert_allclose(ours.statistic, theirs.statistic, rtol=1e-6)
    np.testing.assert_allclose(ours.p_normal, theirs.pvalue, atol=1e-6)


def test_page_permutes_within_blocks():
    x = np.array([[1.0, 3.0, 2.0, 4.0], [2.0, 1.0, 3.0, 4.0], [1.0, 2.0, 4.0, 3.0]])
    exact = page_trend_test(x, method="exact").pvalue
    found = stats.page(KEY, x).p_permutation
    np.testing.assert_allclose(found, exact, atol=4 * np.sqrt(exact / 9999))


@settings(max_examples=25, deadline=None)
@given(arrays(np.float32, (2, 3), elements=tied))
def test_page_with_ties_has_the_variance_of_all_permutations(x):
    ranks = rankdata(x, axis=1)
    every = [[np.dot(p, (1, 2, 3)) for p in itertools.permutations(row)] for row in ranks]
    total = np.add.outer(*map(np.array, every)).ravel()
    found = ranks @ np.array([1, 2, 3])
    z = (found.sum() - total.mean()) / total.std() if total.std() > 1e-9 else 0.0
    ours = stats.page(KEY, x, **few)
    np.testing.assert_allclose(ours.z, z, atol=1e-5)
    np.testing.assert_allclose(ours.p_normal, norm.sf(z), atol=1e-5)


@settings(max_examples=40, deadline=None)
@given(arrays(np.float32, (5, 3), elements=st.one_of(tied, tied, st.just(np.nan))))
def test_jonckheere_is_kendalls_tau_of_scores_and_settings(x):
    setting = np.broadcast_to(np.arange(3), x.shape)
    there = ~np.isnan(x)
    ours = stats.jonckheere(KEY, x, **few)
    if len(set(setting[there])) < 2:
        assert np.isnan(ours).all()
        return
    groups = [column[~np.isnan(column)] for column in x.T]
    wins = sum(
        np.sum(b[:, None] > a) + 0.5 * np.sum(b[:, None] == a)
        for a, b in itertools.combinations(groups, 2)
    )
    pairs = sum(len(a) * len(b) for a, b in itertools.combinations(groups, 2))
    np.testing.assert_allclose(ours.statistic, wins)
    np.testing.assert_allclose(ours.effect, 2 * wins / pairs - 1, atol=1e-6)
    if len(set(x[there])) == 1:
        assert ours.z == 0.0 and ours.p_permutation == 1.0
        return
    theirs = kendalltau(setting[there], x[there], method="asymptotic", alternative="greater")
    np.testing.assert_allclose(ours.p_normal, theirs.pvalue, atol=2e-6)


def test_jonckheere_permutes_over_all_scores():
    x = np.array([[1.0, 2.0, 4.0], [3.0, 2.0, np.nan]])
    values, setting = np.array([1.0, 3.0, 2.0, 2.0, 4.0]), np.array([0, 0, 1, 1, 2])

    def wins(values):
        later = setting[:, None] > setting[None]
        better = (values[:, None] > values) + 0.5 * (values[:, None] == values)
        return np.sum(later * better)

    every = [wins(np.array(p)) for p in itertools.permutations(values)]
    exact = np.mean(np.array(every) >= wins(values))
    ours = stats.jonckheere(KEY, x)
    np.testing.assert_allclose(ours.p_permutation, exact, atol=4 * np.sqrt(exact / 9999))
    np.testing.assert_allclose(ours.z, (wins(values) - np.mean(every)) / np.std(every), rtol=1e-5)


@pytest.mark.parametrize("test", [stats.page, stats.jonckheere])
def test_perfect_trends(test):
    growing = np.arange(24.0).reshape(4, 6).T  # six seeds, four settings that never overlap
    up, down = test(KEY, growing, 999), test(KEY, growing[:, ::-1], 999)
    assert up.effect == 1.0 and down.effect == -1.0
    assert up.p_permutation == 0.001 and down.p_permutation == 1.0
    np.testing.assert_allclose(up.z, -down.z, rtol=1e-6)
    np.testing.assert_allclose(
        up.statistic + down.statistic, 6 * 5 * 10 if test is stats.page else 216
    )


@pytest.mark.parametrize("test", [stats.page, stats.jonckheere])
def test_nothing_known_is_nan_and_ties_are_no_trend(test):
    assert np.isnan(test(KEY, np.full((3, 3), np.nan), 9)).all()
    same = test(KEY, np.ones((3, 3)), 9)
    assert same.z == same.effect == 0.0 and same.p_permutation == 1.0


def test_page_leaves_incomplete_blocks_out_and_takes_tasks_as_blocks():
    x = np.random.default_rng(4).normal(size=(3, 2, 4))
    whole = stats.page(KEY, x, 99)
    np.testing.assert_array_equal(whole, stats.page(KEY, x.reshape(6, 4), 99))
    x[0, 0, 1] = np.nan
    rest = stats.page(KEY, x.reshape(6, 4)[1:], 9)
    np.testing.assert_allclose(stats.page(KEY, x, 9)[:4], rest[:4], rtol=1e-6)


@pytest.mark.parametrize(
    "test", [stats.page, pytest.param(stats.jonckheere, marks=pytest.mark.slow)]
)
def test_vmap_changes_nothing(test):
    x = np.random.default_rng(5).normal(size=(2, 4, 3))
    keys = jax.random.split(KEY, 2)
    together = jax.vmap(lambda k, x: test(k, x, 19))(keys, x)
    for i in range(2):
        np.testing.assert_allclose([z[i] for z in together], test(keys[i], x[i], 19), rtol=1e-5)


@pytest.mark.parametrize(
    ("call", "argument"),
    [
        (lambda: stats.page(KEY, np.ones((4, 1))), "scores"),
        (lambda: stats.jonckheere(KEY, np.ones(4)), "scores"),
        (lambda: stats.jonckheere(KEY, np.ones((9270, 5))), "scores"),
        (lambda: stats.page(KEY, np.ones((4, 3)), 0), "permutations"),
    ],
)
def test_bad_input_names_the_argument(call, argument):
    with pytest.raises(ValueError, match=f"^{argument}:"):
        call()
