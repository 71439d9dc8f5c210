"""Finite sets of levels: the same starts everywhere, others held out, recipes and evaluation."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import purejaxrl_suite as pjs
from purejaxrl_suite.core.check import check_environment
from purejaxrl_suite.envs import levels as of_levels
from purejaxrl_suite.envs.levels import LevelSet, held_out, levels
from purejaxrl_suite.envs.remake import remake

CARTPOLE = pjs.make("CartPole-v1")
GRID = "Navix-FourRooms-7x7-v0"


@functools.cache
def starts(count, first=0, draws=64):
    env = levels(CARTPOLE, count, first)
    keys = jax.random.split(jax.random.key(first), draws)
    state, obs = jax.jit(jax.vmap(env.init, (0, None)))(keys, env.params)
    return np.asarray(state.level), np.asarray(obs)


def test_a_level_has_one_start_whatever_the_key_and_the_set():
    level, obs = starts(4)
    assert set(level) == {0, 1, 2, 3}
    for number in range(4):
        assert len(np.unique(obs[level == number], axis=0)) == 1
    assert len(np.unique(obs, axis=0)) == 4
    more, others = starts(8, 2)
    assert set(more) == set(range(2, 10))
    np.testing.assert_array_equal(others[more == 3][0], obs[level == 3][0])
    root = jax.random.fold_in(jax.random.key(of_levels.SEED), 3)
    np.testing.assert_array_equal(obs[level == 3][0], CARTPOLE.init(root, CARTPOLE.params)[1])


def test_held_out_levels_follow_those_of_training():
    env = levels(CARTPOLE, 4, 3)
    unseen = held_out(env.params, 5)
    assert (int(unseen.first), int(unseen.count)) == (7, 5)
    keys = jax.random.split(jax.random.key(0), 64)
    state, _ = jax.jit(jax.vmap(env.init, (0, None)))(keys, unseen)
    assert set(np.asarray(state.level)) == set(range(7, 12))
    with pytest.raises(ValueError, match="params: expected those of envs.levels.levels"):
        held_out(CARTPOLE.params, 5)


def test_contract_limit_drawing_and_recipe():
    env = levels(pjs.make("CartPole-v1", max_steps_in_episode=9), 3)
    check_environment(env, jax.random.key(0), steps=16)
    assert env.name == "CartPole-v1/3-levels" and int(env.limit(env.params)) == 9
    (*_, line) = env.recipe
    assert line == "levels(count=3, first=0)"
    again = remake(env.recipe)
    assert again is not None and again.recipe == env.recipe
    assert isinstance(again.params, LevelSet)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: levels(CARTPOLE, 0), "count: expected an integer in 1 .."),
        (lambda: levels(CARTPOLE, 1, -1), "first: expected an integer in 0 .."),
        (lambda: levels(pjs.make("CartPole-v1+Acrobot-v1"), 2), "has several tasks"),
    ],
)
def test_mistakes_are_named(make, said):
    with pytest.raises(ValueError, match=said):
        make()


def test_layouts_of_a_grid_are_those_of_its_levels():
    env = levels(pjs.make(GRID), 2)
    keys = jax.random.split(jax.random.key(0), 16)
    _, obs = jax.jit(jax.vmap(env.init, (0, None)))(keys, env.params)
    assert len(np.unique(np.asarray(obs).reshape(16, -1), axis=0)) == 2


@pytest.mark.slow
def test_a_policy_is_evaluated_on_levels_that_it_has_not_seen():
    env = levels(CARTPOLE, 2)
    config = pjs.PPOConfig(num_envs=4, rollout_length=8, epochs=1, minibatches=1)
    result = pjs.run(pjs.ppo(env, config), env, seeds=1, steps=64)
    policy = result.policy()
    own = policy.evaluate(8, steps=20).info["level"]
    unseen = policy._replace(env_params=held_out(policy.env_params, 3))
    other = unseen.evaluate(8, steps=20).info["level"]
    assert set(np.asarray(own)) <= {0.0, 1.0} and set(np.asarray(other)) <= {2.0, 3.0, 4.0}
    assert jnp.isfinite(own).all()
