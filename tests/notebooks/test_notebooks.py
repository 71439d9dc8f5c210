"""The notebooks: stored with the outputs of a real run, and run here at their smallest size."""

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
    notebook, text = nbformat.read(path, 4), path.read_text()
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


@each
def test_it_runs_and_shows_what_the_stored_one_shows(path, tmp_path, monkeypatch):
    monkeypatch.setenv("NOTEBOOK_SIZE", "smallest")
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", jax.config.jax_compilation_cache_dir)
    stored, ran = nbformat.read(path, 4), nbformat.read(path, 4)
    place = {"metadata": {"path": str(tmp_path)}}
    NotebookClient(ran, timeout=900, kernel_name="python3", resources=place).execute()
    assert shown(ran) == shown(stored)
    assert not list(tmp_path.iterdir()), "a notebook writes to folders of its own"
