"""Effects, gates and figure of the study of passive learning, by hand."""

import jax
import numpy as np
import pytest
import xarray as xr

from purejaxrl_suite.stats import REFERENCES
from purejaxrl_suite.studies import tandem as study
from purejaxrl_suite.studies.judging import measured
from tests.studies.tiny import gates_of

KEY, TASK = jax.random.key(0), study.STUDY.quick.environments[0]


def curves(passive, active=0.8, values=1.0, axis="final_epsilon"):
    """Curves of nine seeds whose evaluations have these normalized scores {point: score}."""
    ends = REFERENCES[TASK]
    low, span = ends.random.value, ends.reference.value - ends.random.value
    shape, dims = (1, len(passive), 9, 8), ("environment", axis, "seed", "step")
    along = np.array([*passive.values()])[None, :, None, None]
    data = {
        "evaluation_return": low + span * active,
        "evaluation_return_passive": low + span * along,
        "q_value": 2.0,
        "passive_q_value": 2.0 * values,
    }
    data = {name: (dims, np.broadcast_to(np.float32(x), shape)) for name, x in data.items()}
    data["diverged"] = (dims[:-1], np.zeros(shape[:-1], bool))
    coords = {"environment": [TASK], axis: [*passive], "step": np.arange(8)}
    return xr.Dataset(data, coords)


def alone(score, **more):
    return curves({0.0: score}, **more).isel(final_epsilon=0, drop=True)


def arms():
    return {
        "vanilla": curves({0.01: 0.4, 0.1: 0.6}, values=1.5),
        "regression": alone(0.6),
        "same targets": alone(0.4, values=1.05),
        "own": curves({0.0: 0.2, 0.1: 0.4, 0.5: 0.8, 1.0: 0.9}, axis="own_fraction"),
        "tied 1": alone(0.6),
        "tied 2": alone(0.8),
    }


def test_effects_and_gates():
    found = [float(measured(KEY, claim, arms()).value) for claim in study.STUDY.claims]
    expected = [0.5, 1.5, 1.05, 0.5, 1.0, 1.0, 1.0, 0.25, 0.25, 0.25]
    assert found == pytest.approx(expected, abs=1e-5)
    gates = {"learns": 0.8, "explores": 0.8, "learns beside it": 0.8}
    gates |= {"gap": 0.5, "gap beside it": 0.25}
    assert gates_of(study.STUDY, arms()) == pytest.approx(gates, abs=1e-5)


def test_a_member_that_diverged_scores_as_chance_does():
    known = study.exploring(arms()["vanilla"]).copy()
    known["diverged"] = known["diverged"] | (np.arange(9) == 4)
    found = study.scores(known)
    np.testing.assert_allclose(found[:, 0], np.where(np.arange(9) == 4, 0.0, 0.8), atol=1e-6)


def test_the_figure_shows_both_learners_and_every_arm():
    game, rhos, values = study.figure(KEY, arms())
    assert [one.label for one in game.lines] == ["active", "passive"]
    assert rhos.rows[0].label == "own data 100%" and len(rhos.rows) == 10
    assert [one.value for one in values.rows] == pytest.approx([1.5, 1.05], abs=1e-5)


def test_learners_of_both_kinds_of_experience_make_as_many_gradient_steps():
    made = study.arms(study.STUDY.quick)
    assert made["own"].steps == 2 * made["vanilla"].steps
