"""Four rooms and the taxi: walls, goals of training and test, and what a step pays, by hand."""

from collections import deque

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from purejaxrl_suite import envs
from purejaxrl_suite.envs import lifetime_goals as goals

KEY = jax.random.key(0)
UP, RIGHT, DOWN, LEFT = range(4)
FREE = goals.free_cells()


def cell(row, column):
    return FREE.index((row, column))


def walk(start, goal, time=0):
    return goals.Walk(jnp.int32(start), jnp.int32(goal), jnp.int32(time))


def play(env, state, moves):
    """The last step of some moves."""
    time = None
    for move in moves:
        state, time = env.step(KEY, env.params, state, jnp.int32(move))
    return state, time


def distances(after, start):
    found, queue = {start: 0}, deque([start])
    while queue:
        here = queue.popleft()
        for there in after[here]:
            if there not in found:
                found[there] = found[here] + 1
                queue.append(there)
    return found


def test_rooms_are_those_of_gymnax():
    from gymnax.environments.misc import rooms

    walkable = np.asarray(rooms.string_to_bool_map(rooms.four_rooms_map))
    assert len(FREE) == 104 and set(FREE) == set(zip(*np.nonzero(walkable), strict=True))
    assert len(distances(goals.moves_in(FREE), 0)) == 104


def test_doors_and_walls():
    env = envs.make("Meta-FourRooms")
    # From the first room through its right door, at (3, 6), into the second.
    state, time = play(env, walk(cell(3, 5), cell(9, 9)), [RIGHT, RIGHT])
    assert FREE[int(state.place)] == (3, 7) and float(time.reward) == 0.0
    np.testing.assert_array_equal(time.obs, [cell(3, 7), cell(9, 9)])
    # There is a wall beside the door.
    state, _ = play(env, walk(cell(2, 5), cell(9, 9)), [RIGHT])
    assert FREE[int(state.place)] == (2, 5)
    state, _ = play(env, walk(cell(1, 1), cell(9, 9)), [UP, LEFT])
    assert FREE[int(state.place)] == (1, 1)


def test_the_goal_pays_and_ends_and_time_cuts():
    env = envs.make("Meta-FourRooms", time_limit=2)
    _, time = play(env, walk(cell(2, 1), cell(2, 3)), [RIGHT])
    assert not bool(time.terminated) and not bool(time.truncated)
    _, time = play(env, walk(cell(2, 1), cell(2, 3)), [RIGHT, RIGHT])
    assert float(time.reward) == float(time.info["success"]) == 1.0
    assert bool(time.terminated) and not bool(time.truncated)
    _, time = play(env, walk(cell(2, 1), cell(2, 4)), [RIGHT, RIGHT])
    assert float(time.reward) == 0.0 and bool(time.truncated) and not bool(time.terminated)


def drawn(env, count=3000):
    keys = jax.random.split(KEY, count)
    state, obs = jax.jit(jax.vmap(env.init, (0, None)))(keys, env.params)
    return state, np.asarray(obs)


def test_goals_of_training_and_of_test():
    places = {}
    for test in (False, True):
        state, obs = drawn(envs.make("Meta-FourRooms", test=test))
        assert not np.any(state.place == state.goal)
        assert len(set(np.asarray(state.place).tolist())) == 104
        places[test] = {FREE[i] for i in set(obs[:, 1].tolist())}
    assert len(places[False]) == 27 and len(places[True]) == 9
    assert {(y < 6, x < 6) for y, x in places[False]} == {
        (True, True),
        (True, False),
        (False, False),
    }
    assert {(y < 6, x < 6) for y, x in places[True]} == {(False, True)}


@pytest.mark.parametrize("id", ["Meta-FourRooms", "Meta-Taxi"])
def test_a_lifetime_has_one_goal(id):
    env = envs.make(id)
    assert env.sample_task is not None
    task = env.sample_task(KEY, env.params)
    assert float(jnp.sum(task.chances)) == float(jnp.max(task.chances)) == 1.0
    assert float(env.params.chances[int(jnp.argmax(task.chances))]) > 0
    keys = jax.random.split(KEY, 20)
    goal = jax.vmap(env.init, (0, None))(keys, task)[1][:, -1]
    assert np.all(goal == jnp.argmax(task.chances))


def pair(source, aim):
    return goals.PAIRS.index((source, aim))


def ride(row, column, goal, aboard=0, time=0):
    numbers = row * goals.SIZE + column, aboard, goal, time
    return goals.Ride(*(jnp.int32(x) for x in numbers))


def test_a_ride():
    """From the upper left landmark to the lower left one, on an open column."""
    env = envs.make("Meta-Taxi")
    goal = pair(0, 3)
    state, time = play(env, ride(1, 0, goal), [UP])
    np.testing.assert_array_equal(time.obs, [0, 1, goal])
    assert float(time.reward) == 0.0 and not bool(time.terminated)
    state, time = play(env, state, [DOWN] * 5)
    assert not bool(time.terminated)
    state, time = play(env, state, [DOWN])
    assert float(time.reward) == 1.0 and bool(time.terminated)


def test_without_the_passenger_the_aim_is_a_cell():
    env = envs.make("Meta-Taxi")
    state, time = play(env, ride(5, 0, pair(0, 3)), [DOWN])
    assert float(time.reward) == 0.0 and not bool(time.terminated) and int(state.aboard) == 0


def test_walls_of_the_board():
    env = envs.make("Meta-Taxi")
    goal = pair(0, 3)
    for row, column, move in [(0, 2, RIGHT), (0, 3, LEFT), (4, 1, RIGHT), (6, 5, LEFT), (0, 4, UP)]:
        state, _ = play(env, ride(row, column, goal), [move])
        assert int(state.place) == row * goals.SIZE + column
    state, _ = play(env, ride(3, 2, goal), [RIGHT])
    assert int(state.place) == 3 * goals.SIZE + 3
    cells = [(row, column) for row in range(7) for column in range(7)]
    assert len(distances(goals.moves_in(cells, goals.WALLS), 0)) == 49


def test_pairs_of_training_and_of_test():
    """Every landmark is a source and an aim in both."""
    found = {}
    for test in (False, True):
        state, obs = drawn(envs.make("Meta-Taxi", test=test), 500)
        found[test] = {goals.PAIRS[i] for i in set(obs[:, -1].tolist())}
        sources = np.array([goals.LANDMARKS[goals.PAIRS[i][0]] for i in obs[:, -1].tolist()])
        waits = sources @ [goals.SIZE, 1]
        np.testing.assert_array_equal(state.aboard, state.place == waits)
    assert len(found[False]) == 8 and found[True] == {(0, 1), (1, 2), (2, 3), (3, 0)}
    assert not found[False] & found[True]
    for pairs in found.values():
        assert {a for a, _ in pairs} == {b for _, b in pairs} == set(range(4))


@pytest.mark.parametrize("id", ["Meta-FourRooms", "Meta-Taxi"])
def test_bad_input(id):
    with pytest.raises(ValueError, match="time_limit: expected an integer"):
        envs.make(id, time_limit=0)
