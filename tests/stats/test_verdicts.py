"""Verdicts, equivalence and Clopper-Pearson."""

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest, t, ttest_1samp

from purejaxrl_suite import stats
from purejaxrl_suite.stats import Effect, Verdict


def effect(value, low, high, seeds=16):
    return Effect(*(jnp.float32(x) for x in (value, low, high)), jnp.int32(seeds))


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.01, 0.20, Verdict.CONFIRMED),
        (0.10, 0.20, Verdict.CONFIRMED),
        (0.00, 0.20, Verdict.INCONCLUSIVE),  # 0 is not excluded
        (-0.02, 0.20, Verdict.INCONCLUSIVE),
        (-0.02, 0.06, Verdict.INCONCLUSIVE),
        (-0.02, 0.04, Verdict.REFUTED),
        (-0.30, -0.10, Verdict.REFUTED),
        (0.01, 0.04, Verdict.REFUTED),  # surely there, surely too small to matter
        (np.nan, np.nan, Verdict.INCONCLUSIVE),
    ],
)
def test_verdicts(low, high, expected):
    assert stats.verdict(effect((low + high) / 2, low, high)) is expected


def test_the_smallest_effect_of_interest_is_the_claims_own():
    found = effect(0.02, -0.04, 0.08)
    assert stats.verdict(found, smallest=0.1) is Verdict.REFUTED
    assert stats.verdict(effect(0.02, 0.01, 0.04), smallest=0.0) is Verdict.CONFIRMED
    assert stats.verdict(effect(-0.02, -0.04, -0.01), smallest=0.0) is Verdict.REFUTED


@pytest.mark.parametrize(
    ("value", "low", "high", "seeds"),
    [
        # t(n - 1) / sqrt(n - 1), 0.550 at 16, must fall below that times margin / side.
        (0.06, -0.02, 0.14, 26),  # 0.413: t(25) / 5 = 0.4119
        (0.00, -0.10, 0.10, 54),  # 0.275: t(53) / sqrt(53) = 0.2755, and t(54) / sqrt(54) = 0.2728
        (0.02, -0.08, 0.12, 144),  # 0.165: REFUTED; CONFIRMED would ask for 0.110
        (-0.03, -0.13, 0.07, 23),  # 0.440: t(22) / sqrt(22) = 0.442
        (0.10, 0.02, 0.18, 16),  # decided
        (0.10, np.nan, np.nan, None),
    ],
)
def test_seeds_to_decide(value, low, high, seeds):
    assert stats.seeds_to_decide(effect(value, low, high)) == (
        seeds and pytest.approx(seeds, abs=1)
    )


hundredths = st.integers(-20, 30).map(lambda i: i / 100)


@settings(deadline=None)
@given(hundredths, st.floats(0.01, 0.5), st.floats(0.01, 0.5), st.integers(2, 64))
def test_with_that_many_seeds_the_scaled_interval_decides(value, below, above, seeds):
    first = Effect(value, value - below, value + above, seeds)
    assume(stats.verdict(first) is Verdict.INCONCLUSIVE)
    needed = stats.seeds_to_decide(first)

    def width(seeds):
        return t.ppf(0.975, seeds - 1) / (seeds - 1) ** 0.5

    def scaled(more):
        shrink = width(more) / width(seeds)
        return Effect(value, value - below * shrink, value + above * shrink, more)

    assert stats.verdict(scaled(needed + 1)) is not Verdict.INCONCLUSIVE
    assert stats.verdict(scaled(max(seeds, needed - 2))) is Verdict.INCONCLUSIVE


def test_few_seeds_decide_nothing_and_say_so():
    for low, high in ((0.2, 0.4), (-0.4, -0.2), (0.3, 0.3), (-0.01, 0.01)):
        few, enough = (effect((low + high) / 2, low, high, seeds) for seeds in (7, 8))
        for judge in (stats.verdict, stats.equivalence_verdict):
            assert judge(few) is Verdict.INCONCLUSIVE
            assert judge(enough) is not Verdict.INCONCLUSIVE
        assert not stats.equivalent(few)
        assert stats.seeds_to_decide(few) == stats.seeds_for_equivalence(few) == 8
        assert stats.reason(few) == "too few seeds (7 of 8)" and stats.reason(enough) == ""
    assert stats.reason(effect(0.1, np.nan, np.nan)) == "no interval"


@pytest.mark.parametrize("seeds", [8, 20])
def test_a_p_value_is_that_of_its_interval(seeds):
    x = np.random.default_rng(seeds).normal(0.4, size=seeds)
    found, error = ttest_1samp(x, 0.0), x.std(ddof=1) / seeds**0.5
    for confidence in (0.9, 0.95):
        side = t.ppf(0.5 + confidence / 2, seeds - 1) * error
        mine = Effect(x.mean(), x.mean() - side, x.mean() + side, seeds)
        mirrored = Effect(-x.mean(), -x.mean() - side, -x.mean() + side, seeds)
        for one in (mine, mirrored):
            np.testing.assert_allclose(stats.p_value(one, confidence), found.pvalue, rtol=1e-6)
    assert stats.p_value(Effect(0.2, 0.0, 0.3, 9)) == pytest.approx(0.05)
    assert stats.p_value(Effect(0.0, 0.0, 0.0, 9)) == 1.0
    assert stats.p_value(Effect(0.1, 0.1, 0.1, 9)) == 0.0
    assert np.isnan(stats.p_value(Effect(0.1, np.nan, np.nan, 1)))


def family(values, seeds=16):
    return [Effect(value, value - 0.1, value + 0.1, seeds) for value in values]


