"""MiniWorld as released, on the host, drawn without a display."""

import threading
from importlib.util import find_spec

import numpy as np
import pytest

from purejaxrl_suite import envs
from purejaxrl_suite.core.types import Box, Discrete
from purejaxrl_suite.envs.remake import remake

pytestmark = pytest.mark.skipif(not find_spec("miniworld"), reason="an extra")


def play(env, steps, found, seeds=(0, 1)):
    """Add the first observations, and steps forward, to a list."""
    copies = env.host.open(list(seeds))
    found.append(copies.reset())
    found += [copies.step(np.full(len(seeds), 2)) for _ in range(steps)]
    copies.close()


@pytest.mark.slow
def test_a_task_in_a_thread_or_not():
    """Pictures are the same, as processes draw them."""
    env = envs.make("miniworld:MiniWorld-OneRoom-v0", max_steps=5)
    assert env.observation == Box((60, 80, 3), "uint8", 0.0, 255.0)
    assert env.action == Discrete(3) and env.time_limit == 5
    here, there = [], []
    thread = threading.Thread(target=play, args=(env, 6, there))
    thread.start()
    thread.join()
    play(env, 6, here)
    first, *steps = there
    assert first.std() > 1 and not np.array_equal(first[0], first[1])
    np.testing.assert_array_equal(first, here[0])
    assert steps[4].truncated.all() and not steps[3].truncated.any()
    np.testing.assert_array_equal(steps[4].final_obs, here[5].final_obs)
    again = remake(env.recipe)
    assert again is not None and again.recipe == env.recipe


def test_limits_and_refusals():
    assert envs.make("miniworld:MiniWorld-Hallway-v0").time_limit == 250
    with pytest.raises(ValueError, match="Sign-v0 is refused: its observations are no pictures"):
        envs.make("miniworld:MiniWorld-Sign-v0")
    with pytest.raises(ValueError, match="no task 'MiniWorld-Halway-v0'; did you mean MiniWorld"):
        envs.make("miniworld:MiniWorld-Halway-v0")
