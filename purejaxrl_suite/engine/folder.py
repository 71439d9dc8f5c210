"""What `out`, `resume` and `overwrite` mean: whose a folder is, and how it changes hands.

A run in a folder is new, or of this very experiment and goes on; another experiment is refused. To
overwrite is to give the folder to a new run: what says what that is is first written under another
name, which then takes the place of the old folder (`files.replacing`). So the old run is whole
until the new one is there, and never are settings of one beside curves of another.
"""

from contextlib import nullcontext
from datetime import UTC, datetime
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, NamedTuple

from purejaxrl_suite.core import argument
from purejaxrl_suite.engine import files
from purejaxrl_suite.engine.curves import made_with
from purejaxrl_suite.engine.store import Sweep

BEGUN = ("config.json", "*.lock", "*.partial")
"""What may be in a folder in which nothing was trained yet."""
OURS = (
    *BEGUN,
    "sweep.json",
    "curves.*",
    "group-*",
    "members",
    "figures",
    "report.html",
    "policy.*",
    "tensorboard",
)
"""What the suite writes into the folder of a run; nothing else is ever deleted."""


class How(NamedTuple):
    """How a folder is to be entered.

    resuming: there must be something. overwrite: what is there is replaced, unless it is this very
    experiment and not finished: then that goes on. accept_changes: see `Sweep.go_on`.
    """

    resuming: bool = False
    overwrite: bool = False
    accept_changes: bool = False


class Entered(NamedTuple):
    """sizes: of the run that goes on, None where one begins. replaces: whether it takes a place."""

    sizes: dict[str, Any] | None
    replaces: bool = False


def choose(out: str | Path | None, resume: str | Path | None) -> Path | None:
    """The folder that was named, None for a run in memory."""
    if out is not None and resume is not None:
        raise ValueError("out and resume: expected one of them; with out a run goes on, too")
    folder = argument.path("out", out, "a folder") or argument.path("resume", resume, "a folder")
    return None if folder is None else Path(folder)


def enter(sweep: Sweep, identity: dict[str, Any], how: How) -> Entered:
    """Find out what is in a folder, and remove what killed processes left there.

    Raises ValueError where the folder is of something else, or cannot be written.
    """
    files.recover(sweep.path)
    sweep.clean()
    if not (sweep.path / "sweep.json").exists() and not how.resuming:
        _check_empty(sweep.path, how.overwrite)
        files.check_writable(sweep.path)
        return Entered(None, how.overwrite and bool(_holds(sweep.path, BEGUN)))
    try:
        sizes, finished = sweep.open(identity), sweep.finished()
        if not finished:
            files.check_writable(sweep.path)
            sweep.go_on(identity, accept_changes=how.accept_changes)
        if not (how.overwrite and finished):
            return Entered(sizes)
    except ValueError:
        if not how.overwrite:
            raise
    _check_empty(sweep.path, how.overwrite)
    files.check_writable(sweep.path.parent)
    return Entered(None, replaces=True)


def begin(
    sweep: Sweep,
    identity: dict[str, Any],
    sizes: dict[str, Any],
    record: dict[str, Any],
    *,
    replaces: bool,
) -> None:
    """Write config.json and sweep.json of a new run; from then on the folder is its own."""
    now = {"started": datetime.now(UTC).isoformat(timespec="seconds"), "sizes": sizes}
    with files.replacing(sweep.path) if replaces else nullcontext(sweep.path) as place:
        files.write_json(place / "config.json", record | now | made_with() | {"record": identity})
        Sweep(place).create(identity, sizes, made_with())


def settle(path: str | Path) -> None:
    """Take back what a run was killed over while it replaced it, for who wants to read."""
    path = files.resolve(path)
    if not path.exists():
        files.recover(path)


def _holds(path: Path, known: tuple[str, ...]) -> list[str]:
    """Names in the folder that are none of these."""
    if not path.exists():
        return []
    names = sorted(one.name for one in path.iterdir())
    return [name for name in names if not any(fnmatch(name, pattern) for pattern in known)]


def _check_empty(path: Path, overwrite: bool) -> None:
    """Raise ValueError where the folder holds what must stay."""
    if path.exists() and not path.is_dir():
        raise ValueError(f"{path} is a file: expected a folder")
    other = _holds(path, OURS if overwrite else (*BEGUN, ".*"))
    if not other:
        return
    if overwrite:
        raise ValueError(
            f"{path} holds {other[0]}, which no run has written: move it, or choose another folder"
        )
    raise ValueError(
        f"{path} is not empty and holds no run to go on with ({path / 'sweep.json'} is missing): "
        "choose another folder"
    )
