"""docs/adding.md: its environment keeps the contract, its agent learns it."""

import numpy as np

import purejaxrl_suite as pjs
from purejaxrl_suite import nets
from tests.docs.test_examples import ROOT, examples


def test_the_environment_of_the_page_keeps_the_contract_and_is_walked_through():
    names = {}
    for _, text in examples(ROOT / "docs" / "adding.md", "python"):
        exec(text, names)
    env = names["corridor"](4)
    config = pjs.PPOConfig(num_envs=8, rollout_length=8, epochs=1, minibatches=1)
    network = nets.actor_critic(env.observation, env.action, hidden=(8,))
    agent = names["calm_ppo"](env, config, network)
    curves = pjs.run(agent, env, seeds=2, steps=64 * 4).curves
    np.testing.assert_allclose(curves.extra_loss, 0.01 * curves.feature_size, rtol=1e-5)
    assert np.isfinite(curves.episode_return).any() and np.nanmax(curves.episode_return) == 1.0
