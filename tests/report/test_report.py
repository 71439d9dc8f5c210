"""Figures and tables of synthetic curves; the numbers in them by hand."""

import numpy as np
import pytest
import xarray as xr
from rich.console import Console

from purejaxrl_suite import report
from purejaxrl_suite.report.summary import binned, engineering, estimate
from purejaxrl_suite.stats import iqm

NAN = np.nan


def curves(values, environment="Corridor", **attributes):
    values = np.asarray(values, np.float32)
    seeds, updates = values.shape
    return xr.Dataset(
        {"episode_return": (("seed", "step"), values, {"long_name": "episode return"})},
        coords={"seed": np.arange(seeds), "step": 10 * np.arange(1, updates + 1)},
        attrs={"agent": "ppo", "environment": environment, **attributes},
    )


def test_windows_are_means_and_missing_ones_keep_the_last():
    steps, values = binned(curves([[NAN, NAN, 1, 3, NAN, NAN, 5, NAN]]), "episode_return", bins=4)
    np.testing.assert_array_equal(steps, [20, 40, 60, 80])
    np.testing.assert_array_equal(values, [[NAN, 2, 2, 5]])


def test_windows_that_do_not_divide():
    steps, values = binned(curves([[1, 2, 3, 4, 5]]), "episode_return", bins=2)
    np.testing.assert_array_equal(steps, [30, 50])
    np.testing.assert_array_equal(values, [[2, 4.5]])


def test_final_scores():
    rows = [[9, 9, 1, 3], [9, 9, NAN, 4], [9, 7, NAN, NAN], [NAN] * 4]
    scores = report.final_scores(curves(rows), share=0.5)
    np.testing.assert_array_equal(scores, [2, 4, 7, NAN])


def test_estimate_encloses_the_interquartile_mean():
    scores = np.random.default_rng(0).normal(size=(12, 2))
    value, low, high = estimate(scores)
    np.testing.assert_allclose(value, iqm(scores, axis=0), rtol=1e-6)
    assert (low < value).all() and (value < high).all()


def test_unknown_metric_names_the_known_ones():
    with pytest.raises(ValueError, match="metric: 'reward'.*episode_return"):
        report.learning_curves(curves([[1, 2]]), metric="reward")
    with pytest.raises(ValueError, match="curves"):
        report.learning_curves({})


def test_learning_curves_has_a_panel_per_environment_and_a_line_per_label(tmp_path):
    values = np.random.default_rng(0).normal(size=(4, 300))
    path = tmp_path / "figures" / "curve.png"
    figure = report.learning_curves(
        {"a": curves(values), "b": curves(values[:1]), "c": curves(values, "Maze")}, path=path
    )
    left = figure.axes[0]
    assert [ax.get_title(loc="left") for ax in figure.axes] == ["Corridor", "Maze"]
    assert [len(ax.lines) for ax in figure.axes] == [2, 1]
    assert {text.get_text() for text in left.texts} == {"a", "b"}
    assert left.get_xlabel() == "environment steps"
    assert "episode return" in left.get_ylabel() and "1-4 seeds" in left.get_ylabel()
    steps, line = left.lines[0].get_data()
    assert len(steps) == 50 and steps[-1] == 3000
    np.testing.assert_allclose(line, iqm(binned(curves(values), "episode_return")[1], axis=0))
    assert path.stat().st_size > 1000


def test_table_says_what_was_measured():
    finished = curves(
        [[1.0] * 20, [3.0] * 20], wall_seconds=2.5, compile_seconds=1.5, steps_per_second=1.5e6
    )
    with Console(width=80, record=True) as console:
        console.print(report.table({"ours": finished, "none": curves([[NAN] * 5])}))
    text = console.export_text()
    # Of two seeds, 1 and 3: 2 -+ sqrt(2) * 12.7 / 1.96.
    for expected in ("ours", "Corridor", "2 seeds x 200 steps", "[-7.17, 11.2]", "2.5 s to train"):
        assert expected in text
    assert "1.5 s to compile" in text and "1.5 M steps/s" in text and "no episode" in text


@pytest.mark.parametrize(
    ("number", "text"),
    [(1234567, "1.23 M"), (999, "999"), (0.5, "0.5"), (2e9, "2 G"), (-4e3, "-4 k"), (NAN, "n/a")],
)
def test_engineering(number, text):
    assert engineering(number) == text
