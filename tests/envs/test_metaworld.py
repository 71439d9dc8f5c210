"""Meta-World on the host: goals that are really drawn, versions of rewards, tasks and success."""

import numpy as np
import pytest

from purejaxrl_suite import envs
from purejaxrl_suite.core.types import Box
from purejaxrl_suite.envs.remake import remake

metaworld = pytest.importorskip("metaworld")

REACH = {"task": "reach-v3", "goals": 5, "time_limit": 3}


def goals_of(copies):
    """The goal of each copy's episode, and what else it was started with."""
    return [tuple(one.unwrapped._last_rand_vec) for one in copies.vector.envs]


def play(env, steps, seeds, action=None):
    """Goals of the episodes of each copy, first observations and steps."""
    copies, drawn = env.host.open(list(seeds)), np.random.default_rng(0)
    first, taken = copies.reset(), []
    met = [goals_of(copies)]
    for _ in range(steps):
        chosen = drawn.uniform(-1, 1, (len(seeds), 4)) if action is None else action(copies)
        taken.append(copies.step(chosen))
        if taken[-1].truncated.any() or taken[-1].terminated.any():
            met.append(goals_of(copies))
    copies.close()
    return met, first, taken


def test_spaces_and_limits_are_known_without_a_task():
    one = envs.make("Meta-World/MT1", task="reach-v3")
    assert one.observation.shape == (39,) and not one.tasks and one.time_limit == 500
    assert one.action == Box((4,), "float32", -1.0, 1.0)
    ten = envs.make("Meta-World/MT10", time_limit=200)
    assert ten.observation.shape == (49,) and ten.observation.tasks == 10
    assert ten.tasks[0] == "reach-v3" and len(ten.tasks) == 10 and ten.time_limit == 200
    assert envs.make("Meta-World/MT50").observation.shape == (89,)
    train, test = (envs.make("Meta-World/ML10", split=split) for split in ("train", "test"))
    assert train.observation == test.observation and train.observation.tasks == 0
    assert len(train.tasks) == 10 and len(test.tasks) == 5 and not {*train.tasks} & {*test.tasks}
    again = remake(ten.recipe)
    assert again is not None and again.recipe == ten.recipe and again.tasks == ten.tasks
    assert "Meta-World/ML45" in envs.ids()


def test_goals_are_really_drawn():
    """Each copy by its own seed, also 0, whatever its neighbours and numpy's generator."""
    env, before = envs.make("Meta-World/MT1", **REACH), np.random.get_state()[1].copy()
    met, first, taken = play(env, 36, (0, 1, 2, 3))
    assert np.array_equal(before, np.random.get_state()[1])
    assert metaworld._N_GOALS == 50
    found = {goal for row in met for goal in row}
    assert len(met) == 13 and len(found) == 5
    assert len({tuple(row[i] for row in met) for i in range(4)}) == 4  # no two copies alike
    np.random.seed(7)
    again, same, _ = play(envs.make("Meta-World/MT1", **REACH), 36, (3, 0))
    assert [row[::-1] for row in again] == [[row[0], row[3]] for row in met]
    np.testing.assert_array_equal(same, first[[3, 0]])
    shown = np.float32([goal[-3:] for goal in met[0]])
    np.testing.assert_array_equal(first[:, 36:], shown)
    others, _, _ = play(envs.make("Meta-World/MT1", **REACH, goal_seed=1), 3, (0, 1))
    assert not found & {goal for row in others for goal in row}
    assert all(x.obs.dtype == np.float32 for x in taken)


def test_learning_to_learn_hides_goals_and_tests_on_others():
    how = {"task": "reach-v3", "goals": 5, "time_limit": 2}
    train, first, taken = play(envs.make("Meta-World/ML1", **how), 20, (0, 1))
    test, _, _ = play(envs.make("Meta-World/ML1", split="test", **how), 20, (0, 1))
    seen = [{goal for row in met for goal in row} for met in (train, test)]
    assert len(seen[0]) == len(seen[1]) == 5 and not seen[0] & seen[1]
    assert not first[:, 36:].any() and not any(x.obs[:, 36:].any() for x in taken)


def solve(copies):
    """The released policy of reaching; it reads 39 numbers in double precision."""
    from metaworld.policies import SawyerReachV3Policy

    policy = SawyerReachV3Policy()
    return np.stack([policy.get_action(row[:39].astype(np.float64)) for row in copies.shown])


