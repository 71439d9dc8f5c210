"""Which part of training takes the device's time, from a profile of one call?

    python -m benchmarks.trace --core 1
    python -m benchmarks.trace --jobs ppo-cartpole --members 1 2048

The training loop names its phases (`jax.named_scope`), compiling keeps the names in the metadata of
each operation, and the profiler says how long each operation ran. A fusion of several phases counts
for the phase of its last operation. What runs once, before the first update, is kept apart.

On a GPU an operation is a kernel or a copy, and what the device did in none of them is idle time.
CUDA graphs may hide which operation a kernel belongs to, which shows as a large `other`: then start
it with `XLA_FLAGS=--xla_gpu_enable_command_buffer=`, which has every kernel launched by itself.
"""

import argparse
import re
import tempfile
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks import harness
from benchmarks.roofline import JOBS

PHASES = ("rollout", "resets", "returns", "update", "metrics", "other")
"""`other` is what the training loop does in no scope."""
ONCE = "once"
"""What happens before the first update."""
UPDATE = "/jit(update)/"
"""The call of an update, in a path."""
CONTAINERS = ("while", "call", "conditional")
INSTRUCTION = re.compile(r"^\s+(?:ROOT )?%?([\w.\-]+) = ")
CALLED = re.compile(r"(\w+)=\{?(%[\w.\-]+(?:, %[\w.\-]+)*)")
CALLS = ("calls", "to_apply", "body", "condition", "true_computation", "false_computation")
CALLS = (*CALLS, "branch_computations", "called_computations")
DEVICE, STREAM = "/device:GPU", "Stream"


def phase_of(path: str) -> str:
    """The phase of an operation called so: its innermost scope, within the loop over updates.

    What follows the call of a jitted function is left out: it is compiled once and carries the
    name of the place that called it first. An update alone is inlined where it is called.
    """
    words: list[str] = []
    for part in path.replace(UPDATE, "/").split("/")[1:]:
        if "jit(" in part:
            break
        words.append(part.split("(")[-1].rstrip(")"))
    scopes = [i for i, word in enumerate(words) if word in PHASES[:-1]]
    first = scopes[0] if scopes else len(words) - 1
    if "while" not in words[:first]:
        return ONCE
    return words[scopes[-1]] if scopes else "other"


class Program(NamedTuple):
    """A compiled program. module: its name. phases: of each instruction. containers: of others."""

    module: str
    phases: dict[str, str]
    containers: frozenset[str]


class Instruction(NamedTuple):
    """One line of HLO. path: its `op_name`, "" unless a path of jax's. called: computations."""

    name: str
    operation: str
    path: str
    called: tuple[tuple[str, str], ...]


def read_line(line: str) -> Instruction | None:
    """The instruction of a line of HLO text; None where there is none."""
    found = INSTRUCTION.match(line)
    if found is None:
        return None
    operation = harness.OPERATION.search(line)
    path = re.search(r'op_name="(jit\([^"]*)"', line)
    called = tuple(
        (how, name.lstrip("%"))
        for how, names in CALLED.findall(line)
        for name in names.split(", ")
        if how in CALLS
    )
    return Instruction(
        found.group(1),
        operation.group(1) if operation else "constant",
        path.group(1) if path else "",
        called,
    )


def read_program(text: str) -> Program:
    """The phases of all instructions of compiled HLO.

    An instruction that XLA left without a path has that of the last one in the computation which
    it calls, or else that of the loop or call around it.
    """
    lines, entry = harness.parse_hlo(text)
    computations = {
        name: [found for found in map(read_line, body) if found] for name, body in lines.items()
    }
    phases: dict[str, str] = {}
    containers: set[str] = set()

    def visit(name: str, around: str) -> None:
        for one in computations.get(name, ()):
            inner = [x.path for _, callee in one.called for x in computations.get(callee, ())]
            known = [one.path, *reversed(inner), around]
            if one.operation in CONTAINERS:
                containers.add(one.name)
                known = [one.path, around]
            path = next(filter(None, known), "")
            phases[one.name] = phase_of(path)
            for how, callee in one.called:
                visit(callee, f"{path}/body/" if how in ("body", "condition") else path)

    visit(entry, "")
    # A GPU's kernels have the names of their operations, but for what no name of C may hold.
    phases = {re.sub(r"\W", "_", name): phase for name, phase in phases.items()} | phases
    found = re.match(r"HloModule ([\w.\-]+)", text)
    return Program(found.group(1) if found else "", phases, frozenset(containers))


class Event(NamedTuple):
    """One run of an operation. ops: what it may be called in the program, the likeliest first."""

    ops: tuple[str, ...]
    module: str
    nanoseconds: float


