"""Effects, gates and arms of the study of Muesli, by hand."""

import jax
import numpy as np
import pytest
import xarray as xr

from purejaxrl_suite.studies import muesli as study
from purejaxrl_suite.studies.judging import measured
from tests.counted import counted
from tests.studies.tiny import gates_of

KEY = jax.random.key(0)
RANDOM = -0.595
"""The return on Catch that is scored 0; the best is 1."""


def curves(score, scale=1.0, diverged=0):
    """Curves of nine seeds with a normalized score, in rewards of a scale."""
    shape, dims = (1, 9, 8), ("environment", "seed", "step")
    value = scale * (RANDOM + score * (1.0 - RANDOM))
    gone = np.arange(9)[None] < diverged
    data = {
        "episode_return": (dims, np.full(shape, value, np.float32)),
        "diverged": (dims[:-1], gone),
    }
    found = xr.Dataset(data, {"environment": ["Catch-bsuite"], "step": np.arange(8)})
    return counted(found)


def arms():
    found = {name: curves(0.5) for name in (study.PPO, *study.ABLATIONS)}
    found |= {study.MUESLI: curves(0.8), study.MANY: curves(0.8), study.UNCLIPPED: curves(0.75)}
    found |= {
        name: curves(0.8, scale)
        for name, scale in zip(study.OF_CLIP, study.SCALES, strict=True)
        if scale != 1.0
    }
    return found | {
        study.OF_NONE[0]: curves(0.4, 1e-3),
        study.OF_NONE[2]: curves(0.15, 1e3),
    }


def test_effects_and_gates():
    found = [float(measured(KEY, claim, arms()).value) for claim in study.STUDY.claims]
    assert found == pytest.approx([0.3] * 5 + [0.0, 0.3, 0.0, 0.2], abs=1e-4)
    gates = gates_of(study.STUDY, arms())
    assert gates == pytest.approx({"muesli learns": 0.8, "ppo learns": 0.5}, abs=1e-4)


def test_scores_of_other_scales_and_of_members_that_diverged():
    """A member that diverged is at the level of random policies, whatever the scale."""
    for scale in study.SCALES:
        found = study.scores(curves(0.8, scale, diverged=2), scale)
        np.testing.assert_allclose(found[:, 0], [0.0] * 2 + [0.8] * 7, atol=1e-4)


def test_the_figure_shows_all_arms():
    task, ends, scales = study.figure(KEY, arms())
    assert [line.label for line in task.lines][:2] == [study.MUESLI, study.PPO]
    shown = {row.label: row.value for row in ends.rows}
    assert shown[study.MUESLI] == pytest.approx(0.8, abs=1e-4) and len(shown) == 10
    assert [row.label for row in scales.rows] == [*study.OF_CLIP, *study.OF_NONE]
    assert scales.rows[-1].value == pytest.approx(0.15, abs=1e-4)


@pytest.mark.parametrize("name", ["quick", "standard", "full"])
def test_arms_differ_as_they_say(name):
    made = study.arms(study.STUDY.budgets[name])
    plain = made[study.MUESLI]
    assert made[study.GRADIENT].hypers.kl_weight == 0.0
    for arm, changes in study.ABLATIONS.items():
        assert made[arm].config == plain.config._replace(**changes) != plain.config
    for scale in (1e-3, 1e3):
        for clip in (True, False):
            arm = made[study.scaled(clip, scale)]
            assert arm.config.clip_advantages == clip
            assert [env.name for env in arm.env] == [env.name for env in plain.env]
    bounds = [made[name].hypers.value_bound for name in study.OF_CLIP]
    # h(x) = sqrt(x + 1) - 1 + 0.001 x at 0.15, 150 and 150,000.
    assert bounds == pytest.approx([0.07253, 11.4382, 536.3], rel=1e-3)
