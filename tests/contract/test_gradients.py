"""An update can be differentiated with respect to every hyper-parameter of every agent."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from purejaxrl_suite.core.check import check_gradients, outcome
from tests.contract.agents import AGENTS

FAST = ("dqn", "pqn")
"""A replay and a rollout; those of PPO are compared below, and `make test-all` has all agents."""
WITHOUT = {"n_step", "target_update_period", "reset_period", "no_resets_after"}
"""Whole numbers and conditions: their derivative is 0."""
DELAYS = {"min_history"}
"""Whole numbers that schedules, which have a derivative, and conditions begin with."""
WIDTH = {"adam_epsilon": 1e-1}
"""Of differences, where it is not 1e-2 of the value: they are smaller than what float32 rounds."""


def build(name):
    make_agent, make_env = AGENTS[name]
    return make_agent(make_env())


each_agent = pytest.mark.parametrize(
    "name", [n if n in FAST else pytest.param(n, marks=pytest.mark.slow) for n in AGENTS]
)


@each_agent
def test_derivatives_are_finite(name):
    found = check_gradients(build(name), jax.random.key(0))._asdict()
    assert found["gamma"] != 0.0
    assert all(x == 0.0 for field, x in found.items() if field in WITHOUT)


@pytest.mark.parametrize(
    "name", ["ppo", *(pytest.param(n, marks=pytest.mark.slow) for n in ("pqn", "dqn", "sac"))]
)
def test_derivatives_are_the_limits_of_differences(name):
    """Of two updates, so through parameters and moments of the first, too.

    In double precision, but for networks, whose outputs are float32: so differences are wide.
    """
    agent, key = build(name), jax.random.key(0)
    with jax.enable_x64(True):
        at = jax.tree.map(jnp.float64, agent.hypers)
        if "adam_epsilon" in at._fields:  # else what a difference shows is too small for float32
            at = at._replace(adam_epsilon=jnp.float64(1e-2))
        fields = [field for field in at._fields if field not in WITHOUT | DELAYS]
        steps = [WIDTH.get(field, 1e-2) * (abs(getattr(at, field)) or 1.0) for field in fields]

        def total(hypers):
            return outcome(agent, hypers, key, jnp.float64)

        rows = [
            at._replace(**{field: getattr(at, field) + side * step})
            for field, step in zip(fields, steps, strict=True)
            for side in (1.0, -1.0)
        ]
        batch = jax.tree.map(lambda *x: jnp.stack(x), *rows)
        values = np.asarray(jax.jit(jax.vmap(total))(batch)).reshape(-1, 2)
        slopes = jax.jit(jax.grad(total))(at)._asdict()
    expected = (values[:, 0] - values[:, 1]) / (2.0 * np.asarray(steps))
    np.testing.assert_allclose([float(slopes[field]) for field in fields], expected, 2e-2, 1e-3)
