"""Time to the first segment, and from segment to segment, beside those of another checkout.

    git worktree add /tmp/before 805cf1b
    python -m benchmarks.storing --before /tmp/before

What is checked before training (environment, network, ranges), what an experiment is known by, and
checksums of what is stored cost time; where an update is a single step, as of SAC, so do its row
and its start states. One process trains a stored sweep from this checkout, one
from the other, each with a warm compilation cache. They take turns while they train: the system
stops one while the other runs for a quarter of a second of its start, or for a segment, so that
both see the same machine. Starts are compared in processor seconds, segments in both.
"""

import argparse
import inspect
import os
import select
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
    "sac": {"env": "Pendulum-v1", "seeds": 1, "steps": 40 * 200},
    "sac-8": {"env": "Pendulum-v1", "seeds": 8, "steps": 40 * 50},
}
"""By the name of the agent; of its two jobs the second has more seeds."""
SLICE = 0.25


def child(name: str, folder: str) -> None:
    """Train a job; say processor seconds after each segment, a line each."""
    import purejaxrl_suite as pjs

    job = JOBS[name]
    # The other checkout may be from before progress was shown.
    known = "progress" in inspect.signature(pjs.sweep).parameters
    quiet: Any = {"progress": False} if known else {"announce": lambda what: None}
    pjs.sweep(
        getattr(pjs, name.partition("-")[0]),
        pjs.make(job["env"]),
        seeds=job["seeds"],
        steps=job["steps"],
        segments=SEGMENTS,
        out=Path(folder) / "run",
        **quiet,
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
            bufsize=1,
        )

    def run(self, seconds: float | None = None) -> str | None:
        """Let it run until it says something, or for some seconds: what it says."""
        assert self.process.stdout is not None
        self.process.send_signal(signal.SIGCONT)
        told = select.select([self.process.stdout], [], [], seconds)[0]
        line = self.process.stdout.readline() if told else None
        self.process.send_signal(signal.SIGSTOP)
        if line == "":
            raise RuntimeError(f"training ended with {self.process.poll()}")
        return line

    def end(self) -> None:
        """Kill it."""
        self.process.kill()
        self.process.wait()


def started(job: str, places: dict[Path, Path]) -> tuple[list[Trained], list[float]]:
    """Processes of both checkouts after their first segments, and processor seconds until then."""
    pair = [Trained(tree, job, place) for tree, place in places.items()]
    told: list[str | None] = [None] * len(pair)
    while None in told:
        for i, one in enumerate(pair):
            told[i] = told[i] or one.run(SLICE)
    return pair, [float(line or 0) for line in told]


def compare(job: str, places: dict[Path, Path], rounds: int) -> dict[str, Any]:
    """Seconds of both; a first round fills the caches and counts not."""
    starts, walls, works = [], [], []
    for number in range(rounds + 1):
        pair, used = started(job, places)
        if number:
            starts.append(used)
            for _ in range(COUNTED):
                found = [segment(one) for one in pair]
                walls.append([wall for wall, _ in found])
                works.append([told - before for (_, told), before in zip(found, used, strict=True)])
                used = [told for _, told in found]
        print(job, number, summary("start", starts), summary("segment", walls), flush=True)
        print(job, number, summary("segment's processor", works), flush=True)
        for one in pair:
            one.end()
    parts = {"start": starts, "segment": walls, "segment's processor": works}
    return {name: x for what, pairs in parts.items() for name, x in summary(what, pairs).items()}


def segment(trained: Trained) -> tuple[float, float]:
    """Wall time of a segment, its rows and its checkpoint; and processor seconds until its end."""
    began = time.perf_counter()
    told = trained.run()
    return time.perf_counter() - began, float(told or 0)


def summary(what: str, pairs: list[Any]) -> dict[str, Any]:
    """Medians of both, and of their ratios with quartiles; nothing of nothing."""
    if not pairs:
        return {}
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
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--jobs", nargs="+", default=list(JOBS), choices=list(JOBS))
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        child(*given.child)
        return
    before = git(given.before, "rev-parse", "--short", "HEAD")
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        places = {}
        for tree, name in ((given.before.resolve(), "before"), (HERE, "now")):
            places[tree] = Path(folder) / name
            places[tree].mkdir()
        for job in given.jobs:
            rows.append({"job": job, **JOBS[job], **compare(job, places, given.rounds)})
            context = harness.context() | {"before": before}
            harness.write_json(given.out, {"context": context, "rows": rows})
            print(rows[-1], flush=True)


def git(tree: Path, *words: str) -> str:
    """What git says of a checkout."""
    command = ["git", "-C", str(tree), *words]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


if __name__ == "__main__":
    main()
