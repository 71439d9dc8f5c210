"""Steps per second of tabular Q(lambda), acting and learning, against two ways to write it by hand.

    taskset -c 1 python -m benchmarks.tabular --core 1
    python -m benchmarks.tabular --devices 2
    python -m benchmarks.tabular --members 1000 --rounds 2

Contestants learn on a chain of 10 states with epsilon-greedy actions, one update for each step:

- ours: `mdps.play` and `mdps.map_members`, in blocks of members that fit into a cache;
- a `lax.scan` as one would write it, vmapped over the members, with a key and a categorical draw
  for each decision, a reset in each step, and every step returned;
- a loop in numpy for one member.

They take turns; the loop in numpy is timed by the same clock: that of the processor, or with
several devices, each of them a core, that of the wall. The machine must be idle then.
"""

import argparse
import time
from pathlib import Path
from typing import Any

from benchmarks import harness

LENGTH, EPSILON, LAMBDA, RATE = 10, 0.1, 0.9, 0.1


def ours(members: int, steps: int, block: int) -> harness.Contestant:
    """The rule of the library, many members in one program."""
    import jax
    import jax.numpy as jnp

    from purejaxrl_suite import mdps

    line = mdps.chain(LENGTH)
    pairs = 2 * (LENGTH + 1)
    rule = mdps.expected_trace_q(2, learnt=False)  # with eta 1: Q(lambda)
    policy = mdps.epsilon_greedy(lambda rule: rule.weights.reshape(-1, 2), lambda rule: EPSILON)

    def member(key: Any, hypers: Any) -> Any:
        table, zeros = jnp.ones(pairs), jnp.zeros(pairs)  # the diagonal of one-hot features
        life, rows = mdps.play(
            rule, hypers, table, zeros, key, line, policy, steps=steps, every=steps // 10
        )
        return life.rule.weights, rows.total

    def many(key: Any, hypers: Any) -> Any:
        keys = jax.random.split(key, members)
        return mdps.map_members(lambda one: member(one, hypers), keys, block)

    hypers = mdps.TraceHypers(step_size=RATE, lambda_=LAMBDA, eta=1.0)
    traced = jax.tree.map(jnp.float32, hypers)
    return harness.Contestant("ours", many, members * steps, (traced,))


def plain(members: int, steps: int) -> harness.Contestant:
    """A vmapped scan with a key for each draw; it returns every step."""
    import jax
    import jax.numpy as jnp

    from purejaxrl_suite import mdps

    line = jax.tree.map(jnp.asarray, mdps.chain(LENGTH))

    def member(key: Any) -> Any:
        def step(carry: Any, key: Any) -> Any:
            q, trace, state = carry
            explore, draw, act, reset = jax.random.split(key, 4)
            greedy = jax.random.categorical(act, jnp.where(q[state] == q[state].max(), 0.0, -1e9))
            randomly = jax.random.randint(draw, (), 0, 2)
            action = jnp.where(jax.random.uniform(explore) < EPSILON, randomly, greedy)
            logits = jnp.log(line.transition[state, action])
            following = jax.random.categorical(jax.random.fold_in(draw, 1), logits)
            reward, done = line.reward[state, action, following], line.terminal[following]
            aim = reward + jnp.where(done, 0.0, line.gamma * q[following].max())
            error = aim - q[state, action]
            trace = trace.at[state, action].add(1.0)
            q = q + RATE * error * trace
            trace = jnp.where(done, 0.0, line.gamma * LAMBDA) * trace
            start = jax.random.categorical(reset, jnp.log(line.start))
            out = state, action, reward, done, error
            return (q, trace, jnp.where(done, start, following)), out

        of_start, of_steps = jax.random.split(key)
        table = jnp.zeros((LENGTH + 1, 2))
        start = jax.random.categorical(of_start, jnp.log(line.start))
        return jax.lax.scan(step, (table, table, start), jax.random.split(of_steps, steps))

    def many(key: Any) -> Any:
        return jax.vmap(member)(jax.random.split(key, members))

    return harness.Contestant("a vmapped scan that returns every step", many, members * steps)


