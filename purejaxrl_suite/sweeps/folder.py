"""Run folders: the meaning of `out`, `resume` and `overwrite`.

A run in a folder is new, or it resumes the same experiment; another experiment is refused.
`overwrite` gives the folder to a new run: its settings are first written to a temporary folder,
which then replaces the old one (`files.replacing`). So the old run is intact until the new one
exists, and settings of one are never beside curves of the other.
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
"""Files that identify the folder of a run by their checksums; names alone could be anyone's."""
LEFT = ("*-[0-9]*.partial",)
"""Names that killed processes leave behind."""
OURS = (
    *("config.json", "sweep.json", "curves.zarr", "curves.csv", "curves.nc", "curves.parquet"),
    *("curves.csv.json", "report.html", "policy.gif", "policy.html", "tensorboard", "figures"),
    *("figures/learning_curve*.png", "figures/success.png", "figures/sensitivity*.png"),
    *("figures/map_*.png", "group-[0-9][0-9][0-9]", "group-*/chunk-[0-9][0-9][0-9]"),
    "group-*/selection-*.json",
)
"""Names that the suite writes into the folder of a run; nothing else is ever deleted."""


class How(NamedTuple):
    """How a folder is entered.

    resuming: it must have a run. overwrite: an existing run is replaced, unless it is the same
    experiment and unfinished, which is resumed. accept_changes: see `Sweep.go_on`.
    """

    resuming: bool = False
    overwrite: bool = False
    accept_changes: bool = False


class Entered(NamedTuple):
    """An entered folder.

    sizes: of the resumed run, None for a new one. replaces: whether it replaces another run.
    """

    sizes: dict[str, Any] | None
    replaces: bool = False


def choose(out: str | Path | None, resume: str | Path | None) -> Path | None:
    """Return the folder of `out` or `resume`, None for a run in memory."""
    if out is not None and resume is not None:
        raise ValueError("out and resume: expected one of them; with out a run goes on, too")
    folder = argument.path("out", out, "a folder") or argument.path("resume", resume, "a folder")
    return None if folder is None else Path(folder)


def enter(sweep: Sweep, identity: dict[str, Any], how: How) -> Entered:
    """Examine a folder, and remove remains of killed processes.

    Raises:
        ValueError: the folder has another experiment, or cannot be written.
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
    """Write config.json and sweep.json of a new run, which then owns the folder."""
    now = {"started": datetime.now(UTC).isoformat(timespec="seconds"), "sizes": sizes}
    with files.replacing(sweep.path) if replaces else nullcontext(sweep.path) as place:
        files.write_json(place / "config.json", record | now | made_with() | {"record": identity})
        Sweep(place).create(identity, sizes, made_with())


def settle(path: str | Path) -> None:
    """Restore a folder, before reading it, if a run was killed while replacing it.

    Nothing is done while a living process replaces it.
    """
    path = files.resolve(path)
    if not path.exists() and files.replaced(path):
        with suppress(ValueError), claimed(path):
            files.recover(path)


def _holds(path: Path, known: tuple[str, ...]) -> list[str]:
    """List names in the folder, and in its figures and groups, that are none of `known`."""
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
    """Raise ValueError if the folder has content that must stay."""
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
