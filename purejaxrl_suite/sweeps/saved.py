"""Save a tree of arrays in a folder, with a record: the format of policies and data sets.

policy.json    the record, shapes and dtypes of all arrays, checksums; of data sets: dataset.json
arrays.npz     the arrays by name, to be read with numpy alone if need be
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from purejaxrl_suite.core import tree
from purejaxrl_suite.core.argument import place
from purejaxrl_suite.core.types import PyTree
from purejaxrl_suite.sweeps import files
from purejaxrl_suite.sweeps.curves import made_with
from purejaxrl_suite.sweeps.identity import PROGRAM, changes, flat

RECORD, ARRAYS = "policy.json", "arrays.npz"


def write(path: str | Path, record: Mapping[str, Any], arrays: PyTree, name: str = RECORD) -> None:
    """Write arrays to a folder, new or empty, which appears when it is complete.

    Args:
        path: the folder.
        record: what is written beside the arrays.
        arrays: of JAX or numpy.
        name: of the file of the record.

    Raises:
        ValueError: the folder is not empty, or cannot be written.
    """
    path = files.resolve(place("path", path, "a folder"))
    if path.exists() and not (path.is_dir() and not files.content(path)):
        raise ValueError(f"expected a new or empty folder, got {path}: something is there already")
    files.check_writable(path.parent)
    named = tree.named(tree.to_host(arrays))
    with files.replacing(path) as new:
        new.mkdir()
        np.savez_compressed(new / ARRAYS, **named)
        content = {"arrays": _describe(named), "files": files.manifest(new)}
        files.write_json(new / name, {**record, **content})


def read(
    path: str | Path,
    expected: Mapping[str, Any],
    like: Mapping[str, PyTree],
    program: Callable[[], str],
) -> Any:
    """Read what `write` wrote, as arrays on the device in the structure of `like`.

    Args:
        path: the folder.
        expected: the record that it must have, compared first.
        like: arrays or their shapes; `env_params` keep their saved dtypes.
        program: returns the digest of the present program, compared if versions and kind of device
            are those that saved it.

    Returns:
        The arrays.

    Raises:
        ValueError: a part differs, or a file is missing or damaged; the message names it.
    """
    path, saved = _record(path, RECORD, "a saved policy")
    for name, ours in flat(expected).items():
        theirs = flat(saved).get(name, "missing")
        if theirs != ours:
            raise ValueError(f"{path} was saved with {name} {theirs}, here it is {ours}")
    shapes = jax.eval_shape(tree.key_data, like)
    _compare(path, saved["arrays"], _describe(tree.named(shapes)))
    if not changes(saved, made_with()) and saved[PROGRAM] != program():
        raise ValueError(
            f"{path} was saved by another program: all names agree, but functions of agent, "
            "network or environment differ"
        )
    named = _arrays(path, saved)
    leaves = [named[name] for name in tree.named(shapes)]
    found = jax.tree.unflatten(jax.tree.structure(shapes), leaves)
    return jax.tree.map(jax.numpy.asarray, tree.from_host(like, found))


def read_arrays(
    path: str | Path, name: str, what: str
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Read the record and the arrays that `write` wrote, whatever they are.

    Args:
        path: the folder.
        name: of the file of the record.
        what: is expected, for messages.

    Returns:
        The record, and the arrays by name.

    Raises:
        ValueError: a file is missing or damaged; the message names it.
    """
    path, saved = _record(path, name, what)
    return saved, _arrays(path, saved)


def _record(path: str | Path, name: str, what: str) -> tuple[Path, dict[str, Any]]:
    path = files.resolve(place("path", path, what))
    if not (path / name).exists():
        raise ValueError(f"expected {what}, got {path}: {_instead(path, name)}")
    return path, files.read_json(path / name)


def _arrays(path: Path, saved: Mapping[str, Any]) -> dict[str, np.ndarray]:
    files.verify(path, saved["files"])
    with np.load(path / ARRAYS) as stored:
        # numpy has no bfloat16: it reads bytes, whose dtype is in the record
        return {name: _typed(stored[name], form) for name, form in saved["arrays"].items()}


def _instead(path: Path, name: str) -> str:
    if not path.exists():
        return "there is no such folder"
    if (path / "sweep.json").exists():
        return "it is the folder of a run, pjs.load reads those"
    return f"{path / name} is missing"


def _describe(named: Mapping[str, Any]) -> dict[str, str]:
    return {name: f"{x.dtype}{list(x.shape)}" for name, x in named.items()}


def _typed(array: np.ndarray, description: str) -> np.ndarray:
    return array.view(jax.numpy.dtype(description.partition("[")[0]))


def _compare(path: Path, saved: Mapping[str, str], ours: Mapping[str, str]) -> None:
    for name in dict.fromkeys((*saved, *ours)):
        there, here = saved.get(name, "missing"), ours.get(name, "missing")
        free = name.startswith("env_params") and "missing" not in (there, here)  # dtypes may differ
        if there.partition("[")[2] != here.partition("[")[2] if free else there != here:
            raise ValueError(f"{path} was saved with {name} {there}, here it is {here}")
