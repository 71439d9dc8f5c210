"""Gymnasium environments on the host: ends of episodes, spaces, and what fails by name."""

import time
from functools import partial

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gymnasium import spaces
from gymnasium.vector import AsyncVectorEnv, AutoresetMode, SyncVectorEnv

from purejaxrl_suite import envs, host_environment, vector_environment
from purejaxrl_suite.core.check import check_environment
from purejaxrl_suite.core.host import HostError
from purejaxrl_suite.core.types import Box, Discrete
from purejaxrl_suite.envs import host_spaces, wrappers
from purejaxrl_suite.envs.multi_task import multi_task
from purejaxrl_suite.envs.remake import remake
from tests.envs.host_games import Broken, Catch, Clinging, Reach, Walk

MODES = tuple(AutoresetMode)


def vector(kind, mode, count, build=Walk, **options):
    """A vector environment of walks whose lengths differ."""
    how = {"context": "spawn"} if kind is AsyncVectorEnv else {}
    made = [partial(build, length=3 + i, **options) for i in range(count)]
    return kind(made, autoreset_mode=mode, **how)


def play(copies, steps, action=0):
    """Open copies' first observations, and their steps, as numbers."""
    first = copies.reset()
    taken = [copies.step(np.full(copies.num_envs, action)) for _ in range(steps)]
    copies.close()
    return first, taken


def check_walks(copies, ends):
    """Two walks, of 3 and 4 places, over five steps, by hand."""
    first, steps = play(copies, 5)
    np.testing.assert_array_equal(first, [[0, 1], [0, 1]])
    shown = [x.obs.tolist() for x in steps]
    assert shown == [
        [[1, 1], [1, 1]],
        [[2, 1], [2, 1]],
        [[0, 2], [3, 1]],
        [[1, 2], [0, 2]],
        [[2, 2], [1, 2]],
    ]
    final = [x.final_obs.tolist() for x in steps]
    assert final[2] == [[3, 1], [3, 1]]
    assert final[3] == [[1, 2], [4, 1]]
    assert [x == y for x, y in zip(shown, final, strict=True)] == [True, True, False, False, True]
    assert [x.reward.tolist() for x in steps] == [[0, 0], [1, 1], [2, 2], [0, 3], [1, 0]]
    done = [[False] * 2] * 2 + [[True, False], [False, True], [False] * 2]
    for name in ("terminated", "truncated"):
        expected = done if ends in (name, "both") else [[False] * 2] * 5
        assert [getattr(x, name).tolist() for x in steps] == expected
    assert [x.info["success"].tolist() for x in steps[1:4]] == [[0, 0], [3, 0], [0, 4]]
    assert steps[0].reward.dtype == np.float32 and steps[0].obs.dtype == np.float32


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("ends", ["terminated", "truncated", "both"])
def test_ends_in_every_autoreset_mode(mode, ends: str):
    build = partial(vector, SyncVectorEnv, mode, ends=ends)
    env = vector_environment(build, name="walks", info=("success",))
    check_walks(env.host.open([1, 2]), ends)


@pytest.mark.slow
@pytest.mark.parametrize("mode", MODES)
def test_ends_in_every_autoreset_mode_of_processes(mode):
    build = partial(vector, AsyncVectorEnv, mode, ends="both")
    env = vector_environment(build, name="walks", info=("success",))
    check_walks(env.host.open([1, 2]), "both")


def test_an_environment_that_reuses_its_array_has_its_own_last_observation():
    """Gymnasium's SyncVectorEnv hands out the array itself, which the reset overwrites."""
    env = host_environment(partial(Walk, reuse=True), name="walk", info=("success",))
    _, steps = play(env.host.open([0]), 4)
    assert steps[2].final_obs.tolist() == [[3, 1]] and steps[2].obs.tolist() == [[0, 2]]


def test_the_mode_is_that_of_the_vector_environment_itself():
    """`metadata` is one for all vector environments of a class: the last one has written there."""
    first = vector(SyncVectorEnv, AutoresetMode.SAME_STEP, 2)
    vector(SyncVectorEnv, AutoresetMode.NEXT_STEP, 2)
    assert first.metadata["autoreset_mode"] is AutoresetMode.NEXT_STEP
    env = vector_environment(lambda count: first, name="walks", info=("success",))
    assert env.host.open([0, 1]).mode == "SameStep"


