"""Solvers of tabular MDPs, against numpy in float64 and by hand."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from purejaxrl_suite import mdps
from purejaxrl_suite.core.check import check_environment

MANY = 64
MAZE = ("S..X", ".X..", "...G")


@pytest.fixture(scope="module")
def drawn():
    """Random MDPs of five states with random policies, f64."""
    keys = jax.random.split(jax.random.key(0), MANY)
    draw = mdps.in_float64(jax.vmap(partial(mdps.random_mdp, states=5, actions=3)))
    policies = mdps.in_float64(jax.vmap(partial(mdps.random_policy, states=5, actions=3)))
    return draw(keys), policies(jax.random.split(jax.random.key(1), MANY))


def solved(mdp, policy):
    return (
        mdps.state_values(mdp, policy),
        mdps.action_values(mdp, policy),
        mdps.successor_measure(mdp, policy),
        mdps.stationary_distribution(mdp, policy),
        mdps.optimal(mdp),
    )


def test_solutions_of_random_mdps_are_those_of_linear_solves(drawn):
    mdp, policy = drawn
    assert mdp.transition.dtype == np.float64
    np.testing.assert_allclose(mdp.transition.sum(-1), 1.0, atol=1e-15)
    assert np.all(mdp.transition.astype(bool).sum(-1) < 5)  # at least one successor is impossible
    v, q, measure, stationary, best = mdps.in_float64(jax.vmap(solved))(mdp, policy)
    chain = np.einsum("msa,msat->mst", policy, mdp.transition)
    reward = np.einsum("msa,msat,msat->ms", policy, mdp.transition, mdp.reward)
    inverse = np.linalg.inv(np.eye(5) - 0.9 * chain)
    np.testing.assert_allclose(measure, inverse, atol=1e-13)
    np.testing.assert_allclose(
        v, np.linalg.solve(np.eye(5) - 0.9 * chain, reward[..., None])[..., 0]
    )
    np.testing.assert_allclose(np.sum(policy * q, axis=-1), v, atol=1e-13)
    np.testing.assert_allclose(np.einsum("ms,mst->mt", stationary, chain), stationary, atol=1e-14)
    np.testing.assert_allclose(stationary.sum(-1), 1.0)
    assert np.all(best.v >= v - 1e-12)
    np.testing.assert_allclose(best.q.max(-1), best.v, atol=1e-12)


def test_float32_inside_a_scan_agrees(drawn):
    """What blocks with linear solves on two cores: batches inside of a scan."""
    mdp, policy = jax.tree.map(lambda x: jnp.asarray(x[:4]), drawn)
    assert mdp.transition.dtype == jnp.float32

    def step(carry, _):
        return carry, jax.vmap(mdps.state_values)(mdp, policy)

    _, found = jax.lax.scan(step, 0, None, length=2)
    exact = mdps.in_float64(jax.vmap(mdps.state_values))(*drawn)[:4]
    np.testing.assert_allclose(found[1], exact, rtol=1e-5)
    assert jnp.zeros(()).dtype == jnp.float32


def test_values_can_be_differentiated():
    """dv(0)/dgamma of a chain of three steps is 2 gamma."""
    line = mdps.chain(3, gamma=0.9)
    right = mdps.constant_policy(line, [0, 1])

    def first(gamma):
        return mdps.state_values(line._replace(gamma=gamma), right)[0]

    np.testing.assert_allclose(jax.jit(jax.grad(first))(0.9), 1.8, rtol=1e-5)


def test_episodes_without_discount():
    """Visits of a coin's chain are counted until it ends; a policy that never ends has no value."""
    line = mdps.chain(2, gamma=1.0)
    found = mdps.in_float64(solved)(line, mdps.uniform_policy(line))
    np.testing.assert_allclose(found[2], [[4, 2, 0], [2, 2, 0], [0, 0, 1]])
    np.testing.assert_allclose(found[0], [1, 1, 0])
    np.testing.assert_allclose(found[3], [2 / 3, 1 / 3, 0])
    left = mdps.in_float64(mdps.state_values)(line, mdps.constant_policy(line, [1, 0]))
    np.testing.assert_array_equal(left, [np.nan, np.nan, 0])


