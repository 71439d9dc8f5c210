"""Replay of a fleet: bytes per member and time of add + sample, ours against flashbax.

    taskset -c 1 python -m benchmarks.replay
    python -m benchmarks.replay --members 8 --capacities 1024 --rounds 2

Each contestant is one compiled program: vmap over members of a loop that adds 4 steps of one
environment with frames like Breakout-MinAtar's (the sizes of Dopamine's DQN), draws 32 transitions,
reads all of each as numbers, and sets new priorities where it is prioritised. Its state is donated.
Contestants take turns; times are the process's on its CPU, with XLA on one thread.

`flat` of flashbax keeps an observation once and takes the successor from the next step, which
after a time limit is the start of another episode. `item` keeps the successor too: it is the one
that gives what ours gives.
"""

import argparse
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from benchmarks import harness

LENGTH, BATCH, SHAPE, ACTIONS, LIMIT = 4, 32, (10, 10, 4), 3, 1000
ALPHA = 0.5


class Rollout(NamedTuple):
    """Steps of one environment, leaves [LENGTH, ...]; also what is read of transitions."""

    obs: Any
    action: Any
    reward: Any
    terminated: Any
    truncated: Any
    next_obs: Any


class Contestant(NamedTuple):
    """name: for the table. init: () -> state. step: (key, state, Rollout) -> (state, f32[B])."""

    name: str
    init: Callable[[], Any]
    step: Callable[..., Any]


def rollout(i: Any) -> Rollout:
    """What everyone is given in turn i of the loop."""
    import jax.numpy as jnp

    time = i * LENGTH + jnp.arange(LENGTH + 1)
    pixels = (time[:, None] + jnp.arange(400)) % 7 == 0
    frames = jnp.reshape(pixels, (LENGTH + 1, *SHAPE)).astype(jnp.uint8)
    time = time[:-1]
    ends = time % 50 == 0, time % LIMIT == LIMIT - 1
    reward = (time % 5).astype(jnp.float32)
    return Rollout(frames[:-1], time % ACTIONS, reward, *ends, frames[1:])


def digest(*leaves: Any) -> Any:
    """One number f32[B] of everything that was read, so that nothing is left out."""
    import jax.numpy as jnp

    return sum(jnp.mean(jnp.reshape(x, (BATCH, -1)).astype(jnp.float32), 1) for x in leaves)


def ours(capacity: int, n: int, weighted: bool) -> Contestant:
    import jax
    import jax.numpy as jnp

    from purejaxrl_suite.buffers import prioritised, uniform
    from purejaxrl_suite.core.types import Box, Discrete, Transition

    sizes = {"num_envs": 1, "rollout_length": LENGTH, "max_n": n, "time_limit": LIMIT}
    spaces = Box(SHAPE, "uint8", 0.0, 1.0), Discrete(ACTIONS)
    replay = (prioritised if weighted else uniform)(*spaces, capacity=capacity, **sizes)

    def step(key: Any, state: Any, new: Rollout) -> Any:
        transition = Transition(*jax.tree.map(lambda x: x[:, None], new), {})
        state = replay.add(state, transition, *(ALPHA,) * weighted)
        drawn = replay.draw(key, state, BATCH, *() if weighted else (n,))
        found = replay.read(state, drawn.slot, n, 0.99)
        number = digest(found.obs, found.action, found.reward, found.terminated, found.next_obs)
        if weighted:
            number = number + drawn.probability
            state = replay.update(state, drawn.slot, jnp.abs(number), ALPHA)
        return state, number

    return Contestant(f"ours, n={n}", replay.init, step)


def flashbax(capacity: int, pairs: bool, weighted: bool) -> Contestant:
    """pairs: successors from the next step (flat), else kept with each step (item)."""
    import flashbax as fbx
    import jax
    import jax.numpy as jnp

    kind = ("prioritised_" if weighted else "") + ("flat" if pairs else "item")
    batches = {"add_batch_size": None} if pairs else {"add_batches": False}
    priorities = {"priority_exponent": ALPHA} if weighted else {}
    sizes = {"max_length": capacity, "min_length": BATCH, "sample_batch_size": BATCH}
    make = getattr(fbx, f"make_{kind}_buffer")
    replay = make(**sizes, add_sequences=True, **batches, **priorities)

    def kept(new: Rollout) -> Any:
        fields = new._asdict() if not pairs else new._replace(next_obs=())._asdict()
        return {name: x for name, x in fields.items() if not isinstance(x, tuple)}

    def step(key: Any, state: Any, new: Rollout) -> Any:
        state = replay.add(state, kept(new))
        sample = replay.sample(state, key)
        found = sample.experience.first if pairs else sample.experience
        after = sample.experience.second["obs"] if pairs else found["next_obs"]
        number = digest(found["obs"], found["action"], found["reward"], found["terminated"], after)
        if weighted:
            number = number + sample.probabilities
            state = replay.set_priorities(state, sample.indices, jnp.abs(number))
        return state, number

    def init() -> Any:
        return replay.init(jax.tree.map(lambda x: x[0], kept(rollout(0))))

    return Contestant(f"flashbax {kind}", init, step)


