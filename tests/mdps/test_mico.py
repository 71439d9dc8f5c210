"""MICo, reduced MICo and KSMe: identities in float64, and what is known of random MDPs."""

import functools
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from purejaxrl_suite import mdps

MANY = 256
LARGER = [pytest.param(states, marks=pytest.mark.slow) for states in (10, 20)]
REFERENCE = {5: (2.08, 0.0096, 0.49), 10: (2.45, 0.0168, 0.46), 20: (2.69, 0.0100, 0.49)}
"""Means of U - |v - v'| and of reduced U - |v - v'|, and the share of pairs where that is below 0:
200 MDPs of each size, by another program."""


def solved(key, states):
    of_mdp, of_policy = jax.random.split(key)
    mdp = mdps.random_mdp(of_mdp, states, 4)
    policy = mdps.random_policy(of_policy, states, 4)
    distance, v = mdps.mico(mdp, policy), mdps.state_values(mdp, policy)
    return {
        "mico": distance,
        "again": mdps.mico_operator(mdp, policy, distance),
        "reduced": mdps.reduced(distance),
        "kernel": mdps.ksme(mdp, policy),
        "gap": jnp.abs(v[:, None] - v[None, :]),
        "pairs": jnp.kron(*(mdps.induced(mdp, policy)[0],) * 2),
        "paid": mdps.induced(mdp, policy)[1],
    }


@functools.cache
def found(states):
    solve = mdps.in_float64(jax.vmap(partial(solved, states=states)))
    return solve(jax.random.split(jax.random.key(0), MANY))


@pytest.fixture(scope="module")
def small():
    return found(5)


def test_mico_is_the_value_of_pairs(small):
    paid = np.abs(small["paid"][:, :, None] - small["paid"][:, None, :]).reshape(MANY, 25, 1)
    u = np.linalg.solve(np.eye(25) - 0.9 * small["pairs"], paid)
    np.testing.assert_allclose(small["mico"].reshape(MANY, 25, 1), u, rtol=1e-12)
    np.testing.assert_allclose(small["again"], small["mico"], rtol=1e-12)


def test_mico_is_a_diffuse_metric_that_bounds_differences_of_values(small):
    u = small["mico"]
    np.testing.assert_allclose(u, u.swapaxes(1, 2), rtol=1e-12)
    assert np.all(u >= 0) and np.all(np.diagonal(u, axis1=1, axis2=2) > 0)
    assert np.all(u[:, :, None, :] <= u[:, :, :, None] + u[:, None, :, :] + 1e-12)
    assert np.min(u - small["gap"]) >= -1e-9


def test_the_features_of_ksme_are_apart_by_reduced_mico(small):
    kernel = small["kernel"]
    own = np.diagonal(kernel, axis1=1, axis2=2)
    apart = own[:, :, None] + own[:, None, :] - 2.0 * kernel
    assert np.max(np.abs(apart - small["reduced"])) <= 1e-10
    np.testing.assert_allclose(kernel, 10.0 - small["mico"] / 2.0, rtol=1e-12)
    assert np.min(np.linalg.eigvalsh(kernel)) > 0


def test_certain_chains_have_no_distance_to_themselves():
    line = mdps.chain(4, gamma=0.9)
    u = mdps.in_float64(mdps.mico)(line, mdps.constant_policy(line, [0, 1]))
    np.testing.assert_array_equal(np.diagonal(u), 0.0)
    np.testing.assert_allclose(u[4, :4], 0.9 ** np.arange(3, -1, -1))


def test_the_operator_contracts():
    line = mdps.chain(4, gamma=0.5)
    apply = mdps.in_float64(partial(mdps.mico_operator, line, mdps.uniform_policy(line)))
    u, w = np.random.default_rng(0).random((2, 5, 5))
    assert np.abs(apply(u) - apply(w)).max() <= 0.5 * np.abs(u - w).max()


@pytest.mark.parametrize("states", [5, *LARGER])
def test_gaps_of_random_mdps_are_those_of_the_reference(states):
    """The mean of reduced U differs between MDPs by seven times itself: 10 % of it is no bound."""
    one, (gap, reduced_gap, below) = found(states), REFERENCE[states]
    gaps = one["mico"] - one["gap"], one["reduced"] - one["gap"]
    assert np.min(gaps[0]) >= -1e-9
    np.testing.assert_allclose(np.mean(gaps[0]), gap, rtol=0.1)
    per_mdp = gaps[1].mean((1, 2))
    assert abs(per_mdp.mean() - reduced_gap) < 3.0 * per_mdp.std() * np.hypot(200**-0.5, MANY**-0.5)
    pairs = ~np.eye(states, dtype=bool)
    np.testing.assert_allclose(np.mean(gaps[1][:, pairs] < 0), below, atol=0.05)


@pytest.mark.slow
def test_sampled_pairs_converge():
    """80,000 sweeps of 25 pairs: sup error <= 5 % of max U, mean of 32 seeds with its interval."""
    mdp = mdps.random_mdp(jax.random.key(0), 5, 4)
    policy = mdps.random_policy(jax.random.key(1), 5, 4)
    exact = mdps.mico(mdp, policy)
    learn = jax.jit(jax.vmap(lambda key: mdps.sampled_mico(key, mdp, policy, 80_000)))
    learnt = np.asarray(learn(jax.random.split(jax.random.key(2), 32)))
    relative = np.abs(learnt - np.asarray(exact)).max((1, 2)) / float(exact.max())
    assert relative.mean() + 1.96 * relative.std(ddof=1) / np.sqrt(32) <= 0.05
