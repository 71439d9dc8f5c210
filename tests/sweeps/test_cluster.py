"""One group per Ray task, on a local Ray; a lost worker's group goes on from its checkpoint."""

import os
import signal

import jax
import numpy as np
import pytest

import purejaxrl_suite as pjs
from purejaxrl_suite import nets
from purejaxrl_suite.agents.ppo import PPOConfig, ppo
from purejaxrl_suite.envs import probes

CONFIG = PPOConfig(num_envs=4, rollout_length=8, epochs=1, minibatches=2)


def network(env):
    return nets.actor_critic(env.observation, env.action, hidden=(8,))


@pytest.fixture
def local_ray():
    ray = pytest.importorskip("ray", reason="the extra `cluster` is not installed")
    ray.init(num_cpus=2, include_dashboard=False, configure_logging=False, log_to_driver=False)
    yield ray
    ray.shutdown()


def ppo_whose_first_worker_dies(folder):
    """PPO that kills its process at the third update, once, unless it is this process."""
    here, mark = os.getpid(), folder / "died"

    def die(advantage):
        die.calls += 1
        if os.getpid() != here and die.calls == 5 and not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)

    die.calls = 0

    def build(env, config, network, hypers):
        agent = ppo(env, config, network, hypers)

        def update(key, hypers, state, transition):
            state, metrics = agent.update(key, hypers, state, transition)
            jax.debug.callback(die, metrics["entropy"])
            return state, metrics

        return agent._replace(update=update)

    return build


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_groups_are_ray_tasks_that_survive_their_workers(local_ray, tmp_path):
    arguments = {
        "config": pjs.search.grid(CONFIG, epochs=[1, 2]),
        "network": network,
        "seeds": 2,
        "steps": 32 * 4,
        "segments": 2,
        "progress": False,
    }
    env = probes.delayed_reward()
    here = pjs.sweep(ppo, env, **arguments)
    dying = ppo_whose_first_worker_dies(tmp_path)
    there = pjs.sweep(dying, env, **arguments, out=tmp_path / "x", ray_gpus=0)
    assert (tmp_path / "died").exists()
    for name in here.curves.data_vars:
        if name != "steps_per_second":
            np.testing.assert_array_equal(here.curves[name], there.curves[name])
    assert there.policy({"epochs": 2}, seed=1).hypers == here.policy({"epochs": 2}, seed=1).hypers
