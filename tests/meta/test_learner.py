"""The row of a meta-learner: weighted like rows of several updates, without what never was."""

import jax.numpy as jnp
import numpy as np
import pytest

from purejaxrl_suite.engine.rows import Kinds
from purejaxrl_suite.meta.learner import over_lifetimes

KINDS = Kinds({"episode_return": "episodes"}, frozenset({"episodes"}), frozenset({"finished_once"}))
NAN = float("nan")


def test_rows_of_lifetimes_by_hand():
    """Two lifetimes of three updates, the second of which dies before its last."""
    alive = jnp.array([[True, True, True], [True, True, False]])
    rows = {
        "episode_return": jnp.array([[1.0, NAN, 4.0], [2.0, 7.0, 100.0]]),
        "episodes": jnp.array([[1.0, 0.0, 2.0], [3.0, 1.0, 50.0]]),
        "finished_once": jnp.array([[0.5, 0.5, 1.0], [0.0, 0.5, 1.0]]),
        "entropy": jnp.array([[1.0, 2.0, NAN], [3.0, 4.0, 100.0]]),
    }
    found = over_lifetimes(KINDS, rows, alive)
    assert float(found["episodes"]) == 7.0
    assert float(found["episode_return"]) == pytest.approx((1 + 4 * 2 + 2 * 3 + 7) / 7)
    assert float(found["finished_once"]) == pytest.approx((1.0 + 0.5) / 2)
    assert float(found["entropy"]) == pytest.approx(10.0 / 4)


def test_a_mean_of_nothing_is_not_a_number():
    rows = {"episode_return": jnp.full((1, 2), NAN), "episodes": jnp.zeros((1, 2))}
    found = over_lifetimes(KINDS, rows, jnp.ones((1, 2), bool))
    assert np.isnan(found["episode_return"]) and float(found["episodes"]) == 0.0
