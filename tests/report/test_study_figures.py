"""Figures of studies: one colour an arm, no line lost, and all claims in their units."""

import numpy as np
import pytest
from PIL import Image

from purejaxrl_suite.report.claims import claims_figure
from purejaxrl_suite.report.panels import OTHER, STYLES, readable, styles, without_intervals
from purejaxrl_suite.report.studies import draw_study, panels_figure, study_figure
from purejaxrl_suite.studies import Bars, Heat, Interval, Intervals, Line, Lines, Ruling
from tests.report.test_gallery import outcome


def lines(*labels, points=2, **how):
    x = tuple(float(i + 1) for i in range(points))
    made = tuple(Line(n, x, (0.5,) * points, (0.4,) * points, (0.6,) * points) for n in labels)
    return Lines("Lines", "steps", "score, 95 % interval", made, **how)


def bars(*labels):
    row = (Interval("first", 0.1, 0.0, 0.2),)
    return Bars("Bars", "score", ("first",), labels, (row,) * len(labels))


def colours(ax):
    return [line.get_color() for line in ax.lines if len(line.get_xdata()) > 1]


def test_an_arm_has_one_style_in_all_panels():
    looks = styles((lines("a", "b"), bars("c", "b"), lines("d", "a")))
    assert len({looks[label] for label in "abcd"}) == 4
    many = [f"line {i}" for i in range(9)]
    looks = styles((lines(*many), lines("other", "line 0")))
    assert len({looks[label] for label in many}) == 9 and looks["other"] != looks["line 0"]
    assert [bool(looks[label].sign) for label in many] == [False] * 7 + [True] * 2
    assert not looks["other"].sign  # it meets one line only: a colour that another panel has
    assert len(styles((lines(*map(str, range(30))),))) == 30 > len(STYLES)


def test_every_line_is_drawn_and_rows_have_the_colours_of_their_arms():
    rows = tuple(Interval(name, 0.5, 0.4, 0.6) for name in ("b", "not an arm"))
    figure = panels_figure((lines(*"abcdefghi"), Intervals("Rows", "score", rows)))
    drawn, below = figure.axes
    assert len(drawn.lines) == 9 and len(drawn.texts) == 9
    assert colours(below) == [colours(drawn)[1], OTHER]
    alone = panels_figure((Intervals("Rows", "score", rows),)).axes[0]
    assert len(set(colours(alone))) == 1


def test_axes_say_that_they_are_logarithmic_in_numbers_that_can_be_read():
    panel = lines("a", points=12, logarithmic=True, logarithmic_y=True)
    panel = panel._replace(lines=(panel.lines[0]._replace(x=tuple(2.0 ** np.arange(12) / 1e4)),))
    figure = panels_figure((panel,))
    figure.canvas.draw()
    (ax,) = figure.axes
    assert ax.get_xlabel() == "steps, logarithmic" and ax.get_ylabel().endswith(", logarithmic")
    names = {label.get_text() for label in ax.get_xticklabels()}
    assert {"0.0001", "0.001", "0.01", "0.1"} <= names
    assert readable(205987.0) == "206 k" and readable(-0.05) == "\u22120.05"


def test_few_seeds_have_no_intervals(tmp_path):
    rows = (Interval("a", 0.5, 0.4, 0.6),)
    panels = (lines("a"), Intervals("Rows", "score, 95 % interval", rows), bars("a"))
    one = outcome("standard", Ruling.CONFIRMED)._replace(panels=panels)
    (held, *_), (bare, *_) = (
        study_figure(x).axes
        for x in (one, one._replace(budget=one.budget._replace(seeds=7)))
    )  # fmt: skip
    assert np.isfinite(held.collections[0].get_paths()[0].vertices).all()
    assert (
        not len(bare.collections[0].get_paths())
        or np.isnan(bare.collections[0].get_paths()[0].vertices).all()
    )
    assert held.get_ylabel() == "score, 95 % interval" and bare.get_ylabel() == "score"
    heat = Heat("Map", "steps", "share", ("one",), (1.0,), ((0.5,),))
    assert without_intervals(heat) == heat
    text = study_figure(one._replace(budget=one.budget._replace(seeds=7)))._supxlabel
    assert "No intervals: they need 8 seeds" in text.get_text().replace("\n", " ")


