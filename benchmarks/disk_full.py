"""Fill the disk under a sweep, at many sizes, make room, go on, and compare with the untouched one.

    python -m benchmarks.disk_full --sizes 20

The disk is a tmpfs that is too small for the sweep, which only root may mount. What is training
must end with an error that says what is the matter, in three lines at most; with a larger disk it
goes on, to the same bits.
"""

import argparse
import functools
import logging
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks import damage, harness, kill

RESULTS = Path(__file__).parent / "results" / "disk-full-cpu.json"
PAGE = 4096
ENOUGH = 64 << 20


@contextmanager
def disk(folder: Path) -> Iterator[Path]:
    """A disk of its own, mounted for a while; PermissionError where that is not allowed."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={ENOUGH}", "tmpfs", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise PermissionError(done.stderr.strip())
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def resize(folder: Path, size: int) -> None:
    """Give the disk another size, in bytes."""
    command = ["mount", "-o", f"remount,size={max(size, PAGE)}", str(folder)]
    subprocess.run(command, check=True, capture_output=True)


def make_sweep() -> Any:
    """A sweep to train again and again: (where) -> Result."""
    import purejaxrl_suite as pjs

    agent, env = damage.make_agent()
    return functools.partial(
        pjs.sweep,
        lambda *_: agent,
        env,
        hypers=pjs.search.grid(pjs.PPOHypers(), learning_rate=[1e-3, 1e-2]),
        seeds=2,
        steps=32 * 12,
        segments=6,
        progress=False,
    )


def fill(sizes: int, disk: Path) -> list[dict[str, Any]]:
    """What becomes of a sweep at each size of the disk."""
    logging.getLogger("absl").setLevel(logging.CRITICAL)  # orbax logs what is raised here
    sweep = make_sweep()
    expected = damage.numbers(sweep(out=disk / "whole"))
    needed = disk_usage(disk)
    shutil.rmtree(disk / "whole")
    rows = []
    for number in range(sizes):
        size = PAGE * round(needed * (number + 0.5) / sizes / PAGE)
        resize(disk, size)
        error = attempt(sweep, disk / "run")
        resize(disk, ENOUGH)
        word = "resume" if (disk / "run" / "sweep.json").exists() else "out"
        equal = damage.same(damage.numbers(sweep(**{word: disk / "run"})), expected)
        shutil.rmtree(disk / "run")
        rows.append({"size": size, "of": needed, "error": error, "equal": equal})
        print(rows[-1], flush=True)
    return rows


def attempt(sweep: Any, folder: Path) -> str | None:
    """The error that training ends with, None if it does not."""
    try:
        sweep(out=folder)
    except (OSError, ValueError) as error:
        return str(error)
    return None


def disk_usage(disk: Path) -> int:
    """Bytes that are taken."""
    return shutil.disk_usage(disk).used


def clear(error: str | None) -> bool:
    """Whether an error says in few lines that there was no space."""
    return error is None or ("space" in error.lower() and len(error.splitlines()) <= 3)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, default=20)
    parser.add_argument("--out", type=Path, default=RESULTS)
    given = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as folder,
        disk(Path(folder) / "disk") as small,
        kill.shared_programs(),
    ):
        rows = fill(given.sizes, small)
    found = {
        "sizes": len(rows),
        "full": sum(row["error"] is not None for row in rows),
        "clear": sum(clear(row["error"]) for row in rows),
        "equal": sum(row["equal"] for row in rows),
    }
    print(found)
    harness.write_json(given.out, {"context": harness.context(), "rows": [found]})
    return int(found["clear"] < len(rows) or found["equal"] < len(rows))


if __name__ == "__main__":
    sys.exit(main())
