"""Several tasks as one environment: what they share, what tells them, what is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from purejaxrl_suite import make
from purejaxrl_suite.core import spaces
from purejaxrl_suite.core.check import check_environment
from purejaxrl_suite.core.types import Box, Discrete
from purejaxrl_suite.envs import probes, wrappers
from purejaxrl_suite.envs.continual import continual
from purejaxrl_suite.envs.multi_task import family, multi_task, only, task_labels
from purejaxrl_suite.studies.minatar import FOUR_GAMES

KEY = jax.random.key(0)


def pair(**options):
    """A one-step task of two actions, and one of five steps and three actions."""
    recall = probes.recall()._replace(action=Discrete(3))
    return multi_task([probes.constant_reward(), recall], **options)


def test_the_spaces_that_tasks_share():
    env = pair()
    assert env.tasks == ("constant_reward", "recall") and env.name == "constant_reward+recall"
    assert env.observation == Box((4,), "float32", -1.0, 1.0, tasks=2)
    assert env.action == Discrete(3, ((True, True, False), (True, True, True)))
    assert env.time_limit == 5
    assert spaces.without_task(env.observation) == Box((2,), "float32", -1.0, 1.0)
    check_environment(env, KEY, steps=12)
    for task in (0, 1):
        _, obs = env.init(KEY, env.params[task])
        np.testing.assert_array_equal(obs[2:], np.eye(2)[task])
        assert int(spaces.task_of(env.observation, obs)) == task
    np.testing.assert_array_equal(env.init(KEY, env.params[0])[1][:2], [0.0, 0.0])
    labels = task_labels(env)(jnp.zeros((2, 4)))
    np.testing.assert_array_equal(labels, [[0, 1, 0, 1]] * 2)


def test_minatar_s_games_share_channels_and_actions():
    env = make("Breakout-MinAtar+SpaceInvaders-MinAtar")
    assert env.observation == Box((10, 10, 8), "uint8", 0.0, 1.0, tasks=2)
    assert env.action.valid == ((True,) * 3 + (False,), (True,) * 4)

    def begun(env, params):
        @jax.jit
        def program(params):
            state, obs = env.init(KEY, params)
            return obs, env.step(KEY, params, state, jnp.int32(2))[1]

        return jax.device_get(program(params))

    for task, channels in enumerate((4, 6)):
        alone = make(env.tasks[task])
        obs, now = begun(env, env.params[task])
        plain, then = begun(alone, alone.params)
        np.testing.assert_array_equal(obs[..., :channels], plain)
        np.testing.assert_array_equal(obs[..., channels:6], 0)
        told = np.zeros((10, 10, 2))
        told[..., task] = 1
        np.testing.assert_array_equal(obs[..., 6:], told)
        np.testing.assert_array_equal(now.obs[..., :channels], then.obs)
        assert now.reward == then.reward
    hidden = make("Breakout-MinAtar+SpaceInvaders-MinAtar", use_minimal_action_set=False)
    assert hidden.action == Discrete(6)


def test_grids_of_codes_are_tasks_too():
    env = make("Navix-Empty-5x5-v0+Navix-DoorKey-5x5-v0")
    plain = make("Navix-Empty-5x5-v0").observation
    assert env.observation.categories == (*plain.categories, 2, 2)
    assert env.observation.tasks == 2
    _, obs = jax.jit(env.init)(KEY, env.params[1])
    np.testing.assert_array_equal(obs[0, 0, -2:], [0, 1])
    hidden = multi_task([make(name) for name in env.tasks], show_task=False)
    assert hidden.observation == plain and not hidden.observation.tasks


def test_a_family_has_one_dynamics_and_its_own_parameters():
    cart = make("CartPole-v1")
    members = family(cart, [cart.params.replace(gravity=g) for g in (5.0, 20.0)])
    env = multi_task(members)
    assert env.tasks == ("CartPole-v1-0", "CartPole-v1-1")
    assert jax.tree.structure(env.params[0]) == jax.tree.structure(env.params[1])
    other = multi_task([cart, make("Acrobot-v1")])
    assert jax.tree.structure(other.params[0]) != jax.tree.structure(other.params[1])
    state, _ = cart.init(KEY, cart.params)
    for params, member in zip(env.params, members, strict=True):
        found = env.step(KEY, params, state, jnp.int32(1))[0]
        expected = cart.step(KEY, member.params, state, jnp.int32(1))[0]
        np.testing.assert_array_equal(found.theta_dot, expected.theta_dot)
    with pytest.raises(ValueError, match="expected one like"):
        family(cart, [cart.params.replace(gravity=np.array([1.0, 2.0]))])


def test_wrappers_stand_inside_and_outside():
    env = wrappers.clip_reward(wrappers.time_limit(pair(), 2), high=0.5)
    assert env.time_limit == 2 and env.tasks
    check_environment(env, KEY, steps=8)
    state, _ = env.init(KEY, env.params[0])
    assert env.step(KEY, env.params[0], state, jnp.int32(0))[1].reward == 0.5
    alone = only(env, 1)
    assert alone.name == "recall" and not alone.tasks and alone.observation == env.observation
    check_environment(alone, KEY, steps=8)


def test_valid_actions_of_minatar_are_those_that_the_games_have():
    games = [make(name, use_minimal_action_set=False) for name in FOUR_GAMES]
    env = multi_task(games, valid=[(0, 1, 2, 3, 4), (0, 1, 3), (0, 2, 4), (0, 1, 3, 5)])
    observations = (
        jnp.zeros((4, 10, 10, 11), "uint8")
        .at[..., 7:]
        .set(jnp.eye(4, dtype="uint8")[:, None, None])
    )
    found = spaces.valid_actions(env.observation, env.action, observations)
    np.testing.assert_array_equal(found.sum(1), [5, 3, 3, 4])
    assert env.action.n == 6 and env.observation.shape == (10, 10, 11)


def test_what_cannot_be_played_by_one_agent_is_refused():
    one, recall = probes.constant_reward(), probes.recall()
    for tasks, message in (
        ([], "envs: expected a list of 1 or more"),
        ([one, one], "distinct names"),
        ([one, probes.tracking()], "expected all Discrete or one Box"),
        ([one, continual([one, recall], 2)], "tasks or phases of its own"),
        ([one, make("Catch-bsuite")], "of one dtype and rank"),
    ):
        with pytest.raises(ValueError, match=message):
            multi_task(tasks)
    with pytest.raises(ValueError, match="observations must tell them"):
        pair(show_task=False)
    for valid in ([(0, 1)], [(0, 2), (0,)], [(0,), ()]):
        with pytest.raises(ValueError, match="valid: .* expected for each environment some"):
            pair(valid=valid)
    with pytest.raises(ValueError, match="task: expected an integer in 0 .. 1, got 2"):
        only(pair(), 2)
    with pytest.raises(ValueError, match="expected those of one task"):
        pair().init(KEY, pair().params)
    with pytest.raises(ValueError, match="does not tell the task"):
        spaces.task_of(one.observation, jnp.zeros(1))
    with pytest.raises(ValueError, match="has no tasks"):
        task_labels(one)


def test_tasks_that_lifetimes_draw():
    """Each environment draws its own; one without a distribution stays as it is."""
    bandits = family(make("Meta-Bandit"), [make("Meta-Bandit").params] * 2)
    plain = bandits[1]._replace(name="plain", sample_task=None)
    env = multi_task([*bandits, plain])
    assert env.sample_task is not None and pair().sample_task is None
    drawn = env.sample_task(KEY, env.params)
    assert jax.tree.structure(drawn) == jax.tree.structure(env.params)
    rewards = [next(iter(task.env.values())).rewards for task in drawn]
    assert [int(task.place) for task in drawn] == [0, 1, 2]
    assert np.all(rewards[0] != rewards[1])
    np.testing.assert_array_equal(rewards[2], make("Meta-Bandit").params.rewards)
    one = only(env, 1)
    assert one.sample_task is not None
    alone = one.sample_task(KEY, one.params)
    assert np.all(next(iter(alone.env.values())).rewards != rewards[2])
    for i, paid in enumerate(rewards):
        state, _ = env.init(KEY, drawn[i])
        assert float(env.step(KEY, drawn[i], state, jnp.int32(1))[1].reward) == paid[1]
