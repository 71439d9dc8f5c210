"""Measures of counts are the measures of copies; statistics of one's own go through copies."""

from functools import partial

import jax
import numpy as np
import pytest

from purejaxrl_suite import stats
from purejaxrl_suite.stats.resample import whole_rows, within_columns
from purejaxrl_suite.stats.weighted import Difference, by_column, form_of

TAUS = np.linspace(-1, 1, 3)
STATISTICS = {
    "iqm": stats.iqm,
    "iqm of columns": partial(stats.iqm, axis=0),
    "mean": stats.mean,
    "mean of columns": partial(stats.mean, axis=0),
    "median": stats.median,
    "gap": partial(stats.optimality_gap, gamma=0.5),
    "gap of columns": partial(stats.optimality_gap, axis=0),
    "profile": partial(stats.performance_profile, taus=TAUS),
    "profile of means": partial(stats.average_score_profile, taus=TAUS),
}


def counted(drawn, rows):
    """[B, rows, C or 1]: how often each row is among those that were drawn."""
    return (drawn[:, :, None] == np.arange(rows)[:, None]).sum(axis=1).astype(np.float32)


def copies(x, drawn):
    return x[drawn, np.arange(x.shape[1])]


@pytest.mark.parametrize("draw", [whole_rows, within_columns])
@pytest.mark.parametrize("name", STATISTICS)
def test_counts_give_what_copies_give(name, draw):
    random, statistic = np.random.default_rng(0), STATISTICS[name]
    x = random.normal(size=(6, 5)).astype(np.float32)
    if not by_column(statistic):
        x[0, 1] = x[3:, 2] = np.nan
    x[5] = x[4]  # ties
    drawn = draw(random, x, 20)
    form = form_of(statistic, whole=True)
    found = form([x], [counted(drawn, 6)])
    expected = np.stack([statistic(each) for each in copies(x, drawn)])
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("draw", [whole_rows, within_columns])
def test_counts_of_two_arms(draw):
    random = np.random.default_rng(1)
    x, y = (random.integers(0, 4, (n, 3)).astype(np.float32) for n in (5, 7))
    x[0, 1] = y[2, 2] = np.nan
    drawn = [draw(random, arm, 20) for arm in (x, y)]
    counts = [counted(*both) for both in zip(drawn, (5, 7), strict=True)]
    pairs = list(zip(copies(x, drawn[0]), copies(y, drawn[1]), strict=True))
    for comparison in (stats.probability_of_improvement, Difference(stats.mean)):
        found = form_of(comparison)([x, y], counts)
        expected = np.stack([comparison(*pair) for pair in pairs])
        np.testing.assert_allclose(found, expected, atol=1e-6)


def test_a_quarter_is_cut_exactly():
    """Of five, 1.25 at each end: 0.75 of the second and of the fourth, and the third."""
    x, once = np.array([[0.0], [1.0], [2.0], [4.0], [9.0]]), np.ones((1, 5, 1), np.float32)
    np.testing.assert_allclose(form_of(stats.iqm)([x], [once]), [(0.75 + 2.0 + 3.0) / 2.5])
    np.testing.assert_allclose(form_of(stats.iqm, whole=True)([x], [once]), [7 / 3])
    fours = form_of(stats.iqm, whole=True)([np.repeat(x, 4, axis=0)], [np.ones((1, 20, 1))])
    np.testing.assert_allclose(form_of(stats.iqm)([x], [once]), fours)


def test_an_infinite_score_is_cut_like_any_other():
    x = np.array([[-np.inf], [1.0], [2.0], [np.inf]])
    assert form_of(stats.iqm)([x], [np.ones((1, 4, 1), np.float32)]) == 1.5


def test_what_is_drawn_is_there():
    arm = np.random.default_rng(2).normal(size=(7, 4))
    arm[[0, 3], 1] = arm[1:, 2] = np.nan
    drawn = within_columns(np.random.default_rng(0), arm, 200)
    taken = arm[drawn, np.arange(4)]
    np.testing.assert_array_equal((~np.isnan(taken)).sum(axis=1), np.tile([7, 5, 1, 7], (200, 1)))
    assert set(drawn[:, :5, 1].ravel()) == {1, 2, 4, 5, 6}
    rows = whole_rows(np.random.default_rng(0), arm, 4000)
    shares = np.bincount(rows.ravel(), minlength=7) / rows.size
    np.testing.assert_allclose(shares, 1 / 7, atol=0.01)


def test_a_report_compiles_nothing_and_a_statistic_of_ones_own_once_per_shape():
    """What the suite measures needs no program, for any number of shapes."""
    compiled = []

    def listen(event, duration, **_):
        if event.endswith("backend_compile_duration"):
            compiled.append(event)

    key, random = jax.random.key(7), np.random.default_rng(3)
    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        for shape in ((9, 3), (10, 4), (11, 5)):
            x, y = random.normal(size=(2, *shape)).astype(np.float32)
            for statistic in STATISTICS.values():
                stats.estimate(key, x, statistic, resamples=20)
                stats.rliable_estimate(key, x, statistic, resamples=20)
                stats.difference(key, x, y, statistic, paired=True, resamples=20)
            stats.compare(key, x, y, stats.probability_of_improvement, paired=False, resamples=20)
            stats.sample_efficiency(key, x, resamples=20)
        assert not compiled

        def own(x):
            return stats.iqm(x * 2.0)

        for _ in range(3):
            stats.estimate(key, x, own, resamples=20)
        assert 0 < len(compiled) <= 2  # the program, and what its result is read by
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)
