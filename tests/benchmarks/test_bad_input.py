"""The first bad inputs of each kind of `benchmarks.bad_input` are refused in a sentence."""

import pytest

from benchmarks.bad_input import command_kinds, measure, prepare, python_kinds

KINDS = {f"{kind.over}: {kind.what}": kind for kind in (*python_kinds(), *command_kinds())}


@pytest.mark.parametrize("name", KINDS)
def test_bad_inputs_are_refused(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    prepare(tmp_path)
    found, wrong = measure(KINDS[name], 2)
    assert set(found) == {"refused"}, wrong
