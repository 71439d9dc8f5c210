"""How environments were made, as text."""

import inspect

import jax.numpy as jnp
import numpy as np
import pytest

import purejaxrl_suite as pjs
from purejaxrl_suite.core.types import Box, Environment
from purejaxrl_suite.envs import continual, multi_task, probes, wrappers
from purejaxrl_suite.envs.recipe import called, told


@pytest.fixture(scope="module")
def cartpole():
    return pjs.make("CartPole-v1", length=2.0)


def test_what_was_given_and_each_wrapper_has_its_line(cartpole):
    wrapped = wrappers.scale_reward(wrappers.time_limit(cartpole, 7), -3.0)
    assert wrapped.recipe == (
        "make('CartPole-v1', length=2.0)",
        "time_limit(steps=7)",
        "scale_reward(scale=-3.0)",
    )
    normal = wrappers.normalize_observation(cartpole, 0.0, np.ones(4))
    assert normal.recipe[1:] == ("normalize_observation(mean=0.0, scale=float64[4]#7b9db26c)",), (
        "what a wrapper is made of is not told beside it"
    )


def test_defaults_are_told_whether_given_or_not():
    plain = pjs.make("Breakout-MinAtar")
    assert plain.recipe == ("make('Breakout-MinAtar', use_minimal_action_set=True)",)
    assert pjs.make("Breakout-MinAtar", use_minimal_action_set=True).recipe == plain.recipe
    assert pjs.make("CartPole-v1", gravity=9.8).recipe == pjs.make("CartPole-v1").recipe
    grid = "make('Navix-Empty-5x5-v0', observation='symbolic', max_steps=100)"
    assert pjs.make("Navix-Empty-5x5-v0").recipe == (grid,)
    assert pjs.make("Navix-Empty-5x5-v0", max_steps=100).recipe == (grid,)
    grid = "make('MiniGrid-Empty-5x5-v0', observation='full', max_steps=9)"
    made = pjs.make("MiniGrid-Empty-5x5-v0", observation="full", max_steps=np.int64(9))
    assert made.recipe == (grid,)


def test_several_environments_are_told_with_their_wrappers(cartpole):
    clipped = wrappers.clip_reward(cartpole)
    (line,) = continual.continual([cartpole, clipped], 3).recipe
    one = "make('CartPole-v1', length=2.0)"
    both = f"[{one}, {one} > clip_reward(low=-1.0, high=1.0)]"
    assert line == f"continual(envs={both}, phase_length=3, show_task=False)"
    family = multi_task.family(probes.tracking(), [(), ()])
    tasks = multi_task.multi_task(family)
    both = "[tracking() > family(0), tracking() > family(1)]"
    assert tasks.recipe == (f"multi_task(envs={both}, valid=None, show_task=True)",)
    assert multi_task.only(tasks, 1).recipe == (*tasks.recipe, "only(task=1)")


def test_an_environment_of_ones_own_has_no_recipe_but_its_wrappers_have(cartpole):
    own = Environment("mine", *cartpole[1:7])
    assert own.recipe == () and told(own) == "own('mine')"
    assert wrappers.scale_reward(own, 2.0).recipe == ("scale_reward(scale=2.0)",)


def test_arguments_are_told_alike_in_every_process():
    values = np.float32(0.5), jnp.arange(3), {"a": None}, Box((2,)), told, range(2)
    assert list(map(told, values)) == [
        "0.5",
        "int32[3]#1d760e7a",
        "{'a': None}",
        "Box(shape=[2], dtype='float32', low=-inf, high=inf, categories=[], tasks=0, frames=0)",
        "told",
        "[0, 1]",
    ]
    assert called("f", 1, x=object()) == "f(1, x=object)", "no address"


def test_every_wrapper_and_maker_is_recorded():
    for module in (wrappers, probes, continual):
        for name, function in inspect.getmembers(module, inspect.isfunction):
            if function.__module__ == module.__name__ and not name.startswith("_"):
                assert hasattr(function, "__wrapped__"), f"{module.__name__}.{name}"
