"""What `out`, `resume` and `overwrite` mean: whose a folder is, and how it changes hands.

A run in a folder is new, or of this very experiment and goes on; another experiment is refused. To
overwrite is to give the folder to a new run: what says what that is is first written under another
name, which then takes the place of the old folder (`files.replacing`). So the old run is whole
until the new one is there, and never are settings of one beside curves of another.
"""

from contextlib import nullcontext, suppress
from datetime import UTC, datetime
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, NamedTuple

from purejaxrl_suite.core import argument
from purejaxrl_suite.sweeps import files
from purejaxrl_suite.sweeps.curves import made_with
from purejaxrl_suite.sweeps.store import Sweep, claimed

RECORDS = "config.json", "sweep.json"
"""Files whose checksum tells that a folder is of a run: names alone can be anybody's."""
LEFT = ("*-[0-9]*.partial",)
"""What killed processes leave behind."""
OURS = (
    *("config.json", "sweep.json", "curves.zarr", "curves.csv", "curves.nc", "curves.parquet"),
    *("curves.csv.json", "report.html", "policy.gif", "policy.html", "tensorboard", "figures"),
    *("figures/learning_curve*.png", "figures/success.png", "figures/sensitivity*.png"),
    *("figures/map_*.png", "group-[0-9][0-9][0-9]", "group-*/chunk-[0-9][0-9][0-9]"),
    "group-*/selection-*.json",
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
        check_empty(sweep.path, how.overwrite)
        files.check_writable(sweep.path)
        return Entered(None, how.overwrite and bool(_holds(sweep.path, (*LEFT, "config.json"))))
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
    check_empty(sweep.path, how.overwrite)
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
    """Take back what a run was killed over while it replaced it, for who wants to read.

    While a process that lives replaces it nothing is touched: it is about to be there.
    """
    path = files.resolve(path)
    if not path.exists() and files.replaced(path):
        with suppress(ValueError), claimed(path):
            files.recover(path)


def _holds(path: Path, known: tuple[str, ...]) -> list[str]:
    """Names in the folder, and one below in its figures and groups, that are none of these."""
    parents = [path, *path.glob("figures"), *path.glob("group-*")]
    found = [one for parent in parents if parent.is_dir() for one in files.content(parent)]
    names = sorted(one.relative_to(path).as_posix() for one in found)
    return [name for name in names if not any(fnmatch(name, pattern) for pattern in known)]


def _is_record(path: Path) -> bool:
    try:
        files.read_json(path)
    except (OSError, ValueError):
        return False
    return True


def check_empty(path: Path, overwrite: bool) -> None:
    """Raise ValueError where the folder holds what must stay."""
    if path.exists() and not path.is_dir():
        raise ValueError(f"{path} is a file: expected a folder")
    known = LEFT if overwrite else (*LEFT, ".*")
    if any(_is_record(path / name) for name in RECORDS):
        known += OURS if overwrite else ("config.json",)
    other = _holds(path, known)
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
