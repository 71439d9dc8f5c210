"""Every agent of the suite, small: joining this list is what "added" means."""

from purejaxrl_suite import nets
from purejaxrl_suite.agents.ppo import PPOConfig, ppo
from purejaxrl_suite.agents.pqn import PQNConfig, pqn
from purejaxrl_suite.envs import make, probes

PPO = PPOConfig(num_envs=4, rollout_length=8, epochs=2, minibatches=2)
NORMALIZED = PPO._replace(normalize_observations=True, normalize_rewards=True)
PQN = PQNConfig(num_envs=4, rollout_length=8, epochs=2, minibatches=2)


def small_ppo(config=PPO, **network):
    return lambda env: ppo(
        env, config, nets.actor_critic(env.observation, env.action, hidden=(8,), **network)
    )


def small_pqn(**network):
    return lambda env: pqn(
        env, PQN, nets.q_network(env.observation, env.action, hidden=(8,), **network)
    )


def pendulum():
    return make("Pendulum-v1")


# name: (builder of the agent from an environment, builder of an environment that it can act in)
AGENTS = {
    "ppo": (small_ppo(), probes.delayed_reward),
    "ppo-recurrent": (small_ppo(memory_units=8), probes.recall),
    "ppo-normalized": (small_ppo(NORMALIZED), pendulum),
    "pqn": (small_pqn(), probes.delayed_reward),
    "pqn-recurrent": (small_pqn(memory_units=8), probes.recall),
}
