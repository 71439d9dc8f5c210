"""Ours against brax's own SAC and PPO: the same steps on one environment, return and speed.

    python -m benchmarks.continuous [sac] [ppo] [--env inverted_pendulum] [--steps 20000] [--core 1]

Each training is a process of its own, ours and theirs by turns, one seed a round. SAC and PPO have
numbers of steps of their own (STEPS), since SAC learns from far fewer. Settings are
equal: environments, networks, batch, learning rates, discount, gradient steps per environment step.
Speed is environment steps per second of wall time after compilation: of theirs as brax reports
it, of ours by segments; the first segment of each is left out. Returns are means of 128 greedy
episodes. brax's PPO leaves steps at time limits out of its loss, ours bootstraps there.
(`bootstrap_on_timeout` of brax is off, as it is by default: in brax 0.14.2 inverted_pendulum calls
each fall a timeout, so with it falling costs nothing and nothing is learnt.) The policy of brax's
PPO is squashed by tanh, ours is not. Results go to benchmarks/results/continuous-cpu.json.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks import harness

RESULTS = Path(__file__).parent / "results" / "continuous-cpu.json"
CACHE = Path(__file__).parents[1] / ".cache" / "continuous"
"""Programs are compiled in the first round alone: brax's take a minute or two each."""
SEGMENTS = 5
EPISODE = 1000
# Shared by both of a pair; `envs` is the number of parallel environments.
SAC = {"envs": 16, "batch": 128, "updates": 16, "rate": 3e-4, "gamma": 0.99, "history": 2048}
PPO = {"envs": 64, "length": 16, "minibatches": 8, "epochs": 4, "rate": 3e-4, "gamma": 0.97}
HIDDEN = (64, 64)
STEPS = {"sac": 20_000, "ppo": 200_000}


