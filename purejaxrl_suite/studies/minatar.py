"""Tasks of studies on boards, and PPO and PQN on them with equal networks (our setting)."""

import jax

from purejaxrl_suite import nets
from purejaxrl_suite.agents.ppo import PPOConfig, PPOHypers, ppo
from purejaxrl_suite.agents.pqn import PQNConfig, PQNHypers, pqn
from purejaxrl_suite.core.types import Environment, Network
from purejaxrl_suite.envs import make
from purejaxrl_suite.envs.wrappers import transform_observation
from purejaxrl_suite.studies.protocol import Budget
from purejaxrl_suite.sweeps.experiment import Experiment

FOUR_GAMES = ("Asterix-MinAtar", "Breakout-MinAtar", "Freeway-MinAtar", "SpaceInvaders-MinAtar")
THREE_GAMES = tuple(name for name in FOUR_GAMES if name != "Freeway-MinAtar")
"""For small budgets: without Freeway, whose episodes take 2500 steps and rewards come late."""
CATCH = "Catch-bsuite"
"""For the smallest budgets: a board of 10 x 5 cells, learnt in minutes on a CPU."""
PPO_HYPERS = PPOHypers(learning_rate=5e-4)
PQN_HYPERS = PQNHypers(learning_rate=5e-4)


def board(id: str) -> Environment:
    """Make an environment with images; a board without channels gets one."""
    env = make(id)
    box = env.observation
    if len(box.shape) != 2:
        return env
    return transform_observation(env, lambda x: x[..., None], box._replace(shape=(*box.shape, 1)))


def agents(budget: Budget) -> dict[str, Experiment]:
    """Make arms "ppo" and "pqn": two dense layers on the board, rollouts of 16 x 64."""
    environments = [make(id) for id in budget.environments]
    of_ppo = PPOConfig(num_envs=16, rollout_length=64, epochs=4, minibatches=4)
    of_pqn = PQNConfig(num_envs=16, rollout_length=64, epochs=2, minibatches=8)
    size = budget.seed_numbers, budget.steps
    return {
        "ppo": Experiment(ppo, environments, *size, PPO_HYPERS, of_ppo, _actor_critic),
        "pqn": Experiment(pqn, environments, *size, PQN_HYPERS, of_pqn, _q_network),
    }


def _actor_critic(env: Environment) -> Network:
    return nets.actor_critic(
        env.observation,
        env.action,
        hidden=(64, 64),
        activation=jax.nn.relu,
        encoder=nets.flat(),
    )


def _q_network(env: Environment) -> Network:
    return nets.q_network(env.observation, env.action, hidden=(64, 64), encoder=nets.flat())
