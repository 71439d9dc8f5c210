"""MiniGrid as released, on the host."""

import numpy as np
import pytest

from purejaxrl_suite import envs
from purejaxrl_suite.envs.remake import remake

pytest.importorskip("minigrid")


def play(env, steps, action, seeds=(0, 1)):
    """First observations, and the steps of one action."""
    copies = env.host.open(list(seeds))
    first = copies.reset()
    taken = [copies.step(np.full(len(seeds), action)) for _ in range(steps)]
    copies.close()
    return first, taken


def test_spaces_are_those_of_the_compiled_ids():
    env, compiled = (envs.make(f"{p}MiniGrid-DoorKey-5x5-v0") for p in ("minigrid:", ""))
    assert (env.observation, env.action) == (compiled.observation, compiled.action)
    assert env.time_limit == compiled.time_limit == 250
    first, _ = play(env, 1, 0)
    assert first.dtype == np.uint8 and (first < np.array([11, 6, 4])).all()
    again = remake(env.recipe)
    assert again is not None and again.recipe == env.recipe


def test_the_goal_at_the_last_step_gives_both_flags():
    """Two steps down, two to the right in a room of 3 x 3 cells, with one turn: 5 steps."""
    for limit, truncated in ((5, True), (6, False)):
        env = envs.make("minigrid:MiniGrid-Empty-5x5-v0", max_steps=limit)
        assert env.time_limit == limit
        copies = env.host.open([0])
        copies.reset()
        *_, last = [copies.step(np.array([a])) for a in (2, 2, 1, 2, 2)]
        assert last.terminated.all() and last.truncated.all() == truncated
        np.testing.assert_allclose(last.reward, 1 - 0.9 * 5 / limit, rtol=1e-6)
        copies.close()


def test_babyai_and_unknown_ids():
    env = envs.make("minigrid:BabyAI-GoToObj-v0")
    assert env.time_limit is None and env.observation.shape == (7, 7, 3)
    assert envs.make("minigrid:BabyAI-GoToObj-v0", max_steps=9).time_limit == 9
    first, _ = play(env, 3, 0)
    (again, _), (swapped, _) = play(env, 1, 1), play(env, 1, 0, seeds=(1, 0))
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(first, swapped[[1, 0]])
    with pytest.raises(ValueError, match="no task 'MiniGrid-DorKey-5x5-v0'; did you mean MiniGrid"):
        envs.make("minigrid:MiniGrid-DorKey-5x5-v0")
    with pytest.raises(ValueError, match="max_steps: expected an integer of at least 1, got 0"):
        envs.make("minigrid:MiniGrid-Empty-5x5-v0", max_steps=0)
