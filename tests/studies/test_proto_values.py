"""Effects and gates of the study of proto-values, by hand; what its arms go on from."""

import jax
import numpy as np
import pytest
import xarray as xr

from purejaxrl_suite.representations import begin_with_features
from purejaxrl_suite.stats import REFERENCES
from purejaxrl_suite.studies import proto_values as study
from purejaxrl_suite.studies.judging import measured
from tests.counted import counted
from tests.studies.tiny import gates_of

KEY, TASK = jax.random.key(0), study.STUDY.quick.environments[0]


def curves(score, activated=0.9):
    """Curves of nine seeds with this normalized score."""
    ends = REFERENCES[TASK]
    low, span = ends.random.value, ends.reference.value - ends.random.value
    dims, shape = ("environment", "seed", "step"), (1, 9, 8)
    data = {"episode_return": low + span * score, "activated": activated}
    found = {name: (dims, np.full(shape, x, np.float32)) for name, x in data.items()}
    found["diverged"] = (dims[:-1], np.zeros(shape[:-1], bool))
    coords = {"environment": [TASK], "step": np.arange(8)}
    return counted(xr.Dataset(found, coords))


def test_effects_and_gates():
    arms = {"DQN": curves(0.8), "random": curves(0.1), "features 100": curves(0.0)}
    arms |= {"features 1": curves(0.0), "tasks 100": curves(0.5), "tasks 1": curves(0.3)}
    found = [float(measured(KEY, claim, arms).value) for claim in study.STUDY.claims]
    assert found == pytest.approx([0.4, 0.2, 0.625], abs=1e-5)
    gates = {"learns": 0.8, "sets": 0.9}
    assert gates_of(study.STUDY, arms) == pytest.approx(gates, abs=1e-5)


def test_linear_agents_begin_with_the_features_of_their_arm():
    made = study.arms(study.STUDY.quick)
    arm = made["tasks 100"]
    assert arm.after == ("features 100",)
    stages = arm.stages(made["features 100"])
    assert stages[1].begin is begin_with_features and stages[1].experiment.network is study.linear
