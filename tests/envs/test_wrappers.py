"""Wrappers change one thing each and compose."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from purejaxrl_suite.core.check import check_environment
from purejaxrl_suite.core.types import Box, Discrete, Environment, TimeStep
from purejaxrl_suite.envs import wrappers

KEY = jax.random.key(0)


class Counter(NamedTuple):
    count: jax.Array
    executed: jax.Array


def counter(length: int = 6) -> Environment:
    """Shows (steps taken, action executed last); rewards the step number; ends by itself."""

    def observe(state):
        return jnp.stack([state.count, state.executed]).astype(jnp.float32)

    def init(key, params):
        state = Counter(jnp.int32(0), jnp.int32(0))
        return state, observe(state)

    def step(key, params, state, action):
        state = Counter(state.count + 1, jnp.int32(action))
        obs, reward = observe(state), params * state.count
        return state, TimeStep(obs, reward, state.count >= length, jnp.bool_(False), obs, {})

    def render(params, state):
        return jnp.full((2, 2, 3), state.count, jnp.uint8)

    space = Box((2,), "float32", (0.0, 0.0), (float(length), 9.0))
    return Environment(
        "counter", space, Discrete(10), length, np.float32(1), init, step, render=render
    )


def play(env, actions, key=KEY):
    """First observation, states and timesteps of one episode."""
    state, obs = env.init(key, env.params)
    states, steps = [state], []
    for t, action in enumerate(actions):
        state, now = env.step(jax.random.fold_in(key, t), env.params, state, jnp.int32(action))
        states.append(state)
        steps.append(now)
    return obs, states, steps


def test_transform_observation():
    space = Box((1,), "float32", 0.0, 12.0)
    env = wrappers.transform_observation(counter(), lambda obs: 2 * obs[:1], space)
    obs, _, steps = play(env, [3, 4])
    assert obs == 0 and [float(now.obs[0]) for now in steps] == [2, 4]
    assert [float(now.final_obs[0]) for now in steps] == [2, 4]
    with pytest.raises(ValueError, match="function"):
        wrappers.transform_observation(counter(), lambda obs: obs, space)


def test_normalize_observation():
    env = wrappers.normalize_observation(counter(), [3.0, 0.0], [3.0, 9.0])
    assert env.observation == Box((2,), "float32", (-1.0, 0.0), (1.0, 1.0))
    obs, _, steps = play(env, [9])
    np.testing.assert_allclose(obs, [-1, 0])
    np.testing.assert_allclose(steps[0].final_obs, [-2 / 3, 1], rtol=1e-6)
    for arguments, name in [
        ((0.0, 0.0), "scale"),
        ((jnp.nan, 1.0), "mean"),
        (([1.0] * 3, 1), "mean"),
    ]:
        with pytest.raises(ValueError, match=name):
            wrappers.normalize_observation(counter(), *arguments)


def test_frame_stack_repeats_the_first_frame_and_shows_the_newest_last():
    env = wrappers.frame_stack(counter(), 3)
    assert env.observation == Box((6,), "float32", (0.0, 0.0) * 3, (6.0, 9.0) * 3)
    obs, _, steps = play(env, [7, 8])
    np.testing.assert_array_equal(obs, [0] * 6)
    np.testing.assert_array_equal(steps[1].final_obs, [0, 0, 1, 7, 2, 8])
    with pytest.raises(ValueError, match="frames"):
        wrappers.frame_stack(counter(), 0)


def test_sticky_actions_always_and_never():
    always = wrappers.sticky_actions(counter(), 1.0)
    _, _, steps = play(always, [5, 6, 7])
    assert [int(now.obs[1]) for now in steps] == [5, 5, 5]
    never = wrappers.sticky_actions(counter(), 0.0)
    _, _, steps = play(never, [5, 6, 7])
    assert [int(now.obs[1]) for now in steps] == [5, 6, 7]
    with pytest.raises(ValueError, match="probability"):
        wrappers.sticky_actions(counter(), 1.5)


def test_sticky_actions_repeat_what_was_executed_with_their_probability():
    env = wrappers.sticky_actions(counter(3), 0.25)

    def episode(key):
        state, _ = env.init(key, env.params)
        executed = []
        for t in range(3):
            state, now = env.step(jax.random.fold_in(key, t), env.params, state, jnp.int32(t + 1))
            executed.append(now.obs[1])
        return jnp.stack(executed)

    executed = np.asarray(jax.vmap(episode)(jax.random.split(KEY, 4000)))
    # Executed at the third step: 3 unless repeated; then 2, or 1 where that was a repetition too.
    shares = [np.mean(executed[:, 2] == action) for action in (1, 2, 3)]
    np.testing.assert_allclose(shares, [0.0625, 0.1875, 0.75], atol=0.03)
    assert np.all(executed[:, 0] == 1)


@pytest.mark.parametrize(("steps", "limit"), [(4, 4), (6, 6), (9, 6)])
def test_time_limit_truncates_and_leaves_termination_alone(steps: int, limit: int):
    env = wrappers.time_limit(counter(), steps)
    assert env.time_limit == limit
    _, _, timesteps = play(env, [1] * 6)
    flags = [(bool(now.terminated), bool(now.truncated)) for now in timesteps]
    assert flags == [(t == 6, t >= steps) for t in range(1, 7)]
    with pytest.raises(ValueError, match="steps"):
        wrappers.time_limit(counter(), 0)


def test_rewards():
    _, _, steps = play(wrappers.scale_reward(counter(), 0.5), [1, 1])
    assert [float(now.reward) for now in steps] == [0.5, 1.0]
    _, _, steps = play(wrappers.clip_reward(counter(), -1.0, 1.5), [1, 1])
    assert [float(now.reward) for now in steps] == [1.0, 1.5]
    with pytest.raises(ValueError, match="scale"):
        wrappers.scale_reward(counter(), float("nan"))
    with pytest.raises(ValueError, match="low"):
        wrappers.clip_reward(counter(), 1.0, 1.0)


def compose(env: Environment) -> Environment:
    env = wrappers.time_limit(wrappers.sticky_actions(env), 4)
    env = wrappers.clip_reward(wrappers.scale_reward(env, 2.0), 0.0, 5.0)
    return wrappers.normalize_observation(wrappers.frame_stack(env, 2), 0.0, 3.0)


def test_composed_wrappers_keep_the_contract_parameters_and_picture():
    env = compose(counter())
    check_environment(env, KEY, steps=16)
    assert env.params == counter().params and env.name == "counter"
    _, states, steps = play(env, [1, 2, 3, 4])
    np.testing.assert_array_equal(env.render(env.params, states[3]), np.full((2, 2, 3), 3))
    assert [float(now.reward) for now in steps] == [2, 4, 5, 5]
    assert [bool(now.truncated) for now in steps] == [False] * 3 + [True]


def test_episodic_life():
    lives = lambda state: 3 - state.env.count // 2  # noqa: E731
    env = wrappers.episodic_life(wrappers.sticky_actions(counter(), 0.0), lives)
    env = wrappers.scale_reward(wrappers.frame_stack(env, 2), 2.0)
    check_environment(env, KEY, steps=8)
    _, _, steps = play(env, [1] * 6)
    assert [bool(now.life_lost) for now in steps] == [False, True, False, True, False, True]
    assert [bool(now.terminated) for now in steps] == [False] * 5 + [True]
    with pytest.raises(ValueError, match="lives"):
        wrappers.episodic_life(counter(), lambda state: state.count / 2)


def test_clipped_rewards():
    _, _, steps = play(wrappers.clip_reward(counter(), -1.0, 2.5), [0] * 4)
    assert [float(now.reward) for now in steps] == [1.0, 2.0, 2.5, 2.5]


def test_the_order_of_wrappers_does_not_matter_to_unrelated_ones():
    one = wrappers.frame_stack(wrappers.time_limit(counter(), 3), 2)
    other = wrappers.time_limit(wrappers.frame_stack(counter(), 2), 3)
    for x, y in zip(play(one, [1, 2, 3])[2], play(other, [1, 2, 3])[2], strict=True):
        jax.tree.map(np.testing.assert_array_equal, x, y)


def test_unit_actions_stand_for_the_bounds():
    box = Box((2,), "float32", (-2.0, 0.0), (2.0, 0.1))

    def step(key, params, state, action):
        ends = jnp.bool_(True), jnp.bool_(False)
        return state, TimeStep(action, jnp.sum(action), *ends, action, {})

    env = Environment("push", box, box, 1, (), lambda key, params: ((), jnp.zeros(2)), step)
    unit = wrappers.unit_actions(env)
    assert unit.action == Box((2,), "float32", -1.0, 1.0)
    for action, meant in (([-1, 1], [-2, 0.1]), ([0.5, 0], [1, 0.05]), ([3, -3], [2, 0])):
        found = unit.step(KEY, (), (), jnp.asarray(action, jnp.float32))[1].obs
        np.testing.assert_allclose(found, meant, atol=1e-6)
    for wrong in (Discrete(2), Box((2,))):
        with pytest.raises(ValueError, match="expected a Box with finite bounds"):
            wrappers.unit_actions(env._replace(action=wrong))
