"""What a sweep costs beside the training itself, and whether its plan is right.

    python -m benchmarks.sweeps [memory] [ratio] [segments] [members] [--core 1]

memory: the peak that a plan predicts against the peak of the process, for PPO and DQN.
ratio: 8 configurations x 64 seeds against 512 plain seeds, seconds per member.
segments: a sweep of 20 segments with checkpoints in a folder against one segment in memory.
members: 100,000 members under a limit of 8 GiB.

Every measurement is a process of its own; ratios are of alternating rounds, medians with spread.
Results go to benchmarks/results/sweeps-cpu.json.
"""

import argparse
import json
import resource
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks import harness

RESULTS = Path(__file__).parent / "results" / "sweeps-cpu.json"
GIB = 2**30


def train(task: dict[str, Any]) -> dict[str, Any]:
    """One sweep in this process: predicted and measured peak, seconds of training."""
    import purejaxrl_suite as pjs
    from purejaxrl_suite import nets
    from purejaxrl_suite.agents.dqn import DQNConfig, DQNHypers, dqn

    env = pjs.make(task["env"])
    hidden = tuple(task["hidden"])
    if task["agent"] == "ppo":
        builder, config, hypers = pjs.ppo, pjs.PPOConfig(**task["config"]), pjs.PPOHypers()
        network = lambda env: nets.actor_critic(env.observation, env.action, hidden=hidden)  # noqa: E731
    else:
        builder, config, hypers = dqn, DQNConfig(**task["config"]), DQNHypers()
        network = lambda env: nets.q_network(env.observation, env.action, hidden=hidden)  # noqa: E731
    if task["rates"]:
        hypers = pjs.search.grid(hypers, learning_rate=task["rates"])
    plans = []
    result = pjs.sweep(
        builder,
        env,
        hypers=hypers,
        config=config,
        network=network,
        seeds=task["seeds"],
        steps=task["updates"] * config.num_envs * config.rollout_length,
        segments=task["segments"],
        out=task.get("out"),
        memory=task.get("memory"),
        progress=False,
        announce=plans.append,
    )
    group = plans[0].groups[0]
    return {
        "members": plans[0].members,
        "at once": group.chunk,
        "chunks": group.chunks,
        "bytes a member": group.bytes_per_member,
        "predicted": group.predicted,
        "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "seconds": result.curves.attrs["wall_seconds"],
        "compile seconds": result.curves.attrs["compile_seconds"],
        "diverged": int(result.curves.diverged.sum()),
    }


def measure(core: int | None, folder: bool = False, **task: Any) -> dict[str, Any]:
    """`train` in a fresh process; in a folder that is deleted afterwards, if asked."""
    defaults = {"agent": "ppo", "env": "CartPole-v1", "config": {}, "hidden": [64, 64], "rates": []}
    out = tempfile.mkdtemp() if folder else None
    task = defaults | task | ({"out": f"{out}/x"} if folder else {})
    command = [sys.executable, "-m", "benchmarks.sweeps", "--task", json.dumps(task)]
    if core is not None:
        command += ["--core", str(core)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    finally:
        if out:
            shutil.rmtree(out, ignore_errors=True)
    if done.returncode:
        raise RuntimeError(done.stderr[-3000:])
    return json.loads(done.stdout.splitlines()[-1])


def memory(core: int | None) -> dict[str, Any]:
    """Predicted and measured peaks where the members weigh more than the process."""
    replay = {"capacity": 50_000, "num_envs": 8, "rollout_length": 4, "batch_size": 64}
    tasks = {
        "ppo CartPole x 6,000": {"seeds": 6_000, "updates": 2, "segments": 2},
        "dqn CartPole x 800": {
            "seeds": 800,
            "updates": 4,
            "segments": 2,
            "agent": "dqn",
            "config": replay,
        },
    }
    found = {}
    for name, task in tasks.items():
        for folder in (False, True):
            row = measure(core, folder=folder, **task)
            row["predicted / peak"] = row["predicted"] / row["peak"]
            found[name + (", checkpoints" if folder else "")] = row
            print(name, folder, json.dumps(row), flush=True)
    return found


def alternate(
    core: int | None, rounds: int, a: dict[str, Any], b: dict[str, Any]
) -> dict[str, Any]:
    """Seconds of training of two tasks in turns, and the ratio within each round."""
    seconds = [[measure(core, **task)["seconds"] for task in (a, b)] for _ in range(rounds)]
    found = {
        "a": harness.spread([one for one, _ in seconds]),
        "b": harness.spread([other for _, other in seconds]),
        "ratio": harness.spread([one / other for one, other in seconds]),
    }
    print(json.dumps(found), flush=True)
    return found


def ratio(core: int | None, rounds: int) -> dict[str, Any]:
    """8 configurations x 64 seeds against 512 seeds of one."""
    size = {"updates": 30, "segments": 1}
    rates = [1e-4 * 2**i for i in range(8)]
    return alternate(core, rounds, {"rates": rates, "seeds": 64, **size}, {"seeds": 512, **size})


def segments(core: int | None, rounds: int) -> dict[str, Any]:
    """20 segments, curves and checkpoints in a folder, against one segment in memory."""
    size = {"rates": [1e-4 * 2**i for i in range(8)], "seeds": 8, "updates": 500}
    return alternate(
        core, rounds, {"segments": 20, "folder": True, **size}, {"segments": 1, **size}
    )


def members(core: int | None) -> dict[str, Any]:
    """100,000 members in chunks, under 8 GiB."""
    config = {"num_envs": 4, "rollout_length": 16, "epochs": 1, "minibatches": 1}
    task = {"rates": [1e-4 * 2**i for i in range(10)], "seeds": 10_000, "config": config}
    row = measure(core, folder=True, memory="8GiB", hidden=[32, 32], updates=4, segments=2, **task)
    print(json.dumps(row), flush=True)
    assert row["peak"] < 8 * GIB, row
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("jobs", nargs="*", default=["memory", "ratio", "segments", "members"])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--core", type=int)
    parser.add_argument("--task", help=argparse.SUPPRESS)
    given = parser.parse_args()
    harness.pin(given.core)
    if given.task:
        print(json.dumps(train(json.loads(given.task))))
        return
    jobs = {
        "memory": lambda: memory(given.core),
        "ratio": lambda: ratio(given.core, given.rounds),
        "segments": lambda: segments(given.core, given.rounds),
        "members": lambda: members(given.core),
    }
    data = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for job in given.jobs:
        data[job] = jobs[job]() | {"context": harness.context()}
        harness.write_json(RESULTS, data)


if __name__ == "__main__":
    main()
