"""What follows a step in its episode: hand-computed, with both kinds of ends."""

import jax.numpy as jnp
import numpy as np

from purejaxrl_suite.core.types import Transition
from purejaxrl_suite.ops.episodes import next_actions, returns_to_go

# Two steps to a termination, two to a cut, one that is both, and two that the data cut.
TERMINATED = np.array([0, 1, 0, 0, 1, 0, 0], bool)
TRUNCATED = np.array([0, 0, 0, 1, 1, 0, 0], bool)
REWARD = np.array([1, 2, 3, 4, 5, 6, 7], np.float32)
ACTION = np.arange(7, dtype=np.int32)


def steps(action=ACTION):
    nothing = np.zeros((7, 1), np.float32)
    return Transition(nothing, action, REWARD, TERMINATED, TRUNCATED, nothing, {})


def test_no_pair_of_actions_spans_an_end():
    found = next_actions(steps())
    assert found.action.dtype == jnp.int32
    np.testing.assert_array_equal(found.valid, [1, 0, 1, 0, 0, 1, 0])
    np.testing.assert_array_equal(found.action[np.array(found.valid)], [1, 3, 6])
    wide = np.arange(14, dtype=np.float32).reshape(7, 2)
    np.testing.assert_array_equal(next_actions(steps(wide)).action[0], wide[1])


def test_returns_to_go_are_valid_where_the_episode_terminates():
    found = returns_to_go(steps(), 0.5)
    np.testing.assert_array_equal(found.value, [2, 2, 5, 4, 5, 9.5, 7])
    np.testing.assert_array_equal(found.valid, [1, 1, 0, 0, 1, 0, 0])
