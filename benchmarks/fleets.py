"""Fleets of DQN and Rainbow, replay included: steps per second, and whether the plan is right.

    python -m benchmarks.fleets --core 1 --out benchmarks/results/fleets-cpu.json
    python -m benchmarks.fleets --jobs memory --members 32 --agents dqn

Dopamine's settings for MinAtar on Breakout, a replay of 100,000 steps for each member.

speed: as in `throughput`: the engine's segment, called again and again, medians of rounds.
memory: bytes a member that a sweep's plan predicts against what the sweep then took: on a CPU the
peak of the process while it trained, less what the process held when it began (Linux only); on an
accelerator the same of the device. Each in a process of its own, by the second of two sweeps, as
the first also loads code.

What a fleet does beside rejax's DQN at equal settings is a job of `peers`: dqn-cartpole-64.
"""

import argparse
import ctypes
import gc
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks import harness, throughput

ENVIRONMENT = "Breakout-MinAtar"
MEMBERS = (1, 32, 256)


def forget_peak() -> None:
    """Give freed memory back to the system, and start the peak of this process anew."""
    gc.collect()
    ctypes.CDLL("libc.so.6").malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")


def held(field: str) -> int:
    """Bytes of this process: VmRSS now, VmHWM at its peak."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith(field + ":"))


def memory(policy: str, members: int) -> dict[str, Any]:
    """Predicted and measured bytes of a short sweep, the second one in this process."""
    import jax

    import purejaxrl_suite as pjs
    from purejaxrl_suite.presets import PRESETS
    from purejaxrl_suite.sweeps.memory import resident
    from purejaxrl_suite.sweeps.plan import Plan, on_host, predict

    found: dict[str, Any] = {"policy": policy}
    preset = PRESETS[throughput.VALUE_BASED[policy]]

    def announce(plan: Plan) -> None:
        group = plan.groups[0]
        found["chunks"], found["peak of programs"] = group.chunks, group.program.bytes
        found["predicted"] = predict(group.program, group.chunks, checkpoints=False)
        if on_host():
            found["predicted"] -= resident()
            forget_peak()
            found["before"] = held("VmRSS")
        else:
            found["before"] = jax.devices()[0].memory_stats()["bytes_in_use"]

    for _ in range(2):
        pjs.sweep(
            preset.builder,
            pjs.make(ENVIRONMENT),
            config=preset.config,
            hypers=preset.hypers,
            network=preset.network,
            seeds=members,
            steps=4 * preset.config.num_envs * preset.config.rollout_length,
            segments=2,
            progress=False,
            announce=announce,
        )
    peak = held("VmHWM") if on_host() else jax.devices()[0].memory_stats()["peak_bytes_in_use"]
    found["measured"] = peak - found["before"]
    each = {name: found[name] / members for name in ("predicted", "measured")}
    ratio = found["predicted"] / found["measured"]
    return found | {"bytes a member": each, "predicted / measured": ratio}


def measure(core: int | None, policy: str, members: int) -> dict[str, Any]:
    """`memory` in a fresh process."""
    command = [sys.executable, "-m", "benchmarks.fleets", "--task", policy, str(members)]
    command += [] if core is None else ["--core", str(core)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr[-3000:])
    return json.loads(done.stdout.splitlines()[-1])


def parse() -> argparse.Namespace:
    text = argparse.RawTextHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=text)
    jobs = ["memory", "speed"]
    parser.add_argument("--jobs", nargs="+", default=jobs, choices=jobs)
    parser.add_argument("--agents", nargs="+", default=["dqn", "rainbow"])
    parser.add_argument("--members", type=int, nargs="+", default=list(MEMBERS))
    parser.add_argument("--seconds", type=float, default=5.0, help="of one call")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--core", type=int, help="core to run on; all of them by default")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/fleets-cpu.json"))
    parser.add_argument("--task", nargs=2, help=argparse.SUPPRESS)
    return parser.parse_args()


def rows(given: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Memory first: on an accelerator its processes need the device for themselves."""
    points = [(policy, members) for policy in given.agents for members in given.members]
    if "memory" in given.jobs:
        for point in points:
            yield {"job": "memory", "members": point[1]} | measure(given.core, *point)
    if "speed" in given.jobs:
        for point in points:
            found = throughput.measure(ENVIRONMENT, *point, given.seconds, given.rounds)
            yield {"job": "speed"} | found


def main() -> None:
    given = parse()
    harness.pin(given.core)
    if given.task:
        print(json.dumps(memory(given.task[0], int(given.task[1]))))
        return
    done: list[dict[str, Any]] = []
    for row in rows(given):
        done.append(row)
        print(json.dumps(row), flush=True)
        harness.write_json(given.out, {"rows": done})
    harness.write_json(given.out, {"context": harness.context(), "rows": done})


if __name__ == "__main__":
    main()
