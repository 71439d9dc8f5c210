"""Environments are made again from their recipes, or not at all."""

import jax
import numpy as np
import pytest

from purejaxrl_suite.envs import make, probes, wrappers
from purejaxrl_suite.envs.multi_task import multi_task
from purejaxrl_suite.envs.remake import remake

MADE = {
    "options": lambda: make("CartPole-v1", length=2.0),
    "wrappers": lambda: wrappers.scale_reward(
        wrappers.time_limit(make("Pendulum-v1"), steps=7), scale=-3.0
    ),
    "minatar": lambda: make("Breakout-MinAtar", use_minimal_action_set=False),
    "credit": lambda: make("Credit-DelayedCatch", runs=3),
    "silicon": lambda: make("STEM-Silicon-v0", dwell=[1.0, 10.0]),
    "probe": probes.delayed_reward,
    "several": lambda: wrappers.clip_reward(
        multi_task([probes.delayed_reward(), wrappers.scale_reward(probes.recall(), 2.0)])
    ),
}


@pytest.mark.parametrize("name", MADE)
def test_a_recipe_makes_the_same_environment(name):
    env = MADE[name]()
    again = remake(env.recipe)
    assert again is not None and again is not env
    assert again[:4] == env[:4] and again.recipe == env.recipe and again.tasks == env.tasks
    assert jax.tree.structure(again.params) == jax.tree.structure(env.params)
    jax.tree.map(np.testing.assert_array_equal, again.params, env.params)


def test_what_is_only_named_is_not_made():
    env = make("CartPole-v1")
    shown = wrappers.transform_observation(env, lambda obs: -obs, env.observation)
    assert remake(shown.recipe) is None
    for recipe in (
        (),
        ("own('mine')",),
        ("exit()",),
        ("__import__('os').system('true')",),
        ("make('nothing')",),
        ("make('CartPole-v1', length=float32[3]#00000000)",),
        ("scale_reward(scale=2.0)",),
    ):
        assert remake(recipe) is None, recipe
