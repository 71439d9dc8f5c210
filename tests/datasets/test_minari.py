"""Minari's format: what is written is read back bit for bit, and what does not fit is refused."""

import numpy as np
import pytest

from purejaxrl_suite import datasets
from purejaxrl_suite.core.types import Box, Discrete, Environment, Transition
from purejaxrl_suite.datasets import Experience, Record

minari = pytest.importorskip("minari", reason="the extra minari is not installed")
THREE = Discrete(3)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.setenv("MINARI_DATASETS_PATH", str(tmp_path / "minari"))


def world(observation, action=THREE):
    return Environment("world", observation, action, 9, (), None, None)


def written(space, action=THREE):
    """Seven steps: an episode of two that terminates, one of four that is cut, one of one."""
    draw, count = np.random.default_rng(0), 7
    last = np.array([1, 5, 6])
    if np.dtype(space.dtype).kind == "f":
        obs = draw.normal(size=(count + 3, *space.shape)).astype(space.dtype)
    else:
        obs = draw.integers(space.low, space.high, (count + 3, *space.shape), space.dtype, True)
    place = np.arange(count) + np.searchsorted(last, np.arange(count))  # T + 1 to an episode
    acted = draw.integers(3, size=count, dtype=np.int32)
    if isinstance(action, Box):
        acted = draw.uniform(-1, 1, (count, *action.shape)).astype(np.float32)
    terminated, truncated = (np.isin(np.arange(count), x) for x in ([1, 6], [5, 6]))
    reward = draw.normal(size=count).astype(np.float32)
    steps = Transition(obs[place], acted, reward, terminated, truncated, obs[place + 1], {})
    return Experience(steps, Record("some", "world", "dqn", random_return=1.0, expert_return=5.0))


SPACES = (
    Box((3,)),
    Box((40, 40, 3), "uint8", 0, 255),  # which Minari would compress
    Box((2, 2, 4), "bool", 0, 1),
    Box((2,), "int32", -5, 9),
)


@pytest.mark.parametrize("space", SPACES, ids=lambda space: space.dtype)
def test_what_is_written_is_read_back_bit_for_bit(space):
    action = Box((2,), "float32", -1.0, (1.0, 1.0)) if space is SPACES[0] else Discrete(3)
    env, whole = world(space, action), written(space, action)
    made = datasets.to_minari(whole, env, "world/some-v0", author="me")
    assert (made.total_steps, made.total_episodes) == (7, 3)
    assert [len(one.observations) for one in made] == [3, 5, 2]
    for source in ("world/some-v0", minari.load_dataset("world/some-v0")):
        found = datasets.from_minari(source, env)
        for name in Transition._fields[:6]:
            ours, theirs = getattr(whole.steps, name), getattr(found.steps, name)
            assert ours.dtype == theirs.dtype
            np.testing.assert_array_equal(ours, theirs, strict=True)
        mean = float(np.sum(whole.steps.reward, dtype=np.float64)) / 3
        assert found.record.mean_return == pytest.approx(mean)
        expected = ("world/some-v0", "dqn", 3, 1.0, 5.0)
        one = found.record
        assert expected == (
            one.name,
            one.policy,
            one.episodes,
            one.random_return,
            one.expert_return,
        )
    only = made.filter_episodes(lambda episode: len(episode.rewards) == 4)
    np.testing.assert_array_equal(
        datasets.from_minari(only, env).steps.reward, whole.steps.reward[2:6]
    )


def imported(name, observations, space, data_format="hdf5", **spaces):
    """A set of Minari's own types: Python numbers, float64, no flag at the end."""
    steps = len(observations) - 1
    buffer = minari.data_collector.EpisodeBuffer(
        observations=observations,
        actions=np.arange(steps) % 3,
        rewards=[0.5] * steps,
        terminations=[False] * steps,
        truncations=[False] * steps,
    )
    told = {"observation_space": space, "data_format": data_format} | spaces
    with pytest.warns(UserWarning):
        return minari.create_dataset_from_buffers(f"{name}-v0", [buffer, buffer], **told)


def test_other_types_are_converted_and_open_ends_cut():
    import gymnasium.spaces as gym

    three = {"action_space": gym.Discrete(3)}
    found = imported("a", np.arange(3.0)[:, None], gym.Box(-9, 9, (1,), np.float64), **three)
    one = datasets.from_minari(found, world(Box((1,))))
    steps = one.steps
    assert (steps.obs.dtype, steps.action.dtype, steps.reward.dtype) == (
        np.dtype("float32"),
        np.dtype("int32"),
        np.dtype("float32"),
    )
    np.testing.assert_array_equal(steps.next_obs[:, 0], [1, 2, 1, 2])
    np.testing.assert_array_equal(steps.truncated, [False, True, False, True])
    assert one.record.episodes == 0 and one.record.mean_return is None
    long = np.zeros((32_769, 1), np.float32)
    pieces = imported("b", long, gym.Box(-9, 9, (1,)), "arrow", **three)
    with pytest.raises(ValueError, match="expected 32768 steps .* in episode 0, got 32767"):
        datasets.from_minari(pieces, world(Box((1,))))
    big = imported("c", np.full((2, 1), 300), gym.Box(0, 999, (1,), np.int64), **three)
    with pytest.raises(ValueError, match="observations of episode 0: expected numbers of uint8"):
        datasets.from_minari(big, world(Box((1,), "uint8", 0, 255)))
    for space, action, text in (
        (
            Box((2,)),
            Discrete(3),
            r"observation space Box\(shape=\(2,\).*, got Box\(-9.0, 9",
        ),
        (Box((1,)), Discrete(4), r"action space Discrete\(n=4.*, got Discrete\(3\)"),
        (Box((1,)), Box((1,)), r"action space Box\(.*, got Discrete\(3\)"),
    ):
        with pytest.raises(ValueError, match=f"dataset: expected the {text}"):
            datasets.from_minari(found, world(space, action))
    with pytest.raises(ValueError, match="dataset: expected a MinariDataset or the id of a local"):
        datasets.from_minari(None, world(Box((1,))))
    with pytest.raises(ValueError, match="dataset: expected the id of a local one, got .*none-v0"):
        datasets.from_minari("none-v0", world(Box((1,))))


def test_what_episodes_cannot_hold_is_not_written(tmp_path):
    whole, env = written(Box((3,))), world(Box((3,)))
    no = np.zeros(7, bool)
    for change, text in (
        ({"life_lost": ~no}, "steps.life_lost: expected no lost lives"),
        (
            {"next_obs": whole.steps.obs},
            "steps.next_obs: expected the next .* another in step 0",
        ),
        ({"terminated": no, "truncated": no}, "steps: expected a last step that is terminated or"),
        ({"reward": no}, r"steps.reward: expected float32\[7\], got bool"),
    ):
        with pytest.raises(ValueError, match=text):
            datasets.to_minari(Experience(whole.steps._replace(**change)), env, "some-v0")
    datasets.to_minari(whole, env, "some-v0")
    for name, text in (("some-v0", "got 'some-v0': .* is there"), ("some", ""), ("a b-v0", "")):
        with pytest.raises(ValueError, match=f"dataset_id: expected a new name with a .*{text}"):
            datasets.to_minari(whole, env, name)
    with pytest.raises(TypeError):
        datasets.to_minari(whole, env, "other-v0", unknown=3)
    assert [path.name for path in (tmp_path / "minari").iterdir()] == ["some-v0"]
