"""CMPO and its samples: the bound of theorem 4.1, limits, and rlax on distillation."""

import distrax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import rlax

from purejaxrl_suite.ops import policy_targets as ops


def drawn(seed, actions=4, scale=3.0, count=()):
    draw = np.random.default_rng(seed)
    logits = jnp.float32(scale * draw.normal(size=(*count, actions)))
    return jax.nn.log_softmax(logits), jnp.float32(scale * draw.normal(size=(*count, actions)))


@pytest.mark.parametrize("clip", [0.5, 1.0, 2.0])
def test_the_policy_is_never_far_from_the_prior(clip):
    prior, advantages = drawn(0, count=(100_000,))
    target = jax.vmap(ops.cmpo_policy, (0, 0, None))(prior, advantages, clip)
    distance = 0.5 * jnp.sum(jnp.abs(jnp.exp(target) - jnp.exp(prior)), -1)
    bound = np.tanh(clip / 2)
    assert 0.9 * bound < distance.max() <= bound + 1e-5
    # Two actions with the worst prior attain it.
    worst = jax.nn.log_softmax(jnp.array([-clip, clip]) / 2)
    found = jnp.exp(ops.cmpo_policy(worst, jnp.array([9.0, -9.0]), clip)) - jnp.exp(worst)
    assert abs(found[0]) == pytest.approx(bound, abs=1e-6)


def test_its_limits():
    prior, advantages = drawn(1)
    np.testing.assert_allclose(ops.cmpo_policy(prior, advantages, 0.0), prior, atol=1e-6)
    mpo = jax.nn.log_softmax(prior + advantages)
    np.testing.assert_allclose(ops.cmpo_policy(prior, advantages, jnp.inf), mpo, atol=1e-6)
    # Without advantages the prior is the target, and the loss has no gradient there.
    same = ops.cmpo_policy(prior, jnp.zeros(4))
    slope = jax.grad(lambda x: ops.distillation(jax.nn.log_softmax(x), same))(prior)
    np.testing.assert_allclose(slope, 0.0, atol=1e-6)


def test_samples_estimate_the_exact_target():
    prior, advantages = drawn(2, scale=1.0)
    policy = drawn(3, scale=1.0)[0]
    samples = jax.random.categorical(jax.random.key(0), prior, shape=(100_000,))
    weights = ops.cmpo_weights(advantages[samples])
    exact = jnp.exp(ops.cmpo_policy(prior, advantages))
    counted = np.bincount(samples, weights, minlength=4) / len(samples)
    np.testing.assert_allclose(counted, exact, atol=5e-3)
    found = ops.sampled_distillation(policy[samples], weights)
    assert found == pytest.approx(float(-exact @ policy), abs=1e-2)


def test_the_normaliser_leaves_its_own_sample_out():
    """N = 3, exp(adv) = (e, 1, 1/e), z_init = 1."""
    found = ops.cmpo_weights(jnp.array([5.0, 0.0, -1.0]))
    e = np.e
    expected = [e / ((2 + 1 / e) / 3), 1 / ((1 + e + 1 / e) / 3), (1 / e) / ((2 + e) / 3)]
    np.testing.assert_allclose(found, expected, 1e-6)
    assert ops.cmpo_weights(jnp.array([0.3]), initial=2.0)[0] == pytest.approx(np.exp(0.3) / 2)


def test_rlax_agrees_on_sampled_distillation():
    policy = drawn(4)[0]
    actions, weights = jnp.array([0, 2, 2, 3]), jnp.array([0.5, 1.0, 2.0, 0.1])
    targets = rlax.PolicyTarget(actions=actions, weights=weights)
    with jax.numpy_rank_promotion("allow"):
        expected = rlax.sampled_policy_distillation_loss(distrax.Categorical(policy), targets)
    assert ops.sampled_distillation(policy[actions], weights) == pytest.approx(float(expected))


def test_advantages_are_normalized_by_what_was_seen():
    errors = jnp.array([3.0, -4.0])
    state = ops.update_second_moment(ops.second_moment(), errors)
    # The first batch alone: its second moment about 0, 12.5.
    np.testing.assert_allclose(ops.normalized(state, errors), errors / np.sqrt(12.5), 1e-5)
    state = ops.update_second_moment(state, jnp.array([1.0]), decay=0.5)
    moment = (0.5 * 0.01 * 12.5 + 0.5 * 1.0) / (1 - 0.5 * 0.99)
    np.testing.assert_allclose(ops.normalized(state, errors), errors / np.sqrt(moment), 1e-5)
    # Rewards times k change nothing once all that was seen is scaled.
    scaled = ops.update_second_moment(ops.second_moment(), 1e3 * errors)
    np.testing.assert_allclose(ops.normalized(scaled, 1e3 * errors), errors / np.sqrt(12.5), 1e-5)
