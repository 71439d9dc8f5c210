"""Ours against its peers on this machine, at equal settings, in alternation; ratios are the result.

    python -m benchmarks.peers --jobs ppo-cartpole navix-doorkey --out benchmarks/results/mine.json

Equal means: the same environment, batch sizes, network sizes, epochs and number of environment
steps. What may differ is how the work is done (resets, permutations, what is stored and returned)
and truncation, which only ours bootstraps through, at its own cost.
"""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks import harness, tables

Contestants = list[harness.Contestant]


def ppo_job(settings: str, updates: int, members: int = 1) -> Callable[[float], Any]:
    def build(scale: float) -> tuple[Any, Contestants]:
        from benchmarks import contestants, reference

        s, n = getattr(reference, settings), max(1, round(scale * updates))
        builders = contestants.our_ppo, contestants.reference_ppo, contestants.rejax_ppo
        entries = [builder(s, n, members) for builder in builders]
        return describe(s, n, members), [entry for entry in entries if entry is not None]

    return build


def pqn_job(settings: str, updates: int, members: int = 1) -> Callable[[float], Any]:
    def build(scale: float) -> tuple[Any, Contestants]:
        from benchmarks import contestants, reference

        s, n = getattr(reference, settings), max(1, round(scale * updates))
        builders = contestants.our_pqn, contestants.reference_pqn
        return describe(s, n, members), [builder(s, n, members) for builder in builders]

    return build


def dqn_job(settings: str, updates: int, members: int = 1) -> Callable[[float], Any]:
    def build(scale: float) -> tuple[Any, Contestants]:
        from benchmarks import contestants

        s, n = getattr(contestants, settings), max(1, round(scale * updates))
        builders = contestants.our_dqn, contestants.rejax_dqn
        entries = [builder(s, n, members) for builder in builders]
        return describe(s, n, members), [entry for entry in entries if entry is not None]

    return build


def navix_job(env_id: str, updates: int, observation: str) -> Callable[[float], Any]:
    def build(scale: float) -> tuple[Any, Contestants]:
        from benchmarks import contestants

        n = max(1, round(scale * updates))
        builders = contestants.our_navix_ppo, contestants.navix_ppo
        settings = {"observation": observation, "settings": "navix PPOHparams defaults"}
        entries = [builder(env_id, n, observation) for builder in builders]
        return {"env_id": env_id, "updates": n, **settings}, entries

    return build


def stepping_job(env_id: str, rollouts: int) -> Callable[[float], Any]:
    def build(scale: float) -> tuple[Any, Contestants]:
        from benchmarks import contestants

        n = max(1, round(scale * rollouts))
        # Ours takes more rollouts per call, so that both calls last long enough to be timed.
        entries = [contestants.our_stepping(env_id, 8 * n), contestants.navix_stepping(env_id, n)]
        return {"env_id": env_id, "seeds": 8, "num_envs": 32, "rollout_length": 100}, entries

    return build


def describe(settings: Any, updates: int, members: int) -> dict[str, Any]:
    """Settings as plain data."""
    plain = {k: getattr(v, "__name__", v) for k, v in settings._asdict().items()}
    return plain | {"updates": updates, "members": members}


# A peer's call lasts two or three seconds on one core; `--scale` multiplies the updates.
JOBS: dict[str, Callable[[float], Any]] = {
    "ppo-cartpole": ppo_job("PPO_CARTPOLE", 700),
    "ppo-cartpole-64": ppo_job("PPO_CARTPOLE", 15, members=64),
    "ppo-cartpole-2048": ppo_job("PPO_CARTPOLE", 16, members=2048),
    "ppo-breakout": ppo_job("PPO_BREAKOUT", 20),
    "pqn-breakout": pqn_job("PQN_BREAKOUT", 3),
    "pqn-cartpole": pqn_job("PQN_CARTPOLE", 30),
    "dqn-cartpole-64": dqn_job("DQN_CARTPOLE", 10, members=64),
    "dqn-cartpole-64-small": dqn_job("DQN_CARTPOLE_SMALL", 60, members=64),
    "dqn-breakout-64-small": dqn_job("DQN_BREAKOUT_SMALL", 60, members=64),
    # The view is what navix's own example of PPO learns from; the grid costs both sides a first
    # layer of up to 1,083 inputs.
    "navix-doorkey-view": navix_job("Navix-DoorKey-8x8-v0", 150, "symbolic_first_person"),
    "navix-fourrooms-view": navix_job("Navix-FourRooms-v0", 50, "symbolic_first_person"),
    "navix-random16-view": navix_job("Navix-Empty-Random-16x16-v0", 50, "symbolic_first_person"),
    "navix-doorkey-grid": navix_job("Navix-DoorKey-8x8-v0", 150, "symbolic"),
    "navix-fourrooms-grid": navix_job("Navix-FourRooms-v0", 50, "symbolic"),
    "navix-random16-grid": navix_job("Navix-Empty-Random-16x16-v0", 50, "symbolic"),
    "step-doorkey": stepping_job("Navix-DoorKey-8x8-v0", 50),
    "step-fourrooms": stepping_job("Navix-FourRooms-v0", 8),
}


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument(
        "--jobs",
        nargs="+",
        default=[name for name in JOBS if name != "ppo-cartpole-2048"],
        choices=list(JOBS),
        metavar="JOB",
        help="any of: " + ", ".join(JOBS) + "; by default all but that of 2,048 members",
    )
    parser.add_argument("--rounds", type=int, default=7, help="alternating rounds per job")
    parser.add_argument("--scale", type=float, default=1.0, help="multiplies the updates per call")
    parser.add_argument("--core", type=int, default=0, help="core to run on; -1 leaves all of them")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/peers.json"))
    return parser.parse_args()


def main() -> None:
    arguments = parse()
    harness.pin(arguments.core if arguments.core >= 0 else None)
    data: dict[str, Any] = {"context": harness.context(), "jobs": {}}
    for name in arguments.jobs:
        settings, entries = JOBS[name](arguments.scale)
        data["jobs"][name] = {"settings": settings, **harness.race(entries, arguments.rounds)}
        harness.write_json(arguments.out, data)
        print(f"{name}: done", flush=True)
    print(tables.peers(data))


if __name__ == "__main__":
    main()
