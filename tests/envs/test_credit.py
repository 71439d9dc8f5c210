"""Tasks of credit assignment: exact probabilities, scripted episodes, and when they pay."""

from itertools import product

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from purejaxrl_suite.envs import credit, make
from purejaxrl_suite.envs.key_to_door import COLOURS, DOOR, INDICATOR, TREES

NORTH, SOUTH, WEST, EAST = range(4)


def played(env, actions, state=None, key=0):
    """States after each action, and the steps, with leaves [T]; from a start, or a given state."""
    start, each = jax.random.split(jax.random.key(key))
    state = env.init(start, env.params)[0] if state is None else state

    def step(state, inputs):
        state, now = env.step(inputs[1], env.params, state, inputs[0])
        return state, (state, now)

    keys = jax.random.split(each, len(actions))
    return jax.jit(lambda s: jax.lax.scan(step, s, (jnp.asarray(actions), keys))[1])(state)


# --- Delayed Catch ---


def test_a_random_policy_catches_as_many_as_in_the_released_code():
    env = credit.delayed_catch(1)
    runs = jnp.asarray(list(product(range(6), range(1, 5))))
    actions = jnp.asarray(list(product(range(3), repeat=6)))
    zero = jnp.int32(0)

    def caught(run, actions):
        ball = jnp.stack([zero, run[0]])
        state = credit.Catch(run[:, None], ball, run[1], run=zero, time=zero, catches=zero)

        def step(state, action):
            return env.step(jax.random.key(0), (), state, action)

        return jax.lax.scan(step, state, actions)[1]

    now = jax.jit(jax.vmap(jax.vmap(caught, (None, 0)), (0, None)))(runs, actions)
    assert np.mean(now.reward[..., -1]) == pytest.approx(0.15266, abs=5e-6)
    assert np.all(now.terminated[..., -1]) and not np.any(now.terminated[..., :-1])


def test_catches_are_paid_at_the_last_step():
    runs = 3
    env = credit.delayed_catch(runs)
    state, _ = env.init(jax.random.key(3), ())
    balls, baskets = np.asarray(state.starts)
    actions = []
    for ball, basket in zip(balls, baskets, strict=True):
        way = [1 + np.sign(ball - basket)] * abs(ball - basket)
        actions += [*way, *[1] * (6 - len(way)), 0]
    after, now = played(env, np.asarray(actions[:-1], np.int32), state)
    assert env.time_limit == len(now.reward) == 7 * runs - 1
    np.testing.assert_array_equal(now.reward, np.eye(20)[-1] * runs)
    np.testing.assert_array_equal(np.flatnonzero(now.terminated), [19])
    assert now.info["catches"][-1] == 1.0
    boards = np.asarray(now.obs)[..., 0]
    assert np.all(boards[:5].sum((1, 2)) == 0) and boards[5].sum() == 1  # the basket hides the ball
    np.testing.assert_array_equal(np.argwhere(boards[6] == -1), [[0, balls[1]]])
    np.testing.assert_array_equal(np.flatnonzero(boards[6, -1]), [baskets[1]])


# --- Trigger chain ---


def test_how_often_a_random_walk_visits_the_trigger():
    env = credit.trigger_chain(1)
    walks = np.asarray(list(product((0, 1), repeat=10)), np.int32)
    places = np.full(len(walks), 4)
    seen = np.zeros(len(walks), bool)
    for t in range(10):
        places = np.clip(places + 2 * walks[:, t] - 1, 0, 8)
        seen |= places == 2
    actions = jnp.asarray(np.pad(walks, ((0, 0), (0, 1))))

    def paid(actions):
        def step(state, action):
            return env.step(jax.random.key(0), (), state, action)

        return jax.lax.scan(step, env.init(jax.random.key(0), ())[0], actions)[1].reward

    rewards = np.asarray(jax.jit(jax.vmap(paid))(actions))
    np.testing.assert_array_equal(rewards[:, -1], seen)
    assert not rewards[:, :-1].any() and seen.mean() == pytest.approx(0.549, abs=5e-4)


def test_noise_hides_whether_the_trigger_was_visited():
    env = make("Credit-TriggerChain", distractors=5)
    there = np.int32([0, 0, *[1] * 8, *[0] * 5])
    away = np.int32([1, 1, *[1] * 8, *[1] * 5])
    _, one = played(env, there)
    _, other = played(env, away)
    np.testing.assert_array_equal(one.obs[9:], other.obs[9:])
    np.testing.assert_array_equal(one.reward[:-1], other.reward[:-1])
    np.testing.assert_array_equal(np.abs(one.reward), [0] * 10 + [1] * 5)
    assert (one.reward[-1], other.reward[-1]) == (1.0, 0.0)
    assert (one.info["trigger"][-1], other.info["trigger"][-1]) == (1.0, 0.0)
    np.testing.assert_array_equal(np.argmax(one.obs, -1)[8:], [8, 9, 9, 9, 9, 10, 10])