def test_stationary_distribution_of_a_cycle_and_of_two_classes():
    cycle = mdps.tabular(np.roll(np.eye(3), 1, axis=1)[:, None], np.zeros((3, 1)), 0.9)
    stay = mdps.tabular(np.eye(2)[:, None], np.zeros((2, 1)), 0.9, start=[0.3, 0.7])
    for mdp, expected in ((cycle, [1 / 3] * 3), (stay, [0.3, 0.7])):
        found = mdps.in_float64(mdps.stationary_distribution)(mdp, mdps.uniform_policy(mdp))
        np.testing.assert_allclose(found, expected)


def test_grid_by_hand():
    maze = mdps.grid(MAZE, gamma=0.9)
    best = mdps.in_float64(mdps.optimal)(maze)
    np.testing.assert_allclose(best.v[0], 0.9**4)
    assert best.v[-1] == 0.0 and maze.terminal.sum() == 1
    slippery = mdps.grid(MAZE, slip=0.4, paid=0.25)
    corner = slippery.transition[0, 1]  # right of the start: 0.7 right, 0.1 down, else it stays
    np.testing.assert_allclose(corner[[0, 1, 3]], [0.2, 0.7, 0.1])
    goal, lost = len(slippery.start) - 2, len(slippery.start) - 1
    before = goal - 1  # right of it is the goal, which pays one time in four
    np.testing.assert_allclose(slippery.transition[before, 1, [goal, lost]], [0.175, 0.525])
    assert slippery.reward[before, 1, goal] == 1.0 and slippery.reward[before, 1, lost] == 0.0


@pytest.mark.parametrize("one_hot", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_an_mdp_is_an_environment(one_hot):
    env = mdps.environment(mdps.chain(3), "chain", one_hot=one_hot)
    check_environment(env, jax.random.key(0), steps=16)


def test_experience_has_the_probabilities_of_the_mdp():
    maze = mdps.grid(MAZE, slip=0.4)
    env = mdps.environment(maze)
    keys = jax.random.split(jax.random.key(0), 4000)
    start, _ = env.init(keys[0], env.params)
    step = jax.jit(jax.vmap(env.step, in_axes=(0, None, None, None)))
    states, now = step(keys, env.params, start, jnp.int32(1))
    share = np.bincount(states, minlength=len(maze.start)) / len(keys)
    np.testing.assert_allclose(share, maze.transition[0, 1], atol=0.03)
    assert not np.any(now.terminated) and not np.any(now.reward)


def with_table(**changed):
    fields = {"transition": [[[0.5, 0.5]], [[0, 1]]], "reward": [[1.0], [0.0]], "gamma": 0.9}
    return lambda: mdps.tabular(**(fields | changed))


LINE = mdps.chain(2)


@pytest.mark.parametrize(
    "wrong, says",
    [
        (
            with_table(transition=[[[0.5, 0.4]], [[0, 1]]]),
            r"transition\[0, 0\]: .*sum to 1, got 0.9",
        ),
        (with_table(transition=[[[1.5, -0.5]], [[0, 1]]]), "transition: .*at least 0, got -0.5"),
        (with_table(transition=[[[1.0]], [[1.0]]]), r"transition: .*\[S, A, S\], got \[2, 1, 1\]"),
        (with_table(transition="x"), "transition: expected an array of numbers"),
        (with_table(reward=[1.0, 0.0]), r"reward: expected numbers \[2, 1\] or"),
        (with_table(reward=[[np.nan], [0.0]]), "reward: expected finite numbers, got nan"),
        (with_table(gamma=1.5), "gamma: expected"),
        (with_table(start=[0.5, 0.4]), "start: .*sum to 1"),
        (with_table(start=[0, 1], terminal=[False, True]), "start: .*terminal"),
        (with_table(terminal=[True, True]), r"terminal: expected bools \[2\]"),
        (lambda: mdps.constant_policy(LINE, [1.0]), r"probabilities: expected numbers \[2\]"),
        (lambda: mdps.state_values(LINE, np.ones((2, 2))), r"policy: expected .*\[3, 2\]"),
        (lambda: mdps.chain(0), "length: expected an integer of at least 1"),
        (lambda: mdps.grid(("S.", "G")), "rows: expected texts of equal length"),
        (lambda: mdps.grid(("S.",)), "rows: expected a start S and a goal G"),
        (lambda: mdps.random_mdp(jax.random.key(0), 1, 1), "states: expected an integer"),
        (lambda: mdps.environment("chain"), "mdp: expected an MDP"),  # pyright: ignore
    ],
)
def test_bad_tables_are_refused(wrong, says):
    with pytest.raises(ValueError, match=says):
        wrong()
