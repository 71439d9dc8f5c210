"""Learning rates as an experiment: its transitions, its rows, and the ways to train it."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import purejaxrl_suite as pjs
from purejaxrl_suite import microscopy
from purejaxrl_suite.envs import silicon_rates
from purejaxrl_suite.microscopy import HopRatesConfig, RateHypers, RateModel, rate_network
from tests.shared import command

SMALL = HopRatesConfig(transitions=64, hidden=(8,), batch_size=32, look_every=2)
EPOCHS = 5


@pytest.fixture(scope="module")
def made():
    return microscopy.hop_rates(SMALL)


@pytest.fixture(scope="module")
def whole(made):
    return pjs.run(made, seeds=2, steps=EPOCHS, progress=False)


def models_of(run):
    return RateModel(run.learner.params, run.moments)


def test_transitions_are_those_of_the_seed_and_as_many_as_asked_for(made):
    assert made.data.moved.shape == (64,) and set(np.unique(made.data.moved)) <= {0, 1, 2, 3}
    assert np.all(np.hypot(*made.data.beam.T) <= SMALL.reach + 1e-5)
    np.testing.assert_array_equal(made.data.seconds, np.float32(SMALL.seconds))
    again = microscopy.hop_rates(SMALL._replace(hidden=(4,))).data
    jax.tree.map(np.testing.assert_array_equal, again, made.data)
    other = microscopy.hop_rates(SMALL._replace(data_seed=1)).data
    assert np.any(other.beam != made.data.beam)


def test_where_filters_reject_many_more_are_simulated():
    """A dwell of ten seconds has many hops, so many transitions are not explained by one."""
    key = jax.random.key(0)
    found = microscopy.observed(key, silicon_rates.simple(), 60, reach=1.0, seconds=10.0)
    assert found.moved.shape == (60,)


def test_members_are_networks_of_the_train_alone(made, whole):
    train = microscopy.rate_learning(microscopy.RateConfig((8,), 32))
    data = jax.tree.map(jnp.asarray, made.data)
    models, history = microscopy.fit(train, data, RateHypers(), seeds=[0, 1], updates=EPOCHS)
    np.testing.assert_allclose(whole.curves["loss"].values, history["loss"], rtol=1e-4)
    for a, b in zip(*map(jax.tree.leaves, (models_of(whole.state()), models)), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5)


def test_rates_are_compared_now_and_then(made, whole):
    curves, beams = whole.curves, made.data.beam
    seen = np.isfinite(curves["rate_error"].values)
    np.testing.assert_array_equal(seen, [[False, True, False, True, True]] * 2)
    alone = jax.tree.map(lambda x: x[:1], models_of(whole.state()))
    found = microscopy.compared(silicon_rates.prior(), alone, beams, SMALL.reach)
    np.testing.assert_allclose(curves["rate_error"].values[0, -1], found.error, rtol=1e-4)
    np.testing.assert_allclose(curves["offset_error"].values[0, -1], found.apart, atol=1e-4)


def test_rates_are_as_far_as_they_are_scaled(whole):
    """Of rates that are 3/2 of the learnt ones the error is a third, and the offset the same."""
    models = models_of(whole.state())
    learnt = rate_network.learned(models)

    def larger(params, beam, bonds):
        return 1.5 * learnt.rate(params, beam, bonds)

    beams = jax.random.normal(jax.random.key(0), (16, 2))
    true = silicon_rates.fixed("larger", models, larger)
    found = microscopy.compared(true, models, beams, 1.0)
    np.testing.assert_allclose(found.error, 1.0 / 3.0, rtol=1e-5)
    assert found.apart == 0.0 and np.hypot(*found.offset) <= 1.0 + 1e-6


@pytest.mark.slow
def test_resumed_is_uninterrupted(whole, tmp_path):
    class Enough(Exception):
        pass

    def stop(progress):
        raise Enough

    go = partial(
        pjs.sweep, microscopy.hop_rates, config=SMALL, seeds=2, steps=EPOCHS, progress=False
    )
    with pytest.raises(Enough):
        go(out=tmp_path / "run", segments=2, on_segment=stop)
    again = go(resume=tmp_path / "run")
    for name in ("loss", "rate_error", "offset_error"):
        np.testing.assert_array_equal(again.curves[name], whole.curves[name])


def test_on_the_command_line(tmp_path):
    small = "--config.transitions 64 --config.hidden 8 --config.batch-size 32"
    out = tmp_path / "run"
    assert command(f"train hop_rates --seeds 2 --steps 3 {small} --out {out}") == 0
    assert command(f"report {out}") == 0
    assert pjs.load(out).curves["rate_error"].shape == (2, 3)


MISTAKES = {
    "batch_size=65: expected at most 64": {"batch_size": 65},
    "config.rates: expected rates that are the same in all": {"rates": silicon_rates.mixtures},
    "config.transitions: .*at least 1": {"transitions": 0},
    "config.reach: .*above 0": {"reach": 0.0},
}


@pytest.mark.parametrize("message", MISTAKES)
def test_mistakes_are_named(message):
    with pytest.raises(ValueError, match=message):
        microscopy.hop_rates(SMALL._replace(**MISTAKES[message]))
