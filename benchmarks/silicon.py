"""Silicon in graphene: steps per second beside plain numpy, and the table of greedy controllers.

    python -m benchmarks.silicon --core 1

`speed`: the same greedy controller plays the same task, compiled with hundreds of episodes side by
side, and in plain numpy one by one, in one process on one core, in turns; ratios of steps per
second of process time. `table`: success and mean seconds to the goal of greedy controllers, beside
those of another simulator with 300 episodes each.
"""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks import harness

OFFSETS = (0.58, 1.207, 1.42, 1.869, 2.17)
REFERENCE: dict[tuple[str, float], tuple[tuple[float, float], ...]] = {
    ("simple", 1.5): ((0.98, 227), (1.0, 46), (1.0, 41), (1.0, 68), (1.0, 124)),
    ("simple", 5.0): ((0.94, 262), (1.0, 69), (1.0, 64), (1.0, 72), (1.0, 113)),
    ("prior", 1.5): ((0.98, 237), (1.0, 95), (1.0, 101), (0.99, 243), (0.38, 361)),
    ("prior", 5.0): ((1.0, 222), (1.0, 85), (1.0, 89), (1.0, 165), (0.73, 358)),
}
"""By rates and dwell: success and mean seconds at each offset, of 300 episodes each."""
IDS = {"simple": "STEM-SiliconSimple-v0", "prior": "STEM-Silicon-v0"}


def compiled(rates: str, dwell: float, offset: float, episodes: int) -> Callable[[int], Any]:
    """seed -> an Evaluation of so many episodes of the greedy controller."""
    import jax

    from purejaxrl_suite.envs import make
    from purejaxrl_suite.microscopy import controllers

    env = make(IDS[rates], dwell=dwell, distance=2.0)
    agent = controllers.greedy(env, (offset, 0.0))
    state = agent.init(jax.random.key(0), ())
    evaluate = controllers.evaluating(agent, env, episodes)
    return lambda seed: jax.block_until_ready(evaluate(jax.random.key(seed), state))


def stepping(
    rates: str, dwell: float, offset: float, envs: int, steps: int
) -> tuple[Callable[[int], Any], float]:
    """seed -> a rollout of the greedy controller, as training collects it; seconds to compile."""
    import jax
    import jax.numpy as jnp

    from purejaxrl_suite.engine.rollout import rollout, start
    from purejaxrl_suite.envs import make
    from purejaxrl_suite.microscopy import controllers

    env = make(IDS[rates], dwell=dwell, distance=2.0)
    agent = controllers.greedy(env, (offset, 0.0))
    agent = agent._replace(num_envs=envs, rollout_length=steps)

    def play(key: Any) -> Any:
        first, then = jax.random.split(key)
        run = start(agent, env, key=first, params=env.params, state=agent.init(first, ()))
        rolled = rollout(agent, env, key=then, hypers=(), params=env.params, run=run, reset_pool=1)
        return rolled[2], jnp.mean(rolled[1].reward)

    began = time.perf_counter()
    program = jax.jit(play).lower(jax.random.key(0)).compile()
    seconds = time.perf_counter() - began
    return lambda seed: jax.block_until_ready(program(jax.random.key(seed))), seconds


def speed(rounds: int, envs: int, steps: int, plain_episodes: int) -> dict[str, Any]:
    """Steps per second of both, alternating, and the ratio within each round."""
    from benchmarks import plain_silicon

    play, seconds = stepping("prior", 5.0, 1.207, envs, steps)
    play(0)
    rows = []
    for seed in range(1, rounds + 1):
        began = time.process_time()
        play(seed)
        ours = envs * steps / (time.process_time() - began)
        draw, began = np.random.default_rng(seed), time.process_time()
        found = [
            plain_silicon.episode(draw, plain_silicon.prior, 1.207, 5.0)
            for _ in range(plain_episodes)
        ]
        plain = sum(x.steps for x in found) / (time.process_time() - began)
        rows.append({"ours": ours, "plain": plain, "ratio": ours / plain})
    medians = {name: median(row[name] for row in rows) for name in rows[0]}
    spread = [min(row["ratio"] for row in rows), max(row["ratio"] for row in rows)]
    return {"envs": envs, "steps": steps, "rounds": rows, "median": medians, "spread": spread}


def table(episodes: int) -> list[dict[str, Any]]:
    """Success and mean seconds of each controller, with standard errors, beside the reference."""
    from purejaxrl_suite.microscopy.controllers import seconds_to_goal

    rows = []
    for (rates, dwell), cells in REFERENCE.items():
        for offset, (success, seconds) in zip(OFFSETS, cells, strict=True):
            found = compiled(rates, dwell, offset, episodes)(1)
            share, mean = map(float, seconds_to_goal(found))
            reached = np.asarray(found.info["success"]) > 0
            deviation = float(np.asarray(found.info["seconds"])[reached].std())
            known = {"rates": rates, "dwell": dwell, "offset": offset}
            ours = {"success": share, "seconds": mean, "error": deviation / reached.sum() ** 0.5}
            theirs = {"their_success": success, "their_seconds": seconds}
            theirs["their_error"] = deviation / (300.0 * success) ** 0.5
            rows.append(known | ours | theirs | {"ratio": mean / seconds})
            print(rows[-1], flush=True)
    return rows


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--core", type=int)
    jobs = ["speed", "table"]
    parser.add_argument("--jobs", nargs="+", choices=jobs, default=jobs, help="others are kept")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--envs", type=int, default=512)
    parser.add_argument("--steps", type=int, default=64)
    parser.add_argument("--plain", type=int, default=100, help="episodes of numpy in a round")
    parser.add_argument("--episodes", type=int, default=10_000, help="of each cell of the table")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/silicon-cpu.json"))
    arguments = parser.parse_args()
    harness.pin(arguments.core)
    result = json.loads(arguments.out.read_text()) if arguments.out.exists() else {}
    if "speed" in arguments.jobs:
        result["speed"] = speed(arguments.rounds, arguments.envs, arguments.steps, arguments.plain)
        print(result["speed"]["median"], result["speed"]["spread"])
    if "table" in arguments.jobs:
        result["table"] = table(arguments.episodes)
    harness.write_json(arguments.out, {**result, "context": harness.context()})


if __name__ == "__main__":
    main()
