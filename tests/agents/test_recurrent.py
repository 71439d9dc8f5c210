"""Recurrent agents learn with the memory that they acted with."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from purejaxrl_suite.core import tree
from purejaxrl_suite.engine.rollout import rollout, start
from purejaxrl_suite.envs import probes, wrappers
from tests.contract.agents import AGENTS

RECURRENT = {"ppo-recurrent", "pqn-recurrent", "impala-recurrent", "vmpo-recurrent"}
ELSEWHERE = {"muesli-recurrent"}
"""Whose memory goes through a replay, in tests/agents/test_muesli.py."""


def test_all_recurrent_agents_are_tested_here():
    assert {name for name in AGENTS if "recurrent" in name} == RECURRENT | ELSEWHERE


@pytest.mark.parametrize(
    "name",
    [
        "ppo-recurrent",
        pytest.param("pqn-recurrent", marks=pytest.mark.slow),
        pytest.param("impala-recurrent", marks=pytest.mark.slow),
        pytest.param("vmpo-recurrent", marks=pytest.mark.slow),
    ],
)
def test_a_memory_outlives_a_life_and_no_episode(name):
    """Episodes of five steps lose a life at the second; nothing is learnt, so all stays equal."""
    env = wrappers.episodic_life(probes.recall(), lambda state: 2 - (state.time >= 2).astype(int))
    agent = AGENTS[name][0](env)
    hypers = agent.hypers._replace(learning_rate=0.0)
    hypers = hypers._replace(epsilon=0.0) if name == "pqn-recurrent" else hypers

    @jax.jit
    def twice(key):
        """The second of two rollouts, what its steps give when they are learnt from, metrics."""
        keys = jax.random.split(key, 5)
        run = start(agent, env, keys[0], (), agent.init(keys[1], hypers))
        run, _, _ = rollout(agent, env, keys[2], hypers, (), run, reset_pool=1)
        _, steps, _ = rollout(agent, env, keys[3], hypers, (), run, reset_pool=1)
        first = jax.tree.leaves(steps.extras["memory"])[0]
        memory = tree.index(steps.extras["memory"], 0)
        if name == "pqn-recurrent":
            memory = memory[0]
        known = run.agent.learner.params, steps.obs, memory, steps.starts, {}
        output, _ = agent.network.unroll(*known)
        return steps, first, output, agent.update(keys[4], hypers, run.agent, steps)[1]

    steps, first, output, metrics = twice(jax.random.key(0))
    lost, starts = np.asarray(steps.life_lost), np.asarray(steps.starts)
    assert lost.any() and not (lost & ~np.asarray(steps.terminated)).any()
    assert starts.any() and not starts[1:][lost[:-1]].any()
    forgotten = ~np.any(np.asarray(first), axis=-1)
    np.testing.assert_array_equal(forgotten[1:], starts[1:])
    if name == "pqn-recurrent":
        np.testing.assert_allclose(jnp.max(output, -1), steps.extras["value"], atol=1e-6)
        np.testing.assert_allclose(metrics["q_value"], np.mean(steps.extras["value"]), atol=1e-6)
    elif name == "vmpo-recurrent":
        of_actions = jnp.take_along_axis(
            jax.nn.log_softmax(output.policy), steps.action[..., None], axis=-1
        )
        np.testing.assert_allclose(of_actions[..., 0], steps.extras["log_prob"], atol=1e-6)
    elif name == "impala-recurrent":
        np.testing.assert_allclose(metrics["importance_ratio"], 1.0, atol=1e-6)
    else:
        assert metrics["approximate_kl"] < 1e-10
