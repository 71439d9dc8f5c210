"""What it costs to step several dynamics in one batch: one vmap for each, or a switch under vmap.

    python -m benchmarks.multitask --core 1 --out benchmarks/results/multitask-cpu.json

N environments, equal shares of the tasks, under random actions and without resets. `grouped` is the
engine's way (engine/parallel.py): environments of one dynamics are one vmap. `switch` is one vmap
over all environments of `lax.switch` on the task, which a batched index turns into computing every
branch and selecting. `family` is one dynamics under several parameters, where both are one vmap.
The rows say how many operations and bytes a step of all environments has before XLA fuses it, which
no load of the machine changes; then steps per second, their ratio, and kernels in a step.
"""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks import harness

SETS = {
    "MinAtar": "Asterix-MinAtar+Breakout-MinAtar+SpaceInvaders-MinAtar",
    "classic": "CartPole-v1+Acrobot-v1+MountainCar-v0",
    "navix": "Navix-Empty-5x5-v0+Navix-DoorKey-5x5-v0+Navix-FourRooms-v0",
}
FAMILY = "family"


def environment(name: str) -> Any:
    """A set of tasks by its name."""
    from purejaxrl_suite.envs import make
    from purejaxrl_suite.envs.multi_task import family, multi_task

    if name != FAMILY:
        return make(SETS[name])
    cart = make("CartPole-v1")
    return multi_task(family(cart, [cart.params.replace(gravity=g) for g in (5.0, 10.0, 20.0)]))


def grouped(env: Any, n: int) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """Functions (keys[N]) -> states and (keys[N], states, action[N]) -> (states, TimeStep[N])."""
    from purejaxrl_suite.engine.parallel import parallel

    envs = parallel(env)
    return (
        lambda keys: envs.init(keys, env.params)[0],
        lambda keys, states, action: envs.step(keys, env.params, states, action),
    )


def switched(env: Any, n: int) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """The same by `lax.switch`, every environment with a state of every task."""
    import jax
    import jax.numpy as jnp

    count = len(env.tasks)
    place = jnp.arange(n) % count

    def init(key: Any) -> Any:
        return tuple(env.init(key, params)[0] for params in env.params)

    def step(key: Any, place: Any, states: Any, action: Any) -> Any:
        def play(i: int) -> Any:
            state, now = env.step(key, env.params[i], states[i], action)
            return (*states[:i], state, *states[i + 1 :]), now

        return jax.lax.switch(place, [lambda i=i: play(i) for i in range(count)])

    vmapped = jax.vmap(step)
    return jax.vmap(init), lambda keys, states, action: vmapped(keys, place, states, action)


def work(env: Any, how: Any, n: int) -> dict[str, float]:
    """Operations and bytes of one step of N environments, as traced; compiles nothing."""
    import jax
    import jax.numpy as jnp

    init, step = how(env, n)
    keys = jax.eval_shape(lambda: jax.random.split(jax.random.key(0), n))
    shapes = keys, jax.eval_shape(init, keys), jax.ShapeDtypeStruct((n,), jnp.int32)
    found = jax.jit(step).lower(*shapes).cost_analysis()
    return {name: found[name] for name in ("flops", "bytes accessed")}


def contestant(name: str, env: Any, how: Any, n: int, steps: int) -> harness.Contestant:
    """Some steps of N environments from their start, everything that they show summed up."""
    import jax
    import jax.numpy as jnp

    init, step = how(env, n)

    def train(key: Any) -> Any:
        start_key, step_key, action_key = jax.random.split(key, 3)
        actions = jax.random.randint(action_key, (steps, n), 0, env.action.n)
        keys = jax.random.split(step_key, (steps, n))

        def body(states: Any, xs: Any) -> Any:
            states, now = step(xs[0], states, xs[1])
            seen = jnp.sum(now.obs.astype(jnp.float32)), jnp.sum(now.reward)
            return states, (*seen, jnp.sum(now.terminated | now.truncated))

        return jax.lax.scan(body, init(jax.random.split(start_key, n)), (keys, actions))[1]

    return harness.Contestant(name, train, n * steps)


def main() -> None:
    """Race both on every set."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sets", nargs="+", default=[*SETS, FAMILY])
    parser.add_argument("--envs", type=int, default=192)
    parser.add_argument("--steps", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--only-count", action="store_true", help="compile and time nothing")
    parser.add_argument("--core", type=int, default=-1)
    parser.add_argument("--out", type=Path, default=None)
    given = parser.parse_args()
    harness.pin(None if given.core < 0 else given.core)
    found = {}
    for name in given.sets:
        env = environment(name)
        both = (("grouped", grouped), ("switch", switched))
        counts = {label: work(env, how, given.envs) for label, how in both}
        ratios = {k: counts["switch"][k] / x for k, x in counts["grouped"].items()}
        print(f"{name}: a switch has {ratios['flops']:.2f} times the operations, ", end="")
        print(f"{ratios['bytes accessed']:.2f} times the bytes", flush=True)
        found[name] = {"a step": counts}
        if given.only_count:
            continue
        made = [contestant(f"{name} {n}", env, how, given.envs, given.steps) for n, how in both]
        found[name] |= harness.race(made, given.rounds)
        ours, theirs = found[name]["contestants"]
        kernels = [max(loop["own"] for loop in one["loops"]) for one in (ours, theirs)]
        found[name]["kernels in a step"] = dict(zip(("grouped", "switch"), kernels, strict=True))
        speeds = [one["steps_per_second"]["median"] for one in (ours, theirs)]
        print(f"{name}: grouped {speeds[0]:,.0f} steps/s, switch {speeds[1]:,.0f}; ", end="")
        print(f"ratio {theirs['ratio']}; kernels {kernels[0]} and {kernels[1]}", flush=True)
    if given.out is not None:
        harness.write_json(given.out, {"context": harness.context(), "sets": found})


if __name__ == "__main__":
    main()
