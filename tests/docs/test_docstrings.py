"""The examples in docstrings run and give what they say; those that train are only read."""

import ast
import doctest
import re
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import purejaxrl_suite as pjs
from tests.docs.test_examples import GIVEN, Reader

ROOT = Path(pjs.__file__).parent
TRAINS = re.compile(r"pjs\.(run|sweep|evolve|reincarnate)\(|\.run\(")
GLOBALS = {"pjs": pjs, "jax": jax, "jnp": jnp, "np": np}


def examples():
    """(place, docstring) of every docstring with an example."""
    for path in sorted(ROOT.rglob("*.py")):
        text = path.read_text()
        if ">>>" not in text:
            continue
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
                said = ast.get_docstring(node)
                if said and ">>>" in said:
                    name = getattr(node, "name", "the module")
                    yield f"{path.relative_to(ROOT)}: {name}", said


EXAMPLES = dict(examples())


@pytest.mark.parametrize("place", EXAMPLES)
def test_examples_run(place):
    text = EXAMPLES[place]
    found = doctest.DocTestParser().get_doctest(text, dict(GLOBALS), place, place, 0)
    if TRAINS.search(text):
        Reader().visit(ast.parse(GIVEN + "".join(example.source for example in found.examples)))
        return
    wrong = []
    doctest.DocTestRunner(verbose=False).run(found, out=wrong.append)
    assert not wrong, "".join(wrong)
