"""docs/statistics.md: its examples run and print what it says, its table is the table."""

import contextlib
import io
import re
from pathlib import Path

from purejaxrl_suite import stats

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "statistics.md").read_text()


def test_examples_print_what_the_page_says():
    blocks = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    assert blocks
    names = {}
    for block in blocks:
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(block, names)
        promised = re.findall(r"^print\(.*\)  # (.*)$", block, re.MULTILINE)
        assert printed.getvalue().splitlines() == promised


def test_the_table_of_references_is_the_one_in_use():
    for task, ends in stats.REFERENCES.items():
        who = next(one for one in ("OPEN", "gymnax", "navix") if one in ends.reference.source)
        assert f"| {task} | {ends.random.value} | {ends.reference.value} | {who} |" in PAGE
