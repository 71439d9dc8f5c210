"""Effects of the study of gradients in continuous control, by hand."""

import jax
import numpy as np
import pytest
import xarray as xr

from purejaxrl_suite import nets
from purejaxrl_suite.envs import make
from purejaxrl_suite.stats import REFERENCES
from purejaxrl_suite.studies import grama_continuous as study
from tests.counted import counted
from tests.studies.tiny import gates_of

KEY = jax.random.key(0)
SEEDS, STEPS = 3, 40


def curves(treatments, **shares):
    """Returns that begin at -1000 and end at -1000 + 800 times these scores; other variables."""
    dims = ("environment", "intervention", "seed", "step")
    ends = np.array(list(treatments.values()), np.float32)[None, :, None, None]
    along = np.linspace(0.0, 1.0, STEPS) > 0.5
    shape = (1, len(treatments), SEEDS, STEPS)
    tiny = 1e-3 * np.arange(SEEDS)[:, None] * along  # no two seeds are the same
    data = {"episode_return": (dims, np.broadcast_to(-1000.0 + 800.0 * ends * along + tiny, shape))}
    data |= {name: (dims, np.full(shape, x)) for name, x in shares.items()}
    data["diverged"] = (dims[:3], np.zeros(shape[:3], bool))
    known = {"environment": ["Pendulum-v1"], "intervention": list(treatments)}
    return counted(xr.Dataset(data, coords=known | {"step": np.arange(STEPS)}))


def test_scores_are_on_the_scale_of_agents_that_nothing_is_done_to():
    found = curves({"none": 1.0, "ReGraMa": 1.25, "ReDo": 0.5})
    for name, score in (("none", 1.0), ("ReGraMa", 1.25), ("ReDo", 0.5)):
        np.testing.assert_allclose(study.progress(found, name), np.full((SEEDS, 1), score), 1e-5)
    found["diverged"][0, 1, 2] = True
    worst = (REFERENCES["Pendulum-v1"].random.value + 1000.0) / 800.0  # a random policy's
    np.testing.assert_allclose(study.progress(found, "ReGraMa")[:, 0], [1.25, 1.25, worst], 1e-5)
    assert np.isnan(study.progress(curves({"none": -0.1}), "none")).all()


def test_claims_and_figure_on_curves_by_hand():
    shares = {"inactive_0.01": 0.3, "dormant_0.02": 0.1, "regrama_recycled": 4.0}
    treated = curves({"none": 1.0, "ReDo": 0.9, "ReGraMa": 1.2, "random": 1.1}, **shares)
    agreement = {"jaccard_released": 0.95, "jaccard_text": 0.05}
    made = {
        "sac-relu": curves({"none": 1.0}, **agreement).isel(intervention=0, drop=True),
        "sac-bro": treated,
        "ppo-norm": treated.sel(intervention=["none", "ReDo", "ReGraMa"]),
    }
    assert set(made) == set(study.arms(study.STUDY.quick))
    found = [c.effect(KEY, *(made[n] for n in c.over)) for c in study.STUDY.claims]
    expected = 0.95, 0.05, 0.2, 0.3, 0.3, 0.1
    assert [float(one.value) for one in found] == pytest.approx(expected, abs=1e-5)
    gates = gates_of(study.STUDY, made)
    assert gates["falls silent"] == 1.0 and gates["sac recycles"] == 4.0 * STEPS
    assert gates["sac learns"] > 1e3  # seeds are alike here but for their last digits
    ranked, of_ppo, alike, *shares = study.figure(KEY, made)
    assert [one.label for one in ranked.rows] == ["ReGraMa", "random", "ReDo"]
    assert [one.value for one in of_ppo.rows] == pytest.approx([0.2, -0.1], abs=1e-5)
    assert len(alike.lines) == 2 and len(shares) == 2
    assert all(np.all(np.isfinite(x.value)) for panel in shares for x in panel.lines)


def test_what_is_trained():
    arms = study.arms(study.STUDY.quick)
    assert arms["ppo-norm"].steps == 10 * arms["sac-bro"].steps
    env = make("Pendulum-v1")
    shapes = jax.eval_shape(arms["sac-bro"].network(env).init, KEY)["trunk"]
    blocks = {name: sum("dense_1_norm" in x for x in layers) for name, layers in shapes.items()}
    assert blocks == {"actor": 1, "critic_0": 2, "critic_1": 2}
    assert nets.parameter_count(shapes)[""] > 0
