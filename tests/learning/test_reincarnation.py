"""A teacher helps: its student plays well when others with as few steps of their own do not."""

import pytest

import purejaxrl_suite as pjs
from purejaxrl_suite import nets
from purejaxrl_suite.envs import probes

pytestmark = pytest.mark.slow

SIZES = pjs.DQNConfig(num_envs=4, rollout_length=4, gradient_steps=4, batch_size=32, capacity=4096)
HYPERS = pjs.DQNHypers(learning_rate=5e-3, min_history=32.0, target_update_period=20.0)
QUIET = {"progress": False, "segments": 1}
ONE = 16
"""Steps of one update: too few to learn anything from."""


def small(env):
    return nets.q_network(env.observation, env.action, hidden=(16,), layer_norm=False)


@pytest.fixture(scope="module")
def teacher():
    env = probes.observation_action_reward()
    given = pjs.Experiment(pjs.dqn, env, 2, 3200, config=SIZES, network=small, hypers=HYPERS)
    found = pjs.run(given, **QUIET)
    assert found.evaluate(64)["episode_return"].mean() > 0.95
    return found


def experiment(env, steps, hypers=HYPERS):
    looks = pjs.Evaluating(1, episodes=64)
    given = {"config": SIZES, "network": small, "hypers": hypers, "evaluate_every": looks}
    return pjs.Experiment(pjs.dqn, env, 8, steps, **given)


def last(result):
    return float(result.curves["evaluation_return"].isel(step=-1).mean())


@pytest.fixture(scope="module")
def alone(teacher):
    return last(pjs.run(experiment(teacher.env, ONE), **QUIET))


@pytest.mark.parametrize("method", [pjs.qdagger, pjs.dqfd, pjs.offline_pretraining])
def test_after_an_offline_phase_a_student_is_ahead_of_one_without_a_teacher(method, teacher, alone):
    student = experiment(teacher.env, ONE)
    found = pjs.reincarnate(method(), teacher, student, offline_gradient_steps=400, **QUIET)
    assert last(found["online"]) > max(0.95, alone + 0.5)


@pytest.mark.parametrize(
    ("method", "own"),
    [
        (pjs.kickstarting, {}),
        (pjs.rehearsal, {}),
        (pjs.jsrl, {"guide_steps": 4.0, "guide_decay": 0.5}),
    ],
)
def test_without_one_it_reaches_half_of_its_teacher_in_few_steps(method, own, teacher):
    """In 25 updates; JSRL's guide has left after three of them."""
    hypers = pjs.student_hypers(method(), HYPERS)._replace(**own)
    student = experiment(teacher.env, 25 * ONE, hypers)
    found = pjs.reincarnate(method(), teacher, student, **QUIET)
    assert last(found["online"]) > 0.5
