"""Save data sets in folders: a record with checksums, and arrays that numpy reads by itself.

dataset.json   the record, shapes and dtypes of all arrays, checksums
arrays.npz     the arrays by name
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax

from purejaxrl_suite.core import tree
from purejaxrl_suite.core.types import Transition
from purejaxrl_suite.sweeps import saved
from purejaxrl_suite.sweeps.curves import made_with

RECORD = "dataset.json"


def write(path: str | Path, steps: Transition, record: Mapping[str, Any]) -> None:
    """Write steps and their record to a folder, new or empty, which appears when it is complete.

    Raises:
        ValueError: the folder is not empty or cannot be written, or the `extras` are no nested
            dicts with names without dots.
    """
    if jax.tree.structure(_restored(tree.named(steps))) != jax.tree.structure(steps):
        raise ValueError("steps.extras: expected nested dicts whose names have no dots, got others")
    saved.write(path, {"record": dict(record)} | made_with(), steps, RECORD)


def read(path: str | Path) -> tuple[Transition, dict[str, Any]]:
    """Read the steps, as numpy arrays, and their record.

    Raises:
        ValueError: a file is missing or damaged, which is named, or it is no data set.
    """
    content, arrays = saved.read_arrays(path, RECORD, "a saved data set")
    return _restored(arrays), content["record"]


def _restored(named: Mapping[str, Any]) -> Transition:
    """Undo `tree.named`."""
    fields: dict[str, Any] = {"extras": {}}
    for name, leaf in named.items():
        *inside, last = name.split(".")
        place = fields
        for part in inside:
            place = place.setdefault(part, {})
        place[last] = leaf
    return Transition(**fields)
