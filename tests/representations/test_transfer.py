"""A member begins with the representation of another one, and with its own heads."""

import jax.numpy as jnp
import numpy as np
import pytest

from purejaxrl_suite.agents.shared.replay_learning import ReplayState
from purejaxrl_suite.core.types import Learner, Run
from purejaxrl_suite.representations import begin_with_features


def member(number, units=3, outputs=2):
    trunk = {"dense_0": {"kernel": jnp.full((4, units), number)}}
    params = {"trunk": trunk, "heads": {"q": {"kernel": jnp.full((units, outputs), number)}}}
    agent = ReplayState(Learner(params, ()), params, jnp.int32(0), ())
    return Run(agent, (), (), (), (), (), ())


def test_features_are_taken_and_heads_are_kept():
    made = begin_with_features(None, member(1.0, outputs=7), member(2.0))
    for params in (made.agent.learner.params, made.agent.target):
        np.testing.assert_array_equal(params["trunk"]["dense_0"]["kernel"], np.ones((4, 3)))
        np.testing.assert_array_equal(params["heads"]["q"]["kernel"], np.full((3, 2), 2.0))


def test_another_network_is_refused():
    with pytest.raises(ValueError, match="expected the parameters of the network before it"):
        begin_with_features(None, member(1.0, units=5), member(2.0))
