"""A teacher helps: its student plays well when others with as few steps of their own do not."""

import pytest

import purejaxrl_suite as pjs
from purejaxrl_suite import nets
from purejaxrl_suite.envs import probes

pytestmark = pytest.mark.slow

SIZES = pjs.DQNConfig(num_envs=4, rollout_length=4, gradient_steps=4, batch_size=32, capacity=4096)
HYPERS = pjs.DQNHypers(learning_rate=5e-3, min_history=32.0, target_update_period=20.0)


def small(env):
    return nets.q_network(env.observation, env.action, hidden=(16,), layer_norm=False)


def test_a_student_of_qdagger_is_ahead_of_one_without_a_teacher():
    """With 16 steps of its own, too few to learn anything from."""
    env = probes.observation_action_reward()
    teacher = pjs.Experiment(pjs.dqn, env, 2, 3200, config=SIZES, network=small, hypers=HYPERS)
    student = teacher._replace(seeds=8, steps=16, evaluate_every=pjs.Evaluating(1, episodes=64))
    quiet = {"progress": False, "segments": 1}
    found = pjs.reincarnate(pjs.qdagger(), teacher, student, offline_gradient_steps=400, **quiet)
    assert found["teacher"].evaluate(64)["episode_return"].mean() > 0.95
    last, alone = (
        one.curves["evaluation_return"].isel(step=-1).mean()
        for one in (found["online"], pjs.run(student, **quiet))
    )
    assert last > 0.95 and last > alone + 0.5
