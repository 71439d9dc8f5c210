"""A small sweep that waits for a file before it trains: python -m tests.sweeps.race FOLDER GO."""

import sys
import time
from pathlib import Path

import purejaxrl_suite as pjs
from purejaxrl_suite import nets
from purejaxrl_suite.envs import probes
from tests.shared import drawn


def network(env):
    return drawn(nets.actor_critic(env.observation, env.action, hidden=(8,)))


def main(folder: str, go: str) -> None:
    def wait(what: object) -> None:
        while not Path(go).exists():
            time.sleep(0.05)

    config = pjs.PPOConfig(num_envs=4, rollout_length=8, epochs=1, minibatches=2)
    arguments = {"config": config, "network": network, "seeds": 2, "steps": 64, "segments": 2}
    arguments |= {"out": folder, "progress": False}
    pjs.sweep(pjs.ppo, probes.delayed_reward(), **arguments, announce=wait)


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except ValueError as error:
        sys.exit(str(error))