def test_narrow_figures_have_one_column(tmp_path):
    one = outcome("full", Ruling.CONFIRMED)._replace(panels=(lines("a"), bars("a"), lines("b")))
    assert draw_study(one, tmp_path) == tmp_path / "full.png"
    with (
        Image.open(tmp_path / "full.png") as wide,
        Image.open(tmp_path / "full-narrow.png") as narrow,
    ):
        assert narrow.width < 0.6 * wide.width and narrow.height > 1.3 * wide.height
        assert narrow.getcolors(256) is not None
    spans = [ax.get_subplotspec().colspan for ax in study_figure(one).axes]
    assert [len(span) for span in spans] == [1, 1, 2]  # no empty corner
    with pytest.raises(ValueError, match="columns: expected at least 1, got 0"):
        study_figure(one, columns=0)


def claim(ruling, direction, **numbers):
    (found,) = outcome("full", ruling).findings
    return found._replace(direction=direction, adjusted=None, **numbers)


@pytest.mark.parametrize("narrow", [False, True])
def test_claims_are_in_units_of_their_smallest_effect_as_claimed(tmp_path, narrow):
    less = claim(Ruling.CONFIRMED, "less", against=0.1, value=0.0, low=-0.1, high=0.05)
    untold = claim(Ruling.REFUTED, "more", smallest=0.0)
    closed = outcome("full", Ruling.NOT_TESTED).findings[0]
    one = outcome("full", Ruling.CONFIRMED)._replace(findings=(less, untold, closed))
    quick = outcome("quick", Ruling.NOT_JUDGED)
    found = {"helping": {"quick": quick, "full": one}, "young": {"quick": quick}, "absent": {}}
    figure = claims_figure(found, tmp_path / "claims.png", narrow=narrow)
    (ax,) = figure.axes
    values = [line.get_xdata()[0] for line in ax.lines if line.get_marker() not in ("None", "")]
    assert values == pytest.approx([2.0, 0.03, 2.46])  # the second is a place, beside its numbers
    intervals = [tuple(line.get_xdata()) for line in ax.lines if line.get_linewidth() == 2]
    np.testing.assert_allclose(intervals, [(1.0, 4.0), (1.0, 4.0)])
    (hollow,) = [line for line in ax.lines if line.get_markerfacecolor() == "white"]
    assert hollow.get_xdata()[0] == pytest.approx(2.46)
    said = " ".join(text.get_text() for text in (*ax.texts, *figure.texts))
    assert "0.123 [0.05, 0.2] normalized score" in said and "(not tested: learns)" in said
    assert "run at quick, or not at all): young, absent." in said.replace("\n", " ")
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert names[:3] == ["1 confirmed", "1 refuted", "1 not tested"]
    with Image.open(tmp_path / "claims.png") as image:
        assert (image.width < 900) == narrow


def test_a_verdict_that_does_not_hold_among_all_claims_has_a_dagger():
    one = outcome("full", Ruling.CONFIRMED)
    (found,) = one.findings
    back = found._replace(adjusted=found.adjusted._replace(verdict=Ruling.INCONCLUSIVE))
    for finding, daggers in ((found, 0), (back, 1)):
        ax = claims_figure({"x": {"full": one._replace(findings=(finding,))}}).axes[0]
        assert sum("\u2020" in text.get_text() for text in ax.texts) == daggers
    with pytest.raises(ValueError, match="outcomes: expected a result of `standard` or `full`"):
        claims_figure({"x": {"quick": outcome("quick", Ruling.NOT_JUDGED)}})
