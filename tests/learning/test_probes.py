"""Agents learn probe environments to their known values: seconds each, and the first to break."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import purejaxrl_suite as pjs
from purejaxrl_suite import nets
from purejaxrl_suite.agents.impala import ImpalaConfig, ImpalaHypers, impala
from purejaxrl_suite.agents.ppo import PPOConfig, PPOHypers, ppo
from purejaxrl_suite.agents.pqn import PQNConfig, PQNHypers, pqn
from purejaxrl_suite.envs import probes

GAMMA = 0.5
SIZES = {"num_envs": 16, "rollout_length": 16, "epochs": 4, "minibatches": 4}


def delayed_or_cut():
    """delayed_reward, or at observation -1 a step of reward 1 that is cut: V(-1) = 1 / (1 - gamma).

    Fails where what is cut is taken for an end, or an end for what is cut.
    """
    env = probes.delayed_reward()

    def init(key, params):
        state = -jax.random.bernoulli(key).astype(jnp.int32)
        return state, state.astype(jnp.float32)[None]

    def step(key, params, state, action):
        after, now = env.step(key, params, state, action)
        cut = state == -1
        obs = jnp.where(cut, -1.0, now.obs)
        now = now._replace(obs=obs, final_obs=obs, reward=jnp.where(cut, 1.0, now.reward))
        return after, now._replace(terminated=now.terminated & ~cut, truncated=cut)

    space = probes.observation_reward().observation
    return env._replace(name="delayed_or_cut", observation=space, init=init, step=step)


# name: (environment, observations, their optimal values)
VALUES = {
    "constant": (probes.constant_reward, [0.0], [1.0]),
    "observation": (probes.observation_reward, [-1.0, 1.0], [-1.0, 1.0]),
    "delayed": (probes.delayed_reward, [0.0, 1.0], [GAMMA, 1.0]),
    "delayed or cut": (delayed_or_cut, [-1.0, 0.0, 1.0], [1.0 / (1.0 - GAMMA), GAMMA, 1.0]),
    "action": (probes.action_reward, [0.0], [1.0]),
    "observation-action": (probes.observation_action_reward, [-1.0, 1.0], [1.0, 1.0]),
}
WHOLE = ("delayed or cut", "observation-action")
"""Whoever learns these learns the others, which tell what is wrong with one who does not."""


def ppo_with_values(env):
    network = nets.actor_critic(env.observation, env.action, hidden=(16,))
    hypers = PPOHypers(learning_rate=2e-2, gamma=GAMMA, entropy_coefficient=0.0)
    agent = ppo(env, PPOConfig(**SIZES), network, hypers)
    return agent, lambda params, obs: network.apply(params, obs, (), {})[0].value


def pqn_with_values(env):
    network = nets.q_network(env.observation, env.action, hidden=(16,), layer_norm=False)
    hypers = PQNHypers(learning_rate=2e-2, gamma=GAMMA, epsilon_decay=0.5)
    agent = pqn(env, PQNConfig(**SIZES), network, hypers)
    return agent, lambda params, obs: jnp.max(network.apply(params, obs, (), {})[0], -1)


def impala_with_values(env):
    """With stale rollouts, and the emphasis that they need."""
    network = nets.actor_critic(env.observation, env.action, hidden=(16,))
    config = ImpalaConfig(
        num_envs=16, rollout_length=16, n_step=4, emphatic=True, clip_emphasis=True, replayed=1
    )
    hypers = ImpalaHypers(learning_rate=1e-2, gamma=GAMMA, entropy_coefficient=0.0)
    agent = impala(env, config, network, hypers)
    return agent, lambda params, obs: network.apply(params, obs, (), {})[0].value


# What PPO shows of actions and observations, PQN need not: its bootstrapping is its own.
FAST = {(ppo_with_values, probe) for probe in WHOLE} | {(pqn_with_values, "delayed or cut")}
BUILDS = ppo_with_values, pqn_with_values, impala_with_values
CASES = [(build, probe) for probe in VALUES for build in BUILDS]


@pytest.mark.parametrize(
    ("build", "probe"),
    [case if case in FAST else pytest.param(*case, marks=pytest.mark.slow) for case in CASES],
)
def test_values_are_learnt(build, probe):
    make_env, observations, expected = VALUES[probe]
    env = make_env()
    agent, value = build(env)
    result = pjs.run(agent, env, seeds=2, steps=100 * 256)
    obs = np.float32(observations)[:, None]
    values = jax.jit(jax.vmap(value, (0, None)))(result.state().agent.learner.params, obs)
    np.testing.assert_allclose(values, [expected] * 2, atol=0.1)
    if probe in ("action", "observation-action"):  # else no policy is better than another
        np.testing.assert_array_equal(result.evaluate(16).episode_return, 1.0)


def test_continuous_actions_are_learnt():
    env = probes.tracking()
    hypers = PPOHypers(learning_rate=1e-2, entropy_coefficient=0.0)
    network = nets.actor_critic(env.observation, env.action, hidden=(16,))
    agent = ppo(env, PPOConfig(**SIZES, normalize_observations=True), network, hypers)
    result = pjs.run(agent, env, seeds=2, steps=200 * 256)
    assert result.evaluate(64).episode_return.min() > -0.05


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["ppo", "pqn"])
def test_a_memory_recalls(kind):
    env = probes.recall()
    options = {"hidden": (16,), "memory_units": 16}
    if kind == "ppo":
        network = nets.actor_critic(env.observation, env.action, **options)
        agent = ppo(env, PPOConfig(**SIZES), network, PPOHypers(learning_rate=1e-2))
    else:
        network = nets.q_network(env.observation, env.action, **options)
        agent = pqn(env, PQNConfig(**SIZES), network, PQNHypers(learning_rate=1e-2))
    result = pjs.run(agent, env, seeds=2, steps=200 * 256)
    np.testing.assert_array_equal(result.evaluate(32).episode_return, 1.0)
