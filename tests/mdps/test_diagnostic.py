"""Closed forms of the diagnostic MDPs, against the solver and the numbers of the papers' code."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from purejaxrl_suite import mdps
from purejaxrl_suite.core.check import check_environment

STEPS = (1, 2, 3)
LAMBDA = 0.9
DIAGNOSTICS = {
    "two_state": mdps.two_state,
    "baird": mdps.baird,
    "collision": mdps.collision,
    "random_walk": mdps.random_walk,
    "delayed_chain": lambda: mdps.delayed_chain(4),
    "noisy_delayed_chain": lambda: mdps.delayed_chain(3, noisy=True),
    "umbrella_chain": lambda: mdps.umbrella_chain(3),
    "one_step_umbrella": lambda: mdps.umbrella_chain(1),
    "corner_walk": lambda: mdps.corner_walk(3),
    "multi_chain": lambda: mdps.multi_chain(3, 2),
}
each = pytest.mark.parametrize("name", DIAGNOSTICS)


def solved(one, behaviour, target, features):
    return {
        "v": mdps.state_values(one, target),
        "d_mu": mdps.stationary_distribution(one, behaviour),
        "z": mdps.expected_trace(one, behaviour, LAMBDA, features),
        **{f"emphasis {n}": mdps.emphasis(one, behaviour, target, n) for n in STEPS},
    }


@each
def test_closed_forms_are_the_solutions(name):
    one = DIAGNOSTICS[name]()
    found = mdps.in_float64(solved)(one.mdp, one.behaviour, one.target, one.features)
    np.testing.assert_allclose(found["v"], one.v, atol=1e-12)
    np.testing.assert_allclose(found["d_mu"], one.d_mu, atol=1e-12)
    assert np.all(one.features[one.mdp.terminal] == 0) and len(one.weights) == one.features.shape[1]
    if one.emphasis is not None and one.z is not None:
        for n in STEPS:
            np.testing.assert_allclose(found[f"emphasis {n}"], one.emphasis(n), atol=1e-11)
        np.testing.assert_allclose(found["z"], one.z(LAMBDA * one.mdp.gamma), atol=1e-11)
    else:
        assert name == "random_walk"


@pytest.mark.slow
@each
def test_each_is_an_environment(name):
    check_environment(mdps.environment(DIAGNOSTICS[name]().mdp), jax.random.key(0), steps=16)


def test_emphasis_of_the_collision_task():
    """The numbers of the papers' sheet, to the digits that it has."""
    emphasis = mdps.collision().emphasis
    assert emphasis is not None
    known = {
        1: (0.0571, 0.1657, 0.3206, 0.5171, 0.6939, 0.7388, 0.7221, 0.6785),
        3: (0.0571, 0.1143, 0.1714, 0.2702, 0.3119, 0.2393, 0.2541, 0.2559),
        5: (0.0571, 0.1143, 0.1714, 0.2286, 0.2286, 0.1480, 0.1246, 0.1298),
    }
    for n, expected in known.items():
        np.testing.assert_allclose(emphasis(n)[:8], expected, atol=5.1e-5)


def test_features_of_collision_are_distinct_patterns():
    features = mdps.collision(seed=3).features[:8]
    assert np.all(features.sum(1) == 3) and len(np.unique(features, axis=0)) == 8
    assert not np.array_equal(features, mdps.collision(seed=4).features[:8])


def test_expected_traces_have_the_expected_update_of_traces():
    """Z^T D (I - gamma P) X = X^T D (I - gamma lambda P)^-1 (I - gamma P) X, in two ways."""
    walk = mdps.random_walk()
    d, x = np.diag(walk.d_mu), walk.features
    kernel = mdps.in_float64(mdps.solve.discounted_chain)(walk.mdp, walk.target)
    z = mdps.in_float64(mdps.expected_trace)(walk.mdp, walk.target, LAMBDA, x)
    errors = (np.eye(7) - kernel) @ x
    traced = x.T @ d @ np.linalg.inv(np.eye(7) - LAMBDA * kernel) @ errors
    np.testing.assert_allclose(z.T @ d @ errors, traced, atol=1e-14)


def test_the_maze_by_hand():
    maze = mdps.maze_48()
    best = mdps.in_float64(mdps.optimal)(maze)
    assert maze.transition.shape == (41, 4, 41)
    np.testing.assert_allclose(best.v[maze.start > 0], 0.99**12)
    half = mdps.in_float64(mdps.optimal)(mdps.maze_48(paid=0.5))
    np.testing.assert_allclose(half.v[:41], best.v / 2.0)


def test_layers_by_hand():
    """Values of a layer are those of the next one, and all starts are in the first."""
    drawn = mdps.in_float64(jax.vmap(lambda key: mdps.bipartite(key, (4, 3, 2))))
    many = drawn(jax.random.split(jax.random.key(0), 500))
    policy = np.ones((9, 1))
    v = mdps.in_float64(jax.vmap(mdps.state_values, in_axes=(0, None)))(many, policy)
    p, r = many.transition[:, :, 0], many.reward[:, :, 0]
    last = np.einsum("mst,mst->ms", p[:, 4:7, 7:], r[:, 4:7, 7:])
    np.testing.assert_allclose(v[:, 4:7], last)
    np.testing.assert_allclose(v[:, :4], 0.9 * np.einsum("mst,mt->ms", p[:, :4, 4:7], last))
    assert np.all(many.start[:, 4:] == 0) and np.all(v[:, 7:] == 0)
    paid = r[:, 4:7, 7:]
    assert abs(paid.mean() - 10) < 0.6 and abs(paid.std() - 10) < 0.6
    np.testing.assert_array_equal(np.sum(r != 0, axis=(1, 2)), 6)


@pytest.mark.parametrize(
    "wrong, says",
    [
        (lambda: mdps.random_walk(4), "states: expected an odd number, got 4"),
        (lambda: mdps.delayed_chain(0), "length: expected an integer of at least 1"),
        (lambda: mdps.multi_chain(probability=1.1), "probability: expected"),
        (lambda: mdps.bipartite(jax.random.key(0), (3,)), "layers: expected at least two"),
        (lambda: mdps.bipartite(jax.random.key(0), (3, 0)), r"layers\[1\]: expected an integer"),
        (lambda: mdps.two_state(gamma=1.2), "gamma: expected"),
        (
            lambda: mdps.expected_trace(mdps.chain(2), jnp.ones((3, 2)) / 2, 0.9, jnp.ones((2, 2))),
            r"features: expected numbers \[3, K\]",
        ),
    ],
)
def test_bad_arguments_are_refused(wrong, says):
    with pytest.raises(ValueError, match=says):
        wrong()
