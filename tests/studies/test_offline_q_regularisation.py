"""Effects, gates, figure and data of the study of offline Q-regularisation, by hand."""

import jax
import numpy as np
import pytest
import xarray as xr

import purejaxrl_suite as pjs
from purejaxrl_suite.studies import offline_q_regularisation as study
from purejaxrl_suite.studies.judging import measured
from purejaxrl_suite.sweeps.stages import _lay_out
from tests.counted import counted
from tests.studies.tiny import gates_of

KEY = jax.random.key(0)
LOW, SPAN = -1000.0, 800.0
SPREAD = np.linspace(-0.1, 0.1, 9)[:, None]


def curves(score, **axes):
    """Curves of nine seeds with these scores [..., 1, 1] at all times, over axes."""
    shape = (1, *(len(x) for x in axes.values()), 9, 8)
    dims = ("environment", *axes, "seed", "step")
    values = np.broadcast_to(np.float32(LOW + SPAN * np.asarray(score)), shape)
    data = {"evaluation_return": (dims, values)}
    data["diverged"] = (dims[:-1], np.zeros(shape[:-1], bool))
    return xr.Dataset(data, {"environment": ["Pendulum-v1"], **axes, "step": np.arange(1, 9)})


def medium():
    """Agents that act at random for the first quarter, and are then worth 0.5."""
    made = curves(0.5)
    begun = np.where(np.arange(8) < 2, LOW, 0.0)
    made["episode_return"] = made["evaluation_return"] * 0.0 + np.float32(begun)
    return counted(made)


def arms():
    made = {study.MEDIUM: medium(), study.EXPERT: curves(1.0 + SPREAD)}
    weight, penalty = np.asarray(study.WEIGHTS), np.asarray(study.PENALTIES)
    grid = 0.5 + 0.1 * np.minimum(weight, 1.0)[:, None] + 0.2 * penalty[None]
    for name in study.DATA:
        td3 = np.array([0.2, 0.7])[:, None, None]
        made[f"{name}-td3_bc"] = curves(td3, cloning_weight=[0.0, 1.0])
        axes = {"critic_weight": weight, "actor_weight": penalty}
        made[f"{name}-qsarsa"] = curves(grid[..., None, None], **axes)
    return made


def test_effects_and_gates():
    found = [float(measured(KEY, claim, arms()).value) for claim in study.STUDY.claims]
    assert found == pytest.approx([-0.5, 0.6, 0.4, 0.1], abs=1e-5)
    gates = {"experts": 1.0 / np.std(SPREAD, ddof=1), "cloning": 0.7, "TD3 fails": 0.2}
    gates |= {"medium is better": 0.5, "medium is worse": 0.5}
    assert gates_of(study.STUDY, arms()) == pytest.approx(gates, rel=1e-4)


def test_a_learner_that_diverged_scores_as_chance_does():
    made = arms()
    one = study.plain_td3(made["random-td3_bc"]).copy()
    one["diverged"] = one["diverged"] | (np.arange(9) == 3)
    found = study.scores(one, made[study.MEDIUM], made[study.EXPERT])
    np.testing.assert_allclose(found[:, 0], np.where(np.arange(9) == 3, 0.0, 0.2), atol=1e-5)


def test_the_figure_shows_all_weights_and_all_data():
    lines, rows = study.figure(KEY, arms())
    assert [one.label for one in lines.lines] == ["Qsarsa-AC", "Qsarsa-AC2"]
    assert lines.lines[0].value == pytest.approx((0.7, 0.8, 0.8), abs=1e-5)
    assert lines.against == pytest.approx(0.7, abs=1e-5)
    assert len(rows.rows) == 4 * len(study.DATA)


@pytest.mark.slow
def test_learners_are_laid_out():
    budget = study.STUDY.quick
    made = study.arms(budget)
    env = made[study.MEDIUM].env[0]
    data = pjs.datasets.random(env, 100)
    for label in ("td3_bc", "qsarsa"):
        arm = made[f"random-{label}"]
        chain = _lay_out(arm.stages.keywords["learn"](env, data))
        assert list(chain.values())[-1].steps == arm.steps
