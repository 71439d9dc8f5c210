"""Mutual information against scikit-learn, known values, and an oracle; rank correlation."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats
from scipy.special import digamma
from sklearn.feature_selection import _mutual_info as scikit

from purejaxrl_suite.ops import dependence

information = jax.jit(dependence.mutual_information, static_argnames="k")
of_labels = jax.jit(dependence.mutual_information_with_labels, static_argnames="k")


def oracle(x, y, k):
    """Kraskov's first estimator in float64, pair by pair; Gao's where k others are equal."""
    apart = [np.abs(z[:, None] - z[None]).max(-1) for z in (x.astype(float), y.astype(float))]
    joint = np.maximum(*apart)
    n, total = len(x), 0.0
    for i in range(n):
        others = np.delete(joint[i], i)
        radius = np.nextafter(np.float32(np.sort(others)[k - 1]), np.float32(0))
        total += sum(digamma(np.sum(np.float32(z[i]) <= radius)) for z in apart)
        total -= digamma(k if radius else np.sum(joint[i] == 0.0))
    return max(0.0, digamma(n) - total / n)


def label_oracle(x, label, k):
    """Ross's estimator in float64; samples that are alone with their label do not count."""
    apart = np.abs(x[:, None].astype(float) - x[None]).max(-1)
    alike = label[:, None] == label[None]
    some = alike.sum(1) > 1
    total, n = 0.0, some.sum()
    for i in np.flatnonzero(some):
        same = alike[i].copy()
        same[i] = False
        kept = min(k, same.sum())
        radius = np.nextafter(np.float32(np.sort(apart[i][same])[kept - 1]), np.float32(0))
        near = np.sum(np.float32(apart[i][some]) <= radius)
        if not radius:
            kept = np.sum(apart[i][alike[i]] == 0.0)
        total += digamma(kept) - digamma(alike[i].sum()) - digamma(near)
    return max(0.0, digamma(n) + total / n)


def gaussians(n, correlation, seed=0):
    draw = np.random.default_rng(seed).normal(size=(2, n, 1)).astype(np.float32)
    mixed = correlation * draw[0] + np.sqrt(1 - correlation**2) * draw[1]
    return draw[0], mixed.astype(np.float32)


@pytest.mark.parametrize("k", [1, 3])
def test_the_estimators_are_those_of_the_oracles(k):
    draw = np.random.default_rng(1)
    x = draw.normal(size=(60, 3)).astype(np.float32)
    y = (x[:, :2] + 0.3 * draw.normal(size=(60, 2))).astype(np.float32)
    label = draw.integers(5, size=60).astype(np.int32)
    label[7] = 9  # alone
    x[3] = x[4]  # equal samples
    y[3] = y[4]
    assert information(x, y, k) == pytest.approx(oracle(x, y, k), abs=1e-4)
    assert of_labels(x, label, k) == pytest.approx(label_oracle(x, label, k), abs=1e-4)


def test_the_estimators_are_those_of_scikit_learn():
    x, y = gaussians(300, 0.7)
    label = (x[:, 0] + 0.5 * y[:, 0] > 0).astype(np.int32)
    expected = scikit._compute_mi_cc(x[:, 0].astype(float), y[:, 0].astype(float), 3)
    assert information(x, y) == pytest.approx(expected, abs=1e-4)
    expected = scikit._compute_mi_cd(x[:, 0].astype(float), label, 3)
    assert of_labels(x, label) == pytest.approx(expected, abs=1e-4)


@functools.cache
def many(correlation):
    return float(information(*gaussians(4096, correlation)))


def test_gaussians_have_the_information_of_their_correlation():
    assert many(0.9) == pytest.approx(-0.5 * np.log(1 - 0.81), abs=0.05)  # .830
    assert many(0.0) < 0.05


def test_labels_that_say_nothing_and_all_have_0_and_log_2():
    x, _ = gaussians(1024, 0.0)
    label = np.arange(1024, dtype=np.int32) % 2
    assert of_labels(x, label) < 0.05
    apart = x + 100.0 * label[:, None]
    assert of_labels(apart.astype(np.float32), label) == pytest.approx(np.log(2), abs=0.01)
    assert of_labels(x, np.arange(1024, dtype=np.int32)) == 0.0


