"""Does it learn what the reference loop learns? Returns of both over the same steps.

    python -m benchmarks.learning --steps 1e6 --seeds 4 --reference-seeds 2 --core 1

PQN at purejaxql's settings for MinAtar, ours and the plain loop of `reference.py`, which is that
project's program step for step. Returns are means over the episodes that ended, in training; what
differs is truncation (ours bootstraps through time limits) and the reset pool.
Writes JSON, and a figure beside it.
"""

import argparse
import time
from pathlib import Path
from typing import Any

from benchmarks import harness

GAMES = ("Breakout-MinAtar", "SpaceInvaders-MinAtar", "Freeway-MinAtar", "Asterix-MinAtar")
LAST = 0.05
"""Share of the training that the numbers of the table are means of."""


def ours(settings: Any, updates: int, seeds: int) -> Any:
    """Curves of our PQN."""
    import purejaxrl_suite as suite
    from purejaxrl_suite.presets import PRESETS

    env = suite.make(settings.env_id)
    steps = updates * settings.num_envs * settings.rollout_length
    return suite.run(PRESETS["purejaxql-minatar"].agent(env), env, seeds=seeds, steps=steps).curves


def reference_curves(settings: Any, updates: int, seeds: int, like: Any) -> Any:
    """Curves of the reference loop, one seed after the other, in the form of ours."""
    import jax
    import numpy as np
    import xarray

    from benchmarks import reference

    train = jax.jit(reference.make_pqn(settings, updates))
    means, numbers = [], []
    for seed in range(seeds):
        metrics = train(jax.random.key(seed))[1]
        sums, ended = np.asarray(metrics["ended_return"]), np.asarray(metrics["returned_episode"])
        means.append(np.where(ended > 0, sums / np.maximum(ended, 1e-9), np.nan))
        numbers.append(ended * settings.num_envs * settings.rollout_length)
    rows = {"episode_return": means, "episodes": numbers}
    rows["finished_once"] = np.ones_like(means)  # the loop does not tell: all its points count
    data = {name: (("seed", "step"), np.stack(x), like[name].attrs) for name, x in rows.items()}
    seeds_of = {"seed": np.arange(seeds), "step": like["step"]}
    return xarray.Dataset(data, seeds_of, like.attrs)


def returns_of_ended_episodes() -> None:
    """Make the loop's environment record the sum of returns that ended, beside how many did."""
    from benchmarks import reference

    made = reference.logged_environment

    def recording(env_id: str, flatten: bool) -> Any:
        env = made(env_id, flatten)

        def step(key: Any, state: Any, action: Any) -> tuple[Any, ...]:
            obs, state, reward, done, info = env.step(key, state, action)
            ended = done * info["returned_episode_returns"]
            return obs, state, reward, done, info | {"ended_return": ended}

        return env._replace(step=step)

    reference.logged_environment = recording


def at_the_end(curves: Any) -> list[float]:
    """Mean return of each seed over the last part of training."""
    from purejaxrl_suite import report

    return [round(float(value), 2) for value in report.final_scores(curves, share=LAST)]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--games", nargs="+", default=GAMES)
    parser.add_argument("--steps", type=float, default=1e6)
    parser.add_argument("--seeds", type=int, default=4, help="of ours")
    parser.add_argument("--reference-seeds", type=int, default=2)
    parser.add_argument("--core", type=int, help="core to run on; all of them by default")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/learning.json"))
    arguments = parser.parse_args()
    harness.pin(arguments.core)
    import xarray

    from benchmarks import reference
    from purejaxrl_suite import report

    returns_of_ended_episodes()
    data: dict[str, Any] = {"context": harness.context(), "last": LAST, "games": {}}
    curves: dict[str, list[Any]] = {}
    for game in arguments.games:
        settings = reference.PQN_BREAKOUT._replace(env_id=game)
        updates = int(arguments.steps) // (settings.num_envs * settings.rollout_length)
        start = time.perf_counter()
        found = {"purejaxrl_suite": ours(settings, updates, arguments.seeds)}
        like = found["purejaxrl_suite"]
        found["purejaxql's loop"] = reference_curves(
            settings, updates, arguments.reference_seeds, like
        )
        data["games"][game] = {name: at_the_end(each) for name, each in found.items()}
        print(f"{game}: {data['games'][game]} ({time.perf_counter() - start:.0f} s)", flush=True)
        for name, each in found.items():
            curves.setdefault(name, []).append(each)
        harness.write_json(arguments.out, data)
        games = xarray.IndexVariable("environment", arguments.games[: len(data["games"])])
        joined = {name: xarray.concat(each, games) for name, each in curves.items()}
        report.learning_curves(joined, path=arguments.out.with_suffix(".png"))


if __name__ == "__main__":
    main()
