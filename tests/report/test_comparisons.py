"""Figures that compare algorithms show the numbers that they are given."""

import numpy as np
import pytest

from purejaxrl_suite import report
from purejaxrl_suite.stats import Effect, Estimate

NAN = np.nan


def estimate(value, low=None, high=None):
    missing = np.full(np.shape(value), NAN)
    ends = (missing if end is None else end for end in (low, high))
    return Estimate(*(np.asarray(x, np.float32) for x in (value, *ends)))


def ticks(ax):
    return [label.get_text() for label in ax.get_yticklabels()]


def test_intervals_have_a_panel_per_measure_and_a_row_per_algorithm(tmp_path):
    rows = {"ppo": estimate(0.5, 0.4, 0.7), "pqn": estimate(0.25)}
    path = tmp_path / "new" / "intervals.png"
    figure = report.intervals({"IQM": rows, "mean": rows}, path, label="score")
    left, right = figure.axes
    assert [ax.get_title(loc="left") for ax in (left, right)] == ["IQM", "mean"]
    assert ticks(left) == ["ppo", "pqn"]
    np.testing.assert_allclose([left.patches[0].get_x(), left.patches[0].get_width()], [0.4, 0.3])
    assert [line.get_xdata()[0] for line in left.lines] == pytest.approx([0.5, 0.25])
    assert figure.get_supxlabel() == "score, 95 % interval" and path.stat().st_size > 1000


def test_improvement_has_a_bar_from_one_half():
    effects = {"ppo > pqn": Effect(*estimate(0.75, 0.6, 0.9), 8), "pqn > dqn": Effect(0.5, 0, 1, 8)}
    ax = report.improvement(effects).axes[0]
    assert ticks(ax) == list(effects) and ax.get_xlim() == (0.0, 1.0)
    np.testing.assert_allclose([ax.patches[0].get_x(), ax.patches[0].get_width()], [0.5, 0.25])
    np.testing.assert_allclose(ax.lines[0].get_xdata(), [0.6, 0.9])


def test_profiles_are_lines_with_bands():
    taus = [0.0, 0.5, 1.0]
    found = {name: estimate([1, x, 0], [1, x - 0.1, 0], [1, x + 0.1, 0]) for name, x in
             {"ppo": 0.75, "pqn": 0.25}.items()}  # fmt: skip
    ax = report.performance_profiles(taus, found).axes[0]
    np.testing.assert_allclose(ax.lines[1].get_xydata(), [[0, 1], [0.5, 0.25], [1, 0]])
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["ppo", "pqn"]
    styles = [line.get_linestyle() for line in ax.lines]
    assert len(set(styles)) == 2, "told apart without colour, too"


@pytest.mark.parametrize("logarithmic", [False, True])
def test_scaling_is_logarithmic_in_size(logarithmic):
    found = {"ppo": estimate([1, 2, 4], [0.5, 1, 2], [2, 4, 8]), "pqn": estimate([8, 8, 16])}
    figure = report.scaling([1e3, 1e4, 1e6], found, size="units", logarithmic=logarithmic)
    ax = figure.axes[0]
    assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log" if logarithmic else "linear")
    np.testing.assert_allclose(ax.lines[0].get_xydata(), [[1e3, 1], [1e4, 2], [1e6, 4]])
    assert [label.get_text() for label in ax.get_xticklabels()] == ["1k", "10k", "1M"]
    heights = {text.get_text(): text.get_position()[1] for text in ax.texts}
    assert 0.0 < heights["ppo"] < heights["pqn"] <= 1.0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: report.intervals({}), "estimates: expected at least one"),
        (
            lambda: report.intervals({"a": {"x": estimate(1)}, "b": {"y": estimate(1)}}),
            r"b is of \['y'\], expected \['x'\]",
        ),
        (lambda: report.improvement({"a": estimate([1, 2])}), r"a: expected numbers of shape \(\)"),
        (
            lambda: report.performance_profiles([0, 1], {"a": estimate(1)}),
            r"shape \(2,\), got \(\)",
        ),
        (
            lambda: report.performance_profiles([0], {str(i): estimate([1]) for i in range(8)}),
            "profiles: expected 1 to 7, got 8",
        ),
        (lambda: report.scaling([0, 1], {"a": estimate([1, 1])}), "sizes: expected positive"),
    ],
)
def test_mistakes_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()
