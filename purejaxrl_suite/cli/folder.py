"""Run folders: config.json, curves.zarr and figures/; of sweeps sweep.json and checkpoints, too."""

import dataclasses
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from purejaxrl_suite.cli.flags import PROGRAM, Given


def check_empty(folder: Path, overwrite: bool | None = None) -> None:
    """Raise ValueError where the folder holds something that must stay.

    overwrite: whether that was offered and given.
    """
    if (folder / "sweep.json").exists():
        raise ValueError(
            f"--out: {folder} holds a sweep already; `{PROGRAM} resume {folder}` goes on with it"
        )
    if folder.exists() and any(folder.iterdir()) and not overwrite:
        offer = "" if overwrite is None else " or pass --overwrite"
        raise ValueError(f"--out: {folder} is not empty; choose another{offer}")


def write_record(folder: Path, given: Given, **known: str) -> None:
    """Write config.json at once: command, settings, versions, commit, device, what is `known`."""
    from purejaxrl_suite.engine.curves import made_with
    from purejaxrl_suite.engine.files import write_json

    record = {
        "command": [PROGRAM, *given.command],
        "written": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": commit(),
        "agent": given.name,
        **dataclasses.asdict(given.flags),
        **dataclasses.asdict(given.fleet),
        "config": given.config._asdict(),
        "hypers": given.hypers._asdict(),
        "network": given.network_flags._asdict(),
        **made_with(),
        **known,
    }
    write_json(folder / "config.json", record)


def read_record(folder: Path) -> dict[str, Any]:
    """The content of config.json, {} where there is none."""
    from purejaxrl_suite.engine.files import read_json

    path = folder / "config.json"
    return read_json(path) if path.exists() else {}


def read_command(folder: Path) -> tuple[str, list[str]]:
    """The command that the folder was written by, and its words; ValueError if there is none."""
    record = read_record(folder)
    if not record:
        raise ValueError(
            f"{folder} was not written by `{PROGRAM} train` or `sweep`: it has no config.json"
        )
    _, command, *words = record["command"]
    return command, words


def write_figures(
    folder: Path,
    curves: Any,
    metric: str = "episode_return",
    pair: tuple[str, str] | None = None,
) -> None:
    """Write figures/ of a run folder: learning curves, and of a sweep what was varied.

    pair: two settings that a sweep varied, for a map of them.
    """
    from purejaxrl_suite import report
    from purejaxrl_suite.report.configurations import configurations, parameters
    from purejaxrl_suite.report.plain import in_file_name

    figures = folder / "figures"
    end = "" if metric == "episode_return" else in_file_name(f"_{metric}")
    report.learning_curves(curves, metric, figures / f"learning_curve{end}.png")
    if "success" in curves:
        report.learning_curves(curves, "success", figures / "success.png")
    if parameters(configurations(curves)):
        report.sensitivity(curves, metric, figures / f"sensitivity{end}.png")
    if pair is not None:
        path = figures / f"map_{in_file_name('_'.join(pair))}{end}.png"
        report.sensitivity(curves, metric, path, pair)


def commit() -> str | None:
    """The commit of the repository we stand in, marked where files differ from it; None if none."""
    command = ["git", "describe", "--always", "--abbrev=40", "--dirty", "--exclude=*"]
    try:
        found = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return None
    return found.stdout.strip() or None
