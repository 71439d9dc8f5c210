"""How a speed is measured here: compiled ahead of time, one core, alternating rounds, medians.

Every contestant is one function of a key that initialises and trains, so that a call does
the same work whoever wrote it. All contestants of a job live in one process and take turns
(A B A B ...), and a ratio is formed within each round: what slows the machine down slows both.

On a CPU the speed that counts is environment steps per second of *process CPU time*: on one core it
equals wall time when the machine is idle and ignores the load of others. On an accelerator it is
wall time.
"""

import datetime
import importlib.metadata
import json
import os
import platform
import re
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

PACKAGES = ("jax", "jaxlib", "gymnax", "navix", "flax", "optax", "rejax", "purejaxrl_suite")
FREE = {
    "parameter",
    "constant",
    "tuple",
    "get-tuple-element",
    "bitcast",
    "while",
    "call",
    "conditional",
    "after-all",
    "opt-barrier",
    "iota",
}


def pin(core: int | None) -> None:
    """Keep this process, and the thread pool XLA will make, on one core; None changes nothing.

    Must run before jax is imported: XLA sizes its pool by the affinity it finds.
    """
    if "jax" in sys.modules:
        raise RuntimeError("pin() must be called before jax is imported")
    if core is not None and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {core})


class Contestant(NamedTuple):
    """One entrant of a job.

    name: for the table. train: (key, *data) -> any outputs, jittable. steps: environment steps of
    one call, over all members. data: what is traced beside the key (hyper-parameters, the clock).
    """

    name: str
    train: Callable[..., Any]
    steps: int
    data: tuple[Any, ...] = ()


class Compiled(NamedTuple):
    """A contestant ready to be timed, with what compiling showed."""

    contestant: Contestant
    executable: Any
    trace_seconds: float
    compile_seconds: float
    output_bytes: int
    temporary_bytes: int
    loops: list[dict[str, Any]]


def compile_one(contestant: Contestant) -> Compiled:
    """Trace, lower and compile ahead of time, without the persistent cache's help."""
    import jax

    start = time.perf_counter()
    lowered = jax.jit(contestant.train).lower(jax.random.key(0), *contestant.data)
    middle = time.perf_counter()
    executable = lowered.compile()
    end = time.perf_counter()
    memory = executable.memory_analysis()
    return Compiled(
        contestant,
        executable,
        middle - start,
        end - middle,
        memory.output_size_in_bytes,
        memory.temp_size_in_bytes,
        count_kernels(executable.as_text()),
    )


def time_call(entry: Compiled, seed: int) -> tuple[float, float]:
    """(wall, process CPU) seconds of one call, outputs ready."""
    import jax

    key = jax.block_until_ready(jax.random.key(seed))
    wall, cpu = time.perf_counter(), time.process_time()
    jax.block_until_ready(entry.executable(key, *entry.contestant.data))
    return time.perf_counter() - wall, time.process_time() - cpu


def race(contestants: Sequence[Contestant], rounds: int, warm_up: int = 1) -> dict[str, Any]:
    """Compile all, then take turns, as `race_compiled` says."""
    return race_compiled([compile_one(contestant) for contestant in contestants], rounds, warm_up)


def race_compiled(entries: Sequence[Compiled], rounds: int, warm_up: int = 1) -> dict[str, Any]:
    """Take turns; the first contestant is the one that ratios are of.

    Returns a JSON-able dict: per contestant seconds of each round and their summary, and per
    opponent the ratio (steps/s of the first over steps/s of the opponent) of each round.
    """
    import jax

    for entry in entries:
        for seed in range(warm_up):
            time_call(entry, seed)
    seconds: list[list[tuple[float, float]]] = [[] for _ in entries]
    for seed in range(rounds):
        for entry, list_ in zip(entries, seconds, strict=True):
            list_.append(time_call(entry, 1000 + seed))
    clock = "cpu" if jax.default_backend() == "cpu" else "wall"
    results = [summarise(*pair, clock) for pair in zip(entries, seconds, strict=True)]
    for result in results[1:]:
        pairs = zip(results[0]["speeds"], result["speeds"], strict=True)
        ratios = [ours / theirs for ours, theirs in pairs]
        result["ratios"] = [round(ratio, 4) for ratio in ratios]
        result["ratio"] = spread(ratios)
    return {"clock": clock, "rounds": rounds, "contestants": results}


def format_ratio(ratio: dict[str, float]) -> str:
    """Median and range, two decimals, in markdown."""
    return f"**{ratio['median']:.2f}** ({ratio['min']:.2f} - {ratio['max']:.2f})"


def speed(row: dict[str, Any], context: dict[str, Any]) -> float:
    """Environment steps per second of all members: on a CPU of the process's own time."""
    wall = row["steps_per_second"]["median"]
    return row["steps_per_cpu_second"] if context["backend"] == "cpu" else wall


def spread(values: Sequence[float]) -> dict[str, float]:
    """Median, minimum and maximum."""
    return {"median": median(values), "min": min(values), "max": max(values)}


