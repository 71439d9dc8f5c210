"""Configurations, rankings and sensitivity of synthetic sweeps; the numbers in them by hand."""

import numpy as np
import pytest
import xarray as xr
from matplotlib.colors import to_hex
from rich.console import Console

from purejaxrl_suite import report
from purejaxrl_suite.report.configurations import configurations, short
from purejaxrl_suite.report.figures import COLOURS
from purejaxrl_suite.report.sensitivity import LOST, OTHERS, scale_of
from purejaxrl_suite.report.summary import final_scores
from tests.counted import counted

NAN = np.nan


def sweep(axes, score, seeds=4, along=None, diverged=lambda **_: 0):
    """A sweep whose members of a configuration score `score(...)` - 1, + 0, + 1, + 2 ... all along.

    along: {name: (axis, values)}. diverged: how many members, the last ones, are lost.
    """
    along = along or {}
    shape = [len(labels) for labels in axes.values()]
    values = np.zeros((*shape, seeds, 20), np.float32)
    lost = np.zeros((*shape, seeds), bool)
    for index in np.ndindex(*shape):
        at = dict(zip(axes, index, strict=True))
        settings = {axis: axes[axis][i] for axis, i in at.items()}
        settings |= {name: labels[at[axis]] for name, (axis, labels) in along.items()}
        values[index] = score(**settings) + np.arange(-1, seeds - 1)[:, None]
        lost[index][seeds - diverged(**settings) :] = True
    dims = (*axes, "seed", "step")
    attributes = {"long_name": "episode return", "units": "reward"}
    coordinates = {axis: (axis, list(labels)) for axis, labels in axes.items()}
    coordinates |= {name: (axis, list(labels)) for name, (axis, labels) in along.items()}
    made = xr.Dataset(
        {"episode_return": (dims, values, attributes), "diverged": (dims[:-1], lost)},
        coords=coordinates | {"seed": np.arange(seeds), "step": 10 * np.arange(1, 21)},
        attrs={"agent": "ppo", "environment": "Corridor"},
    )
    return counted(made)


GRID = {"learning_rate": [1e-4, 1e-3, 1e-2], "gamma": [0.9, 0.99]}


def grid(**options):
    """Best at learning_rate=1e-3; gamma=0.99 gives 10 more."""
    rates = {1e-4: 10.0, 1e-3: 30.0, 1e-2: 20.0}
    return sweep(
        GRID, lambda learning_rate, gamma: rates[learning_rate] + 10 * (gamma == 0.99), **options
    )


def drawn(count, **options):
    rates = np.geomspace(1.1e-5, 1.2e-2, count).tolist()
    gammas = np.linspace(0.9012345, 0.9987654, count)[::-1].tolist()
    along = {"learning_rate": ("configuration", rates), "gamma": ("configuration", gammas)}
    return sweep(
        {"configuration": range(count)}, lambda configuration, **_: configuration, along=along,
        **options,
    )  # fmt: skip


def text(printable):
    with Console(width=120, record=True) as console:
        console.print(printable)
    return " ".join(console.export_text().split())


def test_configurations_of_a_grid():
    found = configurations(grid())
    assert [one.label for one in found[:2]] == [
        "learning_rate=0.0001, gamma=0.9",
        "learning_rate=0.0001, gamma=0.99",
    ]
    assert found[3].settings == found[3].at == {"learning_rate": 1e-3, "gamma": 0.99}
    assert dict(found[0].curves.sizes) == {"seed": 4, "step": 20}
    assert found[0].environment == "Corridor"


def test_drawn_points_are_labelled_by_their_values_and_selected_by_their_number():
    one = configurations(drawn(3))[2]
    assert one.at == {"configuration": 2} and one.label == "learning_rate=0.012, gamma=0.901"
    assert list(one.settings) == ["learning_rate", "gamma"]


def test_an_environment_is_no_setting_and_a_run_has_its_label():
    axes = {"environment": ["Maze", "Corridor"]}
    several = sweep(axes, lambda environment: len(environment))
    found = configurations({"a": several, "b": grid().isel(learning_rate=0, gamma=0)})
    assert [(one.label, one.environment) for one in found] == [
        ("a", "Maze"),
        ("a", "Corridor"),
        ("b", "Corridor"),
    ]
    assert [one.label for one in configurations(several)] == ["ppo", "ppo"]


