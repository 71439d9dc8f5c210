"""Learning a density from preferences: updates per second of many members, beside plain numpy.

    python -m benchmarks.preferences --core 1

The same members (`problems.likelihood` on 256 cells, from pairs of their own) are trained compiled,
as a sweep trains them, and in plain numpy one by one, in one process on one core, in turns; updates
of a member per second of process time. Before that both make the same updates from the same start:
`apart` is the largest difference of their losses, relative.
"""

import argparse
import time
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks import harness, plain_preferences

CELLS, PRETRAINING, LENGTH = 256, 200, 64
"""Cells of the line, steps of pre-training, and updates of a call."""


class Fleet(NamedTuple):
    """Compiled members. go: (run, clock) -> (run, history); start: where they begin."""

    go: Any
    start: Any
    rate: float
    compile_seconds: float
    peak_bytes: int


def compiled(members: int) -> Fleet:
    """Start and compile so many members."""
    import jax
    import jax.numpy as jnp

    from purejaxrl_suite.core.types import Clock
    from purejaxrl_suite.engine.train import repeat
    from purejaxrl_suite.problems import PreferenceConfig, grid, likelihood
    from purejaxrl_suite.sweeps.fleet import train_members

    items = partial(grid, cells=CELLS, pretraining=PRETRAINING)
    made = likelihood(PreferenceConfig(items=items, look_every=LENGTH))
    train = repeat(made.train, LENGTH)
    hypers = jax.tree.map(lambda x: jnp.full(members, x, jnp.float32), made.hypers)
    seeds = jnp.arange(members, dtype=jnp.uint32)
    keys = jax.vmap(jax.random.key)(seeds)
    start = jax.jit(jax.vmap(train.init, (0, 0, None)))(keys, hypers, made.data)
    clock = Clock(jnp.int32(0), jnp.int32(LENGTH))
    began = time.perf_counter()
    fleet = jax.jit(train_members(train, made.data))
    program = fleet.lower(seeds, hypers, made.data, start, clock).compile()
    seconds = time.perf_counter() - began
    used = program.memory_analysis()
    peak = used.argument_size_in_bytes + used.output_size_in_bytes + used.temp_size_in_bytes
    go = partial(program, seeds, hypers, made.data)
    return Fleet(go, start, float(made.hypers.learning_rate), seconds, peak)


def copied(run: Any, member: int) -> tuple[plain_preferences.Member, np.ndarray]:
    """One member of a fleet for numpy, and its pairs."""
    densities = run.learner.params["densities"]
    layers = [
        tuple(np.array(densities[f"layer_{i}"][name][member, 0]) for name in ("kernel", "bias"))
        for i in range(len(densities))
    ]
    return plain_preferences.begin(layers), np.asarray(run.examples.wins[member])


def places() -> np.ndarray:
    """Where the cells are, f32[N]."""
    edges = np.linspace(-10.0, 10.0, CELLS + 1)
    return ((edges[1:] + edges[:-1]) / 2).astype(np.float32)


def train_plainly(run: Any, member: int, rate: float) -> list[float]:
    """Losses of LENGTH updates of a member in numpy."""
    one, wins = copied(run, member)
    rates = rate * 0.5 * (1.0 + np.cos(np.pi * np.arange(LENGTH) / LENGTH))
    return [plain_preferences.update(one, places(), wins, rates[i], i + 1) for i in range(LENGTH)]


def measure(members: int, rounds: int, repeats: int) -> dict[str, Any]:
    """Both, alternating: updates per second, and their ratio within each round."""
    import jax
    import jax.numpy as jnp

    from purejaxrl_suite.core.types import Clock

    fleet, clock = compiled(members), Clock(jnp.int32(0), jnp.int32(LENGTH))
    _, history = jax.block_until_ready(fleet.go(fleet.start, clock))
    plain = np.array(train_plainly(fleet.start, members - 1, fleet.rate))
    apart = float(np.max(np.abs(np.asarray(history["loss"][-1]) / plain - 1.0)))
    rows = []
    for _ in range(rounds):
        began = time.process_time()
        for _ in range(repeats):
            jax.block_until_ready(fleet.go(fleet.start, clock))
        ours = repeats * members * LENGTH / (time.process_time() - began)
        began = time.process_time()
        train_plainly(fleet.start, 0, fleet.rate)
        theirs = LENGTH / (time.process_time() - began)
        rows.append((ours, theirs, ours / theirs))
    names = "ours", "plain", "ratio"
    found = {name: harness.spread([row[i] for row in rows]) for i, name in enumerate(names)}
    sizes = {"compile_seconds": round(fleet.compile_seconds, 2), "peak_bytes": fleet.peak_bytes}
    return {"members": members, "apart": apart, **found, **sizes}


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--core", type=int)
    parser.add_argument("--members", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--calls", type=int, default=64, help="of compiled members in a round")
    out = Path("benchmarks/results/preferences-cpu.json")
    parser.add_argument("--out", type=Path, default=out)
    arguments = parser.parse_args()
    harness.pin(arguments.core)
    rows = []
    for members in arguments.members:
        repeats = max(1, arguments.calls // members)
        rows.append(measure(members, arguments.rounds, repeats))
        print(rows[-1], flush=True)
    result = {"cells": CELLS, "updates": LENGTH, "rows": rows}
    harness.write_json(arguments.out, {**result, "context": harness.context()})


if __name__ == "__main__":
    main()