def test_a_reset_of_all_is_not_taken_for_one_of_some():
    class Careless(SyncVectorEnv):
        def reset(self, *, seed=None, options=None):
            return super().reset(seed=seed)

    def build(count):
        return Careless(
            [partial(Walk, length=3 + i) for i in range(count)],
            autoreset_mode=AutoresetMode.DISABLED,
        )

    copies = vector_environment(build, name="careless").host.open([0, 1])
    with pytest.raises(HostError, match=r"careless: step: expected a reset of some environments"):
        play(copies, 4)


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("raise", "mine: step: environment 1: RuntimeError: the dragon came"),
        ("nan", r"mine: step: environment 1: observation \[nan nan\] is not finite"),
        ("reward", "mine: step: environment 1: reward nan is not finite"),
        ("shape", r"mine: step: environment 1: observation: expected shape \(2,\), got \(1,\)"),
        ("dtype", "mine: step: environment 1: observation: expected float32, got <U1"),
    ],
)
def test_failures_name_environment_and_cause(how: str, message: str):
    numbers = iter([-1, 0, 1])  # the first is only looked at
    env = host_environment(lambda: Broken(how, 3, next(numbers), only=1), name="mine")
    copies = env.host.open([0, 1])
    copies.reset()
    for _ in range(2):
        copies.step(np.zeros(2, np.int32))
    with pytest.raises(HostError, match=message):
        copies.step(np.zeros(2, np.int32))
    copies.close()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::UserWarning")  # Gymnasium tells of what its workers raise
@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("die", "mine: step: environment 0: its process died with exit code -9"),
        ("hang", "mine: step: no answer within 3 s"),
        ("raise", "mine: step: environment 0: RuntimeError: the dragon came"),
    ],
)
def test_failures_of_processes(how: str, message: str):
    build = partial(Broken, how, 2)
    env = host_environment(build, name="mine", asynchronous=True, patience=3.0)
    copies = env.host.open([0])
    copies.reset()
    copies.step(np.zeros(1, np.int32))
    began = time.monotonic()
    with pytest.raises(HostError, match=message):
        copies.step(np.zeros(1, np.int32))
    copies.close()
    assert time.monotonic() - began < 10
    assert not any(process.is_alive() for process in copies.vector.processes)


@pytest.mark.slow
def test_a_process_that_does_not_close_is_killed():
    env = vector_environment(partial(vector, AsyncVectorEnv, MODES[0], build=Clinging), patience=3)
    copies = env.host.open([0, 1])
    copies.reset()
    began = time.monotonic()
    copies.close()
    assert time.monotonic() - began < 12
    assert not any(process.is_alive() for process in copies.vector.processes)


def test_catch_equals_the_one_in_jax_bit_for_bit():
    """On equal starts and actions: observations, rewards, ends and successors.

    gymnax writes rewards of nothing as -0.0 where the paddle is elsewhere.
    """
    theirs = envs.make("Catch-bsuite")
    ours = host_environment(Catch)
    assert (ours.observation, ours.action) == (theirs.observation, theirs.action)
    keys = jax.random.split(jax.random.key(3), 24)
    actions = np.random.default_rng(0).integers(0, 3, (9, 24)).astype(np.int32)

    @jax.jit
    @jax.vmap
    def episode(key, actions):
        def step(state, action):
            return theirs.step(key, theirs.params, state, action)

        state, obs = theirs.init(key, theirs.params)
        return obs, jax.lax.scan(step, state, actions)[1]

    first, steps = jax.device_get(episode(keys, actions.T))
    games = [Catch() for _ in keys]
    columns = [int(np.flatnonzero(obs[0])[0]) for obs in first]
    for i, (game, column) in enumerate(zip(games, columns, strict=True)):
        obs, _ = game.reset(seed=0, options={"column": column})
        np.testing.assert_array_equal(obs, first[i])
        for t in range(9):
            obs, reward, terminated, truncated, _ = game.step(actions[t, i])
            np.testing.assert_array_equal(obs, steps.final_obs[i, t])
            assert obs.dtype == steps.final_obs.dtype
            found = np.float32(reward), terminated, truncated
            assert found == (steps.reward[i, t], steps.terminated[i, t], steps.truncated[i, t])
    assert set(np.unique(steps.reward)) == {-1.0, 0.0, 1.0} and len(set(columns)) > 1