def test_steps_of_other_groups_are_left_out():
    several = sweep({"num_envs": [1, 2]}, lambda num_envs: num_envs)
    rates = np.ones((2, 20), np.float32)
    rates[1, ::2] = NAN
    several["steps_per_second"] = (("num_envs", "step"), rates)
    few, many = (one.curves["step"].values for one in configurations(several))
    assert len(few) == 20 and many.tolist() == list(range(20, 201, 20))


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (3e-4, "0.0003"), (0.9875, "0.9875"), (0.99987123, "0.999871"),
        (0.000316228766, "0.000316"),
        (1e30, "1e+30"), (8, "8"), (True, "True"), ("conv", "conv"), (12345.0, "12345"),
    ],
)  # fmt: skip
def test_values_are_short_and_tell_their_distance_from_one(value, shown):
    assert short(value) == shown


def test_final_scores_have_seeds_first_and_the_worst_for_what_diverged():
    scores = final_scores(grid(diverged=lambda learning_rate, gamma: int(learning_rate == 1e-2)))
    assert scores.shape == (4, 3, 2)
    np.testing.assert_array_equal(scores[:, 1, 1], [39, 40, 41, 42])
    np.testing.assert_array_equal(scores[:, 2, 0], [19, 20, 21, 9])


def test_best_orders_by_the_interquartile_mean():
    ranking = report.best(grid())
    assert [one.value for one in ranking.scores] == [40.5, 30.5, 30.5, 20.5, 20.5, 10.5]
    first = ranking.scores[0]
    assert first.settings == {"learning_rate": 1e-3, "gamma": 0.99}
    assert 37 < first.low < 39 and 42 < first.high < 44 and first.members == 4  # t of 3 is 3.2
    shown = text(ranking)
    assert "learning_rate" in shown and "40.5" in shown and "6 configurations" not in shown
    assert "2 of 6 configurations" in text(ranking.table(rows=2))


def test_members_that_diverged_are_counted_with_the_worst_score():
    def lost(learning_rate, gamma):
        return {1e-3: 2, 1e-2: 4}.get(learning_rate, 0) if gamma == 0.99 else 0

    scores = {tuple(one.at.values()): one for one in report.best(grid(diverged=lost)).scores}
    half, none = scores[1e-3, 0.99], scores[1e-2, 0.99]
    assert half.value == 24.0 and half[-3:] == (4, 2, 0)  # of 39, 40 and twice 9, the middle
    assert none[4:] == (9.0, 9.0, 9.0, 4, 4, 0) and list(scores)[-1] == (1e-2, 0.99)
    assert "2/4" in text(report.best(grid(diverged=lost)))
    shown = text(report.table(grid(diverged=lost)))
    assert shown.count("4 seeds x 200 steps, 2 of them diverged: worst score") == 1


def test_environments_are_ranked_each_by_itself():
    axes = {"environment": ["Maze", "Corridor"], "gamma": [0.9, 0.99]}
    several = sweep(axes, lambda environment, gamma: 100 * len(environment) + gamma)
    ranking = report.best(several)
    order = [(one.environment, one.settings["gamma"]) for one in ranking.scores]
    assert order == [("Maze", 0.99), ("Maze", 0.9), ("Corridor", 0.99), ("Corridor", 0.9)]
    assert "2 of 4 configurations" in text(ranking.table(rows=1))
    figure = report.learning_curves(several)
    assert [ax.get_title(loc="left") for ax in figure.axes] == ["Maze", "Corridor"]
    assert [len(ax.lines) for ax in figure.axes] == [2, 2]


def test_too_many_configurations_leave_the_best(tmp_path):
    many = drawn(30, diverged=lambda configuration, **_: int(configuration == 29))
    figure = report.learning_curves(many, path=tmp_path / "curves.png")
    (ax,) = figure.axes
    assert ax.get_title(loc="left") == "Corridor: the best 5 of 30 configurations"
    assert len(ax.lines) == 5
    np.testing.assert_allclose(ax.lines[0].get_ydata()[-1], 28.5)
    assert any("(1/4 diverged)" in label.get_text() for label in ax.texts)
    heights = sorted(label.get_position()[1] for label in ax.texts)
    assert min(np.diff(heights)) > 0.059 and heights[-1] <= 1.0
    assert "the best 20 of 30 configurations" in text(report.table(many))


