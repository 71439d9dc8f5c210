"""The notebooks: stored with the outputs of a real run, and run here at their smallest size."""

import os
import re
from pathlib import Path

import jax
import nbformat
import pytest
from nbclient import NotebookClient

from purejaxrl_suite.sweeps import display

FOLDER = Path(__file__).resolve().parents[2] / "notebooks"
PATHS = sorted(FOLDER.glob("*.ipynb"))
PICTURE, WHOLE = 300_000, 1_000_000
"""Bytes of a picture and of a notebook at most."""

each = pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)


def stored(path):
    return nbformat.read(path, 4)


def programs(notebook):
    """The cells that are run."""
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def shown(notebook):
    """Of each cell, the kinds of its outputs, bars of progress aside: text, a picture, a table."""
    return [
        {
            kind
            for output in cell.outputs
            if output.get("metadata") != display.NOTEBOOK
            for kind in output.get("data", [output.get("name")])
        }
        for cell in programs(notebook)
    ]


def test_they_are_found():
    assert len(PATHS) >= 3


@each
def test_it_is_stored_with_the_outputs_of_one_run(path):
    notebook, text = stored(path), path.read_text()
    assert len(text) <= WHOLE
    assert not re.search("/(tmp|home|root)/", text)
    cells = programs(notebook)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell.outputs]
    pictures = [
        output.data["image/png"] for output in outputs if "image/png" in output.get("data", {})
    ]
    assert pictures and max(map(len, pictures)) <= PICTURE
    assert not any(output.get("name") == "stderr" or "ename" in output for output in outputs)


TRAINED = ("01_quickstart", "02_sweeps", "06_reincarnation")
"""In the others `make test` traces what would be trained, and makes up what it would have given."""
FORGET, PRETEND = "%reset -f", "from tests.notebooks import untrained; untrained.install()"


def run(cells, folder, monkeypatch):
    """The notebook of these cells, run from top to bottom in a kernel of its own."""
    root = str(FOLDER.parent)
    paths = [root, *filter(None, [os.environ.get("PYTHONPATH")])]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths))
    monkeypatch.setenv("NOTEBOOK_SIZE", "smallest")
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", jax.config.jax_compilation_cache_dir)
    ran, place = nbformat.v4.new_notebook(cells=cells), {"metadata": {"path": str(folder)}}
    options = {"timeout": 900, "startup_timeout": 300, "kernel_name": "python3"}
    options["allow_errors"] = True
    NotebookClient(ran, resources=place, **options).execute()
    return ran.cells


def assert_it_shows_what_is_stored(path, cells):
    ran = nbformat.v4.new_notebook(cells=cells)
    outputs = [output for cell in programs(ran) for output in cell.outputs]
    errors = ["\n".join(output["traceback"]) for output in outputs if "ename" in output]
    assert not errors, errors[0]
    assert shown(ran) == shown(stored(path))


@pytest.fixture(scope="module")
def together(tmp_path_factory):
    """{path: its cells as they ran} of all notebooks, one after the other in one kernel."""
    folder, cells, parts = tmp_path_factory.mktemp("kernel"), [], {}
    for path in sorted(PATHS, key=lambda path: path.stem not in TRAINED):
        forget = FORGET if path.stem in TRAINED else f"{FORGET}\n{PRETEND}"
        cells.append(nbformat.v4.new_code_cell(forget))
        found = [nbformat.v4.new_code_cell(cell.source) for cell in programs(stored(path))]
        parts[path] = slice(len(cells), len(cells) + len(found))
        cells += found
    with pytest.MonkeyPatch.context() as patch:
        ran = run(cells, folder, patch)
    assert not list(folder.iterdir()), "a notebook writes to folders of its own"
    return {path: ran[part] for path, part in parts.items()}


@each
def test_it_shows_what_the_stored_one_shows(path, together):
    assert_it_shows_what_is_stored(path, together[path])


@pytest.mark.slow
@each
def test_it_runs_by_itself_and_trains(path, tmp_path, monkeypatch):
    ran = run(stored(path).cells, tmp_path, monkeypatch)
    assert_it_shows_what_is_stored(path, ran)
    assert not list(tmp_path.iterdir()), "a notebook writes to folders of its own"