class Entry(NamedTuple):
    """A compiled contestant. call: (keys, state, first turn) -> state."""

    name: str
    call: Any
    state_bytes: int
    temporary_bytes: int


def compile_one(contestant: Contestant, members: int, turns: int) -> tuple[Entry, Any]:
    import jax
    import jax.numpy as jnp

    def loop(key: Any, state: Any, first: Any) -> Any:
        def body(i: Any, carry: Any) -> Any:
            state, total = carry
            state, number = contestant.step(jax.random.fold_in(key, i), state, rollout(i))
            return state, total + jnp.sum(number)

        return jax.lax.fori_loop(first, first + turns, body, (state, jnp.float32(0)))

    state = jax.jit(jax.vmap(lambda _: contestant.init()))(jnp.arange(members))
    keys = jax.random.split(jax.random.key(0), members)
    fleet = jax.jit(jax.vmap(loop, (0, 0, None)), donate_argnums=1)
    executable = fleet.lower(keys, state, jnp.int32(0)).compile()
    size = sum(x.nbytes for x in jax.tree.leaves(state))
    temporary = executable.memory_analysis().temp_size_in_bytes
    return Entry(contestant.name, partial(executable, keys), size, temporary), state


def race(contestants: list[Contestant], members: int, turns: int, rounds: int) -> list[Any]:
    """Rows of a table; the first contestant is the one that ratios are of."""
    import jax
    import jax.numpy as jnp

    entries, states = zip(*(compile_one(c, members, turns) for c in contestants), strict=True)
    states, seconds = list(states), [[] for _ in entries]
    for turn in range(rounds + 2):
        for i, entry in enumerate(entries):
            began = time.process_time()
            states[i], _ = jax.block_until_ready(entry.call(states[i], jnp.int32(turn * turns)))
            seconds[i].append(time.process_time() - began)
    return [
        {
            "name": entry.name,
            "bytes_per_member": entry.state_bytes / members,
            "temporary_bytes_per_member": entry.temporary_bytes / members,
            "microseconds": harness.spread([1e6 * s / turns / members for s in times[2:]]),
            "slower_than_first": median(
                theirs / mine for theirs, mine in zip(times[2:], seconds[0][2:], strict=True)
            ),
        }
        for entry, times in zip(entries, seconds, strict=True)
    ]


def parse() -> argparse.Namespace:
    text = argparse.RawTextHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=text)
    parser.add_argument("--members", type=int, default=256)
    parser.add_argument("--capacities", type=int, nargs="+", default=[1024, 8192])
    parser.add_argument("--turns", type=int, default=100, help="of the loop in one call")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/replay-cpu.json"))
    return parser.parse_args()


def main() -> None:
    arguments = parse()
    harness.PACKAGES = (*harness.PACKAGES, "flashbax")
    sizes = {"length": LENGTH, "batch": BATCH, "shape": SHAPE, **vars(arguments)}
    data: dict[str, Any] = {"context": harness.context(), "jobs": []}
    data["settings"] = {name: value for name, value in sizes.items() if name != "out"}
    for weighted in (False, True):
        for capacity in arguments.capacities:
            contestants = [ours(capacity, n, weighted) for n in (1, 3)]
            contestants += [flashbax(capacity, pairs, weighted) for pairs in (True, False)]
            rows = race(contestants, arguments.members, arguments.turns, arguments.rounds)
            data["jobs"].append({"capacity": capacity, "prioritised": weighted, "rows": rows})
            for row in rows:
                size, took = row["bytes_per_member"] / capacity, row["microseconds"]["median"]
                print(f"{capacity:6} {row['name']:28} {size:6.1f} bytes a step {took:7.2f} us")
            harness.write_json(arguments.out, data)


if __name__ == "__main__":
    main()
