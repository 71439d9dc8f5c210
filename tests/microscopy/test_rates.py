"""Rates that are learnt: the likelihood by hand, what it recovers, and greedy controllers."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from purejaxrl_suite import microscopy
from purejaxrl_suite.core.types import Clock
from purejaxrl_suite.envs import honeycomb, make, silicon, silicon_rates
from purejaxrl_suite.envs.honeycomb import BOND
from purejaxrl_suite.microscopy import controllers, rate_network
from purejaxrl_suite.microscopy.learning import RateConfig, RateHypers
from purejaxrl_suite.microscopy.transitions import Transitions

SMALL = RateConfig(hidden=(16,), batch_size=32)


def test_the_likelihood_by_hand():
    """Outputs 1, 2, 0 and a total rate of 0.5 per second, over 3 seconds."""
    found = jnp.array([1.0, 2.0, 0.0, 0.5])
    stays = microscopy.survival_loss(found, 3.0, jnp.int32(0), 2.0, 7.0)
    assert float(stays) == pytest.approx(2.0 * 1.5, rel=1e-6)
    hops = microscopy.survival_loss(found, 3.0, jnp.int32(2), 2.0, 7.0)
    neighbour = math.log(math.e + math.e**2 + 1.0) - 2.0
    expected = 2.0 * -math.log(1.0 - math.exp(-1.5)) + 7.0 * neighbour
    assert float(hops) == pytest.approx(expected, rel=1e-5)
    rates = rate_network.rates_of(found)
    assert float(jnp.sum(rates)) == pytest.approx(0.5) and float(rates[1] / rates[0]) == (
        pytest.approx(math.e, rel=1e-5)
    )
    # Without any rate a hop is unlikely, not impossible: log(1e-6), and a finite slope.
    nothing, slope = jax.value_and_grad(microscopy.survival_loss)(
        found.at[3].set(0.0), 3.0, jnp.int32(1), 1.0, 0.0
    )
    assert float(nothing) == pytest.approx(-math.log(1e-6), rel=0.05)
    assert np.all(np.isfinite(slope))


def constant_data(n=512, rate=0.4, seconds=2.0):
    """Hops at a constant rate to neighbours in the shares 1/2, 1/3, 1/6; the beam says nothing."""
    draw = np.random.default_rng(0)
    beam = draw.normal(size=(n, 2)).astype(np.float32)
    hopped = draw.random(n) < 1.0 - math.exp(-rate * seconds)
    where = draw.choice([1, 2, 3], size=n, p=[1 / 2, 1 / 3, 1 / 6])
    moved = np.where(hopped, where, 0).astype(np.int32)
    fields = beam, np.full(n, seconds, np.float32), moved, np.ones((n, 1), np.float32)
    return Transitions(*map(jnp.asarray, fields))


def test_members_learn_the_total_rate_and_symmetry_makes_shares_equal():
    data = constant_data()
    train = microscopy.rate_learning(SMALL, updates_per_call=10)
    hypers = RateHypers(learning_rate=3e-3, weight_decay=0.0, class_weight=1.0)
    models, history = microscopy.fit(train, data, hypers, seeds=[0, 1, 2], updates=40)
    assert history["loss"].shape == (3, 40) and np.all(
        history["loss"][:, -1] < history["loss"][:, 0]
    )
    context = jnp.concatenate([data.beam, data.conditions], axis=-1)
    rates = np.mean(microscopy.canonical_rates(models, context), axis=0)
    estimate = -math.log(1.0 - np.mean(np.asarray(data.moved) > 0)) / 2.0
    assert np.sum(rates) == pytest.approx(estimate, rel=0.15)
    # Six symmetries, so no neighbour is special on average.
    np.testing.assert_allclose(rates / np.sum(rates), 1.0 / 3.0, atol=0.1)
    kernels = np.asarray(models.params["layer_0"]["kernel"])
    assert len({float(x) for x in kernels[:, 0, 0]}) == 3


def test_a_stopped_training_goes_on_to_the_same_bits():
    data, hypers = constant_data(64), jax.tree.map(jnp.float32, RateHypers())
    train = microscopy.rate_learning(SMALL, updates_per_call=4)
    key, clock = jax.random.key(3), Clock(jnp.int32(0), jnp.int32(4))
    start, go = train.init(key, hypers, data), jax.jit(train.train)
    whole, _ = go(key, hypers, data, start, clock)
    first, _ = go(key, hypers, data, start, clock._replace(updates=jnp.int32(2)))
    again, _ = go(key, hypers, data, first, clock._replace(update=jnp.int32(2)))
    jax.tree.map(np.testing.assert_array_equal, whole, again)


def test_a_distilled_network_has_the_rates_of_the_ensemble():
    keys = jax.random.split(jax.random.key(0), 3)
    params = jax.vmap(lambda key: rate_network.initial_params(key, 2, (8,)))(keys)
    moments = jax.tree.map(lambda x: jnp.stack([x] * 3), rate_network.initial_moments(2))
    models, data = rate_network.RateModel(params, moments), constant_data(256)
    data = data._replace(conditions=jnp.zeros((256, 0)))
    inputs = microscopy.inputs_like(models, data)
    train = microscopy.distillation(SMALL._replace(batch_size=128), 60)
    hypers = microscopy.DistillationHypers(learning_rate=1e-2)
    one, history = microscopy.fit(train, inputs, hypers, seeds=[0], updates=60)
    assert history["loss"][0, -1] < 0.02 * history["loss"][0, 0]
    each = [microscopy.canonical_rates(x, data.beam) for x in (models, one)]
    error = np.linalg.norm(each[0] - each[1]) / np.linalg.norm(each[0])
    assert error < 0.05


def test_learned_rates_turn_with_the_lattice_and_play():
    params = jax.vmap(lambda key: rate_network.initial_params(key, 2, (8,)))(
        jax.random.split(jax.random.key(1), 2)
    )
    moments = jax.tree.map(lambda x: jnp.stack([x] * 2), rate_network.initial_moments(2))
    rates = microscopy.learned(rate_network.RateModel(params, moments))
    bonds, beam = jnp.asarray(controllers.CANONICAL), jnp.array([0.9, 0.3])
    rate = jax.jit(rates.rate)
    plain = rate(rates.params, beam, bonds)
    context = microscopy.canonical_rates(rates.params, beam[None])[0]
    np.testing.assert_allclose(plain, context, rtol=1e-5)
    for angle in (0.5, 2.0, 4.0):
        turned = honeycomb.turned(beam, angle), honeycomb.turned(bonds, angle)
        np.testing.assert_allclose(rate(rates.params, *turned), plain, rtol=1e-3)
    shuffled = rate(rates.params, beam, bonds[jnp.array([1, 2, 0])])
    np.testing.assert_allclose(shuffled, plain[jnp.array([1, 2, 0])], rtol=1e-5)
    env = silicon.silicon(rates)
    state, _ = jax.jit(env.init)(jax.random.key(0), env.params)
    _, now = jax.jit(env.step)(jax.random.key(1), env.params, state, jnp.zeros(2))
    assert np.all(np.isfinite(now.obs))


def test_best_offsets():
    prior, simple = silicon_rates.prior(), silicon_rates.simple()
    np.testing.assert_allclose(
        controllers.best_offset(prior.rate, prior.params), [1.207, 0.0], atol=0.03
    )
    np.testing.assert_allclose(
        controllers.best_offset(simple.rate, simple.params), [1.42, 0.0], atol=0.03
    )


def test_a_greedy_controller_puts_the_beam_beside_the_neighbour_nearest_to_the_goal():
    env = make("STEM-Silicon-v0", dwell=(1.0, 9.0), distance=2.0)
    agent = controllers.greedy(env, controllers.SIDEWAYS, 5.0)
    _, obs = env.init(jax.random.key(0), env.params)
    state = agent.init(jax.random.key(0), ())
    _, action, _ = agent.act((), (), state, (), obs[None], False)
    to = np.asarray(obs[2:4])
    left = np.array([-to[1], to[0]])
    np.testing.assert_allclose(2.0 * BOND * action[0, :2], 1.42 * to + 0.42 * left, atol=1e-5)
    assert float(action[0, 2]) == 0.0  # half way from 1 to 9 seconds
    fixed = make("STEM-Silicon-v0")
    wrong = {
        "offset: expected at most 1.42 angstrom": (fixed, (1.869, 0.0), None),
        "seconds: expected None, as all dwells are the same, got 5.0": (fixed, (1.2, 0.0), 5.0),
        "seconds: expected seconds, got None": (env, (1.2, 0.0), None),
        "seconds: expected a finite number in 1.0 .. 9.0": (env, (1.2, 0.0), 10.0),
        "env.params: expected a SiliconParams": (make("Pendulum-v1"), (1.2, 0.0), None),
    }
    for message, given in wrong.items():
        with pytest.raises(ValueError, match=message):
            controllers.greedy(*given)


def test_a_greedy_controller_reaches_the_goal():
    """On simple rates it takes 41 seconds on average, by another program."""
    env = make("STEM-SiliconSimple-v0", distance=2.0)
    agent = controllers.greedy(env, controllers.ON_NEIGHBOUR)
    found = controllers.evaluating(agent, env, 256)(
        jax.random.key(0), agent.init(jax.random.key(0), ())
    )
    success, seconds = controllers.seconds_to_goal(found)
    assert float(success) > 0.99 and float(seconds) == pytest.approx(41.0, rel=0.1)


def test_what_does_not_fit_is_named():
    with pytest.raises(ValueError, match="batch_size=256: expected at most 64, as transitions are"):
        microscopy.fit(
            microscopy.rate_learning(), constant_data(64), RateHypers(), seeds=[0], updates=1
        )
    with pytest.raises(ValueError, match="config.batch_size"):
        microscopy.rate_learning(RateConfig(batch_size=0))
