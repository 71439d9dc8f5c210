"""What formulas cost that keep their digits, beside faster ones that lose them.

    python -m benchmarks.formulas --core 1

Ranks of features by singular values of the features (`ops.rank`) and of their Gram matrix, as
functions of matrices of samples and units. The features' singular values fall by a power and all
samples share a long mean, as those of a trained layer do; beside the times stands what srank both
find, and numpy in double precision.

PQN with its LayerNorms in two passes (`nets.norm`) and in one, which is flax's default: whole runs.
"""

import argparse
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from benchmarks import harness

SHAPES = ((1024, 64), (1024, 128), (1024, 512), (1024, 2048), (102_400, 16))
"""Samples and units; the last one is a feature map of 10 x 10 positions."""
PQN = {"purejaxql-cartpole": "CartPole-v1", "purejaxql-minatar": "Breakout-MinAtar"}
UPDATES = 16


def gram_values(x: Any) -> Any:
    """Singular values from the eigenvalues of the Gram matrix; what rounding hides is 0."""
    import jax
    import jax.numpy as jnp

    gram = jnp.matmul(x.T, x, precision=jax.lax.Precision.HIGHEST)
    values = jnp.linalg.eigvalsh(gram)[::-1]
    known = values > len(values) * jnp.finfo(x.dtype).eps * values[0]
    return jnp.sqrt(jnp.where(known, values, 0.0))


def features(samples: int, units: int) -> np.ndarray:
    """Singular values i^-1, and a mean three times as long as the first of them."""
    rng, rank = np.random.default_rng(0), min(samples, units)
    left, right = (np.linalg.qr(rng.normal(size=(n, rank)))[0] for n in (samples, units))
    mean = 3.0 * rng.random(units) / np.sqrt(units * samples)
    spread = (left / np.arange(1.0, rank + 1)) @ right.T
    return (np.sqrt(samples) * (spread + mean)).astype(np.float32)


def ranks(rounds: int) -> list[dict[str, Any]]:
    """Of each shape what three ways find, and the race of two of them."""
    import jax.numpy as jnp

    from purejaxrl_suite.ops import rank

    rows = []
    for samples, units in SHAPES:
        x = features(samples, units)
        exact = np.linalg.svd(x.astype(np.float64), compute_uv=False)
        ways = {"features": rank.singular_values, "gram": gram_values}
        found = {name: int(rank.srank(way(jnp.asarray(x)))) for name, way in ways.items()}
        found["float64"] = 1 + int(np.sum(np.cumsum(exact) < 0.99 * np.sum(exact)))

        def entrant(name: str, way: Any, x: np.ndarray = x) -> harness.Contestant:
            return harness.Contestant(name, lambda key, x: way(x), 1, (jnp.asarray(x),))

        race = harness.race([entrant(*one) for one in ways.items()], rounds)
        rows.append({"samples": samples, "units": units, "srank": found, **race})
        print(samples, units, found, *map(milliseconds, race["contestants"]), flush=True)
    return rows


def norms(rounds: int) -> list[dict[str, Any]]:
    """Of each preset the race of whole runs."""
    return [norms_of(*one, rounds) for one in PQN.items()]


def norms_of(preset: str, env_id: str, rounds: int) -> dict[str, Any]:
    """Two passes, which ratios are of, and one."""
    from flax import linen as nn

    from purejaxrl_suite.nets import layers

    def fast(dtype: Any, name: str | None) -> nn.LayerNorm:
        return nn.LayerNorm(dtype=dtype, name=name)

    entries = [harness.compile_one(pqn("two passes", preset, env_id))]
    with mock.patch.object(layers, "layer_norm", fast):
        entries.append(harness.compile_one(pqn("one pass", preset, env_id)))
    race = harness.race_compiled(entries, rounds)
    print(preset, race["contestants"][1]["ratio"], flush=True)
    return {"preset": preset, "env_id": env_id, **race}


def pqn(name: str, preset: str, env_id: str) -> harness.Contestant:
    """A run of 16 updates of one member."""
    import jax
    import jax.numpy as jnp

    from benchmarks.throughput import clock
    from purejaxrl_suite.engine.train import make_train
    from purejaxrl_suite.envs import make
    from purejaxrl_suite.presets import PRESETS

    env = make(env_id)
    agent = PRESETS[preset].agent(env)
    init, _, train, *_ = make_train(agent, env, updates_per_call=UPDATES)
    hypers = jax.tree.map(jnp.float32, agent.hypers)

    def member(key: Any, hypers: Any, params: Any, clock: Any) -> Any:
        return train(key, hypers, params, init(key, hypers, params), clock)

    steps = UPDATES * agent.num_envs * agent.rollout_length
    return harness.Contestant(name, member, steps, (hypers, env.params, clock(UPDATES)))


def milliseconds(contestant: dict[str, Any]) -> str:
    """Of one call, the median; and the ratio of speeds, where there is one."""
    text = f"{contestant['name']} {1e3 / contestant['steps_per_second']['median']:.2f} ms"
    return text + (f" x {contestant['ratio']['median']:.2f}" if "ratio" in contestant else "")


def main() -> None:
    text = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=text)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--core", type=int, help="core to run on; all of them by default")
    parser.add_argument("--out", type=Path, help="formulas-cpu.json or -gpu.json of the results")
    arguments = parser.parse_args()
    harness.pin(arguments.core)
    context = harness.context()
    out = arguments.out or Path(f"benchmarks/results/formulas-{context['backend']}.json")
    found = {"ranks": ranks(arguments.rounds), "norms": norms(arguments.rounds)}
    harness.write_json(out, {"context": context, **found})


if __name__ == "__main__":
    main()