def ours(agent: str, job: dict[str, Any]) -> dict[str, Any]:
    """Train with this suite."""
    import jax

    import purejaxrl_suite as pjs
    from purejaxrl_suite import nets

    env = pjs.make(f"Brax-{job['env']}", backend=job["backend"])
    if agent == "sac":
        network = nets.actor_critics(env.observation, env.action, hidden=HIDDEN)
        config = pjs.SACConfig(SAC["envs"], 1, SAC["updates"], 1, SAC["batch"], job["steps"])
        rates = {f"{name}_learning_rate": SAC["rate"] for name in ("actor", "critic")}
        fixed = {"gamma": SAC["gamma"], "min_history": SAC["history"], "target_entropy": -0.5}
        built = pjs.sac(env, config, network, pjs.SACHypers(**rates, **fixed))
    else:
        options = {"hidden": HIDDEN, "activation": jax.nn.silu}
        network = nets.actor_critic(env.observation, env.action, **options)
        sizes = PPO["envs"], PPO["length"], PPO["epochs"], PPO["minibatches"]
        flags = {"anneal_learning_rate": False, "normalize_observations": True}
        config = pjs.PPOConfig(*sizes, **flags)
        rates = {"learning_rate": PPO["rate"], "gamma": PPO["gamma"], "clip_range": 0.3}
        built = pjs.ppo(env, config, network, pjs.PPOHypers(**rates))
    known = {"seeds": [job["seed"]], "steps": job["steps"], "segments": SEGMENTS}
    result = pjs.run(built, env, progress=False, **known)
    speeds = result.curves.steps_per_second.values.ravel()
    warm = speeds[len(speeds) // SEGMENTS + 1 :]
    returns = result.evaluate(128).episode_return
    return {"steps_per_second": float(median(warm)), "return": float(returns.mean())}


def theirs(agent: str, job: dict[str, Any]) -> dict[str, Any]:
    """Train with brax."""
    import functools
    import warnings

    import jax

    warnings.simplefilter("ignore")
    # Removed from jax 0.11; brax 0.14.2 calls it to begin with, on the one device that there is.
    jax.device_put_replicated = lambda tree, devices: jax.tree.map(  # pyright: ignore
        lambda x: jax.numpy.stack([x] * len(devices)), tree
    )
    from brax import envs
    from brax.training.agents.ppo import networks as ppo_networks
    from brax.training.agents.ppo import train as ppo
    from brax.training.agents.sac import networks as sac_networks
    from brax.training.agents.sac import train as sac

    seen: list[dict[str, float]] = []
    common = {
        "environment": envs.get_environment(job["env"], backend=job["backend"]),
        "num_timesteps": job["steps"],
        "episode_length": EPISODE,
        "num_evals": SEGMENTS + 1,
        "num_eval_envs": 128,
        "deterministic_eval": True,
        "seed": job["seed"],
        "progress_fn": lambda step, metrics: seen.append(dict(metrics)),
    }
    network: Any
    if agent == "sac":
        network = functools.partial(sac_networks.make_sac_networks, hidden_layer_sizes=HIDDEN)
        sac.train(
            **common,
            network_factory=network,
            num_envs=SAC["envs"],
            learning_rate=SAC["rate"],
            discounting=SAC["gamma"],
            batch_size=SAC["batch"],
            grad_updates_per_step=SAC["updates"],
            min_replay_size=SAC["history"],
            max_replay_size=job["steps"],
        )
    else:
        network = functools.partial(
            ppo_networks.make_ppo_networks,
            policy_hidden_layer_sizes=HIDDEN,
            value_hidden_layer_sizes=HIDDEN,
        )
        ppo.train(
            **common,
            network_factory=network,
            num_envs=PPO["envs"],
            learning_rate=PPO["rate"],
            discounting=PPO["gamma"],
            entropy_cost=1e-2,
            unroll_length=PPO["length"],
            batch_size=PPO["envs"] // PPO["minibatches"],
            num_minibatches=PPO["minibatches"],
            num_updates_per_batch=PPO["epochs"],
            normalize_observations=True,
            max_grad_norm=0.5,
        )
    speeds = [float(x["training/sps"]) for x in seen if "training/sps" in x]
    last = float(seen[-1]["eval/episode_reward"])
    return {"steps_per_second": median(speeds[1:]), "return": last}


SIDES = {"ours": ours, "brax": theirs}


def measure(side: str, agent: str, job: dict[str, Any]) -> dict[str, Any]:
    """One training in a process of its own."""
    words = [sys.executable, "-m", "benchmarks.continuous", "--child", side, agent, json.dumps(job)]
    known = os.environ | {"JAX_COMPILATION_CACHE_DIR": str(CACHE)}
    process = subprocess.run(words, capture_output=True, text=True, env=known)
    if process.returncode:
        raise RuntimeError(f"{side} {agent} failed:\n{process.stderr[-2000:]}")
    return json.loads(process.stdout.splitlines()[-1])


def child(side: str, agent: str, text: str) -> None:
    """In the process of its own: print what was measured."""
    job = json.loads(text)
    harness.pin(job["core"])
    start = time.perf_counter()
    found = SIDES[side](agent, job)
    print(json.dumps(found | {"seconds": time.perf_counter() - start}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("agents", nargs="*", help="sac, ppo or both (which is what none means)")
    parser.add_argument("--env", default="inverted_pendulum")
    parser.add_argument("--backend", default="positional")
    parser.add_argument("--steps", type=int, help=f"of each training; {STEPS} unless given")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--core", type=int, default=1)
    parser.add_argument("--out", type=Path, default=RESULTS)
    given = parser.parse_args()
    if unknown := set(given.agents) - set(STEPS):
        parser.error(f"agents: {', '.join(sorted(unknown))}, expected {' or '.join(STEPS)}")
    rows = []
    for agent in given.agents or STEPS:
        steps = given.steps or STEPS[agent]
        for seed in range(given.rounds):
            job = {"env": given.env, "backend": given.backend, "steps": steps, "seed": seed}
            job["core"] = None if given.core < 0 else given.core
            row = {side: measure(side, agent, job) for side in SIDES}
            ratio = row["ours"]["steps_per_second"] / row["brax"]["steps_per_second"]
            rows.append({"agent": agent, "job": job, "ratio": ratio} | row)
            print(agent, seed, json.dumps(row), f"ratio {ratio:.2f}", flush=True)
        ratios = [row["ratio"] for row in rows if row["agent"] == agent]
        span = f"{min(ratios):.2f} - {max(ratios):.2f}"
        print(f"{agent}: ours / brax, steps per second: {median(ratios):.2f} ({span})")
    settings = {name: str(value) for name, value in vars(given).items()}
    harness.write_json(
        given.out, {"context": harness.context(), "settings": settings, "rows": rows}
    )


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        child(*sys.argv[2:5])
    else:
        main()
