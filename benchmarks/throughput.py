"""Environment steps per second, compile seconds and memory, over members x environments.

    python -m benchmarks.throughput --quick
    python -m benchmarks.throughput --gpu --out benchmarks/results/throughput-gpu.json

For each point the engine's own segment is compiled (one program: a loop over updates of a block of
members, all of them on a GPU, state donated) and called again and again, as training does. `random`
acts at random and learns nothing: environments and rollout alone. `ppo` is full training at
published settings. Writes JSON, and a figure beside it; on a CPU its seconds are the process's own,
as in `peers`.
"""

import argparse
import time
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from benchmarks import harness

ENVIRONMENTS = ("CartPole-v1", "Breakout-MinAtar", "Navix-DoorKey-8x8-v0")
QUICK = (1, 8, 64)
GPU = (1, 4, 16, 64, 256, 1024, 4096)
VALUE_BASED = {"dqn": "dopamine-minatar", "rainbow": "dopamine-rainbow-minatar"}
MAX_UPDATES = 4096  # rows of history of one call: how many of them are run is data


class Segment(NamedTuple):
    """A compiled segment. call: (run, clock) -> (run, history); run: where the fleet stands."""

    call: Any
    run: Any
    compile_seconds: float
    peak_bytes: int


def training_agent(policy: str, env: Any) -> Any:
    """An agent for `env`: at random, PPO at the settings of PureJaxRL or navix, or a preset."""
    from benchmarks import contestants, reference
    from purejaxrl_suite.agents.ppo import PPOConfig, ppo
    from purejaxrl_suite.presets import PRESETS

    if policy in VALUE_BASED:
        return PRESETS[VALUE_BASED[policy]].agent(env)
    if env.name.startswith("Navix-"):
        config = PPOConfig(num_envs=16, rollout_length=128, epochs=1, minibatches=8)
    else:
        atari = env.name.endswith("MinAtar")
        s = reference.PPO_BREAKOUT if atari else reference.PPO_CARTPOLE
        config = PPOConfig(s.num_envs, s.rollout_length, s.epochs, s.minibatches)
    if policy == "random":
        return contestants.random_agent(env, config.num_envs, config.rollout_length)
    network = contestants.mlp(env)
    return ppo(env, config, network)


def clock(updates: int) -> Any:
    """A clock that stands at the start of a run of so many updates."""
    import jax.numpy as jnp

    from purejaxrl_suite.core.types import Clock

    return Clock(jnp.int32(0), jnp.int32(updates))


def compile_segment(agent: Any, env: Any, members: int) -> Segment:
    """Initialise a fleet and compile its training, the Run donated."""
    import jax
    import jax.numpy as jnp

    from purejaxrl_suite.engine.train import make_train
    from purejaxrl_suite.sweeps.fleet import train_members

    train = make_train(agent, env, updates_per_call=MAX_UPDATES)
    hypers = jax.tree.map(lambda x: jnp.full(members, x, jnp.float32), agent.hypers)
    fixed = jnp.arange(members, dtype=jnp.uint32), hypers, env.params

    def init(seeds: Any, *given: Any) -> Any:
        return jax.vmap(train.init, (0, 0, None))(jax.vmap(jax.random.key)(seeds), *given)

    run = jax.jit(init)(*fixed)
    start = time.perf_counter()
    alike = jax.tree.map(lambda _: False, env.params)
    fleet = jax.jit(train_members(train, alike), donate_argnums=3)
    executable = fleet.lower(*fixed, run, clock(1)).compile()
    seconds = time.perf_counter() - start
    memory = executable.memory_analysis()
    sizes = memory.argument_size_in_bytes, memory.output_size_in_bytes, memory.temp_size_in_bytes
    peak = sum(sizes) - memory.alias_size_in_bytes
    return Segment(partial(executable, *fixed), run, seconds, peak)


def timed(segment: Segment, updates: int) -> tuple[Segment, float, float]:
    """The segment after so many updates, and the (wall, process CPU) seconds they took."""
    import jax

    now = clock(updates)
    wall, cpu = time.perf_counter(), time.process_time()
    run, _ = jax.block_until_ready(segment.call(segment.run, now))
    return segment._replace(run=run), time.perf_counter() - wall, time.process_time() - cpu