def test_episodes_depend_on_their_own_seed_only():
    env = host_environment(Catch)
    (few, _), (more, _) = (play(env.host.open(seeds), 1) for seeds in ([5, 7], [7, 5, 9]))
    np.testing.assert_array_equal(few, more[[1, 0]])
    first, steps = play(env.host.open([5, 6, 7, 8]), 30)
    again, others = play(env.host.open([5, 6, 7, 8]), 30)
    np.testing.assert_array_equal(first, again)
    for one, two in zip(steps, others, strict=True):
        np.testing.assert_array_equal(one.obs, two.obs)


# --- spaces ---


def test_spaces_of_numbers():
    box, read = host_spaces.observation("obs", spaces.Box(0, 255, (4, 3, 2), np.uint8))
    assert box == Box((4, 3, 2), "uint8", 0.0, 255.0)
    low, high = np.array([-1.0, -np.inf]), np.array([1.0, 1e39])
    box, read = host_spaces.observation("obs", spaces.Box(low, high, dtype=np.float64))
    assert box == Box((2,), "float32", (-1.0, -np.inf), (1.0, np.inf))
    assert read(np.ones((3, 2))).dtype == np.float32
    space = spaces.Box(np.array([-1.0, 0.0], np.float32), np.array([1.0, 2.0], np.float32))
    action, write = host_spaces.action("action", space)
    assert action == Box((2,), "float32", (-1.0, 0.0), (1.0, 2.0))
    np.testing.assert_array_equal(write(np.float32([[-3, 1], [0, 3]])), [[-1, 1], [0, 2]])
    action, write = host_spaces.action("action", spaces.Discrete(3, start=5))
    assert action == Discrete(3) and write(np.int32([0, 2])).tolist() == [5, 7]
    assert write(np.int32([0])).dtype == np.int64


def test_the_stated_flattening():
    """Entries in the order of the space, codes one-hot, numbers row by row."""
    space = spaces.Dict(
        {
            "z": spaces.Discrete(3, start=1),
            "a": spaces.Box(0.0, 2.0, (2, 2), np.float32),
            "codes": spaces.MultiDiscrete([2, 3]),
            "bits": spaces.MultiBinary(2),
            "pair": spaces.Tuple((spaces.Discrete(2), spaces.Box(-1.0, 1.0, (1,), np.float64))),
        }
    )
    box, read = host_spaces.observation("obs", space)
    order = list(space.spaces)
    sizes = {"z": 3, "a": 4, "codes": 5, "bits": 2, "pair": 3}
    assert box.shape == (17,) and box.dtype == "float32"
    batch = {
        "z": np.array([1, 3]),
        "a": np.arange(8, dtype=np.float32).reshape(2, 2, 2),
        "codes": np.array([[0, 2], [1, 0]]),
        "bits": np.array([[0, 1], [1, 1]], np.int8),
        "pair": (np.array([1, 0]), np.array([[0.5], [-0.5]])),
    }
    expected = {
        "z": [[1, 0, 0], [0, 0, 1]],
        "a": [[0, 1, 2, 3], [4, 5, 6, 7]],
        "codes": [[1, 0, 0, 0, 1], [0, 1, 1, 0, 0]],
        "bits": [[0, 1], [1, 1]],
        "pair": [[0, 1, 0.5], [1, 0, -0.5]],
    }
    np.testing.assert_array_equal(read(batch), np.concatenate([expected[k] for k in order], 1))
    high = np.concatenate([np.full(sizes[k], 2.0 if k == "a" else 1.0) for k in order])
    np.testing.assert_array_equal(box.high, high)


@pytest.mark.parametrize(
    ("convert", "space", "message"),
    [
        ("observation", spaces.Text(3), "obs: expected numbers, got Text"),
        ("observation", spaces.Dict({"a": spaces.Text(3)}), r"obs\['a'\]: expected numbers"),
        ("action", spaces.MultiDiscrete([2, 2]), "expected Discrete, or a Box of one axis of fl"),
        ("action", spaces.Box(0, 1, (2, 2)), "expected Discrete, or a Box of one axis of floats"),
        ("action", spaces.Box(0, 9, (2,), np.int64), "expected Discrete, or a Box of one axis"),
    ],
)
def test_other_spaces_are_refused(convert: str, space, message: str):
    with pytest.raises(ValueError, match=message):
        getattr(host_spaces, convert)("obs", space)


