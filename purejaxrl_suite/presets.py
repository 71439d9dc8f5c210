"""Published settings by name: an agent's Config and Hypers, and the network used with them.

A preset does not fix the environment; its source says on which it was used. Settings of our own
are marked as such.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from purejaxrl_suite import nets
from purejaxrl_suite.agents.bbf import BBFConfig, BBFHypers, bbf
from purejaxrl_suite.agents.c51 import C51Config, C51Hypers, c51
from purejaxrl_suite.agents.dqn import DQNConfig, DQNHypers, dqn
from purejaxrl_suite.agents.fma_pg import FMAPGConfig, FMAPGHypers, fma_pg
from purejaxrl_suite.agents.impala import ImpalaConfig, ImpalaHypers, impala
from purejaxrl_suite.agents.iqn import IQNConfig, IQNHypers, iqn
from purejaxrl_suite.agents.muesli import MuesliConfig, MuesliHypers, muesli
from purejaxrl_suite.agents.ppo import PPOConfig, PPOHypers, ppo
from purejaxrl_suite.agents.pqn import PQNConfig, PQNHypers, pqn
from purejaxrl_suite.agents.qsarsa import QSarsaConfig, QSarsaHypers, qsarsa
from purejaxrl_suite.agents.rainbow import RainbowConfig, RainbowHypers, rainbow
from purejaxrl_suite.agents.sac import SACConfig, SACHypers, sac
from purejaxrl_suite.agents.td3 import TD3Config, TD3Hypers, td3
from purejaxrl_suite.core.types import Agent, Builder, Environment, Network


class Preset(NamedTuple):
    """Published settings of an agent.

    builder: the function that builds the agent. network: environment -> network. source: the paper
    or code that the settings are from.
    """

    builder: Builder
    config: Any
    hypers: Any
    network: Callable[[Environment], Any]
    source: str

    def agent(self, env: Environment) -> Agent:
        """Build the agent with these settings for an environment.

        Example:
            >>> env = pjs.make("Breakout-MinAtar")
            >>> pjs.presets.PRESETS["purejaxrl-minatar"].agent(env).name
            'ppo'
        """
        return self.builder(env, self.config, self.network(env), self.hypers)


def _actor_critic(**options: Any) -> Callable[[Environment], Network]:
    return lambda env: nets.actor_critic(env.observation, env.action, **options)


def _q_network(**options: Any) -> Callable[[Environment], Network]:
    return lambda env: nets.q_network(env.observation, env.action, **options)


def _dopamine(**options: Any) -> Callable[[Environment], Any]:
    return _q_network(layer_norm=False, kernel_init=_XAVIER, **options)


def _implicit(**options: Any) -> Callable[[Environment], Network]:
    return lambda env: nets.implicit_quantile_network(env.observation, env.action, **options)


def _actor_critics(**options: Any) -> Callable[[Environment], Network]:
    return lambda env: nets.actor_critics(env.observation, env.action, **options)


def _self_predictive(**options: Any) -> Callable[[Environment], Any]:
    return lambda env: nets.self_predictive(env.observation, env.action, **options)


def _latent_model(**options: Any) -> Callable[[Environment], Any]:
    return lambda env: nets.latent_model(env.observation, env.action, **options)


def _navix_q_network(**options: Any) -> Callable[[Environment], Network]:
    draw = jax.nn.initializers.orthogonal(math.sqrt(2.0))
    return _q_network(hidden=(64, 64), encoder=nets.flat(), kernel_init=draw, **options)


_NAVIX_PQN = PQNConfig(num_envs=16, rollout_length=128, epochs=8, minibatches=32)
_NAVIX_PQN_HYPERS = PQNHypers(learning_rate=2.5e-4, final_epsilon=0.1, epsilon_decay=0.3)
_NARROW = jax.nn.initializers.variance_scaling(3.0**-0.5, "fan_in", "uniform")
_XAVIER = jax.nn.initializers.xavier_uniform()
_BOARD = nets.cnn((nets.ConvLayer(16, padding="SAME"),))
_PIXELS = nets.cnn(
    (
        nets.ConvLayer(32, (8, 8), (4, 4), "SAME"),
        nets.ConvLayer(64, (4, 4), (2, 2), "SAME"),
        nets.ConvLayer(64, padding="SAME"),
    )
)
_SR_SPR = BBFHypers(
    weight_decay=0.0,
    gamma=0.99,
    n_step=10.0,
    start_gamma=0.99,
    start_n_step=10.0,
    shrink=0.8,
    perturb=0.2,
)
_MINATAR_100K = {"value_low": -10.0, "value_high": 100.0}

PRESETS = {
    "purejaxrl-cartpole": Preset(
        builder=ppo,
        config=PPOConfig(),
        hypers=PPOHypers(),
        network=_actor_critic(hidden=(64, 64), activation=jnp.tanh),
        source="PureJaxRL, ppo.py: CartPole-v1",
    ),
    "purejaxrl-minatar": Preset(
        builder=ppo,
        config=PPOConfig(num_envs=64, rollout_length=128, epochs=4, minibatches=8),
        hypers=PPOHypers(learning_rate=5e-3),
        network=_actor_critic(hidden=(64, 64), activation=jax.nn.relu, encoder=nets.flat()),
        source="PureJaxRL, brax_minatar notebook: MinAtar games, 1e7 steps",
    ),
    "minigrid": Preset(
        builder=ppo,
        config=PPOConfig(
            num_envs=32,
            rollout_length=128,
            epochs=4,
            minibatches=8,
            anneal_learning_rate=False,
        ),
        hypers=PPOHypers(learning_rate=1e-3, entropy_coefficient=0.03),
        network=_actor_critic(hidden=(64, 64), activation=jax.nn.relu, shared=True),
        source="our setting: navix and MiniGrid",
    ),
    "cleanba-atari": Preset(
        builder=impala,
        config=ImpalaConfig(num_envs=128),
        hypers=ImpalaHypers(),
        network=_actor_critic(
            hidden=(256,), activation=jax.nn.relu, encoder=nets.impala(pooled=3), shared=True
        ),
        source="Cleanba, cleanba_impala.py: Atari games, 5e7 steps",
    ),
    "cleanrl-atari": Preset(
        builder=ppo,
        config=PPOConfig(num_envs=8),
        hypers=PPOHypers(clip_range=0.1),
        network=_actor_critic(
            hidden=(512,), activation=jax.nn.relu, encoder=nets.nature_cnn(), shared=True
        ),
        source="CleanRL, ppo_atari_envpool.py: Atari without sticky actions, 1e7 steps",
    ),
    "impala-minatar": Preset(
        builder=impala,
        config=ImpalaConfig(),
        hypers=ImpalaHypers(learning_rate=1e-3),
        network=_actor_critic(
            hidden=(128,), activation=jax.nn.relu, encoder=nets.minatar_cnn(), shared=True
        ),
        source="our setting: MinAtar games",
    ),
    "emphatic-minatar": Preset(
        builder=impala,
        config=ImpalaConfig(
            n_step=5, emphatic=True, emphatic_policy=True, clip_emphasis=True, replayed=3
        ),
        hypers=ImpalaHypers(learning_rate=1e-3),
        network=_actor_critic(
            hidden=(128,), activation=jax.nn.relu, encoder=nets.minatar_cnn(), shared=True
        ),
        source="our setting: MinAtar games, NEVtrace and ACE with stale rollouts",
    ),
    "muesli-atari": Preset(
        builder=muesli,
        config=MuesliConfig(capacity=1_000_000, kl_samples=16),
        hypers=MuesliHypers(value_bound=300.0),
        network=_latent_model(encoder=nets.impala(), memory_units=256, model_units=1024, atoms=601),
        source="our reading of arXiv 2104.06159, by code that cites its tables: Atari, 2e8 frames; "
        "a GRU in place of its model's LSTM, and a smaller replay",
    ),
    "muesli-minatar": Preset(
        builder=muesli,
        config=MuesliConfig(),
        hypers=MuesliHypers(learning_rate=1e-3, gamma=0.99),
        network=_latent_model(hidden=(128,), encoder=nets.minatar_cnn(), model_units=128),
        source="our setting: MinAtar games",
    ),
    "muesli-cartpole": Preset(
        builder=muesli,
        config=MuesliConfig(
            num_envs=16,
            rollout_length=16,
            batch_size=32,
            fresh=16,
            sequence_length=16,
            capacity=20_000,
        ),
        hypers=MuesliHypers(learning_rate=3e-3, gamma=0.99, value_bound=11.5),
        network=_latent_model(hidden=(64,), encoder=nets.flat(), model_units=64),
        source="our setting: CartPole-v1 and Catch-bsuite on a CPU, the study muesli",
    ),
    "sppo-cartpole": Preset(
        builder=fma_pg,
        config=FMAPGConfig(),
        hypers=FMAPGHypers(eta=0.1),
        network=_actor_critic(),
        source="our setting: CartPole-v1, PPO's of purejaxrl-cartpole",
    ),
    "mdpo-cartpole": Preset(
        builder=fma_pg,
        config=FMAPGConfig(softmax=False, reverse=True),
        hypers=FMAPGHypers(eta=0.1),
        network=_actor_critic(),
        source="our setting: CartPole-v1, PPO's of purejaxrl-cartpole",
    ),
    "sppo-mujoco": Preset(
        builder=fma_pg,
        config=FMAPGConfig(
            num_envs=1,
            rollout_length=2048,
            epochs=10,
            minibatches=32,
            normalize_observations=True,
            normalize_rewards=True,
        ),
        hypers=FMAPGHypers(learning_rate=3e-4, eta=0.1, entropy_coefficient=0.0),
        network=_actor_critic(),
        source="our setting: MuJoCo, with the sizes and rates usual for PPO there; those of "
        "arXiv 2108.05828 are not public",
    ),
    "purejaxql-cartpole": Preset(
        builder=pqn,
        config=PQNConfig(num_envs=32, rollout_length=64, epochs=4, minibatches=16),
        hypers=PQNHypers(
            learning_rate=1e-4,
            td_lambda=0.95,
            final_epsilon=0.2,
            epsilon_decay=0.2,
            reward_scale=0.1,
        ),
        network=_q_network(hidden=(256, 256)),
        source="purejaxql, pqn_cartpole.yaml: CartPole-v1",
    ),
    "purejaxql-minatar": Preset(
        builder=pqn,
        config=PQNConfig(),
        hypers=PQNHypers(),
        network=_q_network(hidden=(128,), encoder=nets.minatar_cnn(16)),
        source="purejaxql, pqn_minatar.yaml: MinAtar games, 1e7 steps",
    ),
    "purejaxql-atari": Preset(
        builder=pqn,
        config=PQNConfig(anneal_learning_rate=False),
        hypers=PQNHypers(learning_rate=2.5e-4, final_epsilon=0.001),
        network=_q_network(hidden=(512,), encoder=nets.nature_cnn()),
        source="purejaxql, pqn_atari.yaml: Atari without sticky actions, 1e7 steps",
    ),
    "purejaxql-memory-chain": Preset(
        builder=pqn,
        config=PQNConfig(
            num_envs=32, rollout_length=128, epochs=4, minibatches=16, anneal_learning_rate=False
        ),
        hypers=PQNHypers(learning_rate=1e-3, td_lambda=0.95, final_epsilon=0.01),
        network=_q_network(hidden=(256, 256), memory_units=256),
        source="purejaxql, pqn_rnn_memory_chain.yaml: MemoryChain-bsuite, 1e5 steps; its GRU sees "
        "the last action, too, and learns from four steps more",
    ),
    "navix-pqn": Preset(
        builder=pqn,
        config=_NAVIX_PQN,
        hypers=_NAVIX_PQN_HYPERS,
        network=_navix_q_network(),
        source="navix 4.0.0, PQNHparams and QMLPEncoder: its grids, 1e6 steps; categories are "
        "one-hot, there plain numbers",
    ),
    "navix-pqn-memory": Preset(
        builder=pqn,
        config=_NAVIX_PQN._replace(minibatches=16),
        hypers=_NAVIX_PQN_HYPERS,
        network=_navix_q_network(memory_units=64),
        source="our setting: navix-pqn with a GRU, in minibatches of whole rollouts",
    ),
    "dopamine-minatar": Preset(
        builder=dqn,
        config=DQNConfig(),
        hypers=DQNHypers(),
        network=_dopamine(hidden=(), encoder=_BOARD),
        source="Dopamine, labs/environments/minatar, DQN: MinAtar games, 1e7 steps",
    ),
    "dopamine-atari": Preset(
        builder=dqn,
        config=DQNConfig(capacity=1_000_000),
        hypers=DQNHypers(
            learning_rate=6.25e-5,
            adam_epsilon=1.5e-4,
            epsilon_decay=0.005,
            min_history=20_000.0,
            target_update_period=2000.0,
        ),
        network=_dopamine(hidden=(512,), encoder=_PIXELS),
        source="Dopamine, jax DQN: Atari, 5e7 steps",
    ),
    "drq-eps-atari100k": Preset(
        builder=dqn,
        config=DQNConfig(rollout_length=1, max_n_step=10, double=True, huber=True, augment=True),
        hypers=DQNHypers(
            learning_rate=1e-4,
            adam_epsilon=1.5e-4,
            n_step=10.0,
            epsilon_decay=0.05,
            min_history=1600.0,
            target_update_period=1.0,
        ),
        network=_dopamine(hidden=(512,), encoder=_PIXELS, dueling=True),
        source="Dopamine, labs/atari_100k, DrQ(eps): Atari, 1e5 steps",
    ),
    "c51-minatar": Preset(
        builder=c51,
        config=C51Config(),
        hypers=C51Hypers(
            learning_rate=2.5e-4,
            epsilon_decay=0.025,
            target_update_period=250.0,
            value_low=-100.0,
            value_high=100.0,
        ),
        network=_dopamine(hidden=(), encoder=_BOARD, atoms=51),
        source="our setting: dopamine-minatar with the atoms of dopamine-rainbow-minatar",
    ),
    "dopamine-rainbow-minatar": Preset(
        builder=rainbow,
        config=RainbowConfig(double=False),
        hypers=RainbowHypers(epsilon=1.0, final_epsilon=0.01),
        network=_dopamine(hidden=(), encoder=_BOARD, atoms=51),
        source="Dopamine, labs/environments/minatar, Rainbow: MinAtar games, 1e7 steps",
    ),
    "dopamine-rainbow-atari": Preset(
        builder=rainbow,
        config=RainbowConfig(capacity=1_000_000),
        hypers=RainbowHypers(
            learning_rate=6.25e-5,
            adam_epsilon=1.5e-4,
            min_history=20_000.0,
            target_update_period=2000.0,
            value_low=-10.0,
            value_high=10.0,
        ),
        network=_dopamine(hidden=(512,), encoder=_PIXELS, atoms=51, dueling=True, noisy=True),
        source="Dopamine, full Rainbow: Atari, 5e7 steps",
    ),
    "dopamine-iqn-atari": Preset(
        builder=iqn,
        config=IQNConfig(capacity=1_000_000, max_n_step=3),
        hypers=IQNHypers(
            n_step=3.0,
            epsilon_decay=0.005,
            min_history=20_000.0,
            target_update_period=2000.0,
        ),
        network=_implicit(encoder=_PIXELS, kernel_init=_NARROW),
        source="Dopamine, jax IQN: Atari, 5e7 steps",
    ),
    "der-atari100k": Preset(
        builder=rainbow,
        config=RainbowConfig(rollout_length=1, max_n_step=10),
        hypers=RainbowHypers(
            learning_rate=1e-4,
            adam_epsilon=1.5e-4,
            n_step=10.0,
            min_history=1600.0,
            target_update_period=2000.0,
            value_low=-10.0,
            value_high=10.0,
        ),
        network=_dopamine(hidden=(512,), encoder=_PIXELS, atoms=51, dueling=True, noisy=True),
        source="Dopamine, labs/atari_100k, DER: Atari, 1e5 steps (its replay of 1e6 holds all of "
        "them)",
    ),
    "spr-atari100k": Preset(
        builder=bbf,
        config=BBFConfig(group=1),
        hypers=_SR_SPR._replace(epsilon=0.0, target_update_rate=1.0, reset_period=0.0),
        network=_self_predictive(encoder=_PIXELS, noisy=True),
        source="bigger_better_faster, SPR.gin: Atari, 1e5 steps, replay ratio 2",
    ),
    "sr-spr-atari100k": Preset(
        builder=bbf,
        config=BBFConfig(gradient_steps=8, group=8),
        hypers=_SR_SPR._replace(reset_period=5000.0),
        network=_self_predictive(encoder=_PIXELS),
        source="bigger_better_faster, SR_SPR.gin: Atari, 1e5 steps, replay ratio 8",
    ),
    "bbf-atari100k": Preset(
        builder=bbf,
        config=BBFConfig(),
        hypers=BBFHypers(),
        network=_self_predictive(encoder=nets.impala(width=4), hidden=(2048,)),
        source="bigger_better_faster, BBF.gin: Atari, 1e5 steps, replay ratio 2",
    ),
    "sr-spr-minatar100k": Preset(
        builder=bbf,
        config=BBFConfig(capacity=100_000),
        hypers=_SR_SPR._replace(**_MINATAR_100K),
        network=_self_predictive(),
        source="our setting: MinAtar games, 1e5 steps, replay ratio 2, BBF's encoder of width 1",
    ),
    "bbf-minatar100k": Preset(
        builder=bbf,
        config=BBFConfig(capacity=100_000),
        hypers=BBFHypers(**_MINATAR_100K),
        network=_self_predictive(),
        source="our setting: MinAtar games, 1e5 steps, replay ratio 2, encoder of width 1",
    ),
    "sac-pendulum": Preset(
        builder=sac,
        config=SACConfig(rollout_length=4, gradient_steps=4, batch_size=128, capacity=20_000),
        hypers=SACHypers(
            actor_learning_rate=1e-3,
            critic_learning_rate=1e-3,
            temperature_learning_rate=1e-3,
            gamma=0.98,
            target_update_rate=0.01,
            min_history=1000.0,
        ),
        network=_actor_critics(hidden=(64, 64)),
        source="our setting: Pendulum-v1, 1.5e4 steps",
    ),
    "sac-mujoco": Preset(
        builder=sac,
        config=SACConfig(),
        hypers=SACHypers(),
        network=_actor_critics(log_std=nets.clip_bound(-20.0, 2.0)),
        source="arXiv 1812.05905, table 1: MuJoCo, 1e6 - 1e7 steps",
    ),
    "td3-mujoco": Preset(
        builder=td3,
        config=TD3Config(),
        hypers=TD3Hypers(),
        network=_actor_critics(deterministic=True),
        source="TD3's released code: MuJoCo, 1e6 steps",
    ),
    "qsarsa-ac-mujoco": Preset(
        builder=qsarsa,
        config=QSarsaConfig(),
        hypers=QSarsaHypers(critic_weight=1.0, actor_weight=1.0),
        network=_actor_critics(deterministic=True),
        source="our reading of arXiv 2307.13824: critics and actor are regularised",
    ),
    "qsarsa-ac2-mujoco": Preset(
        builder=qsarsa,
        config=QSarsaConfig(),
        hypers=QSarsaHypers(critic_weight=1.0, actor_weight=0.0),
        network=_actor_critics(deterministic=True),
        source="our reading of arXiv 2307.13824: critics alone are regularised",
    ),
    "bro-net-dmc": Preset(
        builder=sac,
        config=SACConfig(rollout_length=2, gradient_steps=2, batch_size=128),
        hypers=SACHypers(actor_learning_rate=1e-4, critic_learning_rate=1e-3),
        network=_actor_critics(hidden=(256,), blocks=1, critic_blocks=2),
        source="GraMa, arXiv 2505.24061: BRO's network without its other parts",
    ),
}
