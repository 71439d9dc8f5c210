"""Formulas of offline learning: by hand, by integrals and by what minimises them."""

import jax
import numpy as np
from scipy import integrate, optimize

from purejaxrl_suite.ops import offline


def test_the_penalty_is_the_log_of_one_over_the_softmax_probability():
    q = np.float32([1.0, -2.0, 0.5])
    for action in range(3):
        found = jax.jit(offline.conservative_penalty)(q, action)
        np.testing.assert_allclose(found, -np.log(np.exp(q[action]) / np.exp(q).sum()), rtol=1e-5)
    slope = jax.jit(jax.grad(offline.conservative_penalty))(q, 1)
    np.testing.assert_allclose(slope, np.exp(q) / np.exp(q).sum() - [0, 1, 0], rtol=1e-5)


def test_sampled_actions_estimate_the_integral():
    q = lambda a: np.sin(3.0 * a) - a**2  # noqa: E731
    draw = np.random.default_rng(0)
    uniform, narrow = draw.uniform(-1.0, 1.0, 40_000), draw.triangular(-1.0, 0.2, 1.0, 40_000)
    left = narrow < 0.2
    density = np.where(left, (narrow + 1.0) / 1.2, (1.0 - narrow) / 0.8)
    actions = np.concatenate([uniform, narrow])
    log_density = np.concatenate([np.full(40_000, -np.log(2.0)), np.log(density)])
    values = np.float32(q(actions)), np.float32(log_density)
    exact = np.log(integrate.quad(lambda a: np.exp(q(a)), -1.0, 1.0)[0])
    found = jax.jit(offline.sampled_log_partition)(*values)
    np.testing.assert_allclose(found, exact, atol=0.02)


def test_an_expectile_balances_what_is_above_and_below():
    targets = np.float32([0.0, 1.0, 5.0])
    loss = jax.jit(lambda v, tau: offline.expectile_loss(targets - v, tau).sum())
    for tau in (0.5, 0.7, 0.9):
        best = optimize.minimize_scalar(lambda v, tau=tau: float(loss(v, tau)), (0.0, 5.0)).x
        off = targets - best
        np.testing.assert_allclose(tau * off[off > 0].sum(), -(1 - tau) * off[off < 0].sum(), 1e-2)
    np.testing.assert_allclose(loss(0.0, 0.5), 13.0)


def test_weights_are_bounded_and_have_derivatives():
    advantage = np.float32([-1.0, 0.0, 2.0, 1e6])
    found = jax.jit(offline.advantage_weight)(advantage, 3.0, 100.0)
    np.testing.assert_allclose(found, [np.exp(-3.0), 1.0, 100.0, 100.0], rtol=1e-5)
    slope = jax.jit(jax.grad(lambda b: offline.advantage_weight(advantage, b, 100.0).sum()))(3.0)
    np.testing.assert_allclose(slope, -np.exp(-3.0), rtol=1e-5)