def measure(env_id: str, policy: str, members: int, seconds: float, rounds: int) -> dict[str, Any]:
    """One point: what was measured of this policy in this environment."""
    from purejaxrl_suite.envs import make

    env = make(env_id)
    found = measure_agent(training_agent(policy, env), env, members, seconds, rounds)
    return {"env_id": env_id, "policy": policy, "members": members} | found


def measure_agent(
    agent: Any, env: Any, members: int, seconds: float, rounds: int
) -> dict[str, Any]:
    """Medians over `rounds` calls of about `seconds` each, and what compiling told."""
    import jax

    segment = compile_segment(agent, env, members)
    segment, *_ = timed(segment, 1)
    segment, wall, _ = timed(segment, 3)
    updates = min(MAX_UPDATES, max(1, round(3 * seconds / wall)))
    times = []
    steps = members * updates * agent.num_envs * agent.rollout_length
    for _ in range(rounds):
        segment, *pair = timed(segment, updates)
        times.append(pair)
    return {
        "num_envs": agent.num_envs,
        "rollout_length": agent.rollout_length,
        "steps_per_call": steps,
        "steps_per_second": harness.spread([steps / wall for wall, _ in times]),
        "steps_per_cpu_second": steps / median(cpu for _, cpu in times),
        "compile_seconds": round(segment.compile_seconds, 2),
        "peak_bytes": segment.peak_bytes,
        "device_peak_bytes": (jax.devices()[0].memory_stats() or {}).get("peak_bytes_in_use"),
    }


def figure(data: dict[str, Any], path: Path) -> None:
    """Speed, memory per member and compile seconds against members, one colour per environment."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    panels = {
        "environment steps / s": lambda row: harness.speed(row, data["context"]),
        "bytes per member": lambda row: row["peak_bytes"] / row["members"],
        "compile seconds": lambda row: row["compile_seconds"],
    }
    picture, axes = plt.subplots(1, 3, figsize=(13, 4), layout="constrained")
    env_ids = list(dict.fromkeys(row["env_id"] for row in data["points"]))
    for axis, (label, value) in zip(axes, panels.items(), strict=True):
        for policy, style in (("random", "o--"), ("ppo", "o-")):
            for i, env_id in enumerate(env_ids):
                rows = [r for r in data["points"] if (r["env_id"], r["policy"]) == (env_id, policy)]
                if not rows:
                    continue
                x, y = [row["members"] for row in rows], [value(row) for row in rows]
                axis.plot(x, y, style, color=f"C{i}", label=f"{env_id}, {policy}")
        axis.set(xlabel="members", ylabel=label, xscale="log")
        axis.set_yscale("linear" if "compile" in label else "log")
        axis.grid(alpha=0.3)
    picture.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    picture.suptitle(f"{data['context']['device']} ({data['context']['cpu']})", fontsize="small")
    picture.savefig(path, dpi=150)


def parse() -> argparse.Namespace:
    text = argparse.RawTextHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=text)
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--quick", action="store_true", help=f"members {QUICK} (default)")
    size.add_argument("--gpu", action="store_true", help=f"members {GPU}")
    parser.add_argument("--members", type=int, nargs="+", help="instead of a preset")
    parser.add_argument("--envs", nargs="+", default=list(ENVIRONMENTS))
    parser.add_argument("--policies", nargs="+", default=["random", "ppo"])
    parser.add_argument("--seconds", type=float, default=2.0, help="of one call")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--core", type=int, help="core to run on; all of them by default")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/throughput.json"))
    return parser.parse_args()


def main() -> None:
    arguments = parse()
    harness.pin(arguments.core)
    data: dict[str, Any] = {"context": harness.context(), "points": []}
    for env_id in arguments.envs:
        for policy in arguments.policies:
            for members in arguments.members or (GPU if arguments.gpu else QUICK):
                row = measure(env_id, policy, members, arguments.seconds, arguments.rounds)
                data["points"].append(row)
                harness.write_json(arguments.out, data)
                speed = row["steps_per_second"]["median"]
                print(
                    f"{env_id:24} {policy:7} {members:5} members {speed:13,.0f} steps/s "
                    f"{row['compile_seconds']:6.1f} s to compile",
                    flush=True,
                )
    figure(data, arguments.out.with_suffix(".png"))


if __name__ == "__main__":
    main()