def summarise(entry: Compiled, seconds: list[tuple[float, float]], clock: str) -> dict[str, Any]:
    """What one contestant did, as plain data."""
    steps = entry.contestant.steps
    wall, cpu = zip(*seconds, strict=True)
    speeds = [steps / s for s in (cpu if clock == "cpu" else wall)]
    return {
        "name": entry.contestant.name,
        "steps_per_call": steps,
        "wall_seconds": [round(s, 4) for s in wall],
        "cpu_seconds": [round(s, 4) for s in cpu],
        "speeds": [round(s, 1) for s in speeds],
        "steps_per_second": spread(speeds),
        "trace_seconds": round(entry.trace_seconds, 2),
        "compile_seconds": round(entry.compile_seconds, 2),
        "output_bytes": entry.output_bytes,
        "temporary_bytes": entry.temporary_bytes,
        "loops": entry.loops,
    }


# Kernels of compiled programs -------------------------------------------------------------------

COMPUTATION = re.compile(r"^(?:ENTRY )?%?([\w.\-]+) .*\{\s*$")
OPERATION = re.compile(r"[\])}] ([a-z][\w\-]*)\(")
TRIPS = re.compile(r'"known_trip_count":\{"n":"(\d+)"')


def parse_hlo(text: str) -> tuple[dict[str, list[str]], str]:
    """Split HLO text into computations: ({name: instruction lines}, entry name)."""
    computations: dict[str, list[str]] = {}
    entry, current = "", None
    for line in text.splitlines():
        start = COMPUTATION.match(line)
        if start and not line.startswith((" ", "HloModule")):
            current = computations.setdefault(start.group(1), [])
            entry = start.group(1) if line.startswith("ENTRY") else entry
        elif line.startswith("}"):
            current = None
        elif current is not None:
            current.append(line)
    return computations, entry


def count_kernels(text: str) -> list[dict[str, Any]]:
    """Kernels in each loop body of a compiled program, outermost first.

    A kernel is an instruction that does work at run time: a fusion, dot, convolution, sort, copy,
    slice ...; parameters, constants, tuples and bitcasts are free. Each row has the loop's `name`
    (what jax called the operation, "" for a plain scan), `depth`, `trips` (None where XLA does not
    know), `own` kernels of its body, and `total` per trip, which adds its inner loops times their
    trips (unknown trips count once). On a CPU every draw of threefry is an inner loop of 5 trips.
    """
    computations, entry = parse_hlo(text)
    rows: list[dict[str, Any]] = []

    def visit(name: str, depth: int) -> tuple[int, int]:
        own = total = 0
        for line in computations.get(name, ()):
            # The operation is the first word after the result's type: `%x = f32[4]{0} add(...)`.
            match = OPERATION.search(line)
            operation = match.group(1) if match else "constant"
            if operation in ("call", "conditional"):
                for callee in re.findall(r"(?:to_apply|_computation)=%?([\w.\-]+)", line):
                    inner = visit(callee, depth)
                    own, total = own + inner[0], total + inner[1]
            elif operation == "while":
                total += loop(line, depth)
            elif operation not in FREE:
                own, total = own + 1, total + 1
        return own, total

    def loop(line: str, depth: int) -> int:
        found = TRIPS.search(line)
        trips = int(found.group(1)) if found else None
        name = re.search(r'op_name="([^"]*)"', line)
        words = re.findall(r"jit\((\w+)\)", name.group(1)) if name else []
        row: dict[str, Any] = {"name": "/".join(words[1:]), "depth": depth, "trips": trips}
        rows.append(row)
        body = re.search(r"body=%?([\w.\-]+)", line)
        row["own"], row["total"] = visit(body.group(1) if body else "", depth + 1)
        return row["total"] * (trips or 1)

    visit(entry, 0)
    return rows


# Records ----------------------------------------------------------------------------------------


def cpu_model() -> str:
    """The processor's name."""
    path = Path("/proc/cpuinfo")
    if path.exists():
        found = re.search(r"model name\s*:\s*(.+)", path.read_text())
        if found:
            return found.group(1).strip()
    return platform.processor()


def commit() -> str:
    """The commit that was measured, with `+` where the tree differs from it; "" outside git."""
    root = Path(__file__).resolve().parent

    def git(*arguments: str) -> str:
        done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True)
        return done.stdout.strip() if done.returncode == 0 else ""

    return git("rev-parse", "--short=12", "HEAD") + ("+" if git("status", "--porcelain") else "")


def versions() -> dict[str, str]:
    """Installed versions of the packages whose speed is at stake."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def context() -> dict[str, Any]:
    """Where, when and with what a measurement was made."""
    import jax

    affinity = getattr(os, "sched_getaffinity", lambda _: range(os.cpu_count() or 1))(0)
    return {
        "device": jax.devices()[0].device_kind,
        "backend": jax.default_backend(),
        "cpu": cpu_model(),
        "cores_used": len(affinity),
        "python": platform.python_version(),
        "versions": versions(),
        "command": " ".join(
            ["python", "-m", "benchmarks." + Path(sys.argv[0]).stem, *sys.argv[1:]]
        ),
        "commit": commit(),
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }


def write_json(path: Path, data: dict[str, Any]) -> None:
    """Write a result file, making its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(data, indent=1) + "\n")
