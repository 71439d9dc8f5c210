"""The rollout: successors, ends of episodes, and the reset pool."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from purejaxrl_suite import stats
from purejaxrl_suite.core.types import Agent, Box, Discrete, Environment, TimeStep
from purejaxrl_suite.engine.rollout import Episodes, counts, rollout, row_of, start
from purejaxrl_suite.envs import wrappers


def counter(limit=3):
    """Episodes of `limit` steps that count up from a random start; truncated when that is odd."""

    def observe(state):
        return jnp.stack([state["start"], state["time"]])

    def init(key, params):
        first = jax.random.randint(key, (), 0, 1_000_000).astype(jnp.float32)
        state = {"start": first, "time": jnp.float32(0)}
        return state, observe(state)

    def step(key, params, state, action):
        state = state | {"time": state["time"] + 1}
        end, odd = state["time"] == limit, state["start"] % 2 == 1
        obs = observe(state)
        info = {"start": state["start"]}
        return state, TimeStep(obs, state["time"], end & ~odd, end & odd, obs, info)

    return Environment("counter", Box((2,)), Discrete(2), limit, (), init, step)


def idle(num_envs, length):
    """An agent that does nothing, and remembers how often it acted."""

    def act(noise, hypers, state, memory, obs, explore):
        return memory + 1, jnp.zeros(obs.shape[0], jnp.int32), {"memory": memory}

    space = Box((2,)), Discrete(2)
    functions = (lambda key, hypers: (), act, None, None, lambda key, n: (), lambda n: jnp.zeros(n))
    return Agent("idle", *space, (), num_envs, length, *functions)


def test_a_life_that_is_lost_ends_nothing_but_what_is_learnt():
    """Episodes of four steps with two lives, of which the second step takes one."""
    env = wrappers.episodic_life(counter(4), lambda state: 2 - (state["time"] >= 2).astype(int))
    agent = idle(8, 8)
    run = start(agent, env, jax.random.key(0), (), ())
    roll = jax.jit(lambda run: rollout(agent, env, jax.random.key(1), (), (), run, reset_pool=1))
    _, steps, metrics = roll(run)
    time = np.arange(8)[:, None] % 4
    np.testing.assert_array_equal(steps.obs[:, :, 1], np.broadcast_to(time, (8, 8)))
    even = np.asarray(steps.obs[:, :, 0]) % 2 == 0
    np.testing.assert_array_equal(steps.terminated, (time == 1) | ((time == 3) & even))
    np.testing.assert_array_equal(steps.truncated, (time == 3) & ~even)
    np.testing.assert_array_equal(steps.extras["memory"], steps.obs[:, :, 1])
    assert metrics["episodes"] == 16 and metrics["episode_return"] == 10


def roll(num_envs=8, length=10, reset_pool=1, seed=0):
    env, agent = counter(), idle(num_envs, length)

    @jax.jit
    def program(key):
        init_key, key = jax.random.split(key)
        run = start(agent, env, init_key, (), ())
        return run, *rollout(agent, env, key, (), (), run, reset_pool=reset_pool)

    return program(jax.random.key(seed))


@pytest.mark.parametrize("reset_pool", [0, 1, 2])
def test_episodes_follow_each_other(reset_pool):
    first, run, transition, metrics = roll(reset_pool=reset_pool)
    obs, following = np.asarray(transition.obs), np.asarray(transition.next_obs)
    done = np.asarray(transition.done)
    time = np.arange(10) % 3
    np.testing.assert_array_equal(obs[:, :, 1], np.repeat(time[:, None], 8, 1))
    np.testing.assert_array_equal(obs[0], first.obs)
    # The successor is the true one, also where the next observation starts another episode.
    np.testing.assert_array_equal(following[:, :, 1], obs[:, :, 1] + 1)
    np.testing.assert_array_equal(following[:, :, 0], obs[:, :, 0])
    np.testing.assert_array_equal(obs[1:][~done[:-1]], following[:-1][~done[:-1]])
    assert (obs[1:][done[:-1]][:, 1] == 0).all()
    np.testing.assert_array_equal(done, np.repeat((time == 2)[:, None], 8, 1))
    odd = obs[:, :, 0] % 2 == 1
    np.testing.assert_array_equal(transition.truncated, done & odd)
    np.testing.assert_array_equal(transition.terminated, done & ~odd)
    # The memory is fresh at the start of each episode; returns are those of whole episodes.
    np.testing.assert_array_equal(transition.extras["memory"], obs[:, :, 1])
    assert metrics["episodes"] == 24
    assert metrics["episode_return"] == 6 and metrics["episode_length"] == 3
    np.testing.assert_allclose(metrics["start"], obs[:, :, 0][done].mean(), rtol=1e-6)
    np.testing.assert_array_equal(run.episode_return, 1.0)


@pytest.mark.parametrize(("reset_pool", "distinct"), [(0, 3), (1, 1), (2, 2), (3, 3)])
def test_a_start_is_not_reused_before_the_pool_is_used_up(reset_pool, distinct):
    _, _, transition, _ = roll(reset_pool=reset_pool)
    starts = np.asarray(transition.obs[:, :, 0])[3::3]  # the three resets of each environment
    assert all(len(set(column)) == distinct for column in starts.T)
    assert len({column[0] for column in starts.T}) == 8  # environments do not share theirs
    again = np.asarray(roll(reset_pool=reset_pool, seed=1)[2].obs[:, :, 0])
    assert not set(again.ravel()) & set(starts.ravel())  # another rollout, another pool


def test_the_pool_draws_from_the_distribution_of_exact_resets():
    """Starts are uniform on a million integers: compare the deciles of 6,000 with a chi-square."""
    for reset_pool in (0, 2):
        obs = roll(num_envs=2000, reset_pool=reset_pool)[2].obs
        starts = np.asarray(obs[:, :, 0])[3:7:3]
        counts = np.histogram(starts, 10, (0, 1_000_000))[0]
        expected = starts.size / 10
        assert ((counts - expected) ** 2 / expected).sum() < 27.9, reset_pool  # p = 0.001


def drawn():
    """Episodes of 2 steps that return 1, and of 9 that return 0, as they are drawn at the start."""

    def init(key, params):
        limit = jnp.where(jax.random.bernoulli(key), 2.0, 9.0)
        state = jnp.stack([limit, jnp.float32(0)])
        return state, state

    def step(key, params, state, action):
        state = state + jnp.array([0.0, 1.0])
        end = state[1] == state[0]
        reward = jnp.float32(end & (state[0] == 2.0))
        return state, TimeStep(state, reward, end, jnp.zeros_like(end), state, {"long": state[0]})

    return Environment("drawn", Box((2,)), Discrete(2), 9, (), init, step)


def test_rows_count_episodes_and_environments_that_have_finished_one():
    """Sums over rows are those over steps, and the share is that of the first ends by hand."""
    env, agent = drawn(), idle(32, 4)

    @jax.jit
    def program(key):
        keys = jax.random.split(key, 81)
        run = start(agent, env, keys[0], (), ())

        def update(run, key):
            run, steps, row = rollout(agent, env, key, (), (), run, reset_pool=2)
            return run, (steps.done, row)

        return jax.lax.scan(update, run, keys[1:])

    run, (done, rows) = program(jax.random.key(1))
    ever = np.cumsum(np.asarray(done).any(axis=1), axis=0) > 0  # [updates, environments]
    np.testing.assert_allclose(rows["finished_once"], ever.mean(axis=1), rtol=1e-6)
    assert rows["finished_once"][0] < 1.0 == rows["finished_once"][-1] and run.finished_once.all()
    np.testing.assert_array_equal(rows["episodes"], np.asarray(done).sum(axis=(1, 2)))
    assert counts(env) == dict.fromkeys(["episode_return", "episode_length", "long"], "episodes")
    # Of N environments in T steps, each short on average 5.5: about 1,900 episodes, half of them
    # short, which is 0.5 within four standard errors; the first updates have short ones only.
    score = stats.final_score(rows["episode_return"], rows["episodes"], share=0.9)
    assert abs(score - 0.5) < 0.05 and rows["episode_return"][0] == 1.0
    length = stats.final_score(rows["long"], rows["episodes"], share=0.9)
    np.testing.assert_allclose(length, 9 - 7 * score, rtol=1e-5)


def test_a_row_of_several_tasks_has_means_counts_and_shares_of_each():
    """Six environments, number i playing task i % 2: by hand."""
    sums = {"episode_return": jnp.array([6.0, 0.0, 3.0, 5.0, 0.0, 0.0])}
    episodes = Episodes(jnp.array([2.0, 0.0, 1.0, 1.0, 0.0, 0.0]), sums)
    once = jnp.array([True, False, True, True, True, False])
    expected = {"episode_return": 14 / 4, "episodes": 4, "finished_once": 4 / 6}
    expected |= {"episode_return_a": 9 / 3, "episodes_a": 3, "finished_once_a": 1}
    expected |= {"episode_return_b": 5 / 1, "episodes_b": 1, "finished_once_b": 1 / 3}
    assert row_of(episodes, once, ("a", "b")) == pytest.approx(expected)
    ended = Episodes(jnp.ones(41), {"episode_return": jnp.ones(41)})
    shares = jax.jit(row_of, static_argnums=2)(ended, jnp.ones(41, bool), ())
    assert shares["finished_once"] == 1.0


def test_metrics_are_nan_where_no_episode_ended():
    metrics = roll(length=2)[3]
    assert metrics["episodes"] == 0 and np.isnan(metrics["episode_return"])
