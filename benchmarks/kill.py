"""End runs at every kind of write, go on, and compare with what nobody touched.

    python -m benchmarks.kill --points 400 --killed 8

Python tells of every file that is opened to write, every rename, new folder and deletion. At each
of them the run folder is copied as it is: what a process leaves that ends there, half of what other
threads write included. Of these copies as many as asked for, of every kind of write first, are gone
on with by the same call. Besides, `--killed` processes of each job end themselves with SIGKILL at a
write, or some milliseconds after one, for what no Python code writes. Curves and final states are
compared bit by bit with those of the run that nobody touched, of

    train       the command, with figures           sweep       two programs, two chunks each
    overwrite   the command over another run        population  population-based training
"""

import argparse
import contextlib
import hashlib
import io
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks import harness

RESULTS = Path(__file__).parent / "results" / "kill-cpu.json"
OVERWRITING = 0.5
"""The discount of the run that replaces another."""
WRITES = ("os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.link", "os.truncate")
COMMAND = (
    "train ppo --env CartPole-v1 --seeds 2 --steps 256 --segments 4 --config.num-envs 2 "
    "--config.rollout-length 16 --config.epochs 1 --config.minibatches 1 --network.hidden 4"
)


def command(words: str) -> None:
    """Run the command line; RuntimeError with what it said if it fails."""
    from purejaxrl_suite import cli

    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        code = cli.main(words.split())
    if code:
        raise RuntimeError(f"exit code {code}: {said.getvalue()[-500:]}")


def train(folder: Path) -> Any:
    """The command `train`, and what it left."""
    from purejaxrl_suite.cli.load import load

    command(f"{COMMAND} --out {folder}")
    return load(folder)


def overwrite(folder: Path) -> Any:
    """The command over a finished run of another experiment; until it begins, that is whole."""
    from purejaxrl_suite.cli.load import load

    command(f"{COMMAND} --hypers.gamma {OVERWRITING} --overwrite --out {folder}")
    return load(folder)


def sweep(folder: Path) -> Any:
    """Two groups of two chunks."""
    import purejaxrl_suite as pjs
    from purejaxrl_suite.sweeps import plan

    config = pjs.PPOConfig(num_envs=4, rollout_length=8, epochs=1, minibatches=2)
    with _patched(plan, "_even", lambda members, fitting, devices: 3):
        return pjs.sweep(
            pjs.ppo,
            _env(),
            hypers=pjs.search.grid(pjs.PPOHypers(), learning_rate=[1e-3, 1e-2]),
            config=pjs.search.grid(config, normalize_advantages=[True, False]),
            network=_network,
            seeds=3,
            steps=32 * 7,
            segments=4,
            checkpoint_every=2,
            out=folder,
            progress=False,
        )


def population(folder: Path) -> Any:
    """Three phases, in each of which the worst copy the best."""
    import purejaxrl_suite as pjs

    config = pjs.PPOConfig(num_envs=4, rollout_length=8, epochs=1, minibatches=2)
    return pjs.evolve(
        pjs.ppo,
        _env(),
        hypers=pjs.search.grid(pjs.PPOHypers(), learning_rate=[1e-3, 3e-3, 1e-2, 3e-2]),
        config=config,
        network=_network,
        seeds=2,
        steps=32 * 12,
        select=pjs.population_based_training({"learning_rate": (1e-4, 1.0)}),
        rungs=[2, 4],
        segments=6,
        out=folder,
        progress=False,
    )


JOBS: dict[str, Callable[[Path], Any]] = {
    "train": train,
    "overwrite": overwrite,
    "sweep": sweep,
    "population": population,
}


def _env() -> Any:
    from purejaxrl_suite.envs import probes

    return probes.action_reward()


def _network(env: Any) -> Any:
    from purejaxrl_suite import nets

    return nets.actor_critic(env.observation, env.action, hidden=(8,))


@contextlib.contextmanager
def _patched(module: Any, name: str, value: Any) -> Iterator[None]:
    before = getattr(module, name)
    setattr(module, name, value)
    try:
        yield
    finally:
        setattr(module, name, before)


def digest(result: Any) -> str:
    """Of all curves but speeds, and of all final states."""
    import jax
    import numpy as np

    found = hashlib.sha256()
    curves = result.curves.drop_vars("steps_per_second")
    for name in sorted(curves.variables):
        found.update(name.encode() + np.ascontiguousarray(curves[name].values).tobytes())
    for group, chunks in enumerate(result.chunks):
        for chunk in range(len(chunks)):
            for leaf in jax.tree.leaves(result.state(group, chunk).agent):
                found.update(np.asarray(leaf).tobytes())
    return found.hexdigest()


