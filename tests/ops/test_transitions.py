"""Which actions stand in for the one taken, and the loss of telling them apart, by hand."""

import jax.numpy as jnp
import numpy as np

from purejaxrl_suite.ops import transitions


def test_other_actions_are_as_frequent_as_in_the_batch():
    actions, where = jnp.array([0, 0, 1, 2, 2]), jnp.array([True, True, True, True, False])
    found = np.exp(transitions.other_action_logits(actions, 4, where))
    # Taken and counted: 0 twice, 1 and 2 once each, 3 never; the own one is left out.
    expected = [[0, 1, 1, 0], [0, 1, 1, 0], [2, 0, 1, 0], [2, 1, 0, 0], [2, 1, 0, 0]]
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    alone = transitions.other_action_logits(jnp.array([1, 1]), 3, jnp.array([True, True]))
    np.testing.assert_allclose(np.exp(alone), [[1, 0, 1], [1, 0, 1]])


def test_the_loss_of_three_judgements():
    found = transitions.classification_loss(*jnp.array([1.0, -2.0, 0.5]))
    p = 1 / (1 + np.exp(-np.array([1.0, -2.0, 0.5])))
    expected = -np.log(p[0]) - 0.5 * np.log(1 - p[1]) - np.log(1 - p[2])
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    # Who cannot tell says 0.
    np.testing.assert_allclose(transitions.classification_loss(*jnp.zeros(3)), 2.5 * np.log(2))
