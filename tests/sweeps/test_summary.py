"""What `print` shows of a result, a plan and progress: a few lines, and no arrays."""

import pytest

import purejaxrl_suite as pjs
from purejaxrl_suite import nets
from purejaxrl_suite.agents.ppo import PPOConfig, PPOHypers, ppo
from purejaxrl_suite.envs import probes
from purejaxrl_suite.sweeps import summary
from tests.shared import compiled_once, drawn

CONFIG = PPOConfig(num_envs=4, rollout_length=8, epochs=1, minibatches=2)


def network(env):
    return drawn(nets.actor_critic(env.observation, env.action, hidden=(8,)))


@pytest.fixture(scope="module", autouse=True)
def programs():
    with compiled_once():
        yield


def test_a_run_prints_what_was_trained_and_how_it_ended():
    env = probes.delayed_reward()
    told = []
    agent = ppo(env, CONFIG, network(env))
    result = pjs.run(agent, env, seeds=3, steps=64, on_segment=told.append)
    lines = str(result).splitlines()
    assert lines[0] == f"Result: ppo on {env.name}"
    assert lines[1] == "  3 members = 1 configuration x 3 seeds, 64 steps each"
    assert lines[2] == "  episode_return over the last 5%: IQM 1, seeds from 1 to 1"
    assert lines[3].startswith("  none diverged, ") and lines[3].endswith(" steps/s")
    assert len(lines) == 4 and repr(result) == str(result)
    assert str(told[-1]).startswith("100%: group 1 of 1, chunk 1 of 1, step 64 of 64; ")
    lost = result.curves.copy(deep=True)
    lost["diverged"][:] = True
    assert "IQM 1, seeds from 1 to 1" in summary.describe(lost, None), "the worst of all"
    assert "  3 diverged" in summary.describe(lost, None)
    silent = result.curves.copy(deep=True)
    silent["episodes"][0] = 0
    assert "IQM 1, seeds from 1 to 1, 1 without an episode" in summary.describe(silent, None)
    silent["episodes"][:] = 0
    assert "no episode ended" in summary.describe(silent, "runs/x")
    assert summary.describe(silent, "runs/x").endswith("\n  folder: runs/x")


def test_a_sweep_says_what_was_varied_and_a_plan_is_its_text(tmp_path):
    env, told = probes.delayed_reward(), []
    hypers = pjs.search.grid(PPOHypers(), gamma=[0.9, 0.99])
    varied = {"hypers": hypers, "config": CONFIG, "network": network}
    how = {"seeds": 2, "steps": 64, "out": tmp_path / "sweep", "announce": told.append}
    text = str(pjs.sweep(ppo, env, **varied, **how))
    assert "4 members = 2 configurations x 2 seeds" in text
    assert "varied: gamma (2)" in text and text.endswith(f"folder: {tmp_path / 'sweep'}")
    assert repr(told[0]) == str(told[0]) and "Program" not in repr(told[0])
