"""Training of a fleet on one core and on several: how much faster, and is every bit the same?

    python -m benchmarks.cores
    python -m benchmarks.cores --jobs dqn ppo --cores 1 2 4 --rounds 9

A process for each number of cores, which may use no others and makes a device of each. All compile
first; then they take turns, and only one of them runs at a time: 1 2 1 2 ... Ratios are of wall
time, formed within a round, so the cores must be free. `busy` is process time over wall time: how
many cores a process kept busy. `same` tells whether the learnt parameters of all members are the
same bits as on the fewest cores.
"""

import argparse
import hashlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from benchmarks import harness


class Job(NamedTuple):
    """A preset in an environment, and the members; updates: of one turn."""

    preset: str
    env_id: str
    members: int
    updates: int


JOBS = {
    "dqn": Job("dopamine-minatar", "Breakout-MinAtar", 16, 1200),
    "ppo": Job("purejaxrl-cartpole", "CartPole-v1", 64, 20),
    "ppo-16": Job("purejaxrl-cartpole", "CartPole-v1", 16, 80),
    "pqn": Job("purejaxql-minatar", "Breakout-MinAtar", 16, 1),
    "sac": Job("sac-pendulum", "Pendulum-v1", 16, 400),
    "ppo-1": Job("purejaxrl-cartpole", "CartPole-v1", 1, 1000),
    "ppo-breakout-1": Job("purejaxrl-minatar", "Breakout-MinAtar", 1, 20),
}


def serve(name: str) -> None:
    """Compile a job on the cores of this process; train for one turn at each line of stdin."""
    from purejaxrl_suite.core.compiling import use_cores

    devices = use_cores()
    import jax
    import numpy as np

    import purejaxrl_suite as pjs
    from purejaxrl_suite.core.types import Clock
    from purejaxrl_suite.presets import PRESETS
    from purejaxrl_suite.sweeps.execute import make_plan
    from purejaxrl_suite.sweeps.experiment import Experiment
    from purejaxrl_suite.sweeps.layout import lay_out
    from purejaxrl_suite.sweeps.settings import Settings

    job = JOBS[name]
    agent, env = PRESETS[job.preset].agent(pjs.make(job.env_id)), pjs.make(job.env_id)
    steps = job.updates * agent.num_envs * agent.rollout_length
    laid = lay_out(Experiment(agent, env, job.members, steps))
    program = make_plan(laid, Settings(), checkpoints=False).groups[0].program
    members = laid.groups[0].members.chunk(0, program.size)
    given = members.seeds, members.hypers, members.data
    run, past = program.init(*given), 0
    sizes = {"block": program.block, "devices": program.devices, "of": devices}
    print(json.dumps(sizes | {"steps": steps * job.members}), flush=True)
    for _ in sys.stdin:
        clock = Clock(np.int32(past), np.int32(2**30))
        wall, cpu = time.perf_counter(), time.process_time()
        run, _, _ = jax.block_until_ready(program.train(*given, run, clock))
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        past += program.length
        leaves = jax.tree.leaves(run.agent.learner.params)
        bits = b"".join(np.asarray(x)[: job.members].tobytes() for x in leaves)
        told = {"wall": wall, "cpu": cpu, "bits": hashlib.sha256(bits).hexdigest()}
        print(json.dumps(told), flush=True)


class Server:
    """A process that trains on so many cores when it is told to."""

    def __init__(self, name: str, cores: int):
        """Start it and wait until it has compiled."""
        command = [sys.executable, "-m", "benchmarks.cores", "--serve", name]
        kept = {
            k: x for k, x in os.environ.items() if k not in ("XLA_FLAGS", "JAX_NUM_CPU_DEVICES")
        }
        used = sorted(os.sched_getaffinity(0))[:cores]
        self.process = subprocess.Popen(
            ["taskset", "-c", ",".join(map(str, used)), *command],
            env=kept,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.sizes = self._read()

    def turn(self) -> dict[str, Any]:
        """Train once: seconds and a digest of the parameters."""
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return self._read()

    def close(self) -> None:
        """End the process."""
        self.process.communicate()

    def _read(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"a process ended with {self.process.wait()}")
        return json.loads(line)


def measure(name: str, cores: list[int], rounds: int) -> list[dict[str, Any]]:
    """A row for each number of cores."""
    servers = [Server(name, count) for count in cores]
    found: list[list[dict[str, Any]]] = [[] for _ in cores]
    for turn in range(rounds + 1):
        for server, turns in zip(servers, found, strict=True):
            told = server.turn()
            if turn or rounds == 0:  # the first is a warm-up
                turns.append(told)
    for server in servers:
        server.close()
    rows = []
    for count, server, turns in zip(cores, servers, found, strict=True):
        speeds = [server.sizes["steps"] / one["wall"] for one in turns]
        ratios = [a["wall"] / b["wall"] for a, b in zip(found[0], turns, strict=True)]
        pairs = zip(found[0], turns, strict=True)
        rows.append(
            {"job": name, "members": JOBS[name].members, "cores": count}
            | {key: server.sizes[key] for key in ("block", "devices")}
            | {
                "steps_per_second": harness.spread(speeds),
                "busy": round(median(one["cpu"] / one["wall"] for one in turns), 2),
                "ratios": [round(x, 4) for x in ratios],
                "ratio": harness.spread(ratios),
                "same": all(a["bits"] == b["bits"] for a, b in pairs),
            }
        )
    return rows


def main() -> None:
    text = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=text)
    parser.add_argument("--jobs", nargs="+", default=list(JOBS), choices=JOBS)
    parser.add_argument("--cores", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/cores-cpu.json"))
    parser.add_argument("--serve", choices=JOBS, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve:
        serve(given.serve)
        return
    rows: list[dict[str, Any]] = []
    for name in given.jobs:
        rows += measure(name, given.cores, given.rounds)
        for row in rows[-len(given.cores) :]:
            print(json.dumps(row), flush=True)
        harness.write_json(given.out, {"context": harness.context(), "rows": rows})


if __name__ == "__main__":
    main()
