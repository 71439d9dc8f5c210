"""What a whole rollout tells: pairs of steps in time, and the released code's of neighbours."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from purejaxrl_suite.representations import Encoded, information_of_rollout
from purejaxrl_suite.representations.rollouts import _next, _returns

LENGTH, ENVS = 40, 8


def rollout():
    """Each environment walks by itself, alike in all levels; rewards are the place."""
    draw = np.random.default_rng(0)
    place = [draw.normal(size=ENVS)]
    for _ in range(LENGTH - 1):
        place.append(0.95 * place[-1] + np.sqrt(1 - 0.95**2) * draw.normal(size=ENVS))
    place = np.stack(place)
    return Encoded(
        features=jnp.asarray(place[..., None], jnp.float32),
        action=jnp.asarray(draw.integers(2, size=(LENGTH, ENVS)), jnp.int32),
        reward=jnp.asarray(place, jnp.float32),
        done=jnp.broadcast_to((jnp.arange(LENGTH) % 20 == 19)[:, None], (LENGTH, ENVS)),
        level=jnp.broadcast_to(jnp.arange(ENVS, dtype=jnp.int32), (LENGTH, ENVS)),
    )


def test_the_next_step_is_that_of_the_same_environment():
    done = jnp.zeros((3, 2), bool).at[1, 0].set(True)
    following, known = _next(done, as_released=False)
    np.testing.assert_array_equal(following[:4], [2, 3, 4, 5])
    np.testing.assert_array_equal(known, [True, True, False, True, False, False])
    following, known = _next(done, as_released=True)
    np.testing.assert_array_equal(following, [1, 2, 3, 4, 5, 5])
    # The end of an episode is noticed a step too late.
    np.testing.assert_array_equal(known, [True, True, True, True, False, False])


def test_returns_of_episodes_that_end():
    reward = jnp.array([[1.0], [2.0], [4.0], [8.0]])
    done = jnp.array([[False], [True], [False], [False]])
    found, known = _returns(reward, done, 0.5)
    np.testing.assert_allclose(found[:2, 0], [2.0, 2.0])
    np.testing.assert_array_equal(known[:, 0], [True, True, False, False])


def test_what_is_known_by_construction():
    @functools.partial(jax.jit, static_argnames="as_released")
    def measure(rollout, as_released):
        how = {"samples": LENGTH * ENVS, "as_released": as_released}
        return information_of_rollout(jax.random.key(0), rollout, 0.9, **how)

    found, released = (jax.device_get(measure(rollout(), x)) for x in (False, True))
    # Of the next place -log(1 - 0.95^2) / 2 = 1.16 nats; another environment's place is nothing.
    assert found["next"] == pytest.approx(1.16, abs=0.2) and released["next"] < 0.15
    assert found["action"] < 0.15 and found["value"] > 0.5
    parts = sum(x for name, x in found.items() if name != "total")
    np.testing.assert_allclose(found["total"], parts, rtol=1e-6)
    for name in ("action", "value", "level"):
        np.testing.assert_array_equal(found[name], released[name])
    shown = jnp.asarray(rollout().level[..., None], jnp.float32)
    told = measure(rollout()._replace(features=shown + 0.01 * rollout().features), False)
    assert told["level"] == pytest.approx(np.log(ENVS), abs=0.1)


def test_more_samples_than_steps_are_refused():
    with pytest.raises(ValueError, match="samples: expected an integer in 1 .. 320, got 4096"):
        information_of_rollout(jax.random.key(0), rollout(), 0.99)
