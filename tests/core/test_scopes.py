"""Reset scopes, on every combination of ends and by unrolling in pieces."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from purejaxrl_suite.core.scopes import Scope, reset

SCOPES = {"trace": Scope.EPISODE, "memory": Scope.LIFETIME, "count": Scope.NEVER}
STEPS = 6
flags = st.lists(st.tuples(st.booleans(), st.booleans()), min_size=STEPS, max_size=STEPS)


def counting(carried, ends):
    """Count steps in every leaf, each with its own axes."""
    carried = jax.tree.map(lambda x: x + 1, carried)
    fresh = jax.tree.map(jnp.zeros_like, carried)
    return reset(SCOPES, carried, fresh, *ends), carried


@jax.jit
def unrolled(carried, episodes, lifetimes):
    return jax.lax.scan(counting, carried, (episodes, lifetimes))


def start():
    shapes = {"trace": (2, 3), "memory": (2,), "count": (2, 1, 1)}
    return {name: jnp.zeros(shape) for name, shape in shapes.items()}


def since(ended):
    """Steps since the last end before each step, that step included, by a loop."""
    count, found = 0, []
    for one in ended:
        count += 1
        found.append(count)
        count = 0 if one else count
    return found


@settings(max_examples=30, deadline=None, derandomize=True)
@given(flags, flags)
def test_leaves_count_the_steps_of_their_scope(episodes, lifetimes):
    """Two members that end at different times; two halves are the whole."""
    episodes, lifetimes = np.array(episodes), np.array(lifetimes)
    after, counts = unrolled(start(), episodes, lifetimes)
    for member in range(2):
        ended, over = episodes[:, member], lifetimes[:, member]
        expected = {
            "trace": since(ended | over),
            "memory": since(over),
            "count": list(range(1, STEPS + 1)),
        }
        for name, values in expected.items():
            found = np.reshape(counts[name], (STEPS, 2, -1))[:, member]
            np.testing.assert_array_equal(found, np.broadcast_to(np.c_[values], found.shape))
    half = STEPS // 2
    middle, _ = unrolled(start(), episodes[:half], lifetimes[:half])
    end, _ = unrolled(middle, episodes[half:], lifetimes[half:])
    jax.tree.map(np.testing.assert_array_equal, end, after)


def test_one_scope_may_stand_for_a_whole_tree():
    carried, over = {"x": jnp.ones(()), "y": (jnp.ones(2),)}, jnp.bool_(True)
    found = reset(Scope.EPISODE, carried, jax.tree.map(jnp.zeros_like, carried), over, ~over)
    assert not any(np.any(leaf) for leaf in jax.tree.leaves(found))


def test_other_scopes_are_refused():
    with pytest.raises(ValueError, match="scopes: expected a Scope for each part, got 'episode'"):
        reset("episode", jnp.ones(()), jnp.zeros(()), jnp.bool_(True), jnp.bool_(False))