# --- Key-to-Door ---


def walk(start, to):
    """Actions from one cell to another, rows first."""
    rows, columns = np.asarray(to) - np.asarray(start)
    return [SOUTH if rows > 0 else NORTH] * abs(rows) + [EAST if columns > 0 else WEST] * abs(
        columns
    )


def with_key(state):
    """Through the passage to the key, and then waiting at a wall."""
    middle = walk(state.player, (state.player[0], 5)) + walk((state.player[0], 5), (2, 5))
    return middle + walk((2, 5), state.key)


def test_a_key_opens_the_door_once():
    env = make("Credit-KeyToDoor")
    state = env.init(jax.random.key(1), ())[0]
    to_key = with_key(state)
    assert len(to_key) <= 15
    rest = [NORTH] * (75 - len(to_key)) + [NORTH, NORTH, SOUTH, NORTH, *[SOUTH] * 6]
    after, now = jax.device_get(played(env, np.int32([*to_key, *rest]), state))
    taken = np.flatnonzero(now.info["key"])
    assert taken[0] == len(to_key) - 1 and taken[-1] == 84
    np.testing.assert_array_equal(np.flatnonzero(after.indicated), [len(to_key) - 1])
    shown = np.all(now.obs == COLOURS[INDICATOR], axis=-1).sum((1, 2))
    np.testing.assert_array_equal(np.flatnonzero(shown), [len(to_key) - 1])
    np.testing.assert_array_equal(np.flatnonzero(now.reward[75:]), [1])
    assert now.reward[76] == 5.0 and now.info["door"][-1] == 1.0
    np.testing.assert_array_equal(np.flatnonzero(now.terminated), [84])
    assert np.all(now.obs[74] == COLOURS[DOOR], axis=-1).sum() == 1  # the first look at phase 3


def test_without_the_key_the_door_is_shut():
    env = make("Credit-KeyToDoor-TVT")
    after, now = played(env, np.int32([SOUTH] * 105 + [NORTH] * 15))
    assert env.time_limit == 120 and not now.reward[105:].any()
    np.testing.assert_array_equal(after.player[-1], [2, 5])
    keys = jax.random.split(jax.random.key(5), 16)
    worths = jax.jit(jax.vmap(lambda key: env.init(key, ())[0].worth))(keys)
    assert set(np.asarray(worths)) == {1.0, 10.0}


def test_apples_grow_again():
    env = make("Credit-KeyToDoor")
    state = env.init(jax.random.key(2), ())[0]
    assert np.sum(state.trees) == 10 and len(TREES) == 22
    # One tree bears apples, to the left of the start of the phase, where the player then waits.
    only = jnp.all(jnp.asarray(TREES) == jnp.array([[5, 3]]), axis=1)
    state = state._replace(trees=only, time=jnp.int32(15), player=jnp.array([5, 5], jnp.int32))
    _, now = played(env, np.int32([WEST, WEST, *[SOUTH] * 50]), state)
    np.testing.assert_array_equal(np.flatnonzero(now.reward), [1, 1 + 22, 1 + 44])
    assert now.info["apples"][-1] == 3.0


def test_options_are_those_of_the_task():
    with pytest.raises(ValueError, match="Credit-TriggerChain has no option runs; it has .'dist"):
        make("Credit-TriggerChain", runs=2)
    with pytest.raises(ValueError, match="runs: expected an integer of at least 1, got 0"):
        make("Credit-DelayedCatch", runs=0)
    assert make("Credit-DelayedCatch", runs=2).recipe == ("make('Credit-DelayedCatch', runs=2)",)


@pytest.mark.parametrize("p", [0.0, 0.5, 0.625, 0.75, 1.0])
def test_aliased_states_have_the_published_return(p):
    """Of all four episodes, by their probabilities."""
    env, key, total = credit.aliased_states(), jax.random.key(0), 0.0
    for first, second in product((0, 1), (0, 1)):
        state, obs = env.init(key, ())
        state, now = env.step(key, (), state, jnp.int32(first))
        _, end = env.step(key, (), state, jnp.int32(second))
        assert (obs, now.obs, now.terminated, end.terminated) == (0, 0, False, True)
        assert end.info["up"] == (first + second) / 2
        chance = np.prod([p if action else 1 - p for action in (first, second)])
        total += chance * float(now.reward + end.reward)
    assert total == pytest.approx(-4 * p**2 + 5 * p - 1, abs=1e-6)
