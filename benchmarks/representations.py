"""What auxiliary losses cost beside plain DQN on Breakout-MinAtar, and what a probe takes.

    python -m benchmarks.representations --envs 16 --updates 30 --rounds 9

Contestants are those of `benchmarks.plasticity`: whole runs of DQN with Young and Tian's network,
rollouts of 4 steps, and one gradient step with 32 transitions for each environment in an update.
They differ in the auxiliary loss. Probes of mutual information are timed by themselves, on samples
of so many numbers.
"""

import time
from collections.abc import Callable
from statistics import median
from typing import Any

from benchmarks import harness
from benchmarks.plasticity import contestant, measure

REPEATS = 5
SIZES = ((256, 1024), (1024, 256), (4096, 256))
"""Samples, and numbers of a representation: of the metric with replay, of rollouts, of a study."""


def contestants(members: int, envs: int, updates: int) -> list[harness.Contestant]:
    """Plain DQN, and with every auxiliary loss."""
    from purejaxrl_suite import nets
    from purejaxrl_suite.agents.dqn import DQNConfig, DQNHypers, dqn
    from purejaxrl_suite.envs import make
    from purejaxrl_suite.representations import auxiliary, dynamics, ksme, mico

    env = make("Breakout-MinAtar")
    config = DQNConfig(num_envs=envs, rollout_length=4, gradient_steps=envs, huber=False)
    options: Any = {"encoder": nets.minatar_cnn(), "hidden": (128,), "layer_norm": False}
    network = nets.q_network(env.observation, env.action, **options)
    hypers = DQNHypers(min_history=4.0 * envs)
    builders: dict[str, Callable[..., Any]] = {
        "plain": dqn,
        "MICo": auxiliary(dqn, mico()),
        "KSMe": auxiliary(dqn, ksme()),
        "dynamics": auxiliary(dqn, dynamics()),
    }
    plain = dqn(env, config, network, hypers)
    made = []
    for name, build in builders.items():
        agent = build(env, config, network)
        known = agent.hypers._replace(**plain.hypers._asdict())
        agent = agent._replace(hypers=known)
        made.append(contestant(name, agent, env, members, updates))
    return made


def probes(members: int, envs: int, updates: int) -> list[dict[str, Any]]:
    """Time the estimates of I(Z; V) and I(Z; A), of one representation."""
    del members, envs, updates
    found = [probe(*size) for size in SIZES]
    for row in found:
        text = ", ".join(f"I(Z; {name}) {1e3 * row[name]:.0f} ms" for name in ("V", "A"))
        print(f"{row['samples']} samples of {row['numbers']} numbers: {text}")
    return found


def probe(samples: int, numbers: int) -> dict[str, Any]:
    """Seconds of one estimate of each kind, medians."""
    import jax

    from purejaxrl_suite.ops import dependence

    keys = jax.random.split(jax.random.key(0), 3)
    z = jax.random.normal(keys[0], (samples, numbers))
    value = jax.random.normal(keys[1], (samples, 1))
    label = jax.random.randint(keys[2], (samples,), 0, 4)
    estimators = {
        "V": (dependence.mutual_information, value),
        "A": (dependence.mutual_information_with_labels, label),
    }
    times = {}
    for name, (estimate, other) in estimators.items():
        compiled = jax.jit(estimate)
        compiled(z, other).block_until_ready()
        seconds = []
        for _ in range(REPEATS):
            start = time.perf_counter()
            compiled(z, other).block_until_ready()
            seconds.append(time.perf_counter() - start)
        times[name] = median(seconds)
    return {"samples": samples, "numbers": numbers, **times}


if __name__ == "__main__":
    measure("representations", __doc__, contestants, probes=probes)