def test_a_ranking_has_a_row_per_configuration_the_best_on_top(tmp_path):
    scores = {"none": 1.0, "ReDo": 3.0, "fresh": 2.0}
    axes = {"environment": ["A", "B"], "intervention": list(scores)}
    found = sweep(axes, lambda environment, intervention: scores[intervention])
    figure = report.ranked(found, path=tmp_path / "new" / "ranked.png")
    for ax, name in zip(figure.axes, "AB", strict=True):
        rows = [label.get_text() for label in ax.get_yticklabels()]
        assert rows == [f"intervention={x}" for x in ("ReDo", "fresh", "none")]
        assert ax.get_title(loc="left") == name
        low, high = (np.sort(ax.patches[0].get_bbox().intervalx)[i] for i in (0, 1))
        assert low < 3.5 < high  # -1, 0, 1, 2 about 3
    assert (tmp_path / "new" / "ranked.png").exists()


def test_layers_are_rows_of_a_map(tmp_path):
    axes = {"intervention": ["none", "ReDo"]}
    found = sweep(axes, lambda intervention: 0.0)
    shares = np.zeros(found["episode_return"].shape, np.float32)
    shares[..., ::2] = np.nan  # between measurements
    for name, level in (("dormant_0", 0.0), ("dormant_0.1", 0.2), ("dormant_0.1.trunk.a", 0.1),
                        ("dormant_0.1.trunk.b", 0.3)):  # fmt: skip
        found[name] = (found["episode_return"].dims, shares + level)
    figure = report.layer_maps(found, "dormant_0.1", tmp_path / "layers.png")
    maps = figure.axes[:2]
    titles = [ax.get_title(loc="left") for ax in maps]
    assert titles == ["Corridor: intervention=none", "Corridor: intervention=ReDo"]
    for ax in maps:
        assert [label.get_text() for label in ax.get_yticklabels()] == ["trunk.a", "trunk.b"]
        values = np.ma.filled(ax.collections[0].get_array(), NAN)
        np.testing.assert_allclose(values[:, 1:], [[0.1] * 19, [0.3] * 19], rtol=1e-6)
        assert np.isnan(values[:, 0]).all()
    with pytest.raises(ValueError, match="metric: the curves have no layers of 'dormant_0'"):
        report.layer_maps(found, "dormant_0")


def test_a_table_tells_the_cost_of_a_sweep_once():
    shown = text(report.table(grid().assign_attrs(wall_seconds=2.5)))
    assert shown.count("2.5 s to train") == 1 and shown.count("Corridor") == 6


def test_sensitivity_goes_through_the_best_configuration(tmp_path):
    path = tmp_path / "figures" / "sensitivity.png"
    figure = report.sensitivity(grid(), path=path)
    rate, gamma = figure.axes
    assert path.stat().st_size > 1000
    line = next(x for x in rate.lines if len(x.get_xdata()) == 3 and x.get_linestyle() == "-")
    np.testing.assert_allclose(line.get_xdata(orig=False), [1e-4, 1e-3, 1e-2])
    np.testing.assert_allclose(line.get_ydata(), [20.5, 40.5, 30.5])
    others = next(x for x in rate.lines if x.get_color() == OTHERS)
    assert sorted(others.get_ydata()) == [10.5, 20.5, 30.5]
    assert rate.get_xscale() == "log" and gamma.get_xscale() == "linear"
    assert [label.get_text() for label in rate.get_xticklabels()] == ["0.0001", "0.001", "0.01"]
    caption = figure.get_supxlabel().replace("\n", " ")
    assert "the best configuration (learning_rate=0.001, gamma=0.99)" in caption
    assert "95 % interval, 4 seeds" in caption and "diverged" not in caption


def test_sensitivity_marks_what_diverged():
    figure = report.sensitivity(
        grid(diverged=lambda learning_rate, gamma: int(learning_rate > 5e-3))
    )
    rate = figure.axes[0]
    assert [label.get_text() for label in rate.texts] == ["1/4"]
    crosses = [x for x in rate.lines if x.get_marker() == "x"]
    assert [(x.get_xdata()[0], x.get_color()) for x in crosses] == [(1e-2, LOST)]
    caption = figure.get_supxlabel().replace("\n", " ")
    assert "2 of 24 members diverged and have the worst score" in caption


