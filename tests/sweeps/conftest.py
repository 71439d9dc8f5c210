"""Environments that several files of tests train on."""

import pytest

import purejaxrl_suite as pjs
from purejaxrl_suite.envs import probes


@pytest.fixture(scope="module")
def env():
    return probes.delayed_reward()


@pytest.fixture(scope="module")
def cartpole():
    return pjs.make("CartPole-v1")
