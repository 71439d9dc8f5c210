"""The battery that chose the interval: its truths, its shortcut, and what it found."""

import json
from pathlib import Path

import jax
import numpy as np
import pytest
from scipy.stats import lognorm

from benchmarks import coverage
from purejaxrl_suite import stats

RESULTS = Path(__file__).resolve().parents[2] / "benchmarks" / "results" / "coverage-cpu.json"
FOUND = json.loads(RESULTS.read_text())
POPULATIONS = {one.name: one for one in coverage.POPULATIONS}
NOISE = 3.0
"""Standard errors that a simulated rate may be off its bound."""
FEWEST = 100
"""Experiments of a cell, for its rate of false verdicts to say anything."""


def error(rate, rounds):
    return (rate * (1.0 - rate) / rounds) ** 0.5


def test_truths_are_those_of_infinitely_many_seeds():
    between = lognorm(1.0).expect(
        lambda x: 0.3 * x, lb=lognorm(1.0).ppf(0.25), ub=lognorm(1.0).ppf(0.75)
    )
    np.testing.assert_allclose(coverage.truth(POPULATIONS["log-normal"], 1), 2 * between, rtol=1e-4)
    for name in ("normal", "a fifth missing", "solved or not", "heavy tails", "ties"):
        np.testing.assert_allclose(coverage.truth(POPULATIONS[name], 4), 0.5, atol=1e-4)
    draws = coverage.draw(np.random.default_rng(0), POPULATIONS["tasks far apart"], 200_000, 4)
    np.testing.assert_allclose(
        coverage.truth(POPULATIONS["tasks far apart"], 4), stats.iqm(draws), atol=2e-3
    )


@pytest.mark.parametrize("paired", [None, True, False])
def test_the_battery_asks_what_users_ask(paired, monkeypatch):
    monkeypatch.setattr(coverage, "RESAMPLES", 10_000)
    random = np.random.default_rng(1)
    x, y = ([random.normal(size=(8, 3)).astype(np.float32) for _ in range(2)] for _ in range(2))
    found = coverage.intervals(random, x, None if paired is None else y, bool(paired))
    for i, arms in enumerate(zip(x, y, strict=True)):
        key = jax.random.key(0)
        alone = (
            stats.estimate(key, arms[0], resamples=10_000)
            if paired is None
            else stats.difference(key, *arms, paired=paired, resamples=10_000)
        )
        width = alone.high - alone.low
        np.testing.assert_allclose([end[i] for end in found], alone[:3], atol=0.05 * width)


def test_coverage_is_what_is_promised_from_eight_seeds_on():
    for row in FOUND["estimates"]:
        if row["seeds"] >= stats.MINIMUM_SEEDS:
            held = 1.0 - row["low_above"] - row["high_below"]
            assert held > 0.93 - NOISE * error(0.93, row["rounds"]), row


@pytest.mark.parametrize("name", ["confirmed", "refuted", "equal_refuted"])
def test_false_verdicts_are_as_rare_as_is_promised(name):
    rows = [row for row in FOUND["verdicts"] if row["seeds"] >= stats.MINIMUM_SEEDS]
    rows = [row for row in rows if row["rounds"] >= FEWEST]
    assert rows
    for row in rows:
        assert row[name] < 0.03 + NOISE * error(0.03, row["rounds"]), row
    assert np.mean([row[name] for row in rows]) < 0.03


@pytest.mark.slow
@pytest.mark.parametrize("name", ["solved or not", "tasks far apart", "log-normal"])
def test_the_interval_covers(name):
    rounds, random = 1000, np.random.default_rng(2)
    missed = coverage.estimates(random, POPULATIONS[name], 8, 4, rounds)
    held = 1.0 - sum(missed.values())
    assert 0.93 - NOISE * error(0.93, rounds) < held < 0.99