def test_sensitivity_of_drawn_points_does_not_join_them():
    figure = report.sensitivity(drawn(9, diverged=lambda configuration, **_: configuration // 8))
    rate, gamma = figure.axes
    assert rate.get_xscale() == "log" and gamma.get_xscale() == "linear"
    points = next(x for x in rate.lines if len(x.get_xdata()) == 8)
    assert points.get_linestyle() == "None"
    np.testing.assert_allclose(sorted(points.get_ydata()), np.arange(8) + 0.5)
    assert "Ring: the best configuration" in figure.get_supxlabel()


def test_one_at_a_time_goes_through_the_defaults():
    along = {
        "learning_rate": ("configuration", [1e-3, 1e-4, 1e-3]),
        "gamma": ("configuration", [0.9, 0.9, 0.99]),
        "varied": ("configuration", ["", "learning_rate", "gamma"]),
    }
    found = sweep(
        {"configuration": range(3)}, lambda configuration, **_: configuration, along=along
    )
    figure = report.sensitivity(found)
    rate, gamma = figure.axes
    for ax, expected in ((rate, [1.5, 0.5]), (gamma, [0.5, 2.5])):
        line = next(x for x in ax.lines if x.get_linestyle() == "-" and len(x.get_xdata()) == 2)
        np.testing.assert_allclose(line.get_ydata(), expected)
    assert "the default configuration" in figure.get_supxlabel()


def test_sensitivity_has_a_row_per_environment():
    axes = {"environment": ["Maze", "Corridor"], **GRID}
    several = sweep(axes, lambda environment, learning_rate, gamma: gamma)
    figure = report.sensitivity(several)
    assert [ax.get_title(loc="left") for ax in figure.axes] == ["Maze", "", "Corridor", ""]


def test_a_map_of_two():
    found = grid(diverged=lambda learning_rate, gamma: 4 * (learning_rate + gamma == 1.0))
    figure = report.sensitivity(found, pair=("learning_rate", "gamma"))
    ax = figure.axes[0]
    np.testing.assert_allclose(
        np.ma.filled(ax.images[0].get_array(), NAN), [[10.5, 30.5, 20.5], [20.5, 40.5, 9]]
    )
    texts = [label.get_text() for label in ax.texts]
    assert any(label.startswith("40.5\n") for label in texts)
    assert "9\n9 to 9\n4/4 diverged" in texts
    assert ax.get_xlabel() == "learning rate"
    cloud = report.sensitivity(drawn(9), pair=("learning_rate", "gamma")).axes[0]
    assert len(cloud.collections[0].get_offsets()) == 9 and cloud.get_xscale() == "log"


@pytest.mark.parametrize(
    ("values", "kind", "ticks"),
    [
        ([1e-3, 1e-4, 3e-4], "log", [1e-4, 3e-4, 1e-3]),
        ([4, 8, 16, 32], "log", [4, 8, 16, 32]),
        ([1, 2, 3], "linear", [1, 2, 3]),
        ([0.9, 0.99], "linear", [0.9, 0.99]),
        (np.geomspace(1e-5, 0.013, 30).tolist(), "log", np.geomspace(1e-5, 0.013, 30).tolist()),
        ([0.9, 0.99, 0.999], "ordinal", [0.9, 0.99, 0.999]),
        ([0.0, 0.01, 0.1], "ordinal", [0.0, 0.01, 0.1]),
        ([True, False], "ordinal", [False, True]),
        (["mlp", "conv"], "ordinal", ["conv", "mlp"]),
    ],
)
def test_scales_follow_how_values_are_spaced(values, kind, ticks):
    assert scale_of(values) == (kind, ticks)


def test_what_sensitivity_refuses():
    with pytest.raises(ValueError, match="nothing was varied"):
        report.sensitivity(grid().isel(learning_rate=0, gamma=0))
    with pytest.raises(ValueError, match="expected the dataset of one sweep, got dict"):
        report.sensitivity({"a": grid()})
    with pytest.raises(ValueError, match="pair: expected two of learning_rate, gamma"):
        report.sensitivity(grid(), pair=("gamma", "clip_range"))
    with pytest.raises(ValueError, match="metric: 'diverged'"):
        report.best(grid(), "diverged")
    with pytest.raises(ValueError, match="at least one dataset"):
        report.best({})
    with pytest.raises(ValueError, match="over .seed, step."):
        report.best(grid()[["diverged"]])


def test_colours_tell_the_same_configuration_in_every_panel():
    axes = {"environment": ["Maze", "Corridor"], "gamma": [0.9, 0.99]}
    figure = report.learning_curves(sweep(axes, lambda environment, gamma: gamma))
    for ax in figure.axes:
        assert [to_hex(line.get_color()).upper() for line in ax.lines] == list(COLOURS[:2])
