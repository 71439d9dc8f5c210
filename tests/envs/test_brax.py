"""Brax's environments beneath its wrappers: the same steps, ends apart, tasks as parameters."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from purejaxrl_suite import envs
from purejaxrl_suite.core.check import check_environment
from purejaxrl_suite.envs import brax
from purejaxrl_suite.envs.brax_interface import quietly


@pytest.fixture
def installed():
    if brax.REFUSED:
        pytest.skip("brax is not installed")


def actions(env, steps, seed=0):
    """Pushes to one side, which a pole does not survive."""
    drawn = np.random.default_rng(seed).uniform(0.3, 1.5, (steps, *env.action.shape))
    return jnp.asarray(drawn, jnp.float32)


def play(env, params, key, taken):
    """The start and all TimeSteps, leaves [T, ...], without resets."""
    state, obs = env.init(key, params)

    def step(state, action):
        return env.step(key, params, state, action)

    return obs, jax.lax.scan(step, state, taken)[1]


def test_without_brax_the_way_to_get_it_is_named(monkeypatch):
    monkeypatch.setattr(brax, "REFUSED", dict.fromkeys(brax._IDS, brax._MISSING))
    assert brax.ids() == ()
    with pytest.raises(ValueError, match=r'Brax-ant: brax is not installed: pip install "pure'):
        envs.make("Brax-ant")


def test_what_makes_no_sense_is_refused(installed):
    with pytest.raises(ValueError, match="did you mean Brax-hopper"):
        envs.make("Brax-hoper")
    with pytest.raises(ValueError, match="backend: 'havok', expected one of generalized"):
        envs.make("Brax-hopper", backend="havok")
    with pytest.raises(ValueError, match="Brax-hopper has no option wings; it has .*speed.*n_fra"):
        envs.make("Brax-hopper", wings=2)
    with pytest.raises(ValueError, match="speed: 'fast', expected a number"):
        envs.make("Brax-hopper", speed="fast")
    with pytest.raises(ValueError, match="has no option speed"):
        envs.make("Brax-inverted_pendulum", speed=1.0)
    with pytest.raises(ValueError, match="action_repeat=0"):
        envs.make("Brax-inverted_pendulum", action_repeat=0)


def test_spaces_and_limits(installed):
    env = envs.make("Brax-inverted_pendulum", action_repeat=3, gravity=5.0)
    assert env.observation.shape == (4,) and env.action == env.action._replace(low=-1.0, high=1.0)
    assert env.time_limit == 334 and env.params.gravity == np.float32(5.0)


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["positional", "mjx"])
def test_the_contract(installed, backend):
    env = envs.make("Brax-inverted_pendulum", backend=backend, episode_length=12)
    check_environment(env, jax.random.key(0), steps=32)


@pytest.mark.slow
def test_steps_are_braxs_and_ends_are_apart(installed):
    env = envs.make("Brax-inverted_pendulum", backend="positional", episode_length=20)
    with quietly():
        game = brax.import_brax().get_environment("inverted_pendulum", backend="positional")
    taken, key = actions(env, 20), jax.random.key(0)

    @jax.jit
    def both(key, taken):
        def step(state, action):
            state = game.step(state, jnp.clip(action, -1.0, 1.0))
            return state, (state.obs, state.reward, state.done)

        with quietly(), jax.numpy_rank_promotion("allow"):
            theirs = jax.lax.scan(step, game.reset(key), taken)[1]
        still = play(env, env.params, key, jnp.zeros_like(taken))[1]
        heavier = play(env, env.params._replace(gravity=30.0), key, taken)[1]
        lame = play(env, env.params._replace(strength=0.0), key, taken)[1]
        return play(env, env.params, key, taken)[1], theirs, still, heavier, lame

    ours, (obs, reward, done), still, heavier, lame = both(key, taken)
    np.testing.assert_allclose(ours.obs, obs, atol=1e-5)
    np.testing.assert_array_equal(ours.reward, reward)
    np.testing.assert_array_equal(ours.terminated, done > 0)
    assert done.any()
    assert not still.terminated[:10].any() and still.truncated.tolist() == [False] * 19 + [True]
    assert np.abs(heavier.obs - ours.obs).max() > 1e-2
    np.testing.assert_allclose(lame.obs, still.obs, atol=1e-6)


@pytest.mark.slow
def test_repeated_actions_add_rewards_and_stop_at_the_end(installed):
    options = {"backend": "positional", "episode_length": 20}
    single = envs.make("Brax-inverted_pendulum", **options)
    env = envs.make("Brax-inverted_pendulum", **options, action_repeat=4)
    taken, key = actions(env, 5), jax.random.key(1)
    once = jax.jit(lambda a: play(single, single.params, key, a)[1])(jnp.repeat(taken, 4, axis=0))
    found = jax.jit(lambda a: play(env, env.params, key, a)[1])(taken)
    ended = np.asarray(once.terminated).reshape(5, 4)
    before = np.cumsum(ended, axis=1) - ended
    rewards = np.where(before > 0, 0.0, np.asarray(once.reward).reshape(5, 4)).sum(1)
    first = int(np.argmax(ended.any(1)))
    assert ended.any()
    np.testing.assert_allclose(found.reward[: first + 1], rewards[: first + 1])
    np.testing.assert_array_equal(found.terminated[: first + 1], ended.any(1)[: first + 1])
    assert found.truncated.tolist() == [False] * 4 + [True]


@pytest.mark.slow
def test_tasks_are_parameters(installed):
    """Backwards, and at a speed: rewards differ by what the velocity says, and one program does."""
    env = envs.make("Brax-halfcheetah", backend="spring")
    taken, key = actions(env, 6), jax.random.key(2)
    tasks = [(0.0, np.inf), (np.pi, np.inf), (0.0, 2.0)]
    rows = [env.params._replace(direction=d, speed=s) for d, s in tasks]
    params = jax.tree.map(lambda *x: jnp.asarray(x, jnp.float32), *rows)

    @jax.jit
    def rewards(params):
        def one(params):
            state, _ = env.init(key, params)

            def step(state, action):
                state, now = env.step(key, params, state, action)
                return state, (now.reward, state.game.reward, state.game.metrics["x_velocity"])

            return jax.lax.scan(step, state, taken)[1]

        return jax.vmap(one)(params)

    (plain, backwards, paced), theirs, velocity = rewards(params)
    np.testing.assert_allclose(plain, theirs[0], rtol=1e-6)
    speed = velocity[0]
    np.testing.assert_allclose(backwards, plain - 2 * speed, atol=1e-4)
    np.testing.assert_allclose(paced, plain - speed - np.abs(speed - 2.0), atol=1e-4)


@pytest.mark.slow
def test_the_target_of_a_reacher_is_a_parameter(installed):
    env, keys = envs.make("Brax-reacher"), jax.random.split(jax.random.key(4), 3)
    half = env.params._replace(goal_y=np.float32(-0.1))
    both = half._replace(goal_x=np.float32(0.05))
    tasks = jax.tree.map(lambda *x: jnp.stack(x), env.params, half, both)
    starts = jax.jit(jax.vmap(jax.vmap(env.init, (0, None)), (None, 0)))(keys, tasks)[1]
    drawn, across, fixed = np.asarray(starts[..., 4:6])
    assert len(np.unique(drawn, axis=0)) == 3
    np.testing.assert_array_equal(across[:, 0], drawn[:, 0])
    np.testing.assert_array_equal(across[:, 1], np.float32(-0.1))
    np.testing.assert_array_equal(fixed, np.float32([[0.05, -0.1]] * 3))


@pytest.mark.slow
def test_an_episode_is_a_page(installed):
    env = envs.make("Brax-inverted_pendulum", backend="positional")
    state, _ = jax.jit(env.init)(jax.random.key(0), env.params)
    states = jax.tree.map(lambda x: jnp.stack([x] * 3), state)
    page = brax.page("Brax-inverted_pendulum", states)
    assert page.lstrip().lower().startswith("<html") or "<html" in page.lower()
    assert len(page) > 2000
