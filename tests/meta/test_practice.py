"""The bandit over settings of lifetimes, by hand and by a loop."""

from collections import deque

import jax
import jax.numpy as jnp
import numpy as np

from purejaxrl_suite.meta import practice


def test_chances_by_hand():
    """Two results of 1 and 3 in the first setting, none in the second."""
    known = practice.Tried(jnp.array([2, 0]), jnp.zeros((2, 10)).at[0, :2].set(jnp.array([1, 3])))
    found = practice.logits(known, temperature=0.5, exploration=0.2)
    np.testing.assert_allclose(found, [(2 + 0.2 / np.sqrt(2)) / 0.5, 0.2 / 0.5], rtol=1e-6)


def test_the_last_ten_results_count_in_their_order():
    """As a loop over lifetimes does, even if many of one setting end together."""
    draw = np.random.default_rng(0)
    known, recent, count = jax.tree.map(jnp.asarray, practice.untried(3)), {}, np.zeros(3, int)
    note = jax.jit(practice.noted)
    for _ in range(4):
        choice = draw.choice(3, 40, p=[0.7, 0.25, 0.05]).astype(np.int32)
        ended, result = draw.random(40) < 0.5, draw.normal(size=40).astype(np.float32)
        for one in np.flatnonzero(ended):
            recent.setdefault(choice[one], deque(maxlen=10)).append(result[one])
            count[choice[one]] += 1
        known = note(known, choice, ended, result)
        np.testing.assert_array_equal(known.count, count)
        for setting, values in recent.items():
            np.testing.assert_allclose(jnp.sum(known.recent[setting]), sum(values), atol=1e-5)
        same = note(known, choice, np.zeros(40, bool), result)
        jax.tree.map(np.testing.assert_array_equal, same, known)
