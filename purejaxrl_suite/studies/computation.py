"""Compute the arms of studies that are computed and not trained."""

import time
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from purejaxrl_suite.core.argument import wrong
from purejaxrl_suite.studies.protocol import Computation
from purejaxrl_suite.studies.study_result import Cost


class Computed(NamedTuple):
    """What a computation found: numbers by name, f[S, ...], and what they cost."""

    values: Mapping[str, np.ndarray]
    cost: Cost


def computed(label: str, arm: Computation) -> Computed:
    """Compute an arm; ValueError unless all numbers have a row for each seed."""
    start = time.perf_counter()
    values = {name: np.asarray(x) for name, x in arm.compute(arm.seeds).items()}
    seconds, seeds = time.perf_counter() - start, len(arm.seeds)
    for name, found in values.items():
        if found.shape[:1] != (seeds,):
            raise wrong(f"arms[{label!r}]: {name}", f"numbers [{seeds}, ...]", list(found.shape))
    members = seeds * len(arm.tasks)
    cost = Cost(
        agent=arm.name,
        tasks=arm.tasks,
        members=members,
        seeds=seeds,
        steps=arm.steps,
        compile_seconds=0.0,
        wall_seconds=seconds,
        steps_per_second=members * arm.steps / seconds,
    )
    return Computed(values, cost)