class Room(gymnasium.Env):
    """Observations are a Dict, whose last one of an episode must be its own."""

    observation_space = spaces.Dict({"place": spaces.Discrete(4), "x": spaces.Box(0, 9, (1,))})
    action_space = spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.place = 0
        return self._look(), {}

    def step(self, action):
        self.place += 1
        return self._look(), 0.0, self.place == 3, False, {}

    def _look(self):
        return {"place": self.place, "x": np.float32([self.place])}


@pytest.mark.parametrize("mode", MODES)
def test_a_dict_in_every_mode(mode):
    def build(count):
        return SyncVectorEnv([Room] * count, autoreset_mode=mode)

    env = vector_environment(build, name="room")
    assert env.observation == Box((5,), "float32", 0.0, (1.0, 1.0, 1.0, 1.0, 9.0))
    _, steps = play(env.host.open([0, 0]), 3)
    assert steps[1].obs.tolist() == [[0, 0, 1, 0, 2]] * 2
    assert steps[2].final_obs.tolist() == [[0, 0, 0, 1, 3]] * 2
    assert steps[2].obs.tolist() == [[1, 0, 0, 0, 0]] * 2


# --- by id, and as any other environment ---


def test_ids_of_gymnasium():
    env = envs.make("gymnasium:CartPole-v1", time_limit=7)
    assert env.time_limit == 7 and env.action == Discrete(2) and env.observation.shape == (4,)
    assert envs.make("gymnasium:CartPole-v1").time_limit == 500
    copies = env.host.open([0, 1])
    copies.reset()
    ended = [copies.step(np.array([t % 2] * 2)) for t in range(7)]
    assert ended[-1].truncated.all() and not ended[-1].terminated.any()
    assert not ended[-2].truncated.any()
    copies.close()
    again = remake(env.recipe)
    assert again is not None and again.recipe == env.recipe and again.time_limit == 7
    with pytest.raises(
        ValueError, match="no environment 'CartPole-v9'; did you mean .*CartPole-v1"
    ):
        envs.make("gymnasium:CartPole-v9")
    with pytest.raises(ValueError, match="CartPole-v1: it cannot be built: TypeError: .*colour"):
        envs.make("gymnasium:CartPole-v1", colour=1)
    with pytest.raises(ValueError, match="time_limit: expected an integer of at least 1, got 0"):
        envs.make("gymnasium:CartPole-v1", time_limit=0)
    with pytest.raises(ValueError, match="patience: expected a finite number"):
        envs.make("gymnasium:CartPole-v1", patience=0.0)


def test_what_needs_an_environment_in_jax_refuses_one_on_the_host():
    env = host_environment(Catch)
    for wrap in (
        lambda: wrappers.time_limit(env, 5),
        lambda: wrappers.scale_reward(env, 2.0),
        lambda: multi_task([env, env]),
        lambda: check_environment(env, jax.random.key(0)),
    ):
        with pytest.raises(ValueError, match="Catch is stepped on the host: expected an environme"):
            wrap()
    with pytest.raises(ValueError, match="Catch is stepped on the host, so no compiled program"):
        jax.jit(env.init)(jax.random.key(0), env.params)
    with pytest.raises(ValueError, match="build: expected a function that returns a Gymnasium"):
        host_environment(dict)
    with pytest.raises(ValueError, match="walk: expected a vector environment that says its auto"):
        walk = vector(SyncVectorEnv, AutoresetMode.SAME_STEP, 1)
        walk.autoreset_mode = walk.metadata["autoreset_mode"] = None
        vector_environment(lambda count: walk, name="walk").host.open([0])


def test_continuous_actions_are_clipped():
    env = host_environment(Reach)
    assert env.action == Box((2,), "float32", -1.0, 1.0)
    copies = env.host.open([0, 1])
    copies.reset()
    step = copies.step(np.asarray(jnp.array([[5.0, -0.5], [0.5, -9.0]])))
    np.testing.assert_allclose(step.reward, [-0.5, -0.5])
    copies.close()
