"""Grids and chains that rules are learnt on: objects, walls, draws, and what the best can get."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import purejaxrl_suite as pjs
from purejaxrl_suite import envs
from purejaxrl_suite.envs import lifetime_grids
from purejaxrl_suite.envs.lifetime_grids import FAMILIES, GridTask, optimal_return

KEY = jax.random.key(0)


def task(cells, rewards, ends=0.0, returns=0.0, limit=6, walls=()):
    """A task on nine cells, whose objects all end and return with the same probability."""
    solid = np.zeros(9, bool)
    solid[list(walls)] = True
    return GridTask(
        walls=solid,
        cells=np.array(cells, np.int32),
        rewards=np.array(rewards, np.float32),
        ends=np.full(len(cells), ends, np.float32),
        returns=np.full(len(cells), returns, np.float32),
        limit=np.int32(limit),
    )


def drawn(env, count):
    """Tasks that are drawn."""
    assert env.sample_task is not None
    draw = jax.jit(jax.vmap(env.sample_task, (0, None)))
    return jax.tree.map(np.asarray, draw(jax.random.split(KEY, count), env.params))


def small(objects=1, **options):
    known = {"sides": [3, 3], "walls": 0, "objects": [1, objects], "time_limits": [6, 6]}
    return envs.make("Meta-Grids", **known | options)


def walk(env, params, place, actions, there=None):
    """Rewards, ends and cells of a walk from a place."""
    state, _ = env.init(KEY, params)
    there = state.there if there is None else jnp.array(there)
    state = state._replace(place=jnp.int32(place), there=there)
    found = []
    for action in actions:
        state, now = env.step(KEY, params, state, jnp.int32(action))
        found.append((float(now.reward), bool(now.terminated), int(state.place)))
    return found, state, now


def test_an_object_pays_once_and_may_end_the_episode():
    env = small()
    stays, state, now = walk(env, task([8], [0.5]), 4, [1, 2, 4])
    assert [x[:2] for x in stays] == [(0.0, False), (0.5, False), (0.0, False)]
    assert not bool(state.there[0]) and int(now.obs[0]) == 8 * 2
    ends, _, _ = walk(env, task([8], [0.5], ends=1.0), 4, [1, 2])
    assert ends[1] == (0.5, True, 8)
    again, state, _ = walk(env, task([8], [0.5], returns=1.0), 4, [1, 2, 4, 4])
    assert [x[0] for x in again] == [0.0, 0.5, 0.0, 0.5]


def test_walls_and_edges_stop():
    env = small()
    params = task([8], [1.0], walls=[1])
    assert [x[2] for x in walk(env, params, 0, [1, 0, 3, 2, 1, 0])[0]] == [0, 0, 0, 3, 4, 4]


def test_an_episode_is_cut_at_the_limit_of_its_task():
    env = small()
    _, state, now = walk(env, task([8], [1.0], limit=3), 0, [4, 4])
    assert not bool(now.truncated)
    _, now = env.step(KEY, task([8], [1.0], limit=3), state, jnp.int32(4))
    assert bool(now.truncated) and not bool(now.terminated)


def test_the_number_of_a_state_tells_cell_and_objects():
    env = small(2)
    state, _ = env.init(KEY, task([0, 1], [1.0, 1.0]))
    seen = {
        int(
            lifetime_grids.look(state._replace(place=jnp.int32(c), there=jnp.array(t)), 9, False)[0]
        )
        for c, t in itertools.product(range(9), itertools.product([False, True], repeat=2))
    }
    assert seen == set(range(36)) and env.observation.categories == (36,)


def test_agents_start_on_free_cells_without_objects():
    env = small(2)
    params = task([0, 4], [1.0, 1.0], walls=[8])
    places = jax.vmap(lambda key: env.init(key, params)[0].place)(jax.random.split(KEY, 256))
    assert set(np.asarray(places).tolist()) == {1, 2, 3, 5, 6, 7}


def test_tasks_keep_their_promises():
    env = envs.make("Meta-Grids", sides=[4, 6], walls=9, objects=[1, 3], time_limits=[5, 50])
    found = drawn(env, 512)
    free, known = np.sum(~found.walls, axis=1), found.cells < 36
    assert free.min() >= 16 - 16 // 3 and free.max() == 36
    assert set(np.sum(known, axis=1)) == {1, 2, 3} and np.all(known[:, 0])
    for walls, cells in zip(found.walls, found.cells, strict=True):
        cells = cells[cells < 36]
        assert len(set(cells)) == len(cells) and not walls[cells].any()
    assert np.all(found.rewards[:, 0] > 0) and np.any(found.rewards[:, 1:] < 0)
    assert np.all(found.rewards[~known] == 0) and np.all(found.returns[~known] == 0)
    assert found.limit.min() >= 5 and found.limit.max() <= 50
    assert found.ends.min() >= 0.01 and found.ends.max() <= 1.0


def test_objects_that_move_have_other_cells_in_each_episode():
    env = envs.make("Meta-RandomGridSmall")
    starts = jax.vmap(lambda key: env.init(key, env.params))(jax.random.split(KEY, 64))
    places, cells = np.asarray(starts[0].place), np.asarray(starts[0].cells)
    assert len(np.unique(cells, axis=0)) > 32
    assert all(len({p, *c}) == 5 for p, c in zip(places, cells, strict=True))
    walls = np.flatnonzero(env.params.walls)
    np.testing.assert_array_equal(walls, [9, 25])
    assert not np.isin(cells, walls).any() and not np.isin(places, walls).any()
    np.testing.assert_array_equal(starts[1], np.concatenate([places[:, None], cells], axis=1))


def best_by_search(params, place, steps):
    """The best undiscounted return from a place, over all sequences of actions; nothing by
    chance."""
    env, best = small(len(params.cells)), -np.inf
    for actions in itertools.product(range(5), repeat=steps):
        total = 0.0
        for reward, ended, _ in walk(env, params, place, actions)[0]:
            total += reward
            if ended:
                break
        best = max(best, total)
    return best


def test_the_best_return_of_a_line_of_cells():
    """One object that pays 1, ends nothing and never returns, two steps: four starts reach it."""
    params = task([8], [1.0], limit=2)
    # cells at distance 1: 5, 7; at distance 2: 2, 4, 6; of 8 free cells
    assert float(optimal_return(params, 4)) == pytest.approx(5 / 8)
    back = task([8], [1.0], returns=1.0, limit=4)
    # collected at distance d, then every second step: 1 + (4 - d) // 2
    by_distance = {1: 2, 2: 3, 3: 2, 4: 1}
    expected = sum(n * (1 + (4 - d) // 2) for d, n in by_distance.items()) / 8
    assert float(optimal_return(back, 4)) == pytest.approx(expected)
    avoided = task([8], [-1.0], limit=4)
    assert float(optimal_return(avoided, 4)) == 0.0


@pytest.mark.slow
def test_the_best_return_equals_a_search():
    params = task([2, 6], [1.0, 0.5], limit=4)
    params = params._replace(ends=np.array([1.0, 0.0], np.float32))
    starts = [c for c in range(9) if c not in (2, 6)]
    found = np.mean([best_by_search(params, place, 4) for place in starts])
    assert float(optimal_return(params, 6)) == pytest.approx(found)


def test_the_first_action_of_a_chain_decides():
    env = envs.make("Meta-DelayedChain", lengths=[3, 4])
    for length, good, action in itertools.product((3, 4), (0, 1), (0, 1)):
        params = env.params._replace(length=np.int32(length), good=np.int32(good))
        state, obs = env.init(KEY, params)
        seen = [int(obs[0])]
        for t in range(length):
            state, now = env.step(KEY, params, state, jnp.int32(action if t == 0 else 1 - action))
            seen.append(int(now.obs[0]))
            last = t == length - 1
            assert bool(now.terminated) is last
            assert float(now.reward) == ((1.0 if action == good else -1.0) if last else 0.0)
        assert seen == [0, *(2 * t + 1 + action for t in range(length))]
        assert float(now.info["success"]) == float(action == good)
    found = drawn(env, 64)
    assert set(found.length.tolist()) == {3, 4} and 0 < np.mean(found.good) < 1


def test_noise_of_a_chain_is_zero_in_the_mean():
    env = envs.make("Meta-DelayedChain", lengths=[3, 3], noise=0.5)
    state, _ = env.init(KEY, env.params)
    step = jax.vmap(lambda key: env.step(key, env.params, state, jnp.int32(0))[1].reward)
    rewards = np.asarray(step(jax.random.split(KEY, 512)))
    assert set(rewards.tolist()) == {-0.5, 0.5} and abs(rewards.mean()) < 0.1


def test_families_are_those_of_the_paper():
    for id, known in FAMILIES.items():
        env = envs.make(id)
        assert env.time_limit == known.limit and env.action == pjs.Discrete(5)
        walls = env.params.walls.reshape(known.side, known.side)
        assert not walls.ravel()[env.params.cells].any()
    assert envs.make("Meta-GridDense").observation.categories == (121 * 16,)
    assert envs.make("Meta-GridLonger").observation.categories == (81 * 128,)


@pytest.mark.parametrize(
    ("id", "options", "message"),
    [
        ("Meta-Grids", {"sides": 4}, "sides: expected the smallest and the largest"),
        ("Meta-Grids", {"sides": [5, 4]}, r"sides\[1\]: expected an integer of at least 5"),
        ("Meta-Grids", {"objects": [0, 1]}, r"objects\[0\]: expected an integer in 1"),
        ("Meta-Grids", {"sides": [2, 9], "objects": [1, 3]}, r"objects\[1\]: expected an integer"),
        ("Meta-Grids", {"sides": [9, 90], "objects": [1, 12]}, "objects: expected at most"),
        ("Meta-Grids", {"walls": -1}, "walls: expected an integer of at least 0"),
        ("Meta-Grids", {"time_limits": [0, 3]}, r"time_limits\[0\]: expected an integer"),
        ("Meta-GridDense", {"side": 3}, "Meta-GridDense has no option side"),
        ("Meta-DelayedChain", {"lengths": [1, 3]}, r"lengths\[0\]: expected an integer of at"),
        ("Meta-DelayedChain", {"lengths": 3}, "lengths: expected the shortest and the longest"),
        ("Meta-DelayedChain", {"noise": -1.0}, "noise: expected a finite number of at least 0"),
    ],
)
def test_bad_input(id, options, message):
    with pytest.raises(ValueError, match=message):
        envs.make(id, **options)
