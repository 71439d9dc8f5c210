"""Optimizers against optax, to the last bit, and their derivatives where optax has none."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from purejaxrl_suite.ops import differentiable, optimizers

RATE, EPSILON, DECAY, MOST = 1e-2, 1e-4, 0.1, 0.5


def matrices(params):
    return jax.tree.map(lambda x: x.ndim > 1, params)


PAIRS = {
    "adam": (optimizers.adam(RATE, EPSILON), optax.adam(RATE, eps=EPSILON)),
    "adamw": (
        optimizers.adamw(RATE, EPSILON, DECAY, matrices),
        optax.adamw(RATE, eps=EPSILON, weight_decay=DECAY, mask=matrices),
    ),
    "radam": (optimizers.radam(RATE), optax.radam(RATE)),
    "clip": (optimizers.clip_by_global_norm(MOST), optax.clip_by_global_norm(MOST)),
}


@pytest.mark.parametrize("name", PAIRS)
def test_equals_optax_to_the_last_bit(name):
    """Ten steps (radam rectifies from the sixth on), of which every other is short."""
    draw = np.random.default_rng(0)
    sizes = np.where(np.arange(10) % 2, 1e-2, 1.0).astype(np.float32)
    shapes = {"kernel": (3, 4), "bias": (4,)}
    grads = {
        k: np.float32(draw.normal(size=(10, *s))) * sizes.reshape(-1, *[1] * len(s))
        for k, s in shapes.items()
    }
    grads["bias"][:, 0] = 0.0  # an entry that never has a gradient
    params = {k: jnp.ones(s) for k, s in shapes.items()}

    def run(optimizer):
        def step(carry, grads):
            params, state = carry
            updates, state = optimizer.update(grads, state, params)
            return (optax.apply_updates(params, updates), state), None

        return jax.jit(lambda: jax.lax.scan(step, (params, optimizer.init(params)), grads)[0])()

    jax.tree.map(np.testing.assert_array_equal, *map(run, PAIRS[name]))


@pytest.mark.parametrize("name", PAIRS)
def test_derivatives_are_finite_where_gradients_are_zero(name):
    """Of one step from gradients a * (0, 1, -2), and of no gradients at all (a = 0)."""
    optimizer, _ = PAIRS[name]

    def moved(a):
        grads = {"kernel": a * jnp.asarray([[0.0, 1.0, -2.0]])}
        params = {"kernel": jnp.ones((1, 3))}
        return jnp.sum(optimizer.update(grads, optimizer.init(params), params)[0]["kernel"] ** 2)

    assert np.isfinite(jax.jit(jax.vmap(jax.grad(moved)))(jnp.asarray([0.0, 1e-3, 1.0]))).all()


def test_adam_has_the_derivative_of_its_limit():
    """The first step is g / (|g| + eps): at g = 0 its derivative is 1 / eps, and not infinite."""
    optimizer = optimizers.adam(1.0, 0.5)

    def first(g):
        return optimizer.update(g, optimizer.init(jnp.zeros(())))[0]

    np.testing.assert_allclose(jax.grad(first)(0.0), -1.0 / 0.5, 1e-5)
    np.testing.assert_allclose(jax.grad(first)(1.0), -0.5 / 1.5**2, 1e-4)


def test_roots_and_norms():
    assert jax.grad(differentiable.sqrt)(4.0) == 0.25
    assert jax.grad(differentiable.sqrt)(0.0) == 0.0
    slope = jax.grad(lambda x: differentiable.norm([x, 4.0 * jnp.ones(1)]))(jnp.asarray([3.0]))
    np.testing.assert_allclose(slope, [0.6])
    assert differentiable.norm({}) == 0.0


def test_run_if_runs_once_or_never_and_so_does_its_derivative():
    """Members of a batch, one of which is due: x * factor, else x."""

    def scaled(factor, x):
        return {"value": factor * x["value"], "count": x["count"] + 1}

    def total(factor, value, due):
        x = {"value": value, "count": jnp.int32(0)}
        found = differentiable.run_if(scaled, due, factor, x)
        return found["value"], found["count"]

    slopes = jax.vmap(jax.grad(total, (0, 1), has_aux=True), (None, None, 0))
    (of_factor, of_value), count = jax.jit(slopes)(3.0, 5.0, jnp.asarray([True, False]))
    np.testing.assert_array_equal(of_factor, [5.0, 0.0])
    np.testing.assert_array_equal(of_value, [3.0, 1.0])
    np.testing.assert_array_equal(count, [1, 0])
