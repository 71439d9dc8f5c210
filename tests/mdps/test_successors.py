"""Learnt successor measures against exact ones: of full rank, and the best subspace below."""

from functools import partial

import jax
import numpy as np
import pytest
from scipy.linalg import subspace_angles

from purejaxrl_suite import mdps

ROOMS = mdps.grid(("S....", "...XX", "....G"), gamma=0.9)
SEEDS = 32


def learnt(features, steps):
    learn = partial(mdps.learn_successors, features=features, steps=steps)

    def one(key, mdp, policy):
        found = learn(key, mdp, policy)
        return found.features, found.features @ found.weights

    keys = jax.random.split(jax.random.key(0), SEEDS)
    policy = mdps.uniform_policy(ROOMS)
    return mdps.in_float64(jax.vmap(one, (0, None, None)))(keys, ROOMS, policy)


def exact():
    return mdps.in_float64(mdps.successor_measure)(ROOMS, mdps.uniform_policy(ROOMS))


def test_with_all_features_it_is_the_successor_measure():
    _, psi = learnt(len(exact()), steps=10_000)
    assert np.max(np.abs(psi - exact())) <= 1e-3


def test_fewer_features_span_its_first_singular_vectors():
    features, _ = learnt(3, steps=10_000)
    best = np.linalg.svd(exact())[0][:, :3]
    angles = [np.degrees(subspace_angles(one, best).max()) for one in features]
    assert np.median(angles) <= 5.0


def test_numbers_are_checked():
    policy = mdps.uniform_policy(ROOMS)
    with pytest.raises(ValueError, match="features: expected an integer of at least 1, got 0"):
        mdps.learn_successors(jax.random.key(0), ROOMS, policy, 0, 10)