def in_numpy(seed: int, steps: int) -> Any:
    """Learn by a loop over the steps of one member."""
    import numpy as np

    from purejaxrl_suite import mdps

    line, random = mdps.chain(LENGTH), np.random.default_rng(seed)
    sums, gamma = np.cumsum(line.transition, axis=2), float(line.gamma)
    starts = np.cumsum(line.start)
    q, trace = np.zeros((2, LENGTH + 1, 2))
    state = int(np.searchsorted(starts, random.random(), side="right"))
    for _ in range(steps):
        own = q[state]
        if random.random() < EPSILON or own[0] == own[1]:
            action = int(random.random() < 0.5)
        else:
            action = int(own[1] > own[0])
        following = int(np.searchsorted(sums[state, action], random.random(), side="right"))
        reward, done = line.reward[state, action, following], line.terminal[following]
        aim = reward if done else reward + gamma * q[following].max()
        trace[state, action] += 1.0
        q += RATE * (aim - own[action]) * trace
        trace *= 0.0 if done else gamma * LAMBDA
        restart = int(np.searchsorted(starts, random.random(), side="right")) if done else 0
        state = restart if done else following
    return q


def timed(seed: int, steps: int) -> tuple[float, float]:
    """(wall, process CPU) seconds of the loop in numpy."""
    wall, cpu = time.perf_counter(), time.process_time()
    in_numpy(seed, steps)
    return time.perf_counter() - wall, time.process_time() - cpu


def race(entries: list[harness.Compiled], rounds: int, alone: int) -> dict[str, Any]:
    """Take turns, the loop in numpy last; ratios are of the first contestant."""
    import jax

    clock = "cpu" if jax.default_backend() == "cpu" and jax.local_device_count() == 1 else "wall"
    loop = harness.Contestant("a loop in numpy, 1 member", in_numpy, alone)
    entries = [*entries, harness.Compiled(loop, None, 0.0, 0.0, 0, 0, [])]
    turns = [[_turn(entry, seed) for entry in entries] for seed in range(rounds + 1)][1:]
    seconds = zip(*turns, strict=True)
    found = [harness.summarise(e, list(s), clock) for e, s in zip(entries, seconds, strict=True)]
    for other in found[1:]:
        pairs = zip(found[0]["speeds"], other["speeds"], strict=True)
        other["ratios"] = [round(x / y, 2) for x, y in pairs]
        other["ratio"] = harness.spread(other["ratios"])
    return {"clock": clock, "rounds": rounds, "contestants": found}


def _turn(entry: harness.Compiled, seed: int) -> tuple[float, float]:
    if entry.executable is None:
        return timed(seed, entry.contestant.steps)
    return harness.time_call(entry, seed)


def parse() -> argparse.Namespace:
    text = argparse.RawTextHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=text)
    parser.add_argument("--members", type=int, default=10_000)
    parser.add_argument("--steps", type=int, default=5000, help="of a member; ours")
    parser.add_argument("--few", type=int, default=500, help="of a member, in the vmapped scan")
    parser.add_argument("--alone", type=int, default=20_000, help="of the loop in numpy")
    parser.add_argument("--block", type=int, default=250, help="members of ours at once")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--core", type=int, default=-1, help="to keep to; -1 for all")
    parser.add_argument("--devices", type=int, default=1, help="of a CPU, one for each core")
    parser.add_argument("--out", type=Path)
    return parser.parse_args()


def main() -> None:
    arguments = parse()
    harness.pin(arguments.core if arguments.core >= 0 else None)
    import os

    import jax

    jax.config.update("jax_num_cpu_devices", arguments.devices)
    members = arguments.members
    load = os.getloadavg()[0]
    entries = [
        harness.compile_one(ours(members, arguments.steps, arguments.block)),
        harness.compile_one(plain(members, arguments.few)),
    ]
    found = race(entries, arguments.rounds, arguments.alone)
    for row in found["contestants"]:
        line = f"{row['name']:40} {row['steps_per_second']['median']:12,.0f} steps/s"
        print(line, harness.format_ratio(row["ratio"]) if "ratio" in row else "")
    settings = {
        "members": members,
        "steps": arguments.steps,
        "steps of the scan": arguments.few,
        "block": arguments.block,
        "states": LENGTH + 1,
        "core": arguments.core,
        "devices": arguments.devices,
        "load before": round(load, 2),
        "load after": round(os.getloadavg()[0], 2),
    }
    device = "cpu" if jax.default_backend() == "cpu" else "gpu"
    name = f"tabular-{device}" + (f"-{arguments.devices}" if arguments.devices > 1 else "")
    out = arguments.out or Path(f"benchmarks/results/{name}.json")
    harness.write_json(out, {"context": harness.context(), "settings": settings, **found})


if __name__ == "__main__":
    main()
