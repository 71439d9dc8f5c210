"""The learners that are heard: a cubic and knots."""

import jax
import jax.numpy as jnp
import numpy as np

import purejaxrl_suite as pjs
from purejaxrl_suite.core.types import Clock
from purejaxrl_suite.problems import curves


def started(made, seed=0):
    hypers = jax.tree.map(jnp.float32, made.hypers)
    return made.train.init(jax.random.key(seed), hypers, made.data), hypers


def test_a_step_of_the_cubic_by_hand():
    made = pjs.problems.cubic()
    run, hypers = started(made)
    x, y = run.examples
    theta = run.learner.params["coefficients"]
    powers = np.stack([x**3, x**2, x, np.ones_like(x)])
    error = theta @ powers - y
    clock = Clock(jnp.int32(0), jnp.int32(9))
    after, row = made.train.update(jax.random.key(0), hypers, (), run, clock)
    np.testing.assert_allclose(row["loss"], 0.5 * np.mean(np.square(error)), rtol=1e-5)
    np.testing.assert_allclose(row["signed_error"], np.mean(error), rtol=1e-4)
    gradient = powers @ error / 100
    found = [row[f"derivative_{i}"] for i in (1, 2, 3)]
    np.testing.assert_allclose(found, gradient[:3], rtol=1e-4, atol=1e-6)
    moved = after.learner.params["coefficients"] - theta
    np.testing.assert_allclose(moved, -0.01 * gradient, rtol=1e-3, atol=1e-7)


def test_below_the_tolerance_nothing_moves():
    made = pjs.problems.cubic(None, pjs.problems.CurveHypers(tolerance=1e3))
    run, hypers = started(made)
    clock = Clock(jnp.int32(0), jnp.int32(9))
    after, row = made.train.update(jax.random.key(0), hypers, (), run, clock)
    assert row["gradient_norm"] == 0.0 and row["loss"] > 0.0
    np.testing.assert_array_equal(
        after.learner.params["coefficients"], run.learner.params["coefficients"]
    )


def test_a_component_of_frequency_0_is_the_cosine_of_its_phase():
    knot = curves.Knot(jnp.array([0.0, 1.0, 2.0]), jnp.array([0.7, 0.0, 0.5]))
    found = curves.places(knot, jnp.array([0.0, 1.0, 5.0]))
    np.testing.assert_allclose(found[:, 0], np.cos(0.7), rtol=1e-6)
    np.testing.assert_allclose(found[:, 1], np.cos([0.0, 1.0, 5.0]), rtol=1e-5)

    def constant(phase):
        return curves.places(knot._replace(phases=knot.phases.at[0].set(phase)), jnp.ones(1))[0, 0]

    assert jax.grad(constant)(0.0) == 0.0 and jax.grad(constant)(0.7) < 0.0


def test_knots_and_cubics_are_learnt():
    knots = pjs.run(pjs.problems.lissajous(), seeds=4, steps=3000, progress=False)
    before, after = knots.curves["loss"].values[:, 0], knots.curves["loss"].values[:, -1]
    assert np.all(after < 0.05 * before + 1e-6)
    cubics = pjs.run(pjs.problems.cubic(), seeds=4, steps=3000, progress=False)
    assert np.all(cubics.curves["loss"].values[:, -1] < 0.02)