class Watch:
    """Calls `told(kind)` before every write in a folder, or beside it under its name."""

    def __init__(self, folder: Path, told: Callable[[str], None]):
        """Python keeps such a hook until the process ends; `stop` makes it do nothing."""
        self.root, self.told = str(folder.resolve()), told
        self.lock, self.on = threading.RLock(), True
        sys.addaudithook(self._hook)

    def stop(self) -> None:
        """Tell nothing more."""
        self.on = False

    def _hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.on or (event != "open" and event not in WRITES):
            return
        if event == "open" and not arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            return
        path, at = arguments[0], arguments[-1]
        if isinstance(path, int):
            return
        path = os.fsdecode(path)
        if event != "open" and not os.path.isabs(path) and isinstance(at, int) and at > 0:
            path = os.path.join(os.readlink(f"/proc/self/fd/{at}"), path)
        path = os.path.abspath(path)
        if path.startswith(self.root):
            with self.lock:  # others wait while one is told
                self.told(f"{event.removeprefix('os.')} {_kind(path[len(self.root) :])}")


def _kind(path: str) -> str:
    """A path without numbers, and without the names of metrics."""
    path = re.sub(r"(?<=curves.zarr/)[a-z]\w+(?=/|$)", "METRIC", path)
    path = re.sub(r"[0-9a-f]{8,}", "*", re.sub(r"\.[\w-]+-\d+\.partial", ".partial", path))
    path = re.sub(
        r"(checkpoints/)\d+", r"\1N", re.sub(r"(group|chunk|selection)-\d+", r"\1-N", path)
    )
    return re.sub(r"\d+", "N", path)


class Point(NamedTuple):
    """What came of an end at a kind of write. how: copied or killed. found: equal, or what else."""

    kind: str
    how: str
    found: str


@contextlib.contextmanager
def shared_programs() -> Iterator[None]:
    """All runs in this context share programs and their digests: files are tried, not compilers."""
    from purejaxrl_suite.sweeps import check, execute, identity, layout, record

    make_train, compile_fleet = layout.make_train, execute.compile_fleet
    trace, structure = identity.digest, record.structure
    singles, programs, digests, structures, checked = {}, {}, {}, {}, {}
    outputs = check.outputs

    def single(agent: Any, env: Any, **how: Any) -> Any:
        key = (agent.name, env.name, agent.config, str(how))
        if key not in singles:
            singles[key] = make_train(agent, env, **how)
        return singles[key]

    def compiled(one: Any, members: Any, **how: Any) -> Any:
        key = (id(one), len(members.seeds), *sorted(how.items()))
        if key not in programs:
            programs[key] = compile_fleet(one, members, **how)
        return programs[key]

    def traced(one: Any, members: Any) -> str:
        if id(one) not in digests:
            digests[id(one)] = trace(one, members)
        return digests[id(one)]

    def shapes(agent: Any, env: Any) -> Any:
        key = agent.name, env.name, agent.config
        if key not in structures:
            structures[key] = structure(agent, env)
        return structures[key]

    def once(agent: Any) -> None:
        key = agent.name, agent.observation, agent.action, agent.config
        checked[key] = checked[key] if key in checked else outputs(agent)

    with (
        _patched(check, "outputs", once),
        _patched(layout, "make_train", single),
        _patched(record, "structure", shapes),
        _patched(execute, "compile_fleet", compiled),
        _patched(identity, "digest", traced),
    ):
        yield


def finish(job: str, folder: Path) -> str:
    """Go on by the same call; the digest of what there is then, or what went wrong."""
    try:
        return digest(JOBS[job](folder))
    except Exception as error:
        return f"{type(error).__name__}: {error}"


def copies(job: str, home: Path) -> tuple[str, int, list[tuple[str, Path]]]:
    """Do a job in home / "run": the digest, its writes, and (kind, copy of home) of many.

    Copied are the first two writes of every kind, and every seventh of all.
    """
    made: list[tuple[str, Path]] = []
    place, seen, copying = home.with_name(f"{home.name}-copies"), Counter(), set()
    place.mkdir()

    def copy(kind: str) -> None:
        me = threading.get_ident()
        if me in copying:  # that is no write of the run
            return
        seen[kind] += 1
        if seen[kind] > 2 and seen.total() % 7:
            return
        copying.add(me)
        to = place / f"{len(made):04}"
        made.append((kind, to))
        with contextlib.suppress(shutil.Error):  # what has just gone
            shutil.copytree(home, to)
        copying.discard(me)

    watch = Watch(home / "run", copy)
    found = finish(job, home / "run")
    watch.stop()
    return found, seen.total(), made


def chosen(kinds: list[str], count: int, draw: random.Random) -> list[int]:
    """Places in a list of kinds: the first of each kind, kinds in any order, then any places."""
    first = [kinds.index(kind) for kind in dict.fromkeys(kinds)]
    draw.shuffle(first)
    rest = draw.sample(range(len(kinds)), len(kinds))
    return list(dict.fromkeys([*first, *rest]))[:count]


