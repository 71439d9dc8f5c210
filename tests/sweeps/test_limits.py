"""Time limits that are parameters: swept, replaced by hand, of several tasks and under wrappers."""

import jax.numpy as jnp
import numpy as np
import pytest

import purejaxrl_suite as pjs
from purejaxrl_suite import envs, nets
from purejaxrl_suite.agents.dqn import DQNConfig, dqn
from purejaxrl_suite.agents.ppo import PPOConfig, PPOHypers, ppo
from purejaxrl_suite.core.types import Box, Discrete, Environment, TimeStep
from purejaxrl_suite.envs import probes, wrappers
from purejaxrl_suite.envs.common import limits, shortest_limit
from purejaxrl_suite.envs.continual import continual
from purejaxrl_suite.envs.multi_task import family, multi_task, only
from purejaxrl_suite.search import grid
from purejaxrl_suite.sweeps.experiment import Experiment
from purejaxrl_suite.sweeps.layout import lay_out

CARTPOLE = envs.make("CartPole-v1", max_steps_in_episode=5)


def lasting():
    """Reward 1 in every step, until the limit that is its parameter: 4 by default."""

    def init(key, params):
        return jnp.int32(0), jnp.zeros(1)

    def step(key, params, state, action):
        obs, end = jnp.zeros(1), state + 1 >= params["limit"]
        return state + 1, TimeStep(obs, jnp.ones(()), jnp.zeros((), bool), end, obs, {})

    params = {"limit": np.int32(4)}
    space = Box((1,), "float32", 0.0, 1.0), Discrete(2)
    return Environment("lasting", *space, 4, params, init, step, limit=lambda p: p["limit"])


def test_every_episode_of_a_swept_limit_is_played_to_its_end():
    """The returns are the limits themselves, above and below that of the environment."""
    env, config = lasting(), PPOConfig(num_envs=2, rollout_length=4, epochs=1, minibatches=1)
    network = lambda env: nets.actor_critic(env.observation, env.action, hidden=(2,))  # noqa: E731
    swept = [3, 11, 7]
    result = pjs.sweep(
        ppo, env, config=config, network=network, hypers=PPOHypers(), seeds=2, steps=8,
        env_params=grid(env.params, limit=swept),
    )  # fmt: skip
    found = result.evaluate(episodes=3)
    assert found.completed.values.all()
    for name in ("episode_return", "episode_length"):
        wanted = np.broadcast_to(np.array(swept)[:, None, None], (3, 2, 3))
        np.testing.assert_array_equal(found[name].transpose("limit", "seed", "episode"), wanted)
    one = result.policy({"limit": 11}).evaluate(3)
    assert np.all(one.completed) and np.all(one.episode_return == 11)
    cut = result.evaluate(episodes=3, steps=5)
    assert cut.completed.sel(limit=3).values.all() and not cut.completed.sel(limit=11).values.any()


def test_limits_of_families_and_wrappers():
    params = CARTPOLE.params.replace(max_steps_in_episode=np.array([3, 900, 7], np.int32))
    assert limits(CARTPOLE, CARTPOLE.params) == (5, 5) and limits(CARTPOLE, params) == (3, 900)
    for wrapped in (wrappers.clip_reward(CARTPOLE), wrappers.frame_stack(CARTPOLE, 2)):
        assert limits(wrapped, params) == (3, 900)
    cut = wrappers.time_limit(CARTPOLE, 8)
    assert cut.time_limit == 5 and limits(cut, params) == (3, 8)
    fixed = probes.recall(), envs.make("MiniGrid-Empty-5x5-v0", max_steps=9)
    assert [limits(env, env.params) for env in fixed] == [(5, 5), (9, 9)]
    endless = probes.recall()._replace(time_limit=None)
    assert limits(endless, ()) is None and shortest_limit(endless) is None
    assert limits(wrappers.time_limit(endless, 6), ()) == (6, 6)


def test_limits_of_several_tasks():
    long = [CARTPOLE.params.replace(max_steps_in_episode=np.int32(n)) for n in (9, 2)]
    both = multi_task(family(CARTPOLE, long))
    assert both.time_limit == 9 and limits(both, both.params) == (2, 9)
    assert shortest_limit(both) == 2
    one = only(both, 1)
    assert limits(one, one.params) == (2, 2)
    assert limits(wrappers.time_limit(both, 4), both.params) == (2, 4)
    stream = continual(family(CARTPOLE, long), 3)
    changed = stream.params._replace(envs=tuple(long[::-1]))
    assert stream.time_limit == 9 and limits(stream, changed) == (9, 9)


def test_replay_keeps_the_cuts_of_the_shortest_limit_that_is_swept():
    seen = []

    def build(env, config=None, network=None, hypers=None):
        seen.append(shortest_limit(env))
        return dqn(env, config, network, hypers)

    def lay(limit):
        points = grid(CARTPOLE.params, max_steps_in_episode=limit)
        config = DQNConfig(capacity=4096)
        return lay_out(Experiment(build, CARTPOLE, 1, 1e4, config=config, env_params=points))

    lay([300, 3, 40])
    assert seen[-1] == 3
    with pytest.raises(ValueError, match="expected time limits of at least 1 step, got 0"):
        lay([0, 3])
