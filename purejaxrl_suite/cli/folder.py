"""Run folders of the command line: config.json, figures/ and printed reports."""

import dataclasses
import hashlib
import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from purejaxrl_suite.cli.flags import PROGRAM, Given

HOW = ("out", "overwrite", "memory", "segments", "checkpoint_every", "accept_changes")
"""Flags of execution and storage, which do not change what is trained."""

LATER = ("lag", "actors", "restarts", "actor_devices", "learner_devices")
"""Flags of environments on the host; no part of a folder's name where they are not given."""


def default(given: Given, prefix: str = "") -> Path:
    """Choose the folder of a command without `--out`: one for each combination of settings.

    Its name has the agent, the environments, and eight digits computed from all settings.
    """
    flags = dataclasses.asdict(given.flags) | dataclasses.asdict(given.fleet)
    parts = given.config, given.hypers, given.network_flags
    settings = {name: x for name, x in flags.items() if name not in HOW}
    settings = {name: x for name, x in settings.items() if x is not None or name not in LATER}
    settings |= {f"sparse.{name}": x for name, x in given.sparse_flags.given().items()}
    settings |= {f"auxiliary.{name}": x for name, x in given.auxiliary_flags.given().items()}
    text = json.dumps([settings, *(one._asdict() for one in parts)], sort_keys=True, default=_name)
    unique = hashlib.blake2b(text.encode(), digest_size=4).hexdigest()
    words = [*filter(None, [prefix]), given.name, *given.flags.env, unique]
    return Path("runs") / "-".join(words).replace(":", ".").replace("/", ".")


def _name(x: Any) -> str:
    return getattr(x, "__qualname__", None) or str(x)


def record(given: Given) -> dict[str, Any]:
    """Record what only the command line knows of a run: words, flags by name, and commit."""
    return {
        "command": [PROGRAM, *given.command],
        "commit": commit(),
        "network": given.network_flags._asdict(),
        "auxiliary": given.auxiliary_flags.given(),
        "sparse": given.sparse_flags.given(),
    }


def read_record(folder: Path) -> dict[str, Any]:
    """Read config.json, {} if there is none; ValueError if it is damaged."""
    from purejaxrl_suite.sweeps.files import read_json

    path = folder / "config.json"
    return read_json(path) if path.exists() else {}


def read_command(folder: Path) -> tuple[str, list[str]]:
    """Read the command that wrote the folder, and its words; ValueError if there is none."""
    from purejaxrl_suite.sweeps.folder import settle

    settle(folder)
    if not folder.is_dir():
        raise ValueError(f"{folder}: expected the folder of a run, but there is no such folder")
    known = read_record(folder)
    if not known:
        raise ValueError(f"{folder} holds no run: it has no config.json")
    match known.get("command"):
        case [str(), str(command), *words] if all(isinstance(word, str) for word in words):
            return command, words
    raise ValueError(
        f"{folder} was not written by `{PROGRAM} train` or `sweep`, but from Python, where the "
        "same call goes on with it"
    )


def show(
    folder: Path,
    curves: Any,
    metric: str | None = None,
    pair: tuple[str, str] | None = None,
) -> None:
    """Print the table of a run (of a sweep, its best configurations), and write the figures.

    Args:
        folder: of the run.
        curves: of the run.
        metric: shown, and by which configurations are ordered; None is the first one.
        pair: two settings that a sweep varied, for a map of them.
    """
    from rich import print as print_table

    from purejaxrl_suite import report
    from purejaxrl_suite.report.configurations import configurations, main_metric

    found = configurations(curves)
    several, metric = len(found) > 1, metric or main_metric(found)
    print_table(report.best(curves, metric) if several else report.table(curves))
    write_figures(folder, curves, metric, pair)


def read(folder: Path, reader: Callable[..., Any]) -> tuple[Any, str]:
    """Read a run by `load` or `curves`; print and return a note on missing parts.

    Raises:
        ValueError: nothing can be read, or functions are needed that no command knows.
    """
    notes: list[str] = []
    try:
        found = reader(folder, announce=notes.append)
    except ValueError as error:
        if "pass " not in str(error):
            raise
        raise ValueError(
            f"{error}; no command can: in Python `pjs.load({str(folder)!r}, ...)` takes them, and "
            "`report` has functions that do what commands do"
        ) from None
    print(*notes, sep="\n", end="\n" * bool(notes))
    return found, ". ".join(notes)


def check_writable(folder: Path) -> None:
    """Raise ValueError if a command cannot write, before it draws; the message suggests --out."""
    from purejaxrl_suite.sweeps import files

    try:
        files.check_writable(folder)
    except ValueError as error:
        raise ValueError(f"{error}; --out names another place") from None


def write_figures(
    folder: Path,
    curves: Any,
    metric: str | None = None,
    pair: tuple[str, str] | None = None,
) -> None:
    """Write figures/ of a run folder: learning curves, and for a sweep the sensitivity.

    Args:
        folder: of the run.
        curves: of the run.
        metric: that is shown; None is the first one.
        pair: two settings that a sweep varied, for a map of them.
    """
    from purejaxrl_suite import report
    from purejaxrl_suite.report.configurations import configurations, main_metric, parameters
    from purejaxrl_suite.report.plain import in_file_name

    figures = folder / "figures"
    first = main_metric(configurations(curves))
    metric = metric or first
    end, shown = ("", None) if metric == first else (in_file_name(f"_{metric}"), metric)
    report.learning_curves(curves, shown, figures / f"learning_curve{end}.png")
    if "success" in curves:
        report.learning_curves(curves, "success", figures / "success.png")
    if parameters(configurations(curves)):
        report.sensitivity(curves, metric, figures / f"sensitivity{end}.png")
    if pair is not None:
        path = figures / f"map_{in_file_name('_'.join(pair))}{end}.png"
        report.sensitivity(curves, metric, path, pair)


def commit() -> str | None:
    """Return the commit of the current repository, marked if files differ from it; None if none."""
    command = ["git", "describe", "--always", "--abbrev=40", "--dirty", "--exclude=*"]
    try:
        found = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return None
    return found.stdout.strip() or None