def job_points(job: str, folder: Path, count: int, killed: int, draw: random.Random) -> list[Point]:
    """The points of one job."""
    home, old = folder / job, ""
    home.mkdir()
    if job == "overwrite":
        old = finish("train", home / "run")
        shutil.copytree(home, folder / "before")
    began = time.perf_counter()
    expected, writes, made = copies(job, home)
    if finish(job, home / "run") != expected or "Error" in expected:
        raise RuntimeError(f"{job}: {expected}")
    points = []
    for number in chosen([kind for kind, _ in made], count, draw):
        kind, copy = made[number]
        found = _judge(job, copy / "run", expected, old)
        points.append(Point(kind, "copied", found))
    for i in range(killed):
        to = folder / f"{job}-killed-{i}"
        to.mkdir() if job != "overwrite" else shutil.copytree(folder / "before", to)
        at, delay = draw.randint(1, writes), draw.choice([0.0, draw.uniform(0.5, 40)])
        kind = kill(job, to / "run", at, delay)
        found = _judge(job, to / "run", expected, old)
        left = [x.name for x in to.rglob("*") if x.suffix in (".partial", ".replaced")]
        points.append(Point(kind, "killed", f"left behind: {left}" if left else found))
    shutil.rmtree(folder / f"{job}-copies", ignore_errors=True)
    kinds, seconds = len({kind for kind, _ in made}), time.perf_counter() - began
    print(f"{job}: {len(points)} of {writes} writes, {kinds} kinds, {seconds:.0f} s", flush=True)
    return points


def _judge(job: str, run: Path, expected: str, old: str) -> str:
    """Go on; "equal", or what was found instead."""
    if old and not old_or_new(run, old):
        return "neither the old run nor the new one"
    found = finish(job, run)
    return "equal" if found == expected else found


def old_or_new(folder: Path, old: str) -> bool:
    """Whether who reads sees the old run, whole, or a folder of the new one."""
    from purejaxrl_suite.cli import experiment
    from purejaxrl_suite.cli.load import load

    if experiment.stored(folder).hypers.gamma == OVERWRITING:
        return not (folder / "curves.zarr").exists() or digest(load(folder)) != old
    return digest(load(folder)) == old


def kill(job: str, run: Path, at: int, delay: float) -> str:
    """Start a job in a process that ends itself at a write; the kind of that."""
    command = [sys.executable, "-m", "benchmarks.kill", "--child", job, str(run), str(at)]
    process = subprocess.run([*command, str(delay)], capture_output=True, text=True, check=False)
    if process.returncode not in (0, -signal.SIGKILL):
        raise RuntimeError(f"{job} failed by itself:\n{process.stderr[-2000:]}")
    return process.stdout.splitlines()[-1] if process.stdout else "before the first"


def child(job: str, run: str, at: str, delay: str) -> None:
    """Do a job, and end this process so many milliseconds after write number `at`."""
    numbers, out = iter(range(1, 1 << 30)), os.dup(1)

    def die() -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def told(kind: str) -> None:
        if next(numbers) == int(at):
            os.write(out, f"{kind}\n".encode())
            threading.Timer(float(delay) / 1000, die).start() if float(delay) else die()

    Watch(Path(run), told)
    JOBS[job](Path(run))


def table(made: dict[str, list[Point]]) -> list[dict[str, Any]]:
    """A row per job, kind of write and way to end: points, and how many ended equal."""
    rows = []
    for job, points in made.items():
        for kind, how in sorted({(point.kind, point.how) for point in points}):
            found = [point.found for point in points if (point.kind, point.how) == (kind, how)]
            other = next((text for text in found if text != "equal"), "")
            row = {"job": job, "write": kind, "how": how, "points": len(found)}
            rows.append(row | {"equal": found.count("equal"), "other": other})
    return rows


def main() -> int:
    """Print a table per job and kind of write; 1 if anything ended otherwise."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--points", type=int, default=400)
    parser.add_argument("--killed", type=int, default=8, help="processes of each job")
    parser.add_argument("--jobs", nargs="+", default=list(JOBS), choices=list(JOBS))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--child", nargs=4, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        child(*given.child)
        return 0
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    draw, each = random.Random(given.seed), -(-given.points // len(given.jobs))
    with tempfile.TemporaryDirectory() as folder, shared_programs():
        os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(Path(folder) / "cache"))
        made = {job: job_points(job, Path(folder), each, given.killed, draw) for job in given.jobs}
    rows = table(made)
    for row in rows:
        print("{job:11} {how:7} {points:4} {equal:4}  {write}  {other}".format(**row))
    points, equal = (sum(row[name] for row in rows) for name in ("points", "equal"))
    print(f"together {points} points, {equal} equal")
    data = {"context": harness.context(), "points": points, "equal": equal, "rows": rows}
    harness.write_json(given.out, data)
    return int(equal < points)


if __name__ == "__main__":
    sys.exit(main())