def test_discrete_variables_have_the_information_of_their_table():
    draw = np.random.default_rng(5)
    states = draw.normal(size=(40, 8)).astype(np.float32)
    which = draw.integers(40, size=1024)
    x, same = states[which], (states @ draw.normal(size=(8, 1))).astype(np.float32)[which]
    other = draw.integers(6, size=(1024, 1)).astype(np.float32)
    assert information(x, same) == pytest.approx(entropy(which), abs=0.1)
    assert information(x, other) < 0.1
    assert of_labels(x, which % 3) == pytest.approx(entropy(which % 3), abs=0.1)
    assert of_labels(x, other[:, 0].astype(np.int32)) < 0.1


def entropy(labels):
    return stats.entropy(np.bincount(labels))


def test_scaling_inside_a_program_does_not_tell_equal_samples_apart():
    draw = np.random.default_rng(6)
    which = draw.integers(40, size=1024)
    x, y = (draw.normal(size=(40, n)).astype(np.float32)[which] for n in (8, 1))

    def scaled(x, y):
        return dependence.mutual_information(*map(dependence.unit_variance, (x, y)))

    found = jax.jit(scaled)(x, y)
    assert found == pytest.approx(entropy(which), abs=0.1)
    shaken = x + draw.uniform(-1e-7, 1e-7, x.shape).astype(np.float32)
    assert jax.jit(scaled)(shaken, y) == pytest.approx(float(found), abs=1e-3)


def test_blocks_change_nothing(monkeypatch):
    x, y = gaussians(70, 0.5)
    whole = dependence.mutual_information(x, y)
    monkeypatch.setattr(dependence, "BLOCK", 70 * 16)
    np.testing.assert_allclose(dependence.mutual_information(x, y), whole, rtol=1e-6)


def test_scaling_does_not_matter_after_unit_variance():
    x = np.array([[1.0, 5.0], [3.0, 5.0], [5.0, 5.0]], np.float32)
    found = dependence.unit_variance(jnp.asarray(x))
    np.testing.assert_allclose(np.std(found, axis=0), [1.0, 0.0], rtol=1e-6)
    np.testing.assert_allclose(dependence.unit_variance(3.0 * x)[:, 0], found[:, 0], rtol=1e-6)


def test_rank_correlation_is_that_of_scipy_with_ties():
    draw = np.random.default_rng(2)
    x = draw.integers(9, size=200).astype(np.float32)
    y = (x + draw.integers(5, size=200)).astype(np.float32)
    expected = stats.spearmanr(x, y).statistic
    assert dependence.spearman(x, y) == pytest.approx(expected, abs=1e-5)
    np.testing.assert_allclose(dependence.ranks(x), stats.rankdata(x))
    assert np.isnan(dependence.spearman(jnp.ones(5), jnp.arange(5.0)))


def test_the_effective_dimension_counts_directions():
    draw = np.random.default_rng(3)
    flat = draw.normal(size=(500, 3)).astype(np.float32)
    assert dependence.participation_ratio(jnp.asarray(flat)) == pytest.approx(3.0, abs=0.05)
    line = flat[:, :1] * np.array([[1.0, 2.0, 3.0]], np.float32)
    assert dependence.participation_ratio(jnp.asarray(line)) == pytest.approx(1.0, abs=1e-4)
    assert dependence.participation_ratio(jnp.ones((4, 8))) == 0.0
    wide = flat[:4]
    np.testing.assert_allclose(
        dependence.participation_ratio(jnp.asarray(np.tile(wide, (1, 4)))),
        dependence.participation_ratio(jnp.asarray(wide)),
        rtol=1e-4,
    )


def test_too_few_samples_are_refused():
    with pytest.raises(ValueError, match="more than k=3, got 3, 3"):
        dependence.mutual_information(jnp.ones((3, 1)), jnp.ones((3, 1)))
