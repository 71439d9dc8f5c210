"""The pages of measurements show what the result files say."""

import pytest

from benchmarks import study_pages, systems, tables
from purejaxrl_suite.studies.study_result import SHIPPED, find
from tests.docs.test_examples import ROOT


@pytest.mark.parametrize("page", tables.PAGES, ids=str)
def test_pages_are_what_the_result_files_say(page):
    text = (ROOT / page).read_text()
    blocks = tables.BLOCK.findall(text)
    assert blocks and {name for name, _ in blocks} <= tables.names()
    assert tables.fill(text, ROOT / tables.RESULTS) == text, "run: python -m benchmarks.tables"


def test_a_page_is_filled_anew_and_says_what_is_missing(tmp_path):
    page = "a\n<!-- peers -->\nold\n<!-- end of peers -->\nb\n"
    once = tables.fill(page, tmp_path)
    assert "Not measured yet: `python -m benchmarks.peers`" in once and "old" not in once
    assert tables.fill(once, tmp_path) == once and once.startswith("a\n") and once.endswith("b\n")


def test_the_site_has_every_study_with_its_figures():
    nav = (ROOT / "mkdocs.yml").read_text()
    for name in study_pages.PAGES:
        assert f"          - {name}: studies/{name}.md\n" in nav, name
    for presets in find(SHIPPED).values():
        for file in presets.values():
            for end in (".png", "-narrow.png"):
                assert file.with_name(file.stem + end).exists(), "run: purejaxrl-suite study draw"


def test_every_study_and_every_agent_is_in_a_system():
    files = {file for one in systems.SYSTEMS for file in one.files}
    missing = [file for file in files if not (ROOT / systems.PACKAGE / file).exists()]
    agents = {f"agents/{path.name}" for path in (ROOT / systems.PACKAGE / "agents").glob("*.py")}
    assert not missing and agents - files == {"agents/__init__.py"}
    assert {name for one in systems.SYSTEMS for name in one.studies} == set(study_pages.PAGES)
    shown = [part for one in systems.SYSTEMS for part in one.shown.split("`")[1::2]]
    assert all((ROOT / path).exists() for path in shown)
