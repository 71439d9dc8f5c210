"""The page of all studies, from stored results."""

import json

import pytest

from purejaxrl_suite.report.gallery import gallery
from purejaxrl_suite.report.studies import study_figure
from purejaxrl_suite.studies import Budget, Interval, Intervals, Ruling, StudyResult, write
from purejaxrl_suite.studies.panels import Line
from purejaxrl_suite.studies.protocol import Text
from purejaxrl_suite.studies.study_result import Adjusted, Checked, Cost, Curve, Finding, Look, find
from tests.report.browser import DESKTOP, PHONE, check_readable, opened

TEXT = Text(
    "Does <it> help, and if it does, how much, where and when?",
    "A. Author 2025, arXiv 2501.00001",
    "Figure 2",
    "It helps.",
)


def outcome(preset, verdict):
    numbers = {"value": 0.123, "low": 0.05, "high": 0.2, "seeds": 16, "counted": "seeds"}
    claim = {"over": ("a", "b"), "direction": "more", "against": 0.0, "smallest": 0.05}
    closed = verdict is Ruling.NOT_TESTED
    finding = Finding(
        statement=f"It is so ({preset}).", unit="normalized score", verdict=verdict, needed=None,
        adjusted=None if closed else Adjusted(0.04, 0.21, verdict),
        failed=("learns",) if closed else (), **claim, **numbers,
    )  # fmt: skip
    gate = Checked(
        "learns", "It learns.", ("a",), "more", 0.3, "normalized score", "more steps",
        0.2 if closed else 0.4, 0.1, 0.5, not closed,
    )  # fmt: skip
    panel = Intervals("Effects", "normalized score", (Interval("a", 0.1, 0.0, 0.2),), against=0.0)
    cost = Cost("ppo", ("Corridor", "Maze"), 32, 16, 1e5, 10.0, 50.4, 53333.3)
    made = {"versions": {"jax": "0.11"}, "device": "1 x cpu", "commit": "abc123"}
    budget = Budget(("Corridor", "Maze"), 16, 1e5, first_seed=100)
    arms, looks = {"a": cost, "b": cost}, (Look("quick", "", 0, 16),)
    record = "abcd", looks, (gate,), (finding,)
    line = Line("a", (1e5,), (0.1,), (0.0,), (0.2,))
    curve = Curve("a", {"environment": "Maze"}, line, (0.1, 0.0, float("nan")), diverged=1)
    return StudyResult("helping", TEXT, preset, budget, *record, arms, (panel,), (curve,), made)


@pytest.fixture
def folder(tmp_path):
    for name, preset, verdict in (
        ("helping", "quick", Ruling.NOT_JUDGED),
        ("helping", "full", Ruling.CONFIRMED),
        ("another", "standard", Ruling.NOT_TESTED),
    ):
        one = outcome(preset, verdict)._replace(study=name)
        study_figure(one, write(one, tmp_path / "studies" / name).with_suffix(".png"))
    (tmp_path / "studies" / "not_run").mkdir()
    return tmp_path / "studies"


def test_every_study_is_shown_with_its_largest_budget(folder, tmp_path):
    assert gallery(find(folder), tmp_path / "new" / "gallery.html") == 2
    page = (tmp_path / "new" / "gallery.html").read_text()
    for text in (
        "Does &lt;it&gt; help, and if", "It is so (full).", "CONFIRMED", "NOT TESTED: learns",
        "0.123 [0.05, 0.2]", "[0.04, 0.21] CONFIRMED", "no, needs more steps",
        "0.2 [0.1, 0.5], asked for more than 0.3 (normalized score); needs more steps",
        "0:02:01 for 64 members and 6.4 M steps on 1 x cpu", "study run another --preset standard",
        "1 of 3 members diverged and have the worst score; 1 of 3 finished no episode at the end",
        "abc123", "arXiv 2501.00001", "seeds 100 - 115, definition abcd, 1 earlier results",
    ):  # fmt: skip
        assert text in page, text
    assert page.count("ppo, 16 seeds x 100 k steps, Corridor, Maze") == 4  # claims and gates
    assert page.count("16 seeds x 100 k steps, Corridor, Maze") == 4 + 2 * 2  # contents, budgets
    assert "NOT JUDGED" not in page and page.count('src="data:image/png;base64,') == 2
    assert "http" not in page


@pytest.mark.parametrize("size", [DESKTOP, PHONE])
def test_a_browser_shows_it(folder, tmp_path, size, chromium):
    gallery(find(folder), tmp_path / "gallery.html")
    with opened(chromium, tmp_path / "gallery.html", size) as page:
        check_readable(page)
        widths = page.evaluate("[...document.images].map(image => image.complete && image.width)")
        assert len(widths) == 2 and all(width > 300 for width in widths)
        page.get_by_role("link", name="help").first.click()
        assert page.locator("h2").first.bounding_box()["y"] < size[1]


def test_mistakes_are_named(folder, tmp_path):
    with pytest.raises(ValueError, match="expected results of studies, got none"):
        gallery(find(tmp_path / "nowhere"), tmp_path / "gallery.html")
    (folder / "helping" / "full.png").unlink()
    with pytest.raises(ValueError, match="full.png is missing"):
        gallery(find(folder), tmp_path / "gallery.html")
    (folder / "helping" / "full.json").write_text(json.dumps({"study": "helping"}))
    with pytest.raises(ValueError, match="is no result of a study"):
        gallery(find(folder), tmp_path / "gallery.html")
    assert not (tmp_path / "gallery.html").exists()
