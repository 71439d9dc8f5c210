"""Interquartile mean with its stratified bootstrap interval: ours against rliable.

    taskset -c 1 python -m benchmarks.statistics --out benchmarks/results/statistics-cpu.json
    python -m benchmarks.statistics --runs 10 --tasks 5 --resamples 200 --rounds 2 --out x.json

The job of rliable's own examples: scores of 100 runs on 26 games, 50,000 resamples, 95 %. Both draw
runs with replacement within each task and take the percentile interval; random numbers differ, so
intervals agree up to Monte Carlo error, and both are in the result. The third contestant is the
interval that the suite uses by default, of whole seeds. All take turns in one process, on one core;
times are the process's own. Nothing is compiled.
"""

import argparse
import time
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import harness

harness.PACKAGES = (*harness.PACKAGES, "rliable", "arch", "numpy", "scipy")

Interval = tuple[float, float, float]
"""Value, low, high."""


def scores(runs: int, tasks: int) -> np.ndarray:
    """Invented scores f32[runs, tasks]: skewed, on a scale of its own for each task."""
    random = np.random.default_rng(0)
    return (random.gamma(2.0, 0.5, (runs, tasks)) * random.uniform(0.1, 2.0, tasks)).astype("f4")


def ours(x: np.ndarray, resamples: int, name: str) -> Callable[[int], Interval]:
    import jax

    from purejaxrl_suite import stats

    estimate = getattr(stats, name)

    def call(seed: int) -> Interval:
        found = estimate(jax.random.key(seed), x, stats.iqm, resamples=resamples)
        value, low, high = (float(number) for number in found)
        return value, low, high

    return call


def import_rliable() -> Any:
    """rliable's (library, metrics).

    It pins arch 7.2, whose models (not its bootstrap) decorate with a function of pandas that has
    one argument more since pandas 3; that decorator plays no part here.
    """
    import pandas.util._decorators as decorators

    real = decorators.deprecate_kwarg
    decorators.deprecate_kwarg = partial(real, DeprecationWarning)
    try:
        from rliable import library, metrics
    finally:
        decorators.deprecate_kwarg = real
    return library, metrics


def rliable(x: np.ndarray, resamples: int) -> Callable[[int], Interval]:
    library, metrics = import_rliable()
    warnings.simplefilter("ignore", FutureWarning)  # arch's, of how rliable hands on random numbers
    wide = x.astype(np.float64)

    def iqm(drawn: np.ndarray) -> np.ndarray:
        return np.array([metrics.aggregate_iqm(drawn)])

    def call(seed: int) -> Interval:
        random = np.random.RandomState(seed)
        values, intervals = library.get_interval_estimates(
            {"x": wide}, iqm, reps=resamples, random_state=random
        )
        low, high = intervals["x"][:, 0]
        return float(values["x"][0]), float(low), float(high)

    return call


def timed(call: Callable[[int], Interval], seed: int, clock: Callable[[], float]) -> Any:
    began = clock()
    found = call(seed)
    return clock() - began, found


def race(calls: dict[str, Callable[[int], Interval]], rounds: int) -> dict[str, Any]:
    """Take turns; how much slower a contestant is than the first, formed within each round."""
    clock = time.process_time
    first = {name: timed(call, 0, clock)[0] for name, call in calls.items()}
    results = {name: [] for name in calls}
    for seed in range(1, rounds + 1):
        for name, call in calls.items():
            results[name].append(timed(call, seed, clock))
    mine = next(iter(results.values()))
    return {
        name: {
            "first_call_seconds": first[name],
            "seconds": harness.spread([seconds for seconds, _ in rows]),
            "slower_than_first": harness.spread(
                [theirs / own for (theirs, _), (own, _) in zip(rows, mine, strict=True)]
            ),
            "found": [found for _, found in rows],
        }
        for name, rows in results.items()
    }


def parse() -> argparse.Namespace:
    text = argparse.RawTextHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=text)
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--tasks", type=int, default=26)
    parser.add_argument("--resamples", type=int, default=50_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/statistics-cpu.json"))
    return parser.parse_args()


def main() -> None:
    arguments = parse()
    x = scores(arguments.runs, arguments.tasks)
    calls = {
        "ours": ours(x, arguments.resamples, "rliable_estimate"),
        "rliable": rliable(x, arguments.resamples),
        "ours, by seeds": ours(x, arguments.resamples, "estimate"),
    }
    settings = {name: value for name, value in vars(arguments).items() if name != "out"}
    found = race(calls, arguments.rounds)
    harness.write_json(
        arguments.out,
        {"context": harness.context(), "settings": settings, "contestants": found},
    )
    for name, result in found.items():
        value, low, high = result["found"][0]
        took, slower = result["seconds"]["median"], result["slower_than_first"]
        spread = f"{slower['median']:.1f} ({slower['min']:.1f} - {slower['max']:.1f})"
        print(f"{name:14} {took:9.3f} s  x {spread}  IQM {value:.4f} [{low:.4f}, {high:.4f}]")


if __name__ == "__main__":
    main()
