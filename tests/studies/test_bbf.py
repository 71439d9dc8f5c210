"""The study of BBF: its arms are the presets at full size, and its effects are right."""

import jax
import numpy as np
import pytest
import xarray as xr

from purejaxrl_suite import stats
from purejaxrl_suite.presets import PRESETS
from purejaxrl_suite.studies import bbf
from purejaxrl_suite.studies.judging import judge
from tests.counted import counted
from tests.studies.tiny import gates_of

KEY = jax.random.key(0)
GAMES, WIDTHS, SEEDS = ("Asterix-MinAtar", "Breakout-MinAtar"), ("1", "2", "4"), 8


@pytest.mark.parametrize(("treatment", "preset"), [("BBF", "bbf"), ("SR-SPR", "sr-spr")])
def test_treatments_are_the_presets(treatment, preset):
    names = list(bbf.TREATMENTS)
    for ratio, period in ((2, 20_000.0), (8, 5_000.0)):
        points = bbf.settings(1e5, ratio)
        assert points.dims == {"treatment": names}
        expected = PRESETS[f"{preset}-minatar100k"].hypers
        expected = expected._replace(reset_period=period, epsilon_decay_steps=2000.0)
        assert points.settings()[names.index(treatment)] == expected
    assert points.settings()[names.index("no resets")].reset_period == 0.0


def curves(change=lambda scores: scores):
    """Scores by hand: the place of the width, in hundredths more for later treatments."""
    width, treatment = np.arange(3.0)[:, None], np.arange(5.0)
    scores = np.broadcast_to((width - 0.1 * treatment)[None, :, :, None], (2, 3, 5, SEEDS)).copy()
    scores[:, :, -1] *= -1.0  # SR-SPR shrinks with the width
    scores = change(scores)
    ends = [stats.REFERENCES[game] for game in GAMES]
    low, high = (np.array([getattr(e, n).value for e in ends]) for n in ("random", "reference"))
    returns = low[:, None, None, None] + scores * (high - low)[:, None, None, None]
    dims = ("environment", "network", "treatment", "seed")
    coords = {"environment": list(GAMES), "network": list(WIDTHS)}
    made = {
        "episode_return": ((*dims, "step"), np.repeat(returns[..., None], 3, -1)),
        "diverged": (dims, np.zeros(returns.shape, bool)),
    }
    return counted(xr.Dataset(made, coords=coords | {"treatment": list(bbf.TREATMENTS)}))


def test_effects_by_hand():
    high, low = curves(), curves(lambda scores: scores - 0.2)
    arms = {"ratio-8": high, "ratio-2": low}
    found = [
        judge(claim, claim.effect(KEY, *(arms[name] for name in claim.over)))
        for claim in bbf.STUDY.claims
    ]
    np.testing.assert_allclose(
        [one.value for one in found], [0.1, 0.2, 0.3, 1.0, -1.0, 0.2], atol=1e-5
    )
    assert {one.verdict for one in found} == {"CONFIRMED"}
    found = gates_of(bbf.STUDY, arms)
    assert found == {"learns": pytest.approx(-0.8), "recovers": pytest.approx(1.0)}
    worse = bbf.STUDY.claims[-1]
    assert judge(worse, worse.effect(KEY, low, high)).verdict == "REFUTED"


def test_the_figure_shows_what_is_judged():
    high = curves()
    two, eight, *wide = bbf.figure(KEY, {"ratio-8": high, "ratio-2": high})
    assert two.rows == eight.rows and len(wide) == 2
    np.testing.assert_allclose([row.value for row in eight.rows[:3]], [0.1, 0.2, 0.3], atol=1e-5)
    lines = {line.label: line for line in wide[1].lines}
    assert lines["BBF"].x == (1.0, 2.0, 4.0)
    np.testing.assert_allclose(lines["BBF"].value, [0.0, 1.0, 2.0], atol=1e-5)
    np.testing.assert_allclose(lines["SR-SPR"].value, [0.4, -0.6, -1.6], atol=1e-5)
