"""Descent with a vector of all parameters against descent leaf by leaf."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from purejaxrl_suite.core.types import Array, Learner
from purejaxrl_suite.ops import descent, minibatch


class Batch(NamedTuple):
    x: Array
    y: Array
    memory: Array


def loss(params, batch, taps, key):
    found = batch.x[0] @ params["w"] + params["b"][None] + params["c"]
    error = jnp.mean(jnp.square(found - batch.y[0]))
    return error, ({"error": error, "memory": jnp.mean(batch.memory)}, {})


def seen(optimizer, shapes):
    """The same optimizer, which notes the shapes that it is shown."""

    def update(grads, state, params=None):
        shapes.append([x.shape for x in jax.tree.leaves(grads)])
        return optimizer.update(grads, state, params)

    return optimizer.init, update


def test_one_vector_equals_leaf_by_leaf():
    keys = jax.random.split(jax.random.key(0), 4)
    params = {"w": jax.random.normal(keys[0], (3, 2)), "b": jnp.zeros(2), "c": jnp.zeros(())}
    inner = optax.chain(optax.clip_by_global_norm(0.5), optax.adam(0.1))
    learner = Learner(params, inner.init(params))
    x, y = jax.random.normal(keys[1], (1, 24, 3)), jax.random.normal(keys[2], (1, 24, 2))
    batch = Batch(x, y, jnp.arange(24.0))
    index = minibatch.epochs(keys[3], 2, 24, 4)
    of_vector, of_leaves = [], []
    pooled = descent.Pooled(*seen(inner, of_vector))
    plain = optax.GradientTransformation(*seen(inner, of_leaves))
    ours, metrics = descent.descend(loss, pooled, learner, batch, index)
    theirs, expected = descent.descend(loss, plain, learner, batch, index)

    assert of_vector[0] == [(9,)] and of_leaves[0] == [(2,), (), (3, 2)]
    assert jax.tree.structure(ours) == jax.tree.structure(learner)
    assert metrics.keys() == {"error", "memory", "gradient_norm"}
    pairs = (ours, metrics), (theirs, expected)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), *pairs)
    assert metrics["memory"] == 11.5, "every sample once in an epoch"
    assert ours.opt_state[1][0].count == 8 and not np.allclose(ours.params["c"], 0.0)


def test_what_is_put_around_a_pooled_optimizer_is_applied_leaf_by_leaf():
    pooled = descent.Pooled(*optax.adam(0.1))
    assert isinstance(pooled, descent.Pooled)
    assert not isinstance(optax.chain(pooled, optax.identity()), descent.Pooled)
    assert not isinstance(optax.masked(pooled, {"w": True}), descent.Pooled)
