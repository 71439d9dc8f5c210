"""A member at play in brax's viewer."""

import base64
import json
import re
import zlib

import pytest

import purejaxrl_suite as pjs
from purejaxrl_suite import nets, report
from purejaxrl_suite.agents.ppo import PPOConfig, ppo
from purejaxrl_suite.envs import brax, probes

CONFIG = PPOConfig(num_envs=2, rollout_length=4, epochs=1, minibatches=1)


def trained(env):
    network = nets.actor_critic(env.observation, env.action, hidden=(4,))
    return pjs.run(ppo(env, CONFIG, network), env, seeds=1, steps=8).policy(seed=0)


def test_others_have_no_viewer(tmp_path):
    policy = trained(probes.tracking())
    assert not report.has_viewer(policy.env.name)
    with pytest.raises(ValueError, match="environment 'tracking' has no viewer"):
        report.view(policy, tmp_path / "policy.html")


@pytest.mark.slow
def test_a_page_holds_every_step(tmp_path):
    if brax.REFUSED:
        pytest.skip("brax is not installed")
    env = pjs.make("Brax-inverted_pendulum", backend="positional", episode_length=6)
    path = tmp_path / "policy.html"
    total = report.view(trained(env), path, steps=20)
    packed = max(re.findall(r"[A-Za-z0-9+/=]{200,}", path.read_text()), key=len)
    system = json.loads(zlib.decompress(base64.b64decode(packed)))
    assert len(system["states"]["x"]) == 1 + 6 and total == 6.0
