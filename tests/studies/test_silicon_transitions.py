"""Effects, gates and figure of the study of silicon transitions, by hand."""

import jax
import numpy as np
import pytest
import xarray as xr

from purejaxrl_suite.studies import silicon_transitions as study
from purejaxrl_suite.studies.computation import Computed
from purejaxrl_suite.studies.judging import measured
from purejaxrl_suite.studies.protocol import Computation
from tests.studies.tiny import gates_of

KEY = jax.random.key(0)


def curves(seconds, success):
    """Curves of nine seeds, evaluated in every second row; their numbers begin at 600 seconds."""
    dims, shape = ("environment", "seed", "step"), (1, 9, 20)
    late, seen = np.arange(20) >= 16, np.where(np.arange(20) % 2, 1.0, np.nan)
    data = {"evaluation_seconds": (dims, seen * np.where(late, np.full(shape, seconds), 600.0))}
    data |= {"evaluation_success": (dims, seen * np.full(shape, success))}
    data["diverged"] = (dims[:-1], np.zeros(shape[:-1], bool))
    return xr.Dataset(data, {"environment": [study.TASK], "step": np.arange(20)})


def computed(greedy=85.0, learnt=86.7, error=0.1, apart=0.05):
    values = {
        f"seconds of {study.TRUE}": greedy,
        f"seconds of {study.LEARNT}": learnt,
        "error of rates": error,
        "error of offset": apart,
    }
    cost = Computation("by hand", lambda seeds: {}, range(9), (study.TASK,))
    return Computed({name: np.full(9, x) for name, x in values.items()}, cost)  # pyright: ignore


def test_effects_and_gates():
    arms = {study.LEARNING: curves(78.0, 0.99), study.CONTROL: computed()}
    found = [float(measured(KEY, claim, arms).value) for claim in study.STUDY.claims]
    assert found == pytest.approx([-7.0, 0.1, 0.05, 1.02], abs=1e-4)
    assert gates_of(study.STUDY, arms) == pytest.approx({"reaches": 0.99, "known": 0.0}, abs=1e-4)


def test_nothing_is_judged_of_an_agent_that_never_arrives():
    arms = {study.LEARNING: curves(600.0, 0.01), study.CONTROL: computed()}
    assert gates_of(study.STUDY, arms)["reaches"] < 0.95
    first = study.STUDY.claims[0]
    assert "reaches" in study.STUDY.hangs_on(first)


def test_the_figure_shows_all_three():
    arms = {study.LEARNING: curves(78.0, 0.99), study.CONTROL: computed()}
    lines, rows = study.figure(KEY, arms)
    assert len(lines.lines) == 1 and lines.against == pytest.approx(85.0)
    assert [row.label for row in rows.rows] == [study.LEARNING, study.TRUE, study.LEARNT]


def test_arms_are_of_one_task():
    made = study.arms(study.STUDY.quick)
    env = made[study.LEARNING].env[0]
    assert env.name == study.TASK == made[study.CONTROL].tasks[0] and env.discounted
    assert made[study.LEARNING].hypers.gamma == 1.0
    assert made[study.LEARNING].evaluate_every.every == 97  # of 976 updates
