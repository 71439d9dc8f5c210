"""Pictures of members acting, in an environment that draws its clock."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image, ImageSequence

from purejaxrl_suite import nets, report
from purejaxrl_suite.agents.ppo import PPOConfig, ppo
from purejaxrl_suite.envs import probes
from purejaxrl_suite.report.animation import CAPTION, GAP, SIDE
from purejaxrl_suite.sweeps.policy import Policy


def render(params, state):
    """2 x 2 pixels, brighter at each step."""
    return jnp.full((2, 2, 3), 50 * state.time, jnp.uint8)


@pytest.fixture(scope="module")
def policies():
    env = probes.recall()._replace(render=render)
    config = PPOConfig(num_envs=2, rollout_length=4, epochs=1, minibatches=1)
    agent = ppo(env, config, nets.actor_critic(env.observation, env.action, hidden=(4,)))
    states = [agent.init(jax.random.key(seed), agent.hypers) for seed in range(3)]
    return [Policy(agent, env, state, agent.hypers, ()) for state in states]


def frames(path):
    with Image.open(path) as gif:
        return [np.asarray(frame.convert("RGB")) for frame in ImageSequence.Iterator(gif)]


def test_an_episode_each_side_by_side(policies, tmp_path):
    path = tmp_path / "new" / "policy.gif"
    returns = report.animate(policies, path, names=["a", "b", "c"])
    assert returns.shape == (3,) and set(np.abs(returns)) == {1.0}
    found = frames(path)
    assert len(found) == 6, "the start and five steps"
    tile = GAP + CAPTION + SIDE // 2, GAP + SIDE // 2
    step = CAPTION + SIDE + GAP, SIDE + GAP
    for time, frame in enumerate(found):
        assert frame.shape == (2 * step[0] + GAP, 2 * step[1] + GAP, 3)
        middles = [frame[tile[0] + r * step[0], tile[1] + c * step[1]] for r, c in np.ndindex(2, 2)]
        np.testing.assert_allclose(middles[:3], 50 * time, atol=4)
        np.testing.assert_allclose(middles[3], 255, atol=4)  # three members leave a place empty


def test_few_steps_of_one_member(policies, tmp_path):
    returns = report.animate(policies[:1], tmp_path / "policy.gif", steps=2, explore=True)
    assert returns.tolist() == [0.0] and len(frames(tmp_path / "policy.gif")) == 3


def test_mistakes_are_named(policies, tmp_path):
    blind = policies[0]._replace(env=policies[0].env._replace(render=None))
    for few, message in (
        ([], "expected at least one"),
        ([policies[0], blind], "one agent and one environment"),
        ([blind], "'recall' draws no pictures"),
    ):
        with pytest.raises(ValueError, match=message):
            report.animate(few, tmp_path / "policy.gif")
    with pytest.raises(ValueError, match="steps: expected at least 1"):
        report.animate(policies, tmp_path / "policy.gif", steps=0)
    assert not list(tmp_path.iterdir())
