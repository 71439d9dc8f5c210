#!/usr/bin/env bash
# rliable takes a random_state for its bootstrap. Guess: the same one gives the same interval.
# It gives another one each time, so that intervals of two calls compare as distributions only. The
# seeds of arch, by which it draws, do work. Seen with rliable 1.2.0 and arch 7.2.0.
#
# Ends with 0 if this is still so, and with 1 if the behaviour has changed.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet rliable==1.2.0 arch==7.2.0 pandas==2.3.3 numpy==2.3.5
cat > "$folder/show.py" <<'PYTHON'
import sys
import warnings
from importlib.metadata import version

import numpy as np
from arch.bootstrap import IIDBootstrap
from rliable import library, metrics

print(*(f"{name} {version(name)}" for name in ("rliable", "arch", "pandas", "numpy")))
warnings.simplefilter("ignore")
scores = {"agent": np.random.default_rng(0).normal(size=(10, 5))}


def iqm(x):
    return np.array([metrics.aggregate_iqm(x)])


def ends(seed):
    """The interval of the interquartile mean, with a fresh generator of that seed."""
    state = np.random.RandomState(seed)
    _, found = library.get_interval_estimates(scores, iqm, reps=500, random_state=state)
    return found["agent"][:, 0]


def seeded():
    """Two means that arch resamples by itself, with one seed."""
    return IIDBootstrap(scores["agent"][:, 0], seed=7).apply(np.mean, 2).ravel()


first, again = ends(1), ends(1)
print("rliable, random_state 1, twice:", first.round(4), again.round(4))
print("arch, seed 7, twice:           ", seeded().round(4), seeded().round(4))
ignored = not np.array_equal(first, again)
sys.exit(not (ignored and np.array_equal(seeded(), seeded())))
PYTHON
"$folder/venv/bin/python" "$folder/show.py"
