"""Effects, gates, figure and arms of the study of reincarnation, by hand."""

import jax
import numpy as np
import pytest
import xarray as xr

from purejaxrl_suite.stats import REFERENCES
from purejaxrl_suite.studies import reincarnation as study
from purejaxrl_suite.studies.judging import measured
from purejaxrl_suite.sweeps.stages import _lay_out
from tests.studies.tiny import gates_of

KEY, TASK = jax.random.key(0), study.STUDY.quick.environments[0]
RANDOM = REFERENCES[TASK].random.value
SPREAD = np.linspace(-0.1, 0.1, 9)[:, None]
SCORES = {
    study.TEACHER: 1.0,
    study.ALONE: 0.25,
    study.QDAGGER: 1.1,
    study.ALWAYS: 0.9,
    "kickstarting": 0.8,
    "JSRL": 0.7,
    "rehearsal": 0.6,
    "pre-training": 0.5,
    "DQfD": 0.4,
    study.GOING_ON: 1.05,
}


def curves(score, spread=0.0):
    """Curves of nine seeds whose evaluations are so far above chance, with teachers at 1."""
    values = np.broadcast_to(RANDOM + score + spread, (9, 8))[None]
    dims = ("environment", "seed", "step")
    data = {"evaluation_return": (dims, np.float32(values))}
    data["diverged"] = (dims[:-1], np.zeros((1, 9), bool))
    return xr.Dataset(data, {"environment": [TASK], "step": np.arange(8)})


def arms():
    return {name: curves(x, SPREAD * (name == study.TEACHER)) for name, x in SCORES.items()}


def test_effects_and_gates():
    found = [float(measured(KEY, claim, arms()).value) for claim in study.STUDY.claims]
    expected = [0.85, 1.1, -0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.05]
    assert found == pytest.approx(expected, abs=1e-5)
    gates = {"teachers know": 1.0 / np.std(SPREAD, ddof=1), "learns": 0.25}
    assert gates_of(study.STUDY, arms()) == pytest.approx(gates, rel=1e-4)


def test_a_student_that_diverged_scores_as_chance_does():
    made = arms()
    made[study.QDAGGER]["diverged"][0, 3] = True
    found = study.scores(made[study.QDAGGER], made[study.TEACHER])
    np.testing.assert_allclose(found[:, 0], np.where(np.arange(9) == 3, 0.0, 1.1), atol=1e-5)


def test_without_a_gap_to_the_teacher_there_are_no_scores():
    assert np.isnan(study.scores(curves(0.5), curves(0.0))).all()


def test_the_figure_shows_all_students_and_the_level_of_teachers():
    game, ranks = study.figure(KEY, arms())
    assert len(game.lines) == len(ranks.rows) == len(SCORES) - 1
    assert game.against == pytest.approx(RANDOM + 1.0)
    assert ranks.rows[0].label == study.QDAGGER and ranks.rows[-1].label == study.ALONE


@pytest.mark.slow
def test_stages_of_all_methods_are_laid_out():
    made = study.arms(study.STUDY.quick)
    teacher = made[study.TEACHER]._replace(env=made[study.TEACHER].env[0])
    for name, arm in made.items():
        if name in (study.TEACHER, study.ALONE):
            continue
        chain = _lay_out(arm.stages(teacher))
        last = list(chain.values())[-1]
        assert last.steps == arm.steps and last.seeds == tuple(arm.seeds)
        offline = (study.QDAGGER, study.ALWAYS, "pre-training", "DQfD")
        assert ("offline" in chain) == (name in offline)