@pytest.mark.filterwarnings("ignore:Constant.s. may be too high")  # by the released policy
def test_success_is_that_of_any_step_and_ends_an_episode_only_if_it_should():
    how = {"task": "reach-v3", "goals": 2, "time_limit": 60}
    _, _, taken = play(envs.make("Meta-World/MT1", **how), 60, (0, 1), solve)
    assert taken[-1].truncated.all() and not taken[-1].terminated.any()
    assert taken[-1].info["success"].tolist() == [1.0, 1.0]
    assert not any(x.truncated.any() or x.terminated.any() for x in taken[:-1])
    total = np.sum([x.reward for x in taken], axis=0)
    np.testing.assert_allclose(taken[-1].info["score"], total, rtol=1e-5)
    ends = envs.make("Meta-World/MT1", **how, terminate_on_success=True)
    _, _, cut = play(ends, 60, (0, 1), solve)
    last = next(i for i, x in enumerate(cut) if x.terminated.any())
    assert last < 59 and cut[last].info["success"][cut[last].terminated].all()
    random, _, failed = play(envs.make("Meta-World/MT1", **how), 60, (0, 1), lambda copies: STILL)
    assert failed[-1].info["success"].tolist() == [0.0, 0.0]


STILL = np.zeros((2, 4))


def test_versions_of_rewards_and_their_normalization():
    how = {"task": "reach-v3", "goals": 2, "time_limit": 8}
    (_, _, one), (_, _, two), (_, _, scaled) = (
        play(envs.make("Meta-World/MT1", **how, **more), 8, (0, 1))
        for more in ({"reward": "v1"}, {}, {"normalize_reward": True})
    )
    for a, b, c in zip(one, two, scaled, strict=True):
        np.testing.assert_array_equal(a.final_obs, b.final_obs)
        np.testing.assert_array_equal(b.final_obs, c.final_obs)
        assert (a.reward != b.reward).all() and (b.reward != c.reward).all()
        assert (b.reward >= 0).all() and (b.reward <= 10).all()
    np.testing.assert_array_equal(two[-1].info["score"], scaled[-1].info["score"])


@pytest.mark.slow
def test_ten_tasks_have_goals_of_their_own():
    """Copy i plays task i % 10, is told so, and the tasks do not draw goals of one number."""
    env = envs.make("Meta-World/MT10", goals=3, time_limit=2)
    copies = env.host.open(list(range(20)))
    first, numbers = copies.reset(), []
    np.testing.assert_array_equal(first[:, 39:], np.tile(np.eye(10), (2, 1)))
    for _ in range(6):
        copies.step(np.zeros((20, 4)))
        step = copies.step(np.zeros((20, 4)))
        assert step.truncated.all()
        numbers.append([one.env.goal for one in copies.vector.envs])
    assert all(len(set(row)) > 1 for row in numbers)
    names = [type(one.unwrapped) for one in copies.vector.envs]
    assert names[:10] == names[10:] and len(set(names)) == 10
    known = metaworld.ALL_V3_ENVIRONMENTS
    assert names[:10] == [known[name] for name in env.tasks]
    copies.close()


@pytest.mark.parametrize(
    ("id", "options", "message"),
    [
        ("Meta-World/MT2", {}, "id: expected one of MT1, ML1, MT10"),
        ("Meta-World/MT1", {}, "task: expected one of Meta-World's tasks, got None"),
        ("Meta-World/MT1", {"task": "reach"}, "got 'reach'; did you mean .*reach-v3"),
        ("Meta-World/MT10", {"task": "reach-v3"}, "task: expected none, as MT10 has tasks of its"),
        ("Meta-World/MT10", {"split": "test"}, "split: expected train, as Meta-World/MT10 has no"),
        ("Meta-World/ML10", {"split": "all"}, "split: expected one of train, test, got 'all'"),
        ("Meta-World/MT10", {"reward": "v3"}, "reward: expected one of v1, v2, got 'v3'"),
        ("Meta-World/MT10", {"time_limit": 501}, "time_limit: expected an integer"),
        ("Meta-World/MT10", {"goals": 0}, "goals: expected an integer of at least 1, got 0"),
        ("Meta-World/MT10", {"colour": 1}, "Meta-World/MT10 has no option colour"),
    ],
)
def test_bad_options(id: str, options, message: str):
    with pytest.raises(ValueError, match=message):
        envs.make(id, **options)
