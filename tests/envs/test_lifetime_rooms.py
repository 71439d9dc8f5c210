"""Boxes with a key, objects that swap, and a random walk whose ends do: by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from purejaxrl_suite import envs
from purejaxrl_suite.core.types import Clock

KEY = jax.random.key(0)
UP, RIGHT, DOWN, LEFT = range(4)


def play(env, moves, params=None):
    """Rewards and ends of an episode, and its last step."""
    params = env.params if params is None else params
    state, _ = env.init(KEY, params)
    steps = []
    for move in moves:
        state, time = env.step(KEY, params, state, jnp.int32(move))
        steps.append(time)
    rewards = [round(float(time.reward), 6) for time in steps]
    return rewards, [bool(time.terminated) for time in steps], steps[-1]


def test_boxes_open_with_a_key_alone():
    env = envs.make("Meta-KeyBox")
    assert env.observation.categories == (50,)
    # To the place of A without the key: nothing; on to the key in the lower left corner.
    rewards, ended, time = play(env, [UP, UP, LEFT, LEFT])
    assert rewards == [0.0] * 4 and not any(ended) and int(time.obs[0]) == 0
    rewards, ended, time = play(env, [DOWN, DOWN, LEFT, LEFT])
    assert rewards == [0.0, 0.0, 0.0, -0.1] and not any(ended) and int(time.obs[0]) == 25 + 20
    # The key is paid once, and opens A above it.
    rewards, ended, time = play(env, [LEFT, LEFT, DOWN, DOWN, LEFT, UP, UP, UP, UP])
    assert rewards == [0.0, 0.0, 0.0, -0.1, 0.0, 0.0, 0.0, 0.0, 1.0]
    assert ended == [False] * 8 + [True] and float(time.info["object"]) == 1


def test_boxes_pay_what_objects_of_abc_pay():
    room, plain = envs.make("Meta-KeyBox"), envs.make("Meta-ABC")
    task = room.sample_task(KEY, room.params)
    np.testing.assert_array_equal(task.rewards, plain.sample_task(KEY, plain.params).rewards)
    rewards, _, _ = play(room, [LEFT, LEFT, DOWN, DOWN, RIGHT, RIGHT], task)
    assert rewards[3] == pytest.approx(-0.1)
    assert rewards[-1] == pytest.approx(float(task.rewards[1]), abs=1e-6)
    assert room.time_limit == plain.time_limit
    state, _ = room.init(KEY, room.params)
    state, time = room.step(KEY, room.params, state._replace(time=jnp.int32(19)), jnp.int32(UP))
    assert bool(time.truncated) and not bool(time.terminated)


def test_a_and_c_swap():
    env = envs.make("Meta-SwappedABC", phase_length=3)
    tasks = jax.vmap(lambda key: env.sample_task(key, env.params))(jax.random.split(KEY, 64))
    found = {tuple(row) for row in np.asarray(tasks.rewards).tolist()}
    assert found == {(1.0, -0.5, -1.0), (-1.0, -0.5, 1.0)}
    begins, first = [], []
    for update in range(8):
        params, begin = env.phase(env.params, Clock(jnp.int32(update), np.int32(8)))
        begins.append(bool(begin))
        first.append(play(env, [UP, UP, LEFT, LEFT], params)[0][-1])
    assert first == [1.0] * 3 + [-1.0] * 3 + [1.0] * 2
    assert begins == [False, False, False, True, False, False, True, False]


def test_a_random_walk():
    env = envs.make("Meta-RandomWalk", phase_length=2)
    params = env.params._replace(left=np.float32(0.0))
    rewards, ended, _ = play(env, [0, 0, 0], params)
    assert rewards == [0.0, 0.0, 1.0] and ended == [False, False, True]
    rewards, ended, _ = play(env, [0, 0, 0], params._replace(left=np.float32(1.0)))
    assert rewards == [0.0, 0.0, -1.0] and ended == [False, False, True]
    swapped, begins = env.phase(params, Clock(jnp.int32(2), np.int32(8)))
    assert play(env, [0, 0, 0], swapped)[0][-1] == -1.0 and bool(begins)


def test_values_of_the_random_walk():
    """(i - 2) / 3, by many episodes from each state."""
    env = envs.make("Meta-RandomWalk")

    def worth(key, state):
        def step(carry, key):
            state, total, alive = carry
            after, time = env.step(key, env.params, state, jnp.int32(0))
            total = total + jnp.where(alive, time.reward, 0.0)
            return (after, total, alive & ~time.terminated), None

        start = state, jnp.float32(0.0), jnp.ones((), bool)
        return jax.lax.scan(step, start, jax.random.split(key, 100))[0][1]

    keys = jax.random.split(KEY, (5, 4000))
    found = jax.jit(jax.vmap(jax.vmap(worth, (0, None))))(keys, jnp.arange(5, dtype=jnp.int32))
    np.testing.assert_allclose(found.mean(axis=1), (np.arange(5) - 2) / 3, atol=0.05)


def test_bad_input():
    for id, options, message in [
        ("Meta-KeyBox", {"size": 4}, "size: expected an odd number"),
        ("Meta-KeyBox", {"time_limit": 0}, "time_limit: expected an integer"),
        ("Meta-SwappedABC", {"phase_length": 0}, "phase_length: expected an integer"),
        ("Meta-RandomWalk", {"phase_length": 0}, "phase_length: expected an integer"),
    ]:
        with pytest.raises(ValueError, match=message):
            envs.make(id, **options)
