"""NAVIX's headline job: 2,048 PPO agents x 16 environments x 1 M steps on Navix-Empty-8x8.

    python -m benchmarks.headline
    python -m benchmarks.headline --members 8 --steps 1e4 --core 1

Wall time of the whole call as a user makes it: compile, train every agent from scratch, and bring
the curves back. Settings are those of navix's own PPO, which then does the same, `vmap` of its
`train` over keys. NAVIX reports 49 s on an A100 of 80 GB, where by its code a million steps are
those of all 16 environments of an agent; so they are here.
"""

import argparse
import time
from pathlib import Path
from typing import Any

from benchmarks import harness

ENV = "Navix-Empty-8x8-v0"
NUM_ENVS, ROLLOUT_LENGTH = 16, 128


def ours(members: int, steps: float) -> dict[str, Any]:
    """One call of `run`; returns seconds and the mean return at the end of training."""
    import purejaxrl_suite as suite
    from benchmarks.contestants import mlp

    env = suite.make(ENV)
    config = suite.PPOConfig(NUM_ENVS, ROLLOUT_LENGTH, epochs=1, minibatches=8)
    start = time.perf_counter()
    agent = suite.ppo(env, config, mlp(env))
    result = suite.run(agent, env, seeds=members, steps=steps, progress=False)
    seconds = time.perf_counter() - start
    last = float(suite.report.final_scores(result.curves).mean())
    return {"name": "purejaxrl_suite", "seconds": seconds, "last_return": last}


def navix(members: int, steps: float) -> dict[str, Any]:
    """navix's own PPO at its defaults."""
    import jax

    from benchmarks.contestants import navix_ppo

    updates = int(steps) // (NUM_ENVS * ROLLOUT_LENGTH)
    train = navix_ppo(ENV, updates, "symbolic").train
    start = time.perf_counter()
    jax.block_until_ready(jax.jit(jax.vmap(train))(jax.random.split(jax.random.key(0), members)))
    return {"name": "navix PPO", "seconds": time.perf_counter() - start}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--members", type=int, default=2048)
    parser.add_argument("--steps", type=float, default=1e6, help="of each agent")
    parser.add_argument("--core", type=int, help="core to run on; all of them by default")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/headline.json"))
    arguments = parser.parse_args()
    harness.pin(arguments.core)
    total = arguments.members * arguments.steps
    data: dict[str, Any] = {"members": arguments.members, "steps": arguments.steps, "rows": []}
    for contestant in (ours, navix):
        row = contestant(arguments.members, arguments.steps)
        row["steps_per_second"] = total / row["seconds"]
        data["rows"].append(row)
        print(f"{row['name']:16} {row['seconds']:8.1f} s  {row['steps_per_second']:14,.0f} steps/s")
        harness.write_json(arguments.out, data | {"context": harness.context()})


if __name__ == "__main__":
    main()
