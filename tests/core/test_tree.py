"""Moments are found by structure, in any optimizer; packed trees are unpacked."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from purejaxrl_suite.core import tree

OPTIMIZERS = {
    "adam": (optax.adam(1e-3), 2),
    "chained": (optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(1e-3)), 2),
    "momentum": (optax.sgd(1e-3, momentum=0.9), 1),
    "injected": (optax.inject_hyperparams(optax.rmsprop)(learning_rate=1e-3), 1),
    "plain": (optax.sgd(1e-3), 0),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_moment_is_edited_and_nothing_else(name):
    optimizer, moments = OPTIMIZERS[name]
    params = {"kernel": jnp.ones((2, 3)), "bias": jnp.ones(3)}
    state = optimizer.init(params)
    edited = tree.map_moments(lambda m: jax.tree.map(lambda x: x + 7.0, m), state, params)
    pairs = zip(jax.tree.leaves(state), jax.tree.leaves(edited), strict=True)
    changes = [np.asarray(new) - np.asarray(old) for old, new in pairs]
    assert sum(bool((change == 7.0).all()) for change in changes) == moments * len(params)
    assert all((change == 7.0).all() or (change == 0.0).all() for change in changes)


def test_vectors_alike_are_packed_and_unpacked_to_the_bit():
    whole = {
        "a": jnp.arange(4.0),
        "b": jnp.arange(4),
        "c": (jnp.ones(4), jnp.ones((4, 2)), jnp.zeros(3)),
        "d": jax.random.split(jax.random.key(0), 4),
    }
    packed, unpack = tree.pack(whole)
    assert sorted(x.shape for x in packed) == [(2, 4), (3,), (4,), (4,), (4, 2)]
    found = tree.key_data(unpack(packed))
    jax.tree.map(np.testing.assert_array_equal, found, tree.key_data(whole))
