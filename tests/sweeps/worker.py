"""A small sweep in a process of its own: python -m tests.sweeps.worker FOLDER [PORT NUMBER]."""

import sys

import jax

import purejaxrl_suite as pjs
from purejaxrl_suite import nets
from purejaxrl_suite.envs import probes
from tests.shared import drawn


def train(folder: str) -> list[int]:
    """Train in the folder; gives devices of this process, members at once, and chunks."""
    config = pjs.PPOConfig(num_envs=4, rollout_length=8, epochs=1, minibatches=2)
    plans = []
    result = pjs.sweep(
        pjs.ppo,
        probes.delayed_reward(),
        hypers=pjs.search.grid(pjs.PPOHypers(), learning_rate=[1e-3, 1e-2]),
        config=config,
        network=lambda env: drawn(nets.actor_critic(env.observation, env.action, hidden=(8,))),
        seeds=5,
        steps=32 * 4,
        segments=2,
        out=folder,
        announce=plans.append,
        progress=False,
    )
    (group,) = plans[0].groups
    assert "all-" not in group.program.train.as_text(), "a collective"
    assert result.curves.sizes["seed"] == 5
    return [len(jax.local_devices()), group.chunk, group.chunks]


def main(folder: str, port: str = "", number: str = "0") -> None:
    if port:
        jax.distributed.initialize(f"localhost:{port}", num_processes=2, process_id=int(number))
    print(*train(folder))


if __name__ == "__main__":
    main(*sys.argv[1:])
