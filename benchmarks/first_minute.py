"""The first minute: seconds of a first run, of the next process, and of what is asked afterwards.

    python -m benchmarks.first_minute --core 0
    python -m benchmarks.first_minute --core 0 --rounds 5 --jobs ours cached

PPO on CartPole, four seeds, 100,000 steps of each, in a process of its own: seconds from its start
to the result, imports included. ours: nothing is cached. cached: the process before has compiled
it. rejax: its PPO at the same settings, without its evaluation. Then, in the process of `ours`:
every member is evaluated twice, asked for an action twice, and a score is aggregated in two shapes
that are new. The three take turns; seconds are of the process (on one core), and of the wall.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks import harness

SEEDS, STEPS, EPISODES = 4, 100_000, 32


def timed(found: dict[str, Any], name: str, function: Callable[[], Any]) -> Any:
    """Store the seconds that a function takes, until its result is there."""
    import jax

    start = time.perf_counter()
    result = jax.block_until_ready(function())
    found[name] = round(time.perf_counter() - start, 3)
    return result


def ours() -> dict[str, Any]:
    """Train, then evaluate, act and aggregate."""
    import purejaxrl_suite as pjs

    env = pjs.make("CartPole-v1")
    result = pjs.run(pjs.ppo(env), env, seeds=SEEDS, steps=STEPS, progress=False)
    return {"result": result}


def afterwards(result: Any) -> dict[str, Any]:
    """What is asked of a result: seconds of each, the first and the second time."""
    import numpy as np

    from purejaxrl_suite import stats

    found: dict[str, Any] = {}
    for time_of in ("first", "second"):
        timed(found, f"evaluate, {time_of}", lambda: result.evaluate(EPISODES)["episode_return"])
    policy = result.policy(seed=0)
    obs = np.zeros(4, np.float32)
    for time_of in ("first", "second"):
        timed(found, f"act, {time_of}", lambda: policy.act(obs))
    values, episodes = (result.curves[x].values for x in ("episode_return", "episodes"))
    scores = np.random.default_rng(0).normal(size=(19, 7)).astype(np.float32)
    timed(found, "final_score", lambda: stats.final_score(values, episodes))
    timed(found, "area_under_curve", lambda: stats.area_under_curve(values, episodes))
    for rows in (17, 19):
        timed(found, f"iqm of {rows} x 7", lambda rows=rows: stats.iqm(scores[:rows]))
    improved = stats.probability_of_improvement
    timed(found, "probability_of_improvement", lambda: improved(scores[:9], scores[9:]))
    taus = np.linspace(0, 1, 11, dtype=np.float32)
    timed(found, "performance_profile", lambda: stats.performance_profile(scores, taus))
    timed(found, "repr", lambda: repr(result) and None)
    return found


def rejax() -> dict[str, Any]:
    """Train rejax's PPO at the same settings; importing what builds it here does not count."""
    import gymnax  # noqa: F401
    import jax
    import rejax  # noqa: F401  # pyright: ignore[reportMissingImports]  # an extra

    wall, cpu = time.perf_counter(), time.process_time()
    from benchmarks import contestants, reference

    spent = {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}
    settings = reference.PPOSettings("CartPole-v1")
    updates = STEPS // settings.num_envs // settings.rollout_length
    made = contestants.rejax_ppo(settings, updates, SEEDS)
    assert made is not None
    jax.block_until_ready(jax.jit(made.train)(jax.random.key(0)))
    return {"spent": spent}


def child(job: str) -> None:
    """Do a job, and print the seconds since this process began."""
    found = rejax() if job == "rejax" else ours()
    seconds = {"wall": time.time() - float(os.environ["BEGAN"]), "cpu": time.process_time()}
    for name, spent in found.get("spent", {}).items():
        seconds[name] -= spent
    after = afterwards(found["result"]) if job == "ours" else {}
    print(json.dumps(seconds | {"after": after}))


def start(job: str, cache: Path) -> dict[str, Any]:
    """Do a job in a process of its own."""
    kept = {k: x for k, x in os.environ.items() if not k.startswith("JAX_COMPILATION_CACHE")}
    kept |= {"XDG_CACHE_HOME": str(cache), "BEGAN": str(time.time())}
    kept["JAX_ENABLE_COMPILATION_CACHE"] = str(job == "cached").lower()
    command = [sys.executable, "-m", "benchmarks.first_minute", "--child", job]
    done = subprocess.run(command, env=kept, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr[-3000:])
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    text, jobs = argparse.RawDescriptionHelpFormatter, ["ours", "cached", "rejax"]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=text)
    parser.add_argument("--jobs", nargs="+", default=jobs, choices=jobs)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--core", type=int, help="core to run on; all of them by default")
    out = Path("benchmarks/results/first-minute-cpu.json")
    parser.add_argument("--out", type=Path, default=out)
    parser.add_argument("--child", choices=jobs, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.child:
        child(given.child)
        return
    harness.pin(given.core)
    found: dict[str, list[dict[str, Any]]] = {job: [] for job in given.jobs}
    with tempfile.TemporaryDirectory() as folder:
        if "cached" in given.jobs:
            start("cached", Path(folder))  # compiles what the others read
        for _ in range(given.rounds):
            for job in given.jobs:
                found[job].append(start(job, Path(folder)))
    rows = []
    for job, turns in found.items():
        each = {name: harness.spread([one[name] for one in turns]) for name in ("wall", "cpu")}
        names = turns[0]["after"]
        after = {name: harness.spread([one["after"][name] for one in turns]) for name in names}
        rows.append({"job": job, "seconds": each, "afterwards": after})
        print(json.dumps(rows[-1]), flush=True)
    harness.write_json(given.out, {"context": harness.context(), "rows": rows})


if __name__ == "__main__":
    main()
