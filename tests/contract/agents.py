"""Every agent of the suite, small: joining this list is what "added" means."""

from functools import partial

from purejaxrl_suite import nets
from purejaxrl_suite.agents.c51 import C51Config, C51Hypers, c51
from purejaxrl_suite.agents.dqn import DQNConfig, DQNHypers, dqn
from purejaxrl_suite.agents.iqn import IQNConfig, IQNHypers, iqn
from purejaxrl_suite.agents.munchausen import MunchausenConfig, MunchausenHypers, munchausen
from purejaxrl_suite.agents.ppo import PPOConfig, ppo
from purejaxrl_suite.agents.pqn import PQNConfig, pqn
from purejaxrl_suite.agents.qr_dqn import QRDQNConfig, QRDQNHypers, qr_dqn
from purejaxrl_suite.envs import make, probes

PPO = PPOConfig(num_envs=4, rollout_length=8, epochs=2, minibatches=2)
NORMALIZED = PPO._replace(normalize_observations=True, normalize_rewards=True)
PQN = PQNConfig(num_envs=4, rollout_length=8, epochs=2, minibatches=2)


REPLAY = {
    "num_envs": 4,
    "rollout_length": 4,
    "gradient_steps": 2,
    "batch_size": 8,
    "capacity": 64,
    "max_n_step": 2,
    "probe_size": 8,
}
EARLY = {
    "min_history": 16.0,
    "epsilon_decay": 0.5,
    "target_update_period": 4.0,
    "learning_rate": 1e-2,
}
FRACTIONS = {"fractions": 4, "target_fractions": 3, "policy_fractions": 2}


def small_q(env, atoms=0):
    options = {"hidden": (8,), "atoms": atoms, "layer_norm": False}
    return nets.q_network(env.observation, env.action, **options)


def small_implicit(env):
    return nets.implicit_quantile_network(
        env.observation, env.action, hidden=(8,), mixed=(8,), cosines=4, fractions=2
    )


def small_ppo(config=PPO, **network):
    return lambda env: ppo(
        env, config, nets.actor_critic(env.observation, env.action, hidden=(8,), **network)
    )


def small_pqn(**network):
    return lambda env: pqn(
        env, PQN, nets.q_network(env.observation, env.action, hidden=(8,), **network)
    )


def small_dqn(**config):
    # Errors are squared: on this probe Huber's gradient is saturated, whatever the target network.
    sizes = DQNConfig(num_envs=4, rollout_length=8, gradient_steps=4, batch_size=8, capacity=96)
    hypers = DQNHypers(epsilon_decay=0.5, min_history=32.0, target_update_period=4.0)
    config = sizes._replace(max_n_step=3, probe_size=16, huber=False, **config)
    return lambda env: dqn(
        env, config, nets.q_network(env.observation, env.action, hidden=(8,)), hypers
    )


def small_value(build, config, hypers, network=small_q, **fields):
    """An agent with replay: `config` and `hypers` are its types, `fields` those of its Hypers."""
    return lambda env: build(env, config(**REPLAY), network(env), hypers(**(EARLY | fields)))


def pendulum():
    return make("Pendulum-v1")


# name: (builder of the agent from an environment, builder of an environment that it can act in)
AGENTS = {
    "ppo": (small_ppo(), probes.delayed_reward),
    "ppo-recurrent": (small_ppo(memory_units=8), probes.recall),
    "ppo-normalized": (small_ppo(NORMALIZED), pendulum),
    "dqn": (small_dqn(), probes.delayed_reward),
    "dqn-double": (small_dqn(double=True), probes.delayed_reward),
    "c51": (
        small_value(
            c51,
            partial(C51Config, atoms=5),
            C51Hypers,
            partial(small_q, atoms=5),
            value_low=-2.0,
            value_high=2.0,
        ),
        probes.delayed_reward,
    ),
    "qr-dqn": (
        small_value(
            qr_dqn, partial(QRDQNConfig, quantiles=3), QRDQNHypers, partial(small_q, atoms=3)
        ),
        probes.delayed_reward,
    ),
    "iqn": (
        small_value(iqn, partial(IQNConfig, **FRACTIONS), IQNHypers, small_implicit),
        probes.delayed_reward,
    ),
    "m-dqn": (
        small_value(munchausen, MunchausenConfig, MunchausenHypers, temperature=0.5, lowest=-0.3),
        probes.delayed_reward,
    ),
    "m-iqn": (
        small_value(
            munchausen,
            partial(MunchausenConfig, distributional=True, **FRACTIONS),
            MunchausenHypers,
            small_implicit,
            temperature=0.5,
            lowest=-0.3,
        ),
        probes.delayed_reward,
    ),
    "pqn": (small_pqn(), probes.delayed_reward),
    "pqn-recurrent": (small_pqn(memory_units=8), probes.recall),
}

SIBLINGS = ("dqn-double", "qr-dqn", "m-dqn", "m-iqn")
"""Agents that are rules on a loop that another one on the list has, too."""
