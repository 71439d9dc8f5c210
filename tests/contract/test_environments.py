"""Every environment keeps the contract of `Environment`: the lists here are what works."""

import jax
import jax.numpy as jnp
import pytest

from purejaxrl_suite import envs
from purejaxrl_suite.core.check import check_environment
from purejaxrl_suite.envs import gymnax, minigrid, navix, probes

# Layouts of one kind each; all ids are in the slow test.
GRIDS = (
    "Navix-Empty-5x5-v0",
    "Navix-DoorKey-5x5-v0",
    "Navix-Dynamic-Obstacles-5x5-v0",
    "Navix-KeyCorridorS3R1-v0",
    "MiniGrid-Empty-5x5-v0",
    "MiniGrid-DoorKey-5x5-v0",
    "MiniGrid-DistShift1-v0",
    "MiniGrid-LavaGapS5-v0",
)


@pytest.mark.parametrize("id", gymnax.ids())
def test_gymnax(id: str):
    check_environment(envs.make(id), jax.random.key(0), steps=32)


@pytest.mark.parametrize("probe", [*probes.PROBES, probes.tracking, probes.recall])
def test_probe(probe):
    check_environment(probe(), jax.random.key(0), steps=16)


@pytest.mark.parametrize("id", GRIDS)
def test_grid(id: str):
    check_environment(envs.make(id), jax.random.key(0), steps=32)


@pytest.mark.parametrize("id", ["Catch-bsuite+DeepSea-bsuite", "CartPole-v1+Acrobot-v1"])
def test_tasks(id: str):
    check_environment(envs.make(id), jax.random.key(0), steps=32)


@pytest.mark.slow
@pytest.mark.parametrize("id", [*navix.ids(), *minigrid.ids()])
def test_every_grid(id: str):
    check_environment(envs.make(id), jax.random.key(0), steps=128)


@pytest.mark.slow
@pytest.mark.parametrize("id", gymnax.ids())
def test_every_gymnax_for_long(id: str):
    """Long enough to reach the time limit of most, and boards that seldom occur."""
    check_environment(envs.make(id), jax.random.key(1), steps=3000)


def _breaks(env, promise: str):
    with pytest.raises(AssertionError, match=promise):
        check_environment(env, jax.random.key(0), steps=8)


def _stepping(change):
    """delayed_reward, with its steps changed by `change(state, timestep)`."""
    env = probes.delayed_reward()

    def step(key, params, state, action):
        return change(*env.step(key, params, state, action))

    return env._replace(step=step)


def test_a_broken_signature_is_named():
    probe = probes.delayed_reward()
    _breaks(probe._replace(observation=probe.observation._replace(shape=(2,))), "init's obs is")
    _breaks(probe._replace(observation=probe.observation._replace(low=2.0)), "observation.low")
    _breaks(probe._replace(time_limit=0), "time_limit is None or a positive int")
    _breaks(_stepping(lambda s, now: (s, now._replace(reward=jnp.int32(1)))), "reward is")
    _breaks(_stepping(lambda s, now: (s, now._replace(info={"x": now.obs}))), "info holds scalars")
    _breaks(_stepping(lambda s, now: (s.astype(jnp.float32), now)), "state keeps shapes and dtypes")
    _breaks(_stepping(lambda s, now: ((s, s), now)), "state has one structure")


def test_weak_state_is_named():
    env = probes.delayed_reward()

    def init(key, params):
        return {"time": jnp.asarray(0)}, jnp.zeros(1)

    def step(key, params, state, action):
        return {"time": state["time"] + 1}, env.step(key, params, state["time"], action)[1]

    _breaks(env._replace(init=init, step=step), r"strong dtypes, not so in .*time")


def test_broken_behaviour_is_named():
    probe = probes.delayed_reward()
    _breaks(probe._replace(observation=probe.observation._replace(high=0.5)), "lie in the declared")
    _breaks(probe._replace(time_limit=1), "ends within time_limit")
    _breaks(_stepping(lambda s, now: (s, now._replace(final_obs=now.obs - 1))), "final_obs is obs")
    infinite = _stepping(lambda s, now: (s, now._replace(reward=jnp.log(0.0 * now.reward))))
    _breaks(infinite, "rewards are finite")
