"""Effects and gates of the study of behavioural metrics, by hand."""

import jax
import numpy as np
import pytest
import xarray as xr

from purejaxrl_suite.stats import REFERENCES
from purejaxrl_suite.studies import mico as study
from purejaxrl_suite.studies.judging import measured
from tests.counted import counted
from tests.studies.tiny import gates_of

KEY, TASK = jax.random.key(0), study.STUDY.quick.environments[0]


def curves(score, alignment, axis=None):
    """Curves of nine seeds with these numbers at each weight."""
    ends = REFERENCES[TASK]
    low, span = ends.random.value, ends.reference.value - ends.random.value
    weights = (axis,) if axis else ()
    dims = ("environment", *weights, "seed", "step")
    shape = (1, *(2 for _ in weights), 9, 8)
    along = np.reshape(np.asarray(alignment), (1, -1, 1, 1) if axis else (1, 1, 1))
    data = {"episode_return": low + span * score, study.ALIGNMENT: along}
    found = {name: (dims, np.broadcast_to(np.float32(x), shape)) for name, x in data.items()}
    found["diverged"] = (dims[:-1], np.zeros(shape[:-1], bool))
    coords = {"environment": [TASK], "step": np.arange(8)}
    if axis:
        coords[axis] = [*study.WEIGHTS]
    return counted(xr.Dataset(found, coords))


def arms():
    return {
        "DQN": curves(0.5, 0.2),
        "MICo": curves(0.6, (0.5, 0.7), "mico_weight"),
        "KSMe": curves(0.7, (0.4, 0.4), "ksme_weight"),
        "shuffled": curves(0.4, (0.1, 0.0), "mico_weight"),
    }


def test_effects_and_gates():
    found = [float(measured(KEY, claim, arms()).value) for claim in study.STUDY.claims]
    assert found == pytest.approx([0.3, 0.4, 0.1, 0.1, 0.2], abs=1e-5)
    gates = {"DQN learns": 0.5, "MICo learns": 0.6, "KSMe learns": 0.7}
    assert gates_of(study.STUDY, arms()) == pytest.approx(gates, abs=1e-5)


def test_arms_have_the_weights_and_the_metrics():
    made = study.arms(study.STUDY.quick)
    assert [*made] == ["DQN", "MICo", "KSMe", "shuffled"]
    assert all(arm.metrics == study.METRICS for arm in made.values())
