"""Targets and weights of value learning: hand-computed values, and rlax as the oracle."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import rlax

from purejaxrl_suite.core.types import Box
from purejaxrl_suite.ops import augmentation, losses, perturb, self_prediction, value

NEXT = jnp.array([1.0, 5.0, 3.0])
munchausen = jax.jit(value.munchausen_target)


def test_targets_take_the_value_of_the_selected_action():
    online = jnp.array([0.0, 1.0, 2.0])
    assert value.q_target(0.5, 0.9, False, NEXT, NEXT) == pytest.approx(0.5 + 0.9 * 5.0)
    assert value.q_target(0.5, 0.9, False, NEXT, online) == pytest.approx(0.5 + 0.9 * 3.0)
    quantiles = jnp.stack([NEXT, NEXT + 1.0], axis=1)
    found = value.q_target(0.5, 0.9, False, quantiles, online)
    np.testing.assert_allclose(found, [0.5 + 0.9 * 3.0, 0.5 + 0.9 * 4.0], rtol=1e-6)


def test_a_terminal_state_has_no_value_whatever_it_is():
    assert value.q_target(0.5, 0.9, True, NEXT * jnp.inf, NEXT) == 0.5
    assert value.bootstrap(0.5, 0.9, True, jnp.nan) == 0.5


def test_rlax_agrees():
    rng = np.random.default_rng(0)
    q, online, next_q = (jnp.asarray(x, "f") for x in rng.normal(size=(3, 4)))
    for action in range(4):
        errors = rlax.double_q_learning(q, jnp.int32(action), 0.3, 0.8, next_q, online)
        found = value.q_target(0.3, 0.8, False, next_q, online) - q[action]
        assert found == pytest.approx(float(errors), rel=1e-5)
        errors = rlax.q_learning(q, jnp.int32(action), 0.3, 0.8, next_q)
        found = value.q_target(0.3, 0.8, False, next_q, next_q) - q[action]
        assert found == pytest.approx(float(errors), rel=1e-5)


def test_huber_of_infinite_delta_is_half_the_square():
    errors = jnp.array([0.5, -3.0, 40.0])
    np.testing.assert_allclose(losses.huber(errors, jnp.inf), 0.5 * errors**2)


def test_scaled_log_policy_survives_small_temperatures():
    found = value.scaled_log_policy(jnp.array([1.0, 1.0, 0.0]), 1e-4)
    np.testing.assert_allclose(found, [-1e-4 * np.log(2), -1e-4 * np.log(2), -1.0], rtol=1e-3)
    expected = 0.7 * jax.nn.log_softmax(NEXT / 0.7)
    np.testing.assert_allclose(value.scaled_log_policy(NEXT, 0.7), expected, rtol=1e-5)


def test_munchausen_by_hand():
    # pi(s) = (1/4, 3/4) and pi(s') = (1/2, 1/2) at temperature 1/2.
    q_values, next_q = 0.5 * jnp.log(jnp.array([1.0, 3.0])), jnp.array([2.0, 2.0])
    found = [munchausen(1.0, 0.9, False, a, q_values, next_q, next_q, 0.8, 0.5) for a in (0, 1)]
    soft = 2.0 + 0.5 * np.log(2)
    expected = [1.0 + 0.8 * 0.5 * np.log(p) + 0.9 * soft for p in (0.25, 0.75)]
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    # A lowest of -0.1 clips action 0, 0.5 log(1/4) = -0.69, and the terminal state has no value.
    clipped = munchausen(1.0, 0.9, True, 0, q_values, next_q, next_q, 0.8, 0.5, -0.1)
    assert clipped == pytest.approx(1.0 - 0.8 * 0.1)


def test_munchausen_of_quantiles_has_the_mean_of_munchausen():
    rng = np.random.default_rng(1)
    q_values = jnp.asarray(rng.normal(size=3), "f")
    quantiles = jnp.asarray(rng.normal(size=(3, 5)), "f")
    means = jnp.mean(quantiles, axis=1)
    rest = (means, 0.9, 0.3)
    many = munchausen(0.2, 0.9, False, 1, q_values, quantiles, *rest)
    one = munchausen(0.2, 0.9, False, 1, q_values, means, *rest)
    assert many.shape == (5,) and np.mean(many) == pytest.approx(float(one), rel=1e-5)
    assert np.ptp(many) > 0.1


def test_munchausen_without_its_parts_is_q_learning():
    target = munchausen(0.2, 0.9, False, 1, NEXT, NEXT, NEXT, 0.0, 1e-3)
    assert target == pytest.approx(float(value.q_target(0.2, 0.9, False, NEXT, NEXT)), rel=1e-5)


def test_importance_weights():
    found = value.importance_weights(jnp.array([0.1, 0.4, 0.2]), 0.5)
    np.testing.assert_allclose(found, [1.0, 0.5, np.sqrt(0.5)], rtol=1e-6)
    np.testing.assert_allclose(value.importance_weights(jnp.array([0.1, 0.4]), 0.0), [1.0, 1.0])


def test_self_prediction_mask_ends_with_the_episode():
    ended = jnp.array([False, False, True, False])
    np.testing.assert_array_equal(self_prediction.mask(ended), [1, 1, 0, 0])
    np.testing.assert_array_equal(self_prediction.mask(jnp.zeros(3, bool)), [1, 1, 1])
    np.testing.assert_array_equal(self_prediction.mask(jnp.array([True, False])), [0, 0])


def test_the_released_mask_is_a_step_early_and_spares_the_first_sample():
    ended = jnp.array([[False, False, True, False, False]] * 2)
    found = self_prediction.mask_as_released(ended)
    np.testing.assert_array_equal(found, [[1, 1, 1, 1], [1, 0, 0, 0]])


def test_self_prediction_loss_is_the_angle():
    predictions = jnp.array([[2.0, 0.0], [0.0, 3.0], [1.0, 1.0], [5.0, 0.0]])
    targets = jnp.array([[1.0, 0.0], [1.0, 0.0], [-1.0, -1.0], [0.0, 1.0]])
    # Squared distances 0, 2, 4 and a masked 2: the mean still divides by four.
    found = self_prediction.loss(predictions, targets, jnp.array([1.0, 1.0, 1.0, 0.0]))
    assert found == pytest.approx(6.0 / 4.0)
    slope = jax.jit(jax.grad(self_prediction.loss))
    gradient = slope(np.zeros((1, 2), np.float32), targets[:1], np.ones(1, np.float32))
    assert np.all(np.isfinite(gradient))


PARAMS = {"encoder": {"w": jnp.array([2.0])}, "aux": {"a": jnp.array([4.0]), "b": jnp.array([6.0])}}


def test_shrink_and_perturb_blends_by_namespace():
    fresh = jax.tree.map(lambda x: x + 10.0, PARAMS)
    half = perturb.Factors(0.5, 0.5)
    factors = {"encoder": half, "aux": perturb.RESET, "aux/a": perturb.KEEP, "heads": half}
    found = perturb.shrink_and_perturb(PARAMS, fresh, factors)
    np.testing.assert_allclose(jnp.concatenate(jax.tree.leaves(found)), [4.0, 16.0, 7.0])
    with pytest.raises(ValueError, match="'aux/a'"):
        perturb.shrink_and_perturb(PARAMS, fresh, {"encoder": half})


PIXELS = Box((40, 40, 2), "uint8", 0, 255)


def test_shift_is_cropping_what_is_padded():
    image = np.arange(40 * 40 * 2, dtype=np.int32).reshape(40, 40, 2)
    padded = np.pad(image, ((2, 2), (2, 2), (0, 0)), "edge")
    crops = {padded[i : i + 40, j : j + 40].tobytes(): (i, j) for i in range(5) for j in range(5)}
    shift = jax.jit(jax.vmap(augmentation.random_shift, (0, None, None)), static_argnums=2)
    found = np.asarray(shift(jax.random.split(jax.random.key(0), 300), image, 2))
    assert {crops[x.tobytes()] for x in found} == set(crops.values())


def test_intensity_multiplies_an_image_by_one_number():
    keys = jax.random.split(jax.random.key(0), 500)
    image = jnp.full((2, 2, 1), 100, jnp.uint8)
    brighten = jax.jit(jax.vmap(augmentation.random_intensity, (0, None, None)))
    found = np.asarray(brighten(keys, image, 0.05))
    assert found.dtype == jnp.float32
    np.testing.assert_array_equal(np.ptp(found, axis=(1, 2, 3)), 0.0)
    assert found.min() == pytest.approx(90.0) and found.max() == pytest.approx(110.0)
    assert np.std(found) == pytest.approx(100 * 0.05 * np.sqrt(0.7737), rel=0.1)  # clipped normal


def test_every_observation_is_augmented_on_its_own():
    obs = np.broadcast_to(np.arange(40, dtype=np.uint8)[:, None, None], (2, 3, 40, 40, 2))
    augment = jax.jit(augmentation.augmentation(PIXELS, scale=0.0))
    found = np.asarray(augment(jax.random.key(1), obs))
    assert found.shape == obs.shape
    # The frames of an observation move together, two observations mostly do not.
    np.testing.assert_array_equal(found[..., 0], found[..., 1])
    assert len({np.asarray(x).tobytes() for x in found.reshape(6, 40, 40, 2)}) > 3


@pytest.mark.parametrize(
    "box", [Box((10, 10, 4), "bool", 0, 1), Box((10, 10, 4), "uint8", 0, 255), Box((50,), "uint8"),
            Box((40, 40, 1), "uint8", 0, 2, (3,))],
)  # fmt: skip
def test_boards_and_vectors_are_left_alone(box):
    obs = jnp.ones((2, *box.shape), box.dtype)
    assert augmentation.augmentation(box)(jax.random.key(0), obs) is obs


def test_bad_augmentation_is_named():
    with pytest.raises(ValueError, match="pad=-1"):
        augmentation.augmentation(PIXELS, pad=-1)
