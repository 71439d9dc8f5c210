"""Kill a sweep with SIGKILL at random moments, go on, and compare with the uninterrupted one.

    python -m benchmarks.kill --points 50

Every start of the sweep but the last is killed after a random time; each time it finishes, its
curves and final states are compared bit by bit with those of a sweep that nobody touched.
"""

import argparse
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

READY = "training"


def sweep(folder: Path) -> str:
    """Start or continue the sweep; a digest of everything that it computed."""
    import jax
    import numpy as np

    import purejaxrl_suite as pjs
    from purejaxrl_suite import nets
    from purejaxrl_suite.envs import probes

    env = probes.delayed_reward()
    config = pjs.PPOConfig(num_envs=4, rollout_length=8, epochs=1, minibatches=2)
    result = pjs.sweep(
        pjs.ppo,
        env,
        hypers=pjs.grid(pjs.PPOHypers(), learning_rate=[1e-3, 1e-2]),
        config=pjs.grid(config, normalize_advantages=[True, False]),
        network=lambda env: nets.actor_critic(env.observation, env.action, hidden=(8,)),
        seeds=3,
        steps=32 * 30,
        segments=15,
        checkpoint_every=2,
        announce=lambda what: print(READY, flush=True),
        **{"resume" if (folder / "sweep.json").exists() else "out": folder},
    )
    digest = hashlib.sha256()
    curves = result.curves.drop_vars("steps_per_second")
    for name in sorted(curves.data_vars):
        digest.update(np.ascontiguousarray(curves[name].values).tobytes())
    for group in range(len(result.layout.groups)):
        for leaf in jax.tree.leaves(result.state(group).agent):
            digest.update(np.asarray(leaf).tobytes())
    return digest.hexdigest()


def start(folder: Path) -> subprocess.Popen:
    """A process that runs the sweep."""
    command = [sys.executable, "-m", "benchmarks.kill", "--child", str(folder)]
    environment = os.environ | {"JAX_PLATFORMS": "cpu"}
    environment.setdefault("JAX_COMPILATION_CACHE_DIR", str(folder.parent / "cache"))
    environment["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def finish(process: subprocess.Popen) -> str:
    """The digest that the process prints; RuntimeError with its messages if it fails."""
    out, errors = process.communicate()
    if process.returncode:
        raise RuntimeError(f"the sweep failed with {process.returncode}:\n{errors[-3000:]}")
    return out.split()[-1]


def wait_until_ready(process: subprocess.Popen) -> None:
    """Return when the process says that it trains, or is over."""
    assert process.stdout is not None
    for line in process.stdout:
        if line.strip() == READY:
            return


def kill_points(points: int, folder: Path, seed: int = 0) -> dict[str, int]:
    """Kill `points` times; how many sweeps were finished after kills, and how many were equal."""
    draw = random.Random(seed)
    finish(start(folder / "warm"))  # fills the compilation cache
    process = start(folder / "reference")
    wait_until_ready(process)
    began = time.perf_counter()
    expected = finish(process)
    duration = time.perf_counter() - began
    found = {"kills": 0, "sweeps": 0, "equal": 0}
    attempt = 0
    while found["kills"] < points:
        attempt += 1
        for _ in range(draw.randint(1, 4)):
            process = start(folder / f"sweep-{attempt}")
            if draw.random() < 0.9:  # else at some moment before training, while files are read
                wait_until_ready(process)
            time.sleep(draw.uniform(0.0, duration))
            running = process.poll() is None
            process.send_signal(signal.SIGKILL)
            process.communicate()
            found["kills"] += running
        found["sweeps"] += 1
        found["equal"] += finish(start(folder / f"sweep-{attempt}")) == expected
        print(json.dumps(found), flush=True)
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--points", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        print(sweep(given.child))
        return 0
    with tempfile.TemporaryDirectory() as folder:
        found = kill_points(given.points, Path(folder), given.seed)
    return int(found["equal"] < found["sweeps"])


if __name__ == "__main__":
    sys.exit(main())
