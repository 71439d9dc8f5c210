"""Mapping over members: blocks and devices change no result."""

import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from purejaxrl_suite import mdps


def walked(key):
    """A short life of Q(lambda), whose table tells any difference."""
    line = mdps.chain(4)
    policy = mdps.epsilon_greedy(lambda rule: rule.weights.reshape(-1, 2), lambda rule: 0.3)
    hypers = mdps.TraceHypers(step_size=0.5, lambda_=0.9, eta=1.0)
    rule = mdps.expected_trace_q(2, learnt=False)
    ones, zeros = jnp.ones(10), jnp.zeros(10)
    life, _ = mdps.play(rule, hypers, ones, zeros, key, line, policy, steps=40, every=40)
    return life.rule.weights


@pytest.mark.parametrize("block", [1, 3, 7, 50])
def test_blocks_change_no_result(block):
    keys = jax.random.split(jax.random.key(0), 7)
    found = jax.jit(lambda keys: mdps.map_members(walked, keys, block))(keys)
    each = np.stack([jax.jit(walked)(key) for key in keys])
    np.testing.assert_array_equal(found, each)


def test_members_may_be_a_tree():
    members = {"x": jnp.arange(5.0), "y": jnp.arange(10.0).reshape(5, 2)}
    found = mdps.map_members(lambda one: one["x"] + one["y"], members, 2)
    np.testing.assert_array_equal(found, members["x"][:, None] + members["y"])


@pytest.mark.parametrize("members", [{}, jnp.float32(1.0), (jnp.zeros(2), jnp.zeros(3))])
def test_members_without_one_leading_axis_are_refused(members):
    with pytest.raises(ValueError, match="members"):
        mdps.map_members(lambda one: one, members)


def test_a_block_has_members():
    with pytest.raises(ValueError, match="block"):
        mdps.map_members(lambda one: one, jnp.zeros(3), 0)


PROGRAM = """
import jax, sys
jax.config.update("jax_num_cpu_devices", int(sys.argv[1]))
import jax.numpy as jnp
from purejaxrl_suite import mdps
members = jax.random.split(jax.random.key(0), 7)
one = lambda key: jnp.tanh(jax.random.normal(key, (3, 3)) @ jax.random.normal(key, (3,)))
found = jax.jit(lambda keys: mdps.map_members(one, keys, 2))(members)
print(len(found.sharding.device_set), jax.device_get(found).tobytes().hex())
"""


def test_devices_change_no_result():
    def run(devices):
        command = [sys.executable, "-c", PROGRAM, str(devices)]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()

    assert run(1)[1] == run(3)[1]
