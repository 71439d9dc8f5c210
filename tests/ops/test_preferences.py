"""Formulas of preferences: by hand, closed forms, and what they do not change."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from purejaxrl_suite.ops import preferences as p

P = jnp.log(jnp.array([0.5, 0.3, 0.2]))
PRIOR = jnp.log(jnp.array([0.2, 0.2, 0.6]))


def test_the_odds_of_luce_are_those_of_the_density():
    margins = p.margins(p.luce().scores(P))
    np.testing.assert_allclose(jax.nn.sigmoid(margins[0, 1]), 0.5 / 0.8, rtol=1e-6)
    np.testing.assert_array_equal(margins, -margins.T)
    np.testing.assert_allclose(p.margins(p.luce().scores(P + 3.0)), margins, atol=1e-6)


BEHAVIOURS = {
    "luce": lambda: p.luce(),
    "direct": lambda: p.direct(PRIOR, 4.0),
    "geometric": lambda: p.geometric(PRIOR, 0.25),
}


@pytest.mark.parametrize("name", BEHAVIOURS)
def test_a_model_like_the_annotator_learns_its_density(name):
    one = BEHAVIOURS[name]()
    np.testing.assert_allclose(p.optimum(one, one.scores(P)), P, atol=1e-6)


def test_other_models_learn_products_of_powers():
    scores = p.luce().scores(P)
    direct = p.optimum(p.direct(PRIOR, 4.0), scores)
    np.testing.assert_allclose(direct, p.normalised(PRIOR + P / 4.0), atol=1e-6)
    average = p.optimum(p.geometric(PRIOR, 0.25), scores)
    np.testing.assert_allclose(average, p.normalised(0.75 * PRIOR + 0.25 * P), atol=1e-6)


def test_a_strong_prior_stays_and_a_flat_one_of_strength_one_is_nothing():
    scores = p.luce().scores(P)
    np.testing.assert_allclose(p.optimum(p.direct(PRIOR, 1e6), scores), PRIOR, atol=1e-5)
    flat = jnp.full(3, -jnp.log(3.0))
    np.testing.assert_allclose(p.optimum(p.direct(flat, 1.0), scores), P, atol=1e-6)


def test_ipo_by_hand():
    """Two items of an even prior: the better one wins against the prior by (0.5 + p) / 2."""
    wins = jnp.array([0.5 * 0.5 + 0.5 * 0.8, 0.5 * 0.5 + 0.5 * 0.2])
    found = p.identity_optimum(jnp.log(jnp.array([0.5, 0.5])), wins, 0.5)
    np.testing.assert_allclose(found[0] - found[1], (0.8 - 0.2) * 0.5 / 0.5, rtol=1e-5)


def test_losses_by_hand():
    np.testing.assert_allclose(p.cross_entropy(jnp.float32(0.0)), np.log(2.0), rtol=1e-6)
    np.testing.assert_allclose(p.hinge(jnp.array([0.25, 2.0]), 1.0), [0.75, 0.0])
    np.testing.assert_allclose(p.identity(jnp.array([1.0, 3.0]), 0.5), [0.0, 4.0])


def test_a_mixture_of_annotators():
    log_weights, logits = jnp.log(jnp.array([0.4, 0.6])), jnp.array([[2.0], [-1.0]])
    wins = 0.4 * jax.nn.sigmoid(2.0) + 0.6 * jax.nn.sigmoid(-1.0)
    found = p.mixture_logits(log_weights, logits)
    np.testing.assert_allclose(jax.nn.sigmoid(found), [wins], rtol=1e-6)
    log_p = p.mixture_log_probability(log_weights, logits)
    np.testing.assert_allclose(log_p, [jnp.log(wins)], rtol=1e-6)
    # Where both probabilities are 0 in float32.
    far = p.mixture_log_probability(log_weights, jnp.array([-200.0, -300.0]))
    np.testing.assert_allclose(far, jnp.log(0.4) - 200.0, rtol=1e-6)
    np.testing.assert_allclose(p.mixture_logits(log_weights + 2.0, logits), found, rtol=1e-5)
    np.testing.assert_allclose(p.mixture_logits(jnp.zeros(1), logits[:1]), logits[0], rtol=1e-6)


def test_three_annotators_can_prefer_in_a_circle():
    """Each of 0 > 1, 1 > 2 and 2 > 0 is more likely than not: no scores say so."""
    turns = jnp.array([[2.0, 1.0, 0.0], [0.0, 2.0, 1.0], [1.0, 0.0, 2.0]]) * 5.0
    logits = p.mixture_logits(jnp.zeros(3), p.margins(turns))
    around = jnp.array([logits[0, 1], logits[1, 2], logits[2, 0]])
    assert jnp.all(around > 0.0)
    of_scores = p.margins(jax.random.normal(jax.random.key(0), (1000, 3)))
    circles = of_scores[:, [0, 1, 2], [1, 2, 0]]
    np.testing.assert_allclose(circles.sum(axis=1), 0.0, atol=1e-5)  # so not all are above 0


def test_distances_with_a_measure():
    measure = jnp.log(jnp.array([2.0, 1.0, 1.0]))
    one, other = (p.normalised(x, measure) for x in (P, PRIOR))
    mass = [np.exp(x + measure) for x in (one, other)]
    np.testing.assert_allclose(sum(mass[0]), 1.0, rtol=1e-6)
    kl = sum(a * np.log(a / b) for a, b in zip(*mass, strict=True))
    np.testing.assert_allclose(p.divergence(one, other, measure), kl, rtol=1e-5)
    tv = 0.5 * np.abs(mass[0] - mass[1]).sum()
    np.testing.assert_allclose(p.total_variation(one, other, measure), tv, rtol=1e-5)
