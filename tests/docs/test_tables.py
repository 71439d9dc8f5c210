"""The pages of measurements show what the result files say."""

import pytest

from benchmarks import tables
from tests.docs.test_examples import ROOT


@pytest.mark.parametrize("page", tables.PAGES, ids=lambda page: page.name)
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
