"""The rollout: successors, ends of episodes, and the reset pool."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from purejaxrl_suite import stats
from purejaxrl_suite.core.types import Agent, Box, Clock, Discrete, Environment, TimeStep
from purejaxrl_suite.engine import resets
from purejaxrl_suite.engine.rollout import Episodes, counts, rollout, row_of, start
from purejaxrl_suite.engine.train import make_train
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


@functools.cache
def roller(num_envs, length, reset_pool):
    env, agent = counter(), idle(num_envs, length)

    @jax.jit
    def program(key):
        init_key, key = jax.random.split(key)
        run = start(agent, env, init_key, (), ())
        return run, *rollout(agent, env, key, (), (), run, reset_pool=reset_pool)

    return program


def roll(num_envs=8, length=10, reset_pool=1, seed=0):
    return roller(num_envs, length, reset_pool)(jax.random.key(seed))


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


def blocks(updates):
    """The training of 50 environments by single steps, whose agent keeps what it last saw."""

    def update(key, hypers, state, steps):
        return steps.obs[0], {}

    agent = idle(50, 1)._replace(init=lambda *_: jnp.zeros((50, 2)), update=update)
    return make_train(agent, counter(), updates_per_call=updates)


def test_single_steps_share_a_pool_that_lasts_for_a_block_of_them():
    """Of 150 steps 128 share the first: an episode of three steps ends 42 times in them."""
    train = blocks(1)
    keys = jax.vmap(jax.random.key)(jnp.arange(2))

    @jax.jit
    def seen(key):
        def step(run, i):
            run, _ = train.update(key, (), (), run, Clock(i, jnp.int32(150)))
            return run, (run.agent, run.pool.shown, run.pool.ends)

        return jax.lax.scan(step, train.init(key, (), ()), jnp.arange(150))[1]

    obs, pools, ends = map(np.asarray, jax.vmap(seen)(keys))
    assert pools.shape == (2, 150, 16, 50, 2)
    whole = pools[:, [0, 128]]
    np.testing.assert_array_equal(
        pools[:, :128], np.broadcast_to(whole[:, :1], (2, 128, *whole.shape[2:]))
    )
    assert len(np.unique(whole[..., 0])) > 0.99 * whole[..., 0].size, "all of them differ"
    expected = ((whole[..., 0].size / 10 - np.histogram(whole[..., 0], 10, (0, 1e6))[0]) ** 2).sum()
    assert expected / (whole[..., 0].size / 10) < 27.9, "chi-square of deciles at p = 0.001"
    for update in range(3, 150, 3):  # an episode began there, by the end before
        first, count = (0, update // 3) if update <= 128 else (1, update // 3 - 42)
        start = whole[:, first, (count - 1) % 16, :, 0]
        np.testing.assert_array_equal(obs[:, update, :, 0], start, err_msg=str(update))
    np.testing.assert_array_equal(ends[:, 127], 42)
    np.testing.assert_array_equal(ends[:, 128], 1)


def test_pools_that_last_are_part_of_the_state():
    """Calls that stop inside of a block, and members alone, end with the same bits."""
    whole, part = blocks(150), blocks(50)
    keys = jax.vmap(jax.random.key)(jnp.arange(2))

    def all_of(train, clocks):
        def of(key, run, clock):
            return train.train(key, (), (), run, clock)[0]

        one = jax.jit(jax.vmap(of, (0, 0, None)))
        run = jax.vmap(train.init, (0, None, None))(keys, (), ())
        for first in clocks:
            run = one(keys, run, Clock(jnp.int32(first), jnp.int32(150)))
        return one, run

    one, expected = all_of(whole, [0])
    _, found = all_of(part, [0, 50, 100])
    jax.tree.map(np.testing.assert_array_equal, found, expected)
    alone = jax.jit(whole.train)
    run, _ = alone(
        keys[1], (), (), whole.init(keys[1], (), ()), Clock(jnp.int32(0), jnp.int32(150))
    )
    jax.tree.map(lambda x, y: np.testing.assert_array_equal(x, y[1]), run, expected)
    # The clock is no member's own: what draws is a branch, and no choice between two results.
    text = str(jax.make_jaxpr(one)(keys, expected, Clock(jnp.int32(0), jnp.int32(150))))
    assert text.count(" cond[") == 1


def test_who_shares_a_pool():
    env, long, short = counter(), idle(2, 8), idle(2, 7)
    assert [resets.lasts(x, env, 1) for x in (long, short, idle(2, 1))] == [1, 19, 128]
    assert resets.lasts(short, env, 0) == 1, "exact resets"
    assert resets.lasts(short, env._replace(phase=lambda *_: ()), 1) == 1, "a stream"


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