def test_holm_by_hand():
    """p of 0.01, 0.04, 0.03, 0.005: multiplied by 3, 1, 2, 4, and never falling."""
    p = np.array([0.01, 0.04, 0.03, 0.005])
    sides = 0.1 * t.isf(p / 2, 15) / t.ppf(0.975, 15)
    found = stats.holm(family(sides))
    np.testing.assert_allclose([one.p for one in found], [0.03, 0.06, 0.06, 0.02], rtol=1e-6)
    level = [0.05 / 3, 0.05 / 2, 0.05 / 2, 0.05 / 4]
    for one, value, error in zip(found, sides, level, strict=True):
        wider = 0.1 * t.isf(error / 2, 15) / t.ppf(0.975, 15)
        np.testing.assert_allclose(one.effect[:3], [value, value - wider, value + wider])


@settings(deadline=None)
@given(st.lists(st.integers(-25, 25).map(lambda i: i / 99), min_size=1, max_size=6))
def test_adjusted_intervals_exclude_zero_where_adjusted_p_values_are_small(values):
    found = stats.holm(family(values))
    assert [one.effect.value for one in found] == values
    for one, plain in zip(found, family(values), strict=True):
        assert (one.p < 0.05) == (one.effect.low > 0.0 or one.effect.high < 0.0)
        assert one.p >= stats.p_value(plain) and one.effect.low <= plain.low
    assert stats.holm([]) == []


def test_what_has_no_interval_counts_in_its_family():
    nothing = Effect(0.3, np.nan, np.nan, 1)
    alone, beside = stats.holm(family([0.12])), stats.holm([*family([0.12]), nothing])
    np.testing.assert_allclose(beside[0].p, 2 * alone[0].p)
    assert np.isnan(beside[1].p) and np.isnan(beside[1].effect.low)


def test_p_values_of_what_was_rounded_and_of_no_confidence():
    assert stats.p_value(Effect(0.1, 0.1 + 1e-9, 0.3, 8)) == 0.0  # and not above 1
    for judge in (stats.p_value, lambda effect, c: stats.holm([effect], c)):
        with pytest.raises(ValueError, match="^confidence: expected a number between 0 and 1"):
            judge(Effect(0.1, 0.0, 0.2, 8), 95)


def test_no_number_of_seeds_settles_nothing():
    assert stats.seeds_to_decide(effect(0.0, -0.1, 0.1), smallest=0.0) is None


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (-0.04, 0.04, True),
        (0.01, 0.04, True),
        (-0.06, 0.01, False),
        (0.0, 0.05, False),
        (np.nan, np.nan, False),
    ],
)
def test_equivalence(low, high, expected):
    assert stats.equivalent(Effect(0.0, low, high, 16)) is expected


@pytest.mark.parametrize("side", [1, -1])
def test_equality_is_refuted_at_half_the_error_on_either_side(side):
    wider = 0.1 * t.ppf(0.9875, 7) / t.ppf(0.975, 7)
    for beyond, expected in ((1e-6, Verdict.REFUTED), (-1e-6, Verdict.INCONCLUSIVE)):
        value = side * (0.05 + wider + beyond)
        found = Effect(value, value - 0.1, value + 0.1, 8)
        assert stats.equivalence_verdict(found) is expected


@pytest.mark.parametrize("judge", [stats.verdict, stats.seeds_to_decide, stats.equivalent])
def test_bad_input_names_the_argument(judge):
    with pytest.raises(ValueError, match="^smallest:"):
        judge(effect(0.1, 0.0, 0.2), smallest=-0.1)
    for bad in (
        Effect(*np.ones((3, 2)), 4),
        Effect(0.1, 0.2, 0.0, 8),
        Effect(0.1, 0.0, 0.2, np.nan),
        Effect(0.1, 0.0, 0.2, 8.5),
        Effect(0.1, 0.0, 0.2, np.array([8, 9])),
    ):
        with pytest.raises(ValueError, match="^effect: expected (one number|low <= high)"):
            judge(bad)


@pytest.mark.parametrize("judge", [stats.equivalence_verdict, stats.seeds_for_equivalence])
def test_nothing_is_within_a_smallest_effect_of_0(judge):
    """Arms that are equal to the bit would be refuted."""
    with pytest.raises(ValueError, match="^smallest: expected more than 0"):
        judge(Effect(0.0, 0.0, 0.0, 8), smallest=0.0)


@pytest.mark.parametrize("confidence", [0.9, 0.95, 0.99])
@pytest.mark.parametrize("trials", [1, 7, 128, 10_000_000])
def test_clopper_pearson_is_scipys(trials, confidence):
    successes = np.unique(np.linspace(0, trials, 9).astype(int))
    found = stats.clopper_pearson(successes, trials, confidence)
    theirs = [binomtest(int(k), trials).proportion_ci(confidence) for k in successes]
    np.testing.assert_allclose(found.value, successes / trials, rtol=1e-6)
    np.testing.assert_allclose(np.stack([found.low, found.high], 1), theirs, atol=1e-7)


def test_clopper_pearson_without_trials_knows_nothing():
    value, low, high = stats.clopper_pearson([0, 1], [0, 1])
    assert np.isnan(value[0]) and low[0] == 0.0 and high[0] == 1.0
    np.testing.assert_allclose([low[1], high[1]], [0.025, 1.0], atol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "argument"),
    [
        ((3, 2), "successes"),
        ((-1, 2), "successes"),
        ((0.5, 2), "successes: expected whole numbers"),
        ((np.nan, 2), "successes: expected whole numbers"),
        (([1, 2], [2, 3, 4]), "successes: expected the shape of trials"),
        ((1, 2, 95), "conf"),
    ],
)
def test_clopper_pearson_names_bad_input(arguments, argument):
    with pytest.raises(ValueError, match=f"^{argument}"):
        stats.clopper_pearson(*arguments)
