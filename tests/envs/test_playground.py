"""MuJoCo Playground's DM Control Suite; robots that must be cloned are refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from purejaxrl_suite import envs
from purejaxrl_suite.core.check import check_environment
from purejaxrl_suite.envs import playground
from purejaxrl_suite.envs.brax_interface import quietly

CARTPOLE = "Playground-CartpoleBalance"


@pytest.fixture
def suite():
    if CARTPOLE in playground.REFUSED:
        pytest.skip("playground is not installed")
    return playground.import_suite()


def test_robots_are_refused_with_the_reason(monkeypatch):
    with pytest.raises(ValueError, match="Go1Getup is refused: its robot .* clones"):
        envs.make("Playground-Go1Getup")
    monkeypatch.setitem(playground.REFUSED, CARTPOLE, playground._MISSING)
    with pytest.raises(ValueError, match=r"refused: playground is not installed: pip install"):
        envs.make(CARTPOLE)
    assert CARTPOLE not in playground.ids()


@pytest.mark.slow
def test_every_task_of_the_suite_has_an_id(suite):
    import mujoco_playground

    assert set(playground.ids()) == {playground.PREFIX + name for name in suite.ALL_ENVS}
    robots = mujoco_playground.locomotion.ALL_ENVS + mujoco_playground.manipulation.ALL_ENVS
    assert set(playground._ROBOTS) == set(robots)
    with pytest.raises(ValueError, match="has no option legs; it has .*gravity.*sim_dt"):
        envs.make(CARTPOLE, legs=2)


@pytest.mark.slow
def test_steps_are_playgrounds(suite):
    env = envs.make(CARTPOLE, episode_length=8)
    with quietly():
        game = suite.load("CartpoleBalance", config_overrides={"impl": "jax"})
    taken = jnp.asarray(np.random.default_rng(0).uniform(-1, 1, (8, 1)), jnp.float32)
    key = jax.random.key(0)

    @jax.jit
    def both(key):
        def theirs(state, action):
            state = game.step(state, action)
            return state, (state.obs, state.reward)

        def ours(params):
            state, _ = env.init(key, params)
            step = lambda state, action: env.step(key, params, state, action)  # noqa: E731
            return jax.lax.scan(step, state, taken)[1]

        with quietly(), jax.numpy_rank_promotion("allow"):
            known = jax.lax.scan(theirs, game.reset(key), taken)[1]
        weights = jnp.array([env.params.gravity, 30.0])
        return jax.vmap(ours)(playground.Physics(weights)), known

    found, (obs, reward) = both(key)
    np.testing.assert_allclose(found.obs[0], obs, atol=1e-5)
    np.testing.assert_allclose(found.reward[0], reward, atol=1e-5)
    assert np.abs(found.obs[1] - found.obs[0]).max() > 1e-4
    assert found.truncated[0].tolist() == [False] * 7 + [True] and not found.terminated.any()


@pytest.mark.slow
def test_the_contract(suite):
    env = envs.make("Playground-PendulumSwingup", episode_length=12, action_repeat=2)
    assert env.time_limit == 6
    check_environment(env, jax.random.key(0), steps=16)