def read_events(path: Path) -> tuple[list[Event], bool]:
    """All operations of a profile, and whether they are those of a GPU."""
    import jax

    planes = list(jax.profiler.ProfileData.from_file(str(path)).planes)
    devices = [plane for plane in planes if DEVICE in plane.name]
    # Beside its streams a GPU may have lines that show the same time once more.
    lines = [
        line
        for plane in devices or planes
        for line in plane.lines
        if not devices or line.name.startswith(STREAM)
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of `stats`
        found = [(event, dict(event.stats)) for line in lines for event in line.events]
    # On a CPU what has no operation is the runtime; on a GPU it is a kernel all the same.
    events = [
        Event(names(event, stats), str(stats.get("hlo_module", "")), event.duration_ns)
        for event, stats in found
        if devices or "hlo_op" in stats
    ]
    return events, bool(devices)


def names(event: Any, stats: dict[str, Any]) -> tuple[str, ...]:
    """`hlo_op`, which may join an operation with the loops around it, and the kernel's name."""
    return (*str(stats.get("hlo_op", "")).split("::"), event.name)


def place(program: Program, event: Event) -> str:
    """The phase of an event: that of an operation, else that of a loop around it, else `other`."""
    known = [op for op in event.ops if op in program.phases]
    inner = [op for op in known if op not in program.containers]
    return program.phases[(inner or known)[0]] if known else "other"


def breakdown(
    program: Program, events: Iterable[Event], gpu: bool, updates: int
) -> dict[str, dict[str, float]]:
    """Of each phase microseconds and launches per update, and its share of the time of updates.

    What runs once has its microseconds and launches in all. On a CPU the time of a loop is that of
    its operations, which are events themselves; on a GPU what is called a loop is its condition.
    """
    totals = {name: [0.0, 0] for name in (*PHASES, ONCE)}
    for event in events:
        container = program.containers.intersection(event.ops)
        if event.module in ("", program.module) and (gpu or not container):
            total = totals[place(program, event)]
            total[0], total[1] = total[0] + event.nanoseconds / 1e3, total[1] + 1
    whole = sum(totals[name][0] for name in PHASES)
    rows = {
        name: {
            "microseconds": totals[name][0] / updates,
            "share": totals[name][0] / whole if whole else 0.0,
            "launches": totals[name][1] / updates,
        }
        for name in PHASES
    }
    return rows | {ONCE: {"microseconds": totals[ONCE][0], "launches": totals[ONCE][1]}}


def profile(entry: harness.Compiled, seed: int) -> tuple[list[Event], bool, float]:
    """Events of one call, whether they are a GPU's, and the call's wall seconds."""
    import jax

    options = jax.profiler.ProfileOptions()
    options.python_tracer_level = 0
    with tempfile.TemporaryDirectory() as folder:
        with jax.profiler.trace(folder, profiler_options=options):
            seconds, _ = harness.time_call(entry, seed)
        (path,) = Path(folder).rglob("*.xplane.pb")
        return *read_events(path), seconds


def measure(name: str, members: int, updates: int) -> dict[str, Any]:
    """The phases of one job, the wall seconds of a call with and without the profiler."""
    from benchmarks.contestants import ours

    agent, env, _ = JOBS[name]()
    entry = harness.compile_one(ours(agent, env, updates, members))
    harness.time_call(entry, 0)
    seconds, _ = harness.time_call(entry, 1)
    program = read_program(entry.executable.as_text())
    events, gpu, traced = profile(entry, 2)
    phases = breakdown(program, events, gpu, updates)
    busy = sum(phases[phase]["microseconds"] for phase in PHASES) * updates
    busy = (busy + phases[ONCE]["microseconds"]) / 1e6
    return {
        "job": name,
        "members": members,
        "updates": updates,
        "steps": entry.contestant.steps,
        "seconds": seconds,
        "traced_seconds": traced,
        "busy_seconds": busy,
        # With several streams at once there would be less than this.
        "idle_share": max(0.0, 1.0 - busy / traced) if gpu else None,
        "phases": phases,
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--jobs", nargs="+", choices=tuple(JOBS), default=tuple(JOBS))
    parser.add_argument("--members", nargs="+", type=int, default=(1, 64))
    parser.add_argument("--updates", type=int, default=8, help="of each member, in a call")
    parser.add_argument("--core", type=int, help="core to run on; all of them by default")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/trace.json"))
    arguments = parser.parse_args()
    harness.pin(arguments.core)
    data: dict[str, Any] = {"context": harness.context(), "rows": []}
    for name in arguments.jobs:
        for members in arguments.members:
            row = measure(name, members, arguments.updates)
            data["rows"].append(row)
            shares = ", ".join(f"{part} {row['phases'][part]['share']:.1%}" for part in PHASES)
            idle = "" if row["idle_share"] is None else f"; idle {row['idle_share']:.0%}"
            print(f"{name:14} {members:4} members: {shares}{idle}", flush=True)
            harness.write_json(arguments.out, data)


if __name__ == "__main__":
    main()
