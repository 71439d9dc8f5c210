"""Verdicts, equivalence and Clopper-Pearson."""

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.stats import binomtest

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
        (0.06, -0.02, 0.14, 29),  # 16 * (0.08 / 0.06)**2 = 28.4
        (0.00, -0.10, 0.10, 65),  # just more than 16 * (0.10 / 0.05)**2
        (0.02, -0.08, 0.12, 178),  # 16 * (0.10 / 0.03)**2 = 177.8, before 16 * (0.10 / 0.02)**2
        (-0.03, -0.13, 0.07, 25),  # 16 * (0.10 / 0.08)**2
        (0.10, 0.02, 0.18, 16),  # decided
        (0.10, np.nan, np.nan, None),
    ],
)
def test_seeds_to_decide(value, low, high, seeds):
    assert stats.seeds_to_decide(effect(value, low, high)) == (
        seeds and pytest.approx(seeds, abs=1)
    )


hundredths = st.integers(-20, 30).map(lambda i: i / 100)


@given(hundredths, st.floats(0.01, 0.5), st.floats(0.01, 0.5), st.integers(2, 64))
def test_with_that_many_seeds_the_scaled_interval_decides(value, below, above, seeds):
    first = Effect(value, value - below, value + above, seeds)
    assume(stats.verdict(first) is Verdict.INCONCLUSIVE)
    needed = stats.seeds_to_decide(first)

    def scaled(more):
        shrink = (seeds / more) ** 0.5
        return Effect(value, value - below * shrink, value + above * shrink, more)

    assert stats.verdict(scaled(needed + 1)) is not Verdict.INCONCLUSIVE
    assert stats.verdict(scaled(max(seeds, needed - 2))) is Verdict.INCONCLUSIVE


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


@pytest.mark.parametrize("judge", [stats.verdict, stats.seeds_to_decide, stats.equivalent])
def test_bad_input_names_the_argument(judge):
    with pytest.raises(ValueError, match="^smallest:"):
        judge(effect(0.1, 0.0, 0.2), smallest=-0.1)
    with pytest.raises(ValueError, match="^effect:"):
        judge(Effect(*np.ones((3, 2)), 4))


@pytest.mark.parametrize("confidence", [0.9, 0.95, 0.99])
@pytest.mark.parametrize("trials", [1, 7, 128, 10_000])
def test_clopper_pearson_is_scipys(trials, confidence):
    successes = np.unique(np.linspace(0, trials, 9).astype(int))
    found = stats.clopper_pearson(successes, trials, confidence)
    theirs = [binomtest(int(k), trials).proportion_ci(confidence) for k in successes]
    np.testing.assert_allclose(found.value, successes / trials, rtol=1e-6)
    np.testing.assert_allclose(
        np.stack([found.low, found.high], 1), theirs, atol=5e-5 if trials > 1000 else 3e-6
    )


def test_clopper_pearson_without_trials_knows_nothing():
    value, low, high = stats.clopper_pearson([0, 1], [0, 1])
    assert np.isnan(value[0]) and low[0] == 0.0 and high[0] == 1.0
    np.testing.assert_allclose([low[1], high[1]], [0.025, 1.0], atol=1e-5)


@pytest.mark.parametrize(
    ("arguments", "argument"), [((3, 2), "successes"), ((-1, 2), "successes"), ((1, 2, 95), "conf")]
)
def test_clopper_pearson_names_bad_input(arguments, argument):
    with pytest.raises(ValueError, match=f"^{argument}"):
        stats.clopper_pearson(*arguments)
