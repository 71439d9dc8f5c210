"""The page of all studies, from stored results."""

import json

import pytest

from purejaxrl_suite.report.gallery import gallery
from purejaxrl_suite.report.studies import study_figure
from purejaxrl_suite.stats import Verdict
from purejaxrl_suite.studies import Budget, Interval, Intervals, Outcome, write
from purejaxrl_suite.studies.outcome import Cost, Finding
from purejaxrl_suite.studies.protocol import Text
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
    finding = Finding(
        statement=f"It is so ({preset}).", unit="normalized score", verdict=verdict,
        needed=None, **claim, **numbers,
    )  # fmt: skip
    panel = Intervals("Effects", "normalized score", (Interval("a", 0.1, 0.0, 0.2),), against=0.0)
    cost = Cost("ppo", 32, 16, 1e5, 10.0, 50.4, 53333.3)
    made = {"versions": {"jax": "0.11"}, "device": "1 x cpu", "commit": "abc123"}
    budget = Budget(("Corridor", "Maze"), 16, 1e5)
    return Outcome(
        "helping", TEXT, preset, budget, (finding,), {"a": cost, "b": cost}, (panel,), (), made
    )


@pytest.fixture
def folder(tmp_path):
    for name, preset, verdict in (
        ("helping", "quick", Verdict.INCONCLUSIVE),
        ("helping", "full", Verdict.CONFIRMED),
        ("another", "quick", Verdict.REFUTED),
    ):
        one = outcome(preset, verdict)._replace(study=name)
        study_figure(one, write(one, tmp_path / "studies" / name).with_suffix(".png"))
    (tmp_path / "studies" / "not_run").mkdir()
    return tmp_path / "studies"


def test_every_study_is_shown_with_its_largest_budget(folder, tmp_path):
    assert gallery(folder, tmp_path / "new" / "gallery.html") == 2
    page = (tmp_path / "new" / "gallery.html").read_text()
    for text in (
        "Does &lt;it&gt; help, and if", "It is so (full).", "CONFIRMED", "REFUTED",
        "0.123 [0.05, 0.2]",
        "0:02:01 for 64 members and 6.4 M steps on 1 x cpu", "study run another --preset quick",
        "abc123", "arXiv 2501.00001", "16 seeds x 100 k steps; Corridor, Maze",
    ):  # fmt: skip
        assert text in page, text
    assert "INCONCLUSIVE</span>" not in page and page.count('src="data:image/png;base64,') == 2
    assert "http" not in page


@pytest.mark.parametrize("size", [DESKTOP, PHONE])
def test_a_browser_shows_it(folder, tmp_path, size, chromium):
    gallery(folder, tmp_path / "gallery.html")
    with opened(chromium, tmp_path / "gallery.html", size) as page:
        check_readable(page)
        widths = page.evaluate("[...document.images].map(image => image.complete && image.width)")
        assert len(widths) == 2 and all(width > 300 for width in widths)
        page.get_by_role("link", name="help").first.click()
        assert page.locator("h2").first.bounding_box()["y"] < size[1]


def test_mistakes_are_named(folder, tmp_path):
    with pytest.raises(ValueError, match="holds no results of studies"):
        gallery(tmp_path / "nowhere", tmp_path / "gallery.html")
    (folder / "helping" / "full.png").unlink()
    with pytest.raises(ValueError, match="full.png is missing"):
        gallery(folder, tmp_path / "gallery.html")
    (folder / "helping" / "full.json").write_text(json.dumps({"study": "helping"}))
    with pytest.raises(ValueError, match="is no result of a study"):
        gallery(folder, tmp_path / "gallery.html")
    assert not (tmp_path / "gallery.html").exists()
