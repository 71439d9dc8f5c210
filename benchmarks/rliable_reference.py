"""Store what rliable says of a few scores, for tests in an environment where it does not import.

    python -m venv /tmp/reference && /tmp/reference/bin/pip install rliable==1.2.0 "pandas==2.3.*"
    /tmp/reference/bin/python benchmarks/rliable_reference.py tests/stats/rliable.json

Its arch needs a pandas older than 3. It ignores the random state that it is given, so a second run
gives intervals that differ in their third digit: tests compare up to that.
"""

import importlib.metadata
import json
import sys
import warnings
from pathlib import Path

import numpy as np

RESAMPLES = 5_000
PACKAGES = ("rliable", "arch", "pandas", "numpy", "scipy")


def main() -> None:
    from rliable import library, metrics

    warnings.simplefilter("ignore", FutureWarning)  # arch's, of how rliable hands on random numbers
    random = np.random.default_rng(0)
    scale = random.uniform(0.2, 2.0, 5)
    scores = {n: np.round(random.gamma(2.0, 0.5, (10, 5)) * scale, 3) for n in "xy"}
    measures = {
        "iqm": (metrics.aggregate_iqm, {"x": scores["x"]}),
        "mean": (metrics.aggregate_mean, {"x": scores["x"]}),
        "median": (metrics.aggregate_median, {"x": scores["x"]}),
        "optimality_gap": (metrics.aggregate_optimality_gap, {"x": scores["x"]}),
        "probability_of_improvement": (
            metrics.probability_of_improvement,
            {"x": (scores["x"], scores["y"])},
        ),
    }
    found = {}
    for name, (measure, of) in measures.items():

        def array(*arms: np.ndarray, measure=measure) -> np.ndarray:
            return np.array([measure(*arms)])

        value, interval = library.get_interval_estimates(of, array, reps=RESAMPLES)
        found[name] = [round(float(x), 6) for x in (value["x"][0], *interval["x"][:, 0])]
    content = {
        "versions": {name: importlib.metadata.version(name) for name in PACKAGES},
        "resamples": RESAMPLES,
        "found": found,
        "scores": {name: x.tolist() for name, x in scores.items()},
    }
    lines = (f"{json.dumps(name)}: {json.dumps(value)}" for name, value in content.items())
    Path(sys.argv[1]).write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main()
