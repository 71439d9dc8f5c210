"""What formulas cost that keep their digits, beside faster ones that lose them.

    python -m benchmarks.formulas --core 1

Ranks of features by singular values of the features (`ops.rank`) and of their Gram matrix, as
functions of matrices of samples and units. The features' singular values fall by a power and all
samples share a long mean, as those of a trained layer do; beside the times stands what srank both
find, and numpy in double precision.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import harness

SHAPES = ((1024, 64), (1024, 128), (1024, 512), (1024, 2048), (102_400, 16))
"""Samples and units; the last one is a feature map of 10 x 10 positions."""


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


def milliseconds(contestant: dict[str, Any]) -> str:
    """Of one call, the median; and the ratio of speeds, where there is one."""
    text = f"{contestant['name']} {1e3 / contestant['steps_per_second']['median']:.2f} ms"
    return text + (f" x {contestant['ratio']['median']:.2f}" if "ratio" in contestant else "")


def main() -> None:
    text = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=text)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--core", type=int, help="core to run on; all of them by default")
    parser.add_argument("--out", type=Path, help="formulas-cpu.json or -gpu.json of the results")
    arguments = parser.parse_args()
    harness.pin(arguments.core)
    context = harness.context()
    out = arguments.out or Path(f"benchmarks/results/formulas-{context['backend']}.json")
    harness.write_json(out, {"context": context, "ranks": ranks(arguments.rounds)})


if __name__ == "__main__":
    main()
