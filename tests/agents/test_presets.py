"""Every preset fits the environments that it is named after; nothing is compiled."""

import jax
import pytest

from purejaxrl_suite.cli.agents import agents
from purejaxrl_suite.core.types import Box
from purejaxrl_suite.envs import make, probes
from purejaxrl_suite.presets import PRESETS
from tests.contract.agents import BOXED

ATARI = probes.delayed_reward()._replace(observation=Box((84, 84, 4), "uint8", 0, 255))


def environment(name):
    if "atari" in name.replace("minatar", ""):
        return ATARI
    ids = {"cartpole": "CartPole-v1", "minatar": "Breakout-MinAtar", "minigrid": "Catch-bsuite"}
    ids |= {"memory-chain": "MemoryChain-bsuite", "navix": "Navix-Empty-5x5-v0"}
    ids |= dict.fromkeys(("pendulum", "mujoco", "dmc"), "Pendulum-v1")
    return make(next(id for part, id in ids.items() if part in name))


def abstract(agent):
    """Shapes of the state, and of the actions that it gives."""
    state = jax.eval_shape(agent.init, jax.random.key(0), agent.hypers)

    def act(state, obs):
        noise = agent.noise(jax.random.key(0), 3)
        return agent.act(noise, agent.hypers, state, agent.memory(3), obs, True)[1]

    obs = jax.ShapeDtypeStruct((3, *agent.observation.shape), agent.observation.dtype)
    return state, jax.eval_shape(act, state, obs)


@pytest.mark.parametrize("name", PRESETS)
def test_presets_fit(name):
    preset = PRESETS[name]
    state, action = abstract(preset.agent(environment(name)))
    assert action.shape[0] == 3
    if hasattr(preset.hypers, "epsilon"):
        noisy = any("sigma" in str(path) for path, _ in jax.tree.leaves_with_path(state.learner))
        exploration = preset.hypers.epsilon, preset.hypers.final_epsilon
        assert (exploration == (0.0, 0.0)) == noisy, "noise, or epsilon"
    if hasattr(preset.config, "capacity"):
        env_steps = preset.config.num_envs * preset.config.rollout_length
        ratio = preset.config.gradient_steps / env_steps
        known = {"bbf": 2, "sac": 1, "td3": 1, "muesli": 1 / 720}.get(preset.builder.__name__, 0.25)
        own = {"sr-spr-atari100k": 8, "der-atari100k": 1, "drq-eps-atari100k": 1}
        own |= {"muesli-cartpole": 1 / 256}
        assert ratio == own.get(name, known)


def test_bbf_has_the_published_size():
    state, _ = abstract(PRESETS["bbf-atari100k"].agent(ATARI))
    trunk = state.learner.params["trunk"]["dense_0"]["kernel"]
    assert trunk.shape == (11 * 11 * 128, 2048)


@pytest.mark.parametrize("name", agents())
def test_the_command_lines_networks_fit(name):
    entry = agents()[name]
    env = make("Pendulum-v1" if name in BOXED else "Breakout-MinAtar")
    network = entry.network(env, entry.config, hidden=(7,))
    state, action = abstract(entry.build(env, entry.config, network, entry.hypers))
    assert action.shape[0] == 3
    assert any(7 in x.shape for x in jax.tree.leaves(state.learner.params))
