"""Time to the first segment, and from segment to segment, beside those of another checkout.

    git worktree add /tmp/before 805cf1b
    python -m benchmarks.storing --before /tmp/before

What is checked before training (environment, network, ranges), what an experiment is known by, and
checksums of what is stored cost time. One process trains a stored sweep from this checkout, one
from the other, each with a warm compilation cache. Starts take turns, process by process, in
processor seconds beside wall seconds. Segments take turns one by one: the system stops one process
while the other trains a segment, so that both see the same machine within a second.
"""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks import harness

RESULTS = Path(__file__).parent / "results" / "storing-cpu.json"
HERE = Path(__file__).parents[1]
SEGMENTS, COUNTED = 40, 30
"""Of a run, and of these those that are compared: lengths are whole updates."""
JOBS = {
    "ppo": {"env": "CartPole-v1", "seeds": 16, "steps": 40 * 8 * 512},
    "pqn": {"env": "Breakout-MinAtar", "seeds": 2, "steps": 40 * 4096},
}
Rows = dict[str, list[float]]


def child(name: str, folder: str) -> None:
    """Train a job; say processor seconds after each segment, a line each."""
    import purejaxrl_suite as pjs

    job = JOBS[name]
    pjs.sweep(
        getattr(pjs, name),
        pjs.make(job["env"]),
        seeds=job["seeds"],
        steps=job["steps"],
        segments=SEGMENTS,
        out=Path(folder) / "run",
        announce=lambda what: None,
        on_segment=lambda progress: print(time.process_time(), flush=True),
    )


class Trained:
    """A process of a checkout that trains a job."""

    def __init__(self, tree: Path, job: str, place: Path):
        """Its cache of compiled programs lies in a place, its run in a new folder there."""
        paths = {"PYTHONPATH": f"{tree}:{HERE}", "JAX_COMPILATION_CACHE_DIR": str(place / "cache")}
        self.process = subprocess.Popen(
            [sys.executable, "-P", __file__, "--child", job, tempfile.mkdtemp(dir=place)],
            cwd=place,
            env=os.environ | paths,
            stdout=subprocess.PIPE,
            text=True,
        )

    def segment(self) -> tuple[float, float]:
        """(wall, processor so far) seconds that it takes to the end of a segment; then stop it."""
        began = time.perf_counter()
        self.process.send_signal(signal.SIGCONT)
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        self.process.send_signal(signal.SIGSTOP)
        if not line:
            raise RuntimeError(f"training ended with {self.process.poll()}")
        return time.perf_counter() - began, float(line)

    def end(self) -> None:
        """Kill it."""
        self.process.kill()
        self.process.wait()


def starts(job: str, places: dict[Path, Path], rounds: int) -> dict[str, Any]:
    """Seconds to the end of the first segment; a first round fills the caches and counts not."""
    walls, cpus = [], []
    for number in range(rounds + 1):
        found = {}
        for tree, place in list(places.items())[:: 1 if number % 2 else -1]:
            trained = Trained(tree, job, place)
            found[tree] = trained.segment()
            trained.end()
        before, now = (found[tree] for tree in places)
        print(job, "start", before, now, flush=True)
        walls.append((before[0], now[0]))
        cpus.append((before[1], now[1]))
    return {**summary("start", walls[1:]), **summary("start, processor", cpus[1:])}


def segments(job: str, places: dict[Path, Path], rounds: int) -> dict[str, Any]:
    """Seconds of a segment, its rows and its checkpoint, in turns."""
    walls = []
    for _ in range(rounds):
        pair = [Trained(tree, job, place) for tree, place in places.items()]
        for one in pair:
            one.segment()
        found = [tuple(one.segment()[0] for one in pair) for _ in range(COUNTED)]
        print(job, "segments", summary("", found), flush=True)
        for one in pair:
            one.end()
        walls += found
    return summary("segment", walls)


def summary(what: str, pairs: list[Any]) -> dict[str, Any]:
    """Medians of both, and of their ratios with quartiles."""
    ratios = sorted(now / before for before, now in pairs)
    quarter = len(ratios) // 4
    return {
        f"{what}, before": median(before for before, _ in pairs),
        f"{what}, now": median(now for _, now in pairs),
        f"{what}, ratio": median(ratios),
        f"{what}, quartiles of ratios": [ratios[quarter], ratios[-1 - quarter]],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--before", type=Path, help="the other checkout")
    parser.add_argument("--starts", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3, help="of all segments")
    parser.add_argument("--jobs", nargs="+", default=list(JOBS), choices=list(JOBS))
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        child(*given.child)
        return
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        places = {}
        for tree, name in ((given.before.resolve(), "before"), (HERE, "now")):
            places[tree] = Path(folder) / name
            places[tree].mkdir()
        for job in given.jobs:
            rows.append({"job": job, **JOBS[job], **starts(job, places, given.starts)})
            rows[-1] |= segments(job, places, given.rounds)
            print(rows[-1], flush=True)
    commit = subprocess.run(
        ["git", "-C", str(given.before), "rev-parse", "--short", "HEAD"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.strip()
    context = harness.context() | {"before": commit}
    harness.write_json(given.out, {"context": context, "rows": rows})


if __name__ == "__main__":
    main()
