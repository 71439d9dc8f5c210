"""Agents on pixels of the emulator: BBF's resets, a replay of single frames, resuming."""

import jax
import numpy as np
import pytest

import purejaxrl_suite as pjs
from purejaxrl_suite import nets
from purejaxrl_suite.presets import PRESETS
from purejaxrl_suite.sweeps.interrupt import Interrupted
from tests.shared import drawn, press_ctrl_c

pytest.importorskip("ale_py")

QUIET = {"progress": False}


def small(env):
    encoder = nets.impala((2, 2, 2), blocks=1)
    return nets.self_predictive(env.observation, env.action, encoder=encoder, hidden=(8,))


def bbf(updates, **how):
    """BBF with the settings of Atari-100k, but small, and with resets each 500 steps."""
    preset = PRESETS["bbf-atari100k"]
    config = preset.config._replace(gradient_steps=1, group=1, batch_size=2, capacity=2_000)
    hypers = preset.hypers._replace(min_history=100.0, reset_period=500.0, no_resets_after=2000.0)
    env = pjs.make("ALE/Pong", max_frames=800)
    known = {"config": config._replace(jumps=2), "hypers": hypers, "network": small}
    return pjs.run(preset.builder, env, steps=updates, seeds=1, **known, **QUIET, **how)


@pytest.mark.slow
def test_bbf_resets_for_two_thousand_steps_and_resumes(tmp_path):
    """Resets after 500, 1,000 and 1,500 steps; stopped half-way, on from there."""
    seen = []

    def watch(progress):
        seen.append(progress.update)
        if len(seen) == 2:
            press_ctrl_c()

    with pytest.raises(Interrupted):
        bbf(2000, out=tmp_path / "run", segments=4, on_segment=watch)
    found = bbf(2000, out=tmp_path / "run", segments=4)
    state = found.state().agent
    assert int(state.steps[0]) == 500  # gradient steps since the last reset
    assert found.curves.sizes["step"] >= 4 and np.isfinite(found.curves["td_loss"][:, -1]).all()
    assert [one["cause"] for one in found.breaks()] == ["training went on"]
    stored = sum(x.nbytes for x in jax.tree.leaves(jax.tree.map(np.asarray, state.replay)))
    assert stored < 1.15 * 2_000 * 84 * 84


def test_a_network_on_pixels_trains():
    """Two updates of DQN with the replay of single frames."""
    env = pjs.make("ALE/Breakout", protocol="noframeskip", max_frames=80)
    config = pjs.DQNConfig(num_envs=2, rollout_length=8, batch_size=4, capacity=64)
    tiny = nets.cnn((nets.ConvLayer(2, (8, 8), (8, 8)),))

    def network(env):
        made = nets.q_network(
            env.observation, env.action, hidden=(4,), encoder=tiny, layer_norm=False
        )
        return drawn(made)

    hypers = pjs.DQNHypers(min_history=16)
    how = {"config": config, "hypers": hypers, "network": network, "seeds": 1}
    found = pjs.run(pjs.dqn, env, steps=96, **how, **QUIET)
    assert found.curves["gradient_steps"].values[0, -1] > 0
    assert np.isfinite(found.curves["td_loss"].values[0, -1])
    assert found.state().agent.replay.obs.shape[-1] == 84 * 84
    assert (found.curves["score"] >= 0).any() and "episode_return" in found.curves
