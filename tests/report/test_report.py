"""Figures and tables of synthetic curves; the numbers in them by hand."""

import numpy as np
import pytest
import xarray as xr
from rich.console import Console

from purejaxrl_suite import report
from purejaxrl_suite.report.ranking import remarks
from purejaxrl_suite.report.summary import binned, engineering, estimate
from purejaxrl_suite.stats import iqm
from tests.counted import counted

NAN = np.nan


def curves(values, environment="Corridor", episodes=1.0, finished=1.0, **attributes):
    values = np.asarray(values, np.float32)
    seeds, updates = values.shape
    made = xr.Dataset(
        {"episode_return": (("seed", "step"), values, {"long_name": "episode return"})},
        coords={"seed": np.arange(seeds), "step": 10 * np.arange(1, updates + 1)},
        attrs={"agent": "ppo", "environment": environment, **attributes},
    )
    return counted(made, episodes, finished)


def test_windows_are_means_and_missing_ones_keep_the_last():
    steps, values = binned(curves([[NAN, NAN, 1, 3, NAN, NAN, 5, NAN]]), "episode_return", bins=4)
    np.testing.assert_array_equal(steps, [20, 40, 60, 80])
    np.testing.assert_array_equal(values, [[NAN, 2, 2, 5]])


def test_windows_that_do_not_divide():
    steps, values = binned(curves([[1, 2, 3, 4, 5]]), "episode_return", bins=2)
    np.testing.assert_array_equal(steps, [30, 50])
    np.testing.assert_array_equal(values, [[2, 4.5]])


def test_windows_weigh_episodes_and_wait_until_every_environment_has_finished_one():
    """Six updates: 1 x 8 and 3 x 4 make 5; the lucky first one is not drawn."""
    rows = [[1, 8, 4, 6, 2, 3], [1, 1, NAN, NAN, NAN, 7]]
    numbers = [[2, 1, 3, 1, 1, 4], [1, 2, 0, 0, 0, 2]]
    shares = [[0.5, 1, 1, 1, 1, 1], [0.5, 0.75, 0.75, 0.75, 0.75, 1]]
    found = curves(rows, episodes=numbers, finished=shares)
    values = binned(found, "episode_return", bins=3)[1]
    np.testing.assert_allclose(values, [[8, 4.5, 2.8], [NAN, NAN, 7]], rtol=1e-6)
    values = binned(found, "episode_return", bins=2)[1]
    np.testing.assert_allclose(values, [[5, 10 / 3], [NAN, 7]], rtol=1e-6)


def test_windows_are_as_long_as_episodes():
    """Half of the episodes reach the goal at once, the others end at a limit of two rows."""
    rows = np.tile([1.0, 1 / 3], (2, 20))
    found = curves(rows, episodes=np.tile([1, 3], 20), rollout_length=128, updates_per_row=2)
    np.testing.assert_allclose(binned(found, "episode_return")[1], rows, 1e-6)
    found["episode_length"] = (("seed", "step"), np.tile([40.0, 400.0], (2, 20)))
    steps, values = binned(found, "episode_return")
    assert len(steps) == 20 and steps[-1] == 400
    np.testing.assert_allclose(values, 0.5, 1e-6)
    found["episode_length"] *= 100  # longer than training: a curve has some points nevertheless
    assert len(binned(found, "episode_return")[0]) == 10
    alone = found.drop_vars("episodes").rename(episode_return="loss")
    del alone["loss"].attrs["mean_over"]
    assert len(binned(alone, "loss")[0]) == 40


def test_final_scores():
    """By episodes; NaN where none ended in the window, whatever was before it."""
    rows = [[9, 9, 1, 3], [9, 9, NAN, 4], [9, 7, NAN, NAN], [NAN] * 4]
    found = curves(rows, episodes=[1, 1, 3, 1])
    scores = report.final_scores(found, share=0.5)
    np.testing.assert_array_equal(scores, [1.5, 4, NAN, NAN])
    ranking = report.best(found)
    assert ranking.columns[-1] == "no score" and ranking.cells(ranking.scores[0])[-1] == "2/4"
    assert "2 of 4 finished no episode at the end" in remarks(ranking.scores)
    found["episodes"][2, 2:] = NAN  # was not trained further: this is its end
    assert report.final_scores(found, share=0.5)[2] == 7


def test_members_that_diverged_have_the_worst_score_of_the_task():
    """Of all that are shown together, and none above a random policy's (CartPole-v1: 22.02)."""
    runs = {"a": curves([[5] * 4, [6] * 4]), "b": curves([[9] * 4, [8] * 4])}
    runs["b"]["diverged"] = "seed", np.array([True, False])
    one, other = report.best(runs).scores
    assert (one.run, one.value, other.run, other.value) == ("b", 6.5, "a", 5.5)
    assert one.diverged == 1 and "1 of 4 members diverged and have the worst" in remarks(
        [one, other]
    )
    cart = curves([[100] * 4, [50] * 4], "CartPole-v1")
    cart["diverged"] = "seed", np.array([True, False])
    np.testing.assert_allclose(report.final_scores(cart), [22.02, 50])
    figure = report.learning_curves(runs)
    assert "b (1/2 diverged)" in {text.get_text() for text in figure.axes[0].texts}


def test_learning_curves_are_of_evaluations_where_there_are_some_of_all():
    trained, evaluated = curves([[1, 2, 3, 4]]), curves([[1, 2, 3, 4]])
    evaluated["evaluation_return"] = ("seed", "step"), np.float32([[NAN, 7, NAN, 8]])
    (axes,) = report.learning_curves(evaluated).axes
    assert "evaluation return" in axes.get_ylabel()
    np.testing.assert_array_equal(axes.lines[0].get_data()[1], [NAN, 7, 7, 8])
    (axes,) = report.learning_curves({"a": trained, "b": evaluated}).axes
    assert "episode return" in axes.get_ylabel()


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
