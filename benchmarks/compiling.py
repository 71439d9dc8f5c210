"""Seconds of tracing and of compiling, agent by agent, and how long the traced programs are.

    python -m benchmarks.compiling --core 1
    python -m benchmarks.compiling ppo pqn --core 1

Each agent trains one member in the environment and at the preset that it is shown with below; only
the segment is compiled, once without the persistent cache. Operations are those of the traced
program, each loop body once. With the cache, which commands have, the second process reads what the
first one compiled: `cached` is what that takes.
"""

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks import harness

PRESETS = {
    "ppo": ("purejaxrl-cartpole", "CartPole-v1"),
    "ppo-minatar": ("purejaxrl-minatar", "Breakout-MinAtar"),
    "ppo-minigrid": ("minigrid", "Navix-DoorKey-8x8-v0"),
    "pqn": ("purejaxql-minatar", "Breakout-MinAtar"),
    "dqn": ("dopamine-minatar", "Breakout-MinAtar"),
    "c51": ("c51-minatar", "Breakout-MinAtar"),
    "rainbow": ("dopamine-rainbow-minatar", "Breakout-MinAtar"),
    "sr-spr": ("sr-spr-minatar100k", "Breakout-MinAtar"),
    "bbf": ("bbf-minatar100k", "Breakout-MinAtar"),
    "sac": ("sac-pendulum", "Pendulum-v1"),
}


def operations(jaxpr: Any) -> int:
    """Equations of a traced program and of all that it calls, loop bodies once."""
    from benchmarks.roofline import called

    return sum(1 + sum(map(operations, called(equation))) for equation in jaxpr.eqns)


def measure(name: str) -> dict[str, Any]:
    """Process seconds of tracing and lowering, of compiling, and of reading the cache."""
    import jax
    import jax.numpy as jnp

    from benchmarks.throughput import clock
    from purejaxrl_suite.engine.train import make_train
    from purejaxrl_suite.envs import make
    from purejaxrl_suite.presets import PRESETS as PUBLISHED

    preset, env_id = PRESETS[name]
    env = make(env_id)
    agent = PUBLISHED[preset].agent(env)
    init, _, train, *_ = make_train(agent, env, updates_per_call=16)
    hypers, key = jax.tree.map(jnp.float32, agent.hypers), jax.random.key(0)
    run = jax.eval_shape(init, key, hypers, env.params)
    given = key, hypers, env.params, run, clock(16)
    start = time.process_time()
    traced = jax.jit(train).trace(*given)
    lowered = traced.lower()
    middle = time.process_time()
    lowered.compile()
    end = time.process_time()
    jax.clear_caches()  # what was compiled is left in files only
    again = jax.jit(train).lower(*given)
    reading = time.process_time()
    again.compile()
    cached = time.process_time() - reading
    return {
        "agent": name,
        "preset": preset,
        "env_id": env_id,
        "operations": operations(traced.jaxpr.jaxpr),
        "tracing_seconds": round(middle - start, 2),
        "compile_seconds": round(end - middle, 2),
        "cached_seconds": round(cached, 2),
    }


def main() -> None:
    text = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=text)
    parser.add_argument("agents", nargs="*", help=f"all of them by default: {', '.join(PRESETS)}")
    parser.add_argument("--core", type=int, help="core to run on; all of them by default")
    parser.add_argument("--out", type=Path, help="compiling-cpu.json or -gpu.json of the results")
    arguments = parser.parse_args()
    if unknown := set(arguments.agents) - set(PRESETS):
        parser.error(f"agents: {', '.join(sorted(unknown))}, expected {', '.join(PRESETS)}")
    harness.pin(arguments.core)
    context, rows = harness.context(), []
    out = arguments.out or Path(f"benchmarks/results/compiling-{context['backend']}.json")
    with tempfile.TemporaryDirectory() as cache:
        import jax

        jax.config.update("jax_compilation_cache_dir", cache)
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
        for name in arguments.agents or PRESETS:
            rows.append(measure(name))
            print(*rows[-1].values(), flush=True)
            harness.write_json(out, {"context": context, "rows": rows})


if __name__ == "__main__":
    main()
