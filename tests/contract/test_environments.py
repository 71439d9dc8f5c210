"""Every environment keeps the contract of `Environment`: the lists here are what works."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import purejaxrl_suite as pjs
from purejaxrl_suite import envs
from purejaxrl_suite.agents.ppo import PPOConfig, ppo
from purejaxrl_suite.core.check import check_environment
from purejaxrl_suite.core.check_environment import check_quickly
from purejaxrl_suite.core.types import Discrete
from purejaxrl_suite.envs import (
    credit,
    gymnax,
    lifetime_grids,
    lifetimes,
    minigrid,
    navix,
    probes,
    silicon,
)

# Breakout is checked where these games of MinAtar are not.
LARGE = ("Asterix-MinAtar", "Freeway-MinAtar", "Seaquest-MinAtar", "SpaceInvaders-MinAtar")
# Layouts of one kind each; all ids are in the slow test.
GRIDS = (
    "Navix-Empty-5x5-v0",
    "Navix-DoorKey-5x5-v0",
    "MiniGrid-Empty-5x5-v0",
    "MiniGrid-LavaGapS5-v0",
)


def each(ids, rare):
    """These ids, and those that take long to compile by `make test-all` alone."""
    ids = [*ids, *(pytest.param(id, marks=pytest.mark.slow) for id in rare)]
    return pytest.mark.parametrize("id", ids)


@each([id for id in gymnax.ids() if id not in LARGE], LARGE)
def test_gymnax(id: str):
    check_environment(envs.make(id), jax.random.key(0), steps=32)


@pytest.mark.parametrize("probe", [*probes.PROBES, probes.tracking, probes.recall])
def test_probe(probe):
    check_environment(probe(), jax.random.key(0), steps=16)


@each(
    GRIDS, ["Navix-KeyCorridorS3R1-v0", "Navix-Dynamic-Obstacles-5x5-v0", "MiniGrid-DoorKey-5x5-v0"]
)
def test_grid(id: str):
    check_environment(envs.make(id), jax.random.key(0), steps=32)


# Of the named families of grids one of each kind; all others differ in numbers alone.
SHOWN = ("Meta-GridSparse", "Meta-RandomGridSparse")
FAMILIES = [id for id in lifetime_grids.FAMILIES if id not in SHOWN]


@each([id for id in lifetimes.ids() if id not in FAMILIES], FAMILIES)
def test_distribution_of_tasks(id: str):
    env = envs.make(id)
    check_environment(env, jax.random.key(0), steps=32)
    if env.sample_task is not None:
        task = env.sample_task(jax.random.key(1), env.params)
        shapes = [jax.tree.map(jnp.shape, params) for params in (task, env.params)]
        assert shapes[0] == shapes[1]


@pytest.mark.parametrize("id", credit.ids())
def test_credit(id: str):
    check_environment(envs.make(id), jax.random.key(0), steps=32)


@each(["STEM-Silicon-v0"], [id for id in silicon.ids() if id != "STEM-Silicon-v0"])
def test_silicon(id: str):
    check_environment(envs.make(id, dwell=(1.0, 10.0), distance=2.0), jax.random.key(0), steps=32)


@each(["CartPole-v1+Acrobot-v1"], ["Catch-bsuite+DeepSea-bsuite"])
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


def _stepping(change, env=None):
    """delayed_reward, with its steps changed by `change(state, timestep)`."""
    env = env or probes.delayed_reward()

    def step(key, params, state, action):
        return change(*env.step(key, params, state, action))

    return env._replace(step=step)


def _starting(change):
    """delayed_reward, with its starts changed by `change(state, obs)`."""
    env = probes.delayed_reward()
    return env._replace(init=lambda key, params: change(*env.init(key, params)))


def _observing(**changes):
    env = probes.delayed_reward()
    return env._replace(observation=env.observation._replace(**changes))


def _counted():
    """Not a function of its key."""
    calls = iter(range(10**6))
    env = probes.delayed_reward()

    def count(x):
        return np.float32(next(calls)) + 0 * x

    def step(key, params, state, action):
        state, now = env.step(key, params, state, action)
        reward = jax.pure_callback(count, jax.ShapeDtypeStruct((), jnp.float32), now.reward)
        return state, now._replace(reward=reward)

    return env._replace(step=step)


PROBE = probes.delayed_reward()
BROKEN = {
    "name": (PROBE._replace(name=""), "environment: name: expected an id, got ''"),
    "space": (PROBE._replace(observation=Discrete(2)), "observation: expected a Box, got a Disc"),
    "action": (PROBE._replace(action=2), "action: expected a Box, got 2"),
    "no actions": (PROBE._replace(action=Discrete(0)), "action.n: expected an integer of at least"),
    "dtype": (_observing(dtype="float33"), "observation.dtype: expected the name of a dtype"),
    "shape": (_observing(shape=[1]), "observation.shape: expected a tuple of integers, got [1]"),
    "bounds": (
        _observing(low=2.0),
        "observation.low: expected at most high, which is 1.0, got 2.0",
    ),
    "bound": (_observing(low=(0.0, 0.0)), "observation.low: expected a number, or one per entry"),
    "limit": (PROBE._replace(time_limit=0), "time_limit: expected an integer of at least 1, got 0"),
    "params": (
        PROBE._replace(params={"a": "b"}),
        "params['a']: expected an array or a number, got",
    ),
    "init's arguments": (
        PROBE._replace(init=lambda key: 0),
        "init: expected a function (key, para",
    ),
    "step's arguments": (
        PROBE._replace(step=lambda key: 0),
        "step: expected a function (key, para",
    ),
    "no init": (
        PROBE._replace(init=None),
        "init: expected a function (key, params) -> (state, obs)",
    ),
    "init's result": (_starting(lambda s, obs: obs), "init: expected (state, obs), got float32[1]"),
    "step's result": (
        _stepping(lambda s, now: now),
        "step: expected (state, TimeStep), got TimeSt",
    ),
    "a tuple": (_stepping(lambda s, now: (s, (now.obs, now.reward))), "expected a TimeStep, got"),
    "untraceable": (
        _starting(lambda s, obs: (s, obs if obs[0] else s)),
        "init: expected a function",
    ),
    "start": (
        _starting(lambda s, obs: (s, obs[0])),
        "init's obs: expected float32[1], got float32[",
    ),
    "start's dtype": (
        _starting(lambda s, obs: (s, obs.astype(int))),
        "init's obs: expected float32",
    ),
    "obs": (
        _stepping(lambda s, now: (s, now._replace(obs=now.obs[0]))),
        "obs: expected float32[1]",
    ),
    "declared shape": (_observing(shape=(2,)), "init's obs: expected float32[2], got float32[1]"),
    "final_obs": (
        _stepping(lambda s, now: (s, now._replace(final_obs=now.obs.astype(bool)))),
        "final_obs: expected float32[1], got bool[1]",
    ),
    "reward": (
        _stepping(lambda s, now: (s, now._replace(reward=now.obs))),
        "reward: expected float32[], got float32[1]",
    ),
    "terminated": (
        _stepping(lambda s, now: (s, now._replace(terminated=jnp.float32(now.terminated)))),
        "terminated: expected bool[], got float32[]",
    ),
    "truncated": (
        _stepping(lambda s, now: (s, now._replace(truncated=now.obs > 0))),
        "truncated: expected bool[], got bool[1]",
    ),
    "life_lost": (
        _stepping(lambda s, now: (s, now._replace(life_lost=now.reward))),
        "life_lost: expected bool[], got float32[]",
    ),
    "discount": (
        _stepping(lambda s, now: (s, now._replace(discount=now.reward))),
        "discounted: expected True of steps with a discount, got False",
    ),
    "no discount": (PROBE._replace(discounted=True), "discount: expected float32[], got"),
    "info": (
        _stepping(lambda s, now: (s, now._replace(info={"x": now.obs}))),
        "info['x']: expected a scalar, got float32[1]",
    ),
    "state's dtype": (
        _stepping(lambda s, now: (s.astype(jnp.float32), now)),
        "step: expected state int32[], got float32[]",
    ),
    "state's shape": (
        _stepping(lambda s, now: (s[None], now)),
        "step: expected state int32[], got int32[1]",
    ),
    "state's structure": (
        _stepping(lambda s, now: ((s, s), now)),
        "step: expected a state of the structure that init gives",
    ),
    "declared bounds": (
        _observing(high=0.5),
        "expected observations in the declared space, got 1",
    ),
    "first observations": (
        _observing(low=0.5),
        "expected first observations in the declared space, got 0",
    ),
    "categories": (
        _observing(categories=(1,), high=9.0),
        "expected observations in the declared space, got 1",
    ),
    "observations": (
        _stepping(lambda s, now: (s, now._replace(obs=now.obs + 5, final_obs=now.obs + 5))),
        "expected observations in the declared space, got 6",
    ),
    "true successor": (
        _stepping(lambda s, now: (s, now._replace(final_obs=now.obs - 1))),
        "expected final_obs to be obs before a reset, apart by 0, got 1",
    ),
    "rewards": (
        _stepping(lambda s, now: (s, now._replace(reward=jnp.log(0.0 * now.reward)))),
        "expected finite rewards, got -inf",
    ),
    "time limit": (
        PROBE._replace(time_limit=1),
        "expected episodes of at most time_limit=1 steps, got 2",
    ),
    "chance": (_counted(), "expected the same episodes of the same keys, got others"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_broken_is_named(name: str):
    """By the check that a run begins with, in one sentence: what was expected, what came."""
    env, message = BROKEN[name]
    with pytest.raises(ValueError) as error:
        check_quickly(env)
    assert message in str(error.value) and len(str(error.value).splitlines()) == 1


def test_the_contract_is_stricter():
    """A run may have rewards of any number, and weak types."""
    env = _stepping(lambda s, now: (s, now._replace(reward=jnp.int32(1))))
    check_quickly(env)
    with pytest.raises(ValueError, match="reward: expected float32.., got int32"):
        check_environment(env, jax.random.key(0), steps=4)
    env, message = BROKEN["time limit"]
    with pytest.raises(ValueError, match=message):
        check_environment(env, jax.random.key(0), steps=4)


def test_weak_state_is_named():
    env = probes.delayed_reward()

    def init(key, params):
        return {"time": jnp.asarray(0)}, jnp.zeros(1)

    def step(key, params, state, action):
        return {"time": state["time"] + 1}, env.step(key, params, state["time"], action)[1]

    weak = env._replace(init=init, step=step)
    check_quickly(weak)
    with pytest.raises(ValueError, match=r"expected strong dtypes, got weak ones in .*time"):
        check_environment(weak, jax.random.key(0), steps=4)


@pytest.mark.parametrize("function", [pjs.run, pjs.sweep, pjs.plan])
def test_a_run_begins_with_it(function):
    env, message = BROKEN["final_obs"]
    config = PPOConfig(num_envs=2, rollout_length=4, epochs=1, minibatches=1)
    built = ppo(PROBE, config) if function is pjs.run else lambda *others: ppo(PROBE, config)
    with pytest.raises(ValueError, match=message.split("[")[0]):
        function(built, env, seeds=1, steps=8)
