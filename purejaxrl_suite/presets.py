"""Published settings by name: an agent's Config and Hypers, and the network they were used with.

A preset fixes nothing about the environment; it says what was used on which. Settings of our own
are marked so.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from purejaxrl_suite import nets
from purejaxrl_suite.agents.ppo import PPOConfig, PPOHypers, ppo
from purejaxrl_suite.agents.pqn import PQNConfig, PQNHypers, pqn
from purejaxrl_suite.core.types import Agent, Environment, Network


class Preset(NamedTuple):
    """builder: the agent's. network: the network for an environment. source: where it is from."""

    builder: Callable[..., Agent]
    config: Any
    hypers: Any
    network: Callable[[Environment], Network]
    source: str

    def agent(self, env: Environment) -> Agent:
        """The agent with these settings, for `env`."""
        return self.builder(env, self.config, self.network(env), self.hypers)


def _actor_critic(**options: Any) -> Callable[[Environment], Network]:
    return lambda env: nets.actor_critic(env.observation, env.action, **options)


def _q_network(**options: Any) -> Callable[[Environment], Network]:
    return lambda env: nets.q_network(env.observation, env.action, **options)


PRESETS = {
    "purejaxrl-cartpole": Preset(
        ppo,
        PPOConfig(),
        PPOHypers(),
        _actor_critic(hidden=(64, 64), activation=jnp.tanh),
        "PureJaxRL, ppo.py: CartPole-v1",
    ),
    "purejaxrl-minatar": Preset(
        ppo,
        PPOConfig(num_envs=64, rollout_length=128, epochs=4, minibatches=8),
        PPOHypers(learning_rate=5e-3),
        _actor_critic(hidden=(64, 64), activation=jax.nn.relu, encoder=nets.flat()),
        "PureJaxRL, brax_minatar notebook: MinAtar games, 1e7 steps",
    ),
    "minigrid": Preset(
        ppo,
        PPOConfig(
            num_envs=32,
            rollout_length=128,
            epochs=4,
            minibatches=8,
            anneal_learning_rate=False,
        ),
        PPOHypers(learning_rate=1e-3, entropy_coefficient=0.03),
        _actor_critic(hidden=(64, 64), activation=jax.nn.relu, shared=True),
        "our setting: navix and MiniGrid",
    ),
    "purejaxql-cartpole": Preset(
        pqn,
        PQNConfig(num_envs=32, rollout_length=64, epochs=4, minibatches=16),
        PQNHypers(
            learning_rate=1e-4,
            td_lambda=0.95,
            final_epsilon=0.2,
            epsilon_decay=0.2,
            reward_scale=0.1,
        ),
        _q_network(hidden=(256, 256)),
        "purejaxql, pqn_cartpole.yaml: CartPole-v1",
    ),
    "purejaxql-minatar": Preset(
        pqn,
        PQNConfig(),
        PQNHypers(),
        _q_network(hidden=(128,), encoder=nets.minatar_cnn(16)),
        "purejaxql, pqn_minatar.yaml: MinAtar games, 1e7 steps",
    ),
}
