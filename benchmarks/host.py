"""What does the pipeline of actors and a learner cost beside the emulator of Atari games alone?

    python -m benchmarks.host --core 1
    python -m benchmarks.host --core 1 --game ALE/Breakout --envs 16 --rounds 9

Contestants take turns in one process, on one core, and are compared within each round by processor
time for each environment step: ale-py's `AtariVectorEnv` with random actions; the same games
through the suite's `HostEnvironments`; and training, acting included, with a network of one small
convolution: DQN with few gradient steps, so that what is measured is the pipeline, and PPO with one
epoch. Training is timed from its first segment on, without compilation.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks import harness

RESULTS = Path(__file__).parent / "results" / "host-cpu.json"
WARM_UP = 50


def emulator(env: Any, envs: int, steps: int) -> Callable[[], float]:
    """Make the measurement of the emulator alone: seconds for each step of a game."""
    return stepped(env, envs, steps, lambda copies: copies.vector.step)


def through(env: Any, envs: int, steps: int) -> Callable[[], float]:
    """Make the measurement of games through the suite, without acting and learning."""
    return stepped(env, envs, steps, lambda copies: copies.step)


def stepped(env: Any, envs: int, steps: int, of: Callable[[Any], Any]) -> Callable[[], float]:
    """Make the measurement of random actions in open games; of: games -> their step."""
    import numpy as np

    copies = env.host.open(list(range(envs)))
    copies.reset()
    step, drawn = of(copies), np.random.default_rng(0)

    def run() -> float:
        for t in range(WARM_UP + steps // envs):
            if t == WARM_UP:
                began = time.process_time()
            step(drawn.integers(env.action.n, size=envs))
        return (time.process_time() - began) / (steps // envs * envs)

    return run


def training(env: Any, experiment: Callable[..., Any], steps: int) -> Callable[[], float]:
    """Make the measurement of training: seconds for each step after the first of five segments."""

    def run() -> float:
        seen = []

        def watch(progress: Any) -> None:
            seen.append((time.process_time(), progress.step))

        experiment(env, steps=1.25 * steps, segments=5, on_segment=watch, progress=False, seeds=1)
        (began, first), (ended, last) = seen[0], seen[-1]
        return (ended - began) / (last - first)

    return run


def contestants(game: str, envs: int, steps: int) -> dict[str, Callable[[], float]]:
    """Make what is measured, by name: functions that give seconds for each step."""
    from functools import partial

    import purejaxrl_suite as pjs
    from purejaxrl_suite import nets

    env = pjs.make(game)
    tiny = nets.cnn((nets.ConvLayer(4, (8, 8), (8, 8)),))

    def q_network(env: Any) -> Any:
        return nets.q_network(
            env.observation, env.action, hidden=(16,), encoder=tiny, layer_norm=False
        )

    def actor_critic(env: Any) -> Any:
        return nets.actor_critic(
            env.observation, env.action, hidden=(16,), encoder=tiny, shared=True
        )

    dqn = partial(
        pjs.run,
        pjs.dqn,
        config=pjs.DQNConfig(num_envs=envs, rollout_length=32, capacity=256 * envs),
        hypers=pjs.DQNHypers(min_history=32.0 * envs),
        network=q_network,
    )
    ppo = partial(
        pjs.run,
        pjs.ppo,
        config=pjs.PPOConfig(num_envs=envs, rollout_length=32, epochs=1, minibatches=1),
        network=actor_critic,
    )
    return {
        "emulator": emulator(env, envs, steps),
        "suite": through(env, envs, steps),
        "dqn": training(env, dqn, steps),
        "ppo": training(env, ppo, steps),
    }


def race(entrants: dict[str, Callable[[], float]], rounds: int) -> list[dict[str, Any]]:
    """Let all take turns; rows of steps per second, and of the ratio to the emulator."""
    taken: dict[str, list[float]] = {name: [] for name in entrants}
    for number in range(rounds):
        for name, run in entrants.items():
            taken[name].append(run())
        print(number + 1, {name: f"{1 / x[-1]:.0f}" for name, x in taken.items()}, flush=True)
    rows = []
    for name, seconds in taken.items():
        ratios = [a / b for a, b in zip(taken["emulator"], seconds, strict=True)]
        speeds = harness.spread([1 / x for x in seconds])
        rows.append({"name": name, "steps_per_second": speeds, "ratio": harness.spread(ratios)})
        print(f"{name:10} {1 / median(seconds):8.0f} steps/s  {median(ratios):.3f} of the emulator")
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--game", default="ALE/Pong")
    parser.add_argument("--envs", type=int, default=8)
    parser.add_argument("--steps", type=int, default=16_384, help="of one measurement")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--core", type=int, help="that the process is kept on")
    parser.add_argument("--out", type=Path, default=RESULTS)
    given = parser.parse_args()
    harness.pin(given.core)
    rows = race(contestants(given.game, given.envs, given.steps), given.rounds)
    settings = {"game": given.game, "envs": given.envs, "rounds": given.rounds}
    data = {"context": harness.context(), "settings": settings, "rows": rows}
    harness.write_json(given.out, data)


if __name__ == "__main__":
    main()
