"""Distributions of tasks: what they pay, what is drawn, and what is known of the best policies."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from purejaxrl_suite import envs

KEY = jax.random.key(0)


def task_of(env, key):
    """Parameters of a task."""
    assert env.sample_task is not None
    return env.sample_task(key, env.params)


def test_rewards_of_abc_are_those_of_the_paper():
    env = envs.make("Meta-ABC")
    draw = jax.jit(jax.vmap(lambda key: task_of(env, key).rewards))
    rewards = np.asarray(draw(jax.random.split(KEY, 20_000)))
    low, high = rewards.min(0), rewards.max(0)
    np.testing.assert_allclose(low, [-1.0, -0.5, 0.0], atol=1e-3)
    np.testing.assert_allclose(high, [1.0, 0.0, 0.5], atol=1e-3)
    best = np.maximum(rewards[:, 0], rewards[:, 2])
    assert best.mean() == pytest.approx(0.3958, abs=0.01)  # 19/48
    assert rewards[:, 2].mean() == pytest.approx(0.25, abs=0.01)


@pytest.mark.parametrize(
    ("moves", "number", "reward"),
    [([0, 0, 3, 3], 1, 1.0), ([2, 2], 2, -0.5), ([1, 1, 0, 0], 3, 0.5)],
)
def test_objects_of_abc(moves, number, reward):
    env = envs.make("Meta-ABC")
    state, obs = env.init(KEY, env.params)
    assert int(obs[0]) == 12
    for i, action in enumerate(moves):
        state, time = env.step(KEY, env.params, state, jnp.int32(action))
        last = i == len(moves) - 1
        assert bool(time.terminated) is last and not bool(time.truncated)
        assert float(time.reward) == (reward if last else 0.0)
    assert float(time.info["object"]) == number


def test_abc_is_cut_at_its_time_limit():
    env = envs.make("Meta-ABC", size=3, time_limit=2)
    state, _ = env.init(KEY, env.params)
    for action, cut in ((3, False), (1, True)):
        state, time = env.step(KEY, env.params, state, jnp.int32(action))
        assert bool(time.truncated) is cut and not bool(time.terminated)


def test_arms_pay_for_a_lifetime():
    env = envs.make("Meta-Bandit", arms=3)
    task = task_of(env, KEY)
    paid = [float(env.step(KEY, task, jnp.int32(0), jnp.int32(a))[1].reward) for a in range(3)]
    np.testing.assert_array_equal(paid, task.rewards)
    assert len(set(paid)) == 3 and max(map(abs, paid)) <= 1


@pytest.mark.parametrize("informed", range(6))
def test_catches_by_the_number_of_last_steps_that_are_played_well(informed):
    """(2 k + 1) / 11, by all ways in which 5 - k random moves can go."""
    env = envs.make("Meta-Catch")
    caught = []
    for column in range(11):
        paddles = {5: 1.0}
        for row in range(5):
            after = {}
            for paddle, chance in paddles.items():
                best = int(np.sign(column - paddle)) + 1
                moves = [best] if row >= 5 - informed else [0, 1, 2]
                for move in moves:
                    there = min(max(paddle + move - 1, 0), 10)
                    after[there] = after.get(there, 0.0) + chance / len(moves)
            paddles = after
        caught.append(paddles.get(column, 0.0))
    assert np.mean(caught) == pytest.approx((2 * informed + 1) / 11, abs=1e-9)
    assert env.time_limit == 5


def test_the_best_policy_catches_every_ball():
    env = envs.make("Meta-Catch")

    def play(key):
        state, _ = env.init(key, env.params)
        for _ in range(5):
            action = jnp.sign(state.column - state.paddle) + 1
            state, time = env.step(key, env.params, state, action)
        return time.reward, time.terminated, time.info["success"]

    reward, ended, success = jax.jit(jax.vmap(play))(jax.random.split(KEY, 64))
    assert np.all(reward == 1) and np.all(ended) and np.all(success == 1)


@pytest.mark.parametrize(
    ("id", "options", "message"),
    [
        ("Meta-Bandit", {"arms": 1}, "arms: expected an integer of at least 2"),
        ("Meta-ABC", {"size": 4}, "size: expected an odd number"),
        ("Meta-ABC", {"time_limit": 0}, "time_limit: expected an integer"),
        ("Meta-Catch", {"columns": 13}, "columns: expected an integer in 1 .. 11"),
        ("Meta-Catch", {"columns": 4}, "columns: expected an odd number"),
        ("Meta-Catch", {"depth": 4}, "Meta-Catch has no option depth"),
    ],
)
def test_bad_input(id, options, message):
    with pytest.raises(ValueError, match=message):
        envs.make(id, **options)
