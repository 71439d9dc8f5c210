"""A tiny study from its arms to its file, and how claims are judged."""

from contextlib import contextmanager

import jax.numpy as jnp
import numpy as np
import pytest

from purejaxrl_suite import studies
from purejaxrl_suite.report.studies import study_figure
from purejaxrl_suite.stats import Effect, Verdict
from purejaxrl_suite.studies import EQUAL, LESS, MORE, Claim
from purejaxrl_suite.studies.run import Watch, judge, run_study
from tests.studies.tiny import STUDY

NAN = float("nan")


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    """The tiny study, stopped before its second arm and run again: (folder, outcome, what told)."""
    folder, told = tmp_path_factory.mktemp("tiny"), []

    @contextmanager
    def stop_before_learning(title):
        if "learning" in title:
            raise KeyboardInterrupt
        yield Watch()

    @contextmanager
    def listen(title):
        told.append(title)
        yield Watch(announce=lambda what: told.append(str(what)))

    with pytest.raises(KeyboardInterrupt):
        run_study("tiny", STUDY, "quick", folder, watch=stop_before_learning)
    assert [path.name for path in folder.iterdir()] == ["frozen"]
    outcome = run_study("tiny", STUDY, "quick", folder, commit="abc", watch=listen)
    return folder, outcome, told


def test_a_study_goes_on_where_it_stopped(stopped):
    _, outcome, told = stopped
    assert told[0] == "tiny: frozen (1/2)" and "is finished" in told[1]
    assert told[2] == "tiny: learning (2/2)" and "8 members" in told[3]
    assert [one.verdict for one in outcome.findings] == [Verdict.CONFIRMED, Verdict.REFUTED]
    helps, hurts = outcome.findings
    assert 0.0 < helps.low <= helps.value <= helps.high and helps.value == hurts.value
    assert helps.seeds == 8 and helps.needed is None
    assert outcome.arms["frozen"].members == 8 and outcome.arms["frozen"].steps == 32 * 30
    assert outcome.made["commit"] == "abc" and outcome.made["versions"]["jax"]


def test_curves_are_thinned(stopped):
    frozen, learning = stopped[1].curves
    assert frozen.arm == "frozen" and frozen.settings == {"environment": "action_reward"}
    assert len(learning.line.x) == 15 and learning.line.x[-1] == 32 * 30
    assert np.mean(learning.final) > np.mean(frozen.final) and len(learning.final) == 8
    assert learning.parameters == frozen.parameters and set(learning.parameters) >= {"heads"}


def test_the_file_holds_all_of_the_outcome(stopped, tmp_path):
    outcome = stopped[1]
    path = studies.write(outcome, tmp_path)
    assert path == tmp_path / "quick.json" and "NaN" not in path.read_text()
    found = studies.results(tmp_path)
    assert list(found) == ["quick"]
    again = found["quick"]
    assert again.text.paper == "none, it is a test." and again.text == outcome.text
    assert again.budget == outcome.budget and again.panels[1].logarithmic
    assert np.isnan(again.panels[0].rows[1].value) and again.panels[2].against == 0.5
    np.testing.assert_array_equal(again.panels[3].values, [[0.0, 1.0], [np.nan, 0.5]])
    for name in ("study", "preset", "made", "arms"):
        assert type(getattr(again, name)) is type(getattr(outcome, name))
    content = path.read_text()
    assert studies.write(again, tmp_path).read_text() == content
    np.testing.assert_allclose(again.curves[1].final, outcome.curves[1].final, rtol=1e-5)
    with pytest.raises(ValueError, match="is no result of a study"):
        studies.read(tmp_path / "nothing.json")


def test_another_budget_does_not_go_on_in_its_folder(stopped):
    with pytest.raises(ValueError, match="is another (sweep|experiment)"):
        run_study("tiny", STUDY, "full", stopped[0])
    with pytest.raises(ValueError, match="preset: expected one of quick, full, got 'huge'"):
        run_study("tiny", STUDY, "huge", stopped[0])


def test_the_figure_has_a_panel_each(stopped, tmp_path):
    figure = study_figure(stopped[1], tmp_path / "x.png")
    titles = [ax.get_title(loc="left") for ax in figure.axes]
    assert titles == ["Rows", "Lines", "More", "Map", ""]  # and the bar of the map
    assert [tick.get_text() for tick in figure.axes[3].get_yticklabels()] == ["one", "two"]
    assert (tmp_path / "x.png").stat().st_size > 1000
    with pytest.raises(ValueError, match="tiny has no panels"):
        study_figure(stopped[1]._replace(panels=()))


def effect(value, low, high):
    return Effect(*(jnp.float32(x) for x in (value, low, high)), jnp.int32(16))


@pytest.mark.parametrize(
    ("direction", "against", "found", "verdict", "needed"),
    [
        (MORE, 0.0, (0.10, 0.02, 0.18), "CONFIRMED", None),
        (MORE, 0.0, (0.06, -0.02, 0.14), "INCONCLUSIVE", 26),  # as t(n - 1) / sqrt(n - 1)
        (MORE, 0.5, (0.51, 0.49, 0.53), "REFUTED", None),
        (LESS, 0.0, (-0.10, -0.18, -0.02), "CONFIRMED", None),
        (LESS, 0.95, (0.89, 0.81, 0.97), "INCONCLUSIVE", 26),
        (LESS, 0.95, (0.95, 0.93, 0.97), "REFUTED", None),
        (EQUAL, 0.95, (0.94, 0.92, 0.96), "CONFIRMED", None),
        (EQUAL, 0.0, (0.10, 0.06, 0.14), "REFUTED", None),
        (EQUAL, 0.0, (-0.10, -0.14, -0.06), "REFUTED", None),
        (EQUAL, 0.0, (0.01, -0.07, 0.09), "INCONCLUSIVE", 54),  # both ends inside
        (EQUAL, 0.0, (0.09, 0.01, 0.17), "INCONCLUSIVE", 54),  # out
        (EQUAL, 0.0, (0.10, NAN, NAN), "INCONCLUSIVE", None),
    ],
)
def test_verdicts_by_hand(direction, against, found, verdict, needed):
    claim = Claim("It is.", ("a",), lambda key, a: a, direction, 0.05, against)
    finding = judge(claim, effect(*found))
    assert finding.verdict == verdict
    assert finding.needed == (needed and pytest.approx(needed, abs=1))
    assert finding.value == pytest.approx(found[0]) and finding.seeds == 16


def test_what_no_number_of_seeds_decides_says_no_number():
    claim = Claim("It is.", ("a",), lambda key, a: a, MORE, counted="")
    finding = judge(claim, effect(0.06, -0.02, 0.14))
    assert finding.verdict == "INCONCLUSIVE" and finding.needed is None
