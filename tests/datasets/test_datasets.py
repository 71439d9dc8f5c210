"""Data sets: who acted, where episodes begin and end, and what a ring still knows of them."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import purejaxrl_suite as pjs
from purejaxrl_suite import datasets
from purejaxrl_suite.core.types import Agent, Box, Discrete, Environment, TimeStep, Transition
from purejaxrl_suite.datasets import Experience, Record, experience
from purejaxrl_suite.engine.source import check_steps
from purejaxrl_suite.envs import probes
from purejaxrl_suite.sweeps.policy import Policy
from tests.buffers import histories


def counter(cut):
    """Episodes of three steps: observations 0, 1, 2, rewards 1, 2, 3; cut or terminated after."""

    def init(key, params):
        return jnp.int32(0), jnp.zeros(1)

    def step(key, params, state, action):
        obs, over = jnp.full(1, state + 1.0), state == 2
        reward, ends = jnp.float32(state + 1), (over & (not cut), over & cut)
        return state + 1, TimeStep(obs, reward, *ends, obs, {})

    space = Box((1,), "float32", 0.0, 3.0)
    return Environment("counter", space, Discrete(3), 3, (), init, step)


def test_actions_are_those_that_the_environment_takes():
    space = Box((2,), "float32", -0.7, (0.3, 1.0))
    found = experience.taken(space, jnp.array([[0.5, 0.5], [-2.0, 2.0]]))
    np.testing.assert_array_equal(found, np.array([[0.3, 0.5], [-0.7, 1.0]], np.float32))
    env, steps = counter(True)._replace(action=space), some().steps
    check_steps(env, steps._replace(action=np.tile(found, (2, 1))))  # 0.3 is more in float32


class Nothing(NamedTuple):
    """Hypers of an agent that has one."""

    unused: float = 0.0


def told(env):
    """An agent whose state is its action, and one more where it explores."""

    def act(noise, hypers, state, memory, obs, explore):
        action = jnp.full(obs.shape[0], state["action"] + explore, jnp.int32)
        return memory, action, {"noted": action}

    rest = None, None, act, None, None, lambda key, n: ()
    return Agent("told", env.observation, env.action, Nothing(), 1, 1, *rest[1:])


def member(env, agent, action):
    return Policy(agent, env, {"action": np.int32(action)}, Nothing(np.float32(0)), env.params)


def test_environments_play_one_episode_after_the_other_and_are_cut_at_the_end():
    for cut in (True, False):
        found = datasets.random(counter(cut), 11, num_envs=2)  # the second one plays a step less
        steps, obs = found.steps, [0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1]
        over = np.array(obs) == 2
        np.testing.assert_array_equal(steps.obs[:, 0], obs)
        np.testing.assert_array_equal(steps.next_obs[:, 0], np.array(obs) + 1)
        np.testing.assert_array_equal(steps.terminated, over & (not cut))
        np.testing.assert_array_equal(steps.truncated, (over & cut) | (np.arange(11) == 10))
        assert steps.action.dtype == np.int32 and {*steps.action} <= {0, 1, 2}
        assert steps.extras == {} and steps.life_lost is None
        assert found.record == Record("random", "counter", "uniform", (0,), 3, 6.0)
        np.testing.assert_array_equal(datasets.episodes(steps).episode_return, [6, 6, 6, 3])


def test_several_members_act_in_equal_parts():
    env = counter(True)
    agent = told(env)
    both = [member(env, agent, action) for action in (0, 1)]
    found = datasets.collect(both, 12, num_envs=2, explore=False)
    np.testing.assert_array_equal(found.steps.action, np.repeat([0, 1], 6))
    explored = datasets.collect([*both, member(env, told(env), 1)], 9.0, num_envs=1, name="x")
    np.testing.assert_array_equal(explored.steps.action, np.repeat([1, 2, 2], 3))
    assert (explored.record.name, explored.record.policy) == ("x", "told")
    for change, text in (
        ({"steps": 1.5}, "steps: expected an integer of at least 1, got 1.5"),
        ({"seed": -1}, "seed: expected an integer in 0"),
        ({"policy": [both[0], 3]}, r"policy\[1\]: expected a Policy, got 3"),
        (
            {"policy": [both[0], member(env._replace(name="other"), agent, 0)]},
            "policy: expected members in counter, as the first is, got 'other'",
        ),
    ):
        with pytest.raises(ValueError, match=text):
            datasets.collect(**{"policy": both, "steps": 12} | change)


def remembering(ring, num_envs, rollout_length):
    """A member that has nothing but a ring of the histories."""
    env = probes.delayed_reward()._replace(
        observation=histories.OBSERVATION, action=histories.ACTION
    )
    agent = told(env)._replace(num_envs=num_envs, rollout_length=rollout_length)
    return Policy(agent, env, {"replay": ring}, Nothing(np.float32(0)), env.params)


def test_a_ring_is_read_from_its_oldest_step_on():
    sizes = {"num_envs": 2, "rollout_length": 3, "max_n": 1, "time_limit": 1}
    replay, ends = histories.compiled(capacity=24, **sizes), np.zeros((2, 15, 2), bool)
    ends[0, 5, 0] = ends[1, 8, 1] = ends[1, 14, 0] = True  # terminated, cut, cut
    ring = replay.init()
    for row in range(0, 15, 3):  # 12 rows are kept, so it wraps
        ring = replay.add(ring, histories.rollout(row, *ends[:, row : row + 3]))
    found = datasets.from_replay(remembering(ring, 2, 3))
    steps = found.steps
    obs = np.array([*range(3, 15), *range(1003, 1014)], np.float32)
    np.testing.assert_array_equal(steps.obs[:, 0], obs)
    after = obs + 1
    # Its own observation stands for a successor without value; cuts have theirs.
    after[obs == 5], after[obs == 14], after[obs == 1008] = 5, 14.5, 1008.5
    np.testing.assert_array_equal(steps.next_obs[:, 0], after)
    np.testing.assert_array_equal(obs[steps.terminated], [5])
    np.testing.assert_array_equal(obs[steps.truncated], [14, 1008, 1013])
    np.testing.assert_array_equal(steps.reward, [*range(3, 15), *(np.arange(3, 14) + 1 / 8)])
    # The newest step of the second environment has no successor yet. One episode is whole.
    assert found.record == Record(
        "medium-replay", probes.delayed_reward().name, "told", (), 1, sum(range(6, 15)), lost=1
    )


def test_a_cut_whose_successor_is_lost_is_dropped_and_its_episode_ends_before():
    sizes = {"num_envs": 1, "rollout_length": 12, "max_n": 10}
    replay, ends = histories.compiled(capacity=24, **sizes), np.zeros((2, 12, 1), bool)
    ends[1, [4, 9], 0] = True
    ring = replay.add(replay.init(), histories.rollout(0, *ends))
    found = datasets.from_replay([remembering(ring, 1, 12)])
    steps = found.steps
    np.testing.assert_array_equal(steps.obs[:, 0], [0, 1, 2, 3, 5, 6, 7, 8, 9, 10])
    np.testing.assert_array_equal(steps.next_obs[:, 0], [1, 2, 3, 4, 6, 7, 8, 9, 9.5, 11])
    np.testing.assert_array_equal(steps.obs[steps.truncated, 0], [3, 9, 10])
    assert (found.record.lost, found.record.episodes) == (2, 1)  # rows 4, 11; 5 to 9
    with pytest.raises(ValueError, match="policy: expected members with steps in their replay"):
        datasets.from_replay(remembering(replay.init(), 1, 12))
    env = counter(True)
    with pytest.raises(ValueError, match="policy: expected an agent with one replay, told has 0"):
        datasets.from_replay(member(env, told(env), 0))


def test_sets_of_graded_quality_come_from_members_at_two_times():
    env = counter(True)
    agent, spaces = told(env), (env.observation, env.action)
    replay = pjs.buffers.uniform(*spaces, capacity=6, num_envs=1, rollout_length=3)
    flags = np.zeros((3, 1), bool)
    obs, over = np.arange(3, dtype=np.float32)[:, None, None], np.array([[0], [0], [1]], bool)
    fields = obs, np.ones((3, 1), np.int32), obs[..., 0], flags, over, obs + 1
    medium = member(env, agent, 0)
    medium.state["replay"] = replay.add(replay.init(), Transition(*fields, {}))
    sets = datasets.graded(medium, member(env, agent, 1), 12, num_envs=2, explore=False)
    lengths = {"random": 12, "medium": 12, "medium-replay": 3, "medium-expert": 24, "expert": 12}
    assert {name: len(one.steps.reward) for name, one in sets.items()} == lengths
    means = {name: one.record.mean_return for name, one in sets.items()}
    assert means == dict.fromkeys(lengths, 6.0) | {"medium-replay": 3.0}
    for name, one in sets.items():
        assert one.record.name == name
        assert (one.record.random_return, one.record.expert_return) == (6.0, 6.0)
    np.testing.assert_array_equal(sets["medium-expert"].steps.action, np.repeat([0, 1], 12))
    record = sets["medium-expert"].record
    assert (record.policy, record.seeds, record.episodes) == ("told", (1, 2), 8)
    with pytest.raises(ValueError, match="expert policy that differ, got 6.0 and 6.0"):
        record.normalized(1.0)
    assert record._replace(random_return=-1.0, expert_return=3.0).normalized(0.0) == 25.0


def some(end=True, **changes):
    obs, flags = np.arange(4, dtype=np.float32)[:, None], np.zeros(4, bool)
    over = flags.copy()
    over[-1] = end
    given = obs, np.zeros(4, np.int32), np.ones(4, np.float32), over, flags, obs + 1
    steps = Transition(*given, {})._replace(**changes)
    return Experience(steps, Record("some", "counter", "told", (3,), 1, 4.0, -1.0, 2.0))


def test_saved_sets_are_loaded_as_they_were(tmp_path):
    whole = some(extras={"next": {"action": np.arange(4, dtype=np.int8)}})
    whole.save(tmp_path / "some")
    found = datasets.load(tmp_path / "some")
    assert found.record == whole.record and str(found).startswith("some of counter by told: 4 ")
    jax.tree.map(np.testing.assert_array_equal, found.steps, whole.steps)
    assert found.steps.extras["next"]["action"].dtype == np.int8
    with pytest.raises(ValueError, match="expected a new or empty folder, got .*some"):
        whole.save(tmp_path / "some")
    with pytest.raises(ValueError, match="steps.extras: expected nested dicts whose names have no"):
        some(extras={"a.b": np.zeros(4)}).save(tmp_path / "other")
    with pytest.raises(ValueError, match="expected a saved data set, got .*: there is no such"):
        datasets.load(tmp_path / "other")
    experience.stored.write(tmp_path / "newer", whole.steps, {"name": "x", "more": 3})
    with pytest.raises(ValueError, match="newer: expected a record of name, .*, got name, more"):
        datasets.load(tmp_path / "newer")
    arrays = tmp_path / "some" / "arrays.npz"
    arrays.write_bytes(arrays.read_bytes()[:-1] + b"x")
    with pytest.raises(ValueError, match="arrays.npz is damaged"):
        datasets.load(tmp_path / "some")
    arrays.unlink()
    with pytest.raises(ValueError, match="arrays.npz is missing"):
        datasets.load(tmp_path / "some")


def test_sets_are_concatenated_if_they_are_alike():
    other = some()
    other = other._replace(record=other.record._replace(name="b", mean_return=1.0, random_return=0))
    both = datasets.concatenate([some(), other])
    assert len(both.steps.reward) == 8 and datasets.episodes(both.steps).first.tolist() == [0, 4]
    assert both.record == Record("some + b", "counter", "told", (3, 3), 2, 2.5, None, 2.0)
    apart = some()._replace(record=Record(environment="other"))
    for wrong, text in (
        (some(end=False), r"sets\[1\]: steps: expected a last step that ends an episode"),
        (some(extras={"x": np.zeros(4)}), r"sets\[1\]: steps: expected the fields obs, action"),
        (some(reward=np.zeros(4)), r"sets\[1\]: steps.reward: expected .*float32"),
        (apart, r"sets\[1\]: environment: expected counter, got 'other'"),
    ):
        with pytest.raises(ValueError, match=text):
            datasets.concatenate([some(), wrong])
