"""Every agent of the suite, small: joining this list is what "added" means."""

from functools import partial

import jax.numpy as jnp
import numpy as np

from purejaxrl_suite import nets, sparsity
from purejaxrl_suite.agents.bbf import BBFConfig, BBFHypers, bbf
from purejaxrl_suite.agents.behaviour import BehaviourConfig, behaviour
from purejaxrl_suite.agents.c51 import C51Config, C51Hypers, c51
from purejaxrl_suite.agents.cql import CQLConfig, cql
from purejaxrl_suite.agents.daac import DAACConfig, DAACHypers, daac
from purejaxrl_suite.agents.dcpg import DCPGConfig, DCPGHypers, dcpg
from purejaxrl_suite.agents.discrete_cql import (
    DiscreteCQLConfig,
    DiscreteCQLHypers,
    discrete_cql,
)
from purejaxrl_suite.agents.dqn import DQNConfig, DQNHypers, dqn
from purejaxrl_suite.agents.fma_pg import FMAPGConfig, fma_pg
from purejaxrl_suite.agents.impala import ImpalaConfig, ImpalaHypers, impala
from purejaxrl_suite.agents.iql import IQLConfig, iql
from purejaxrl_suite.agents.iqn import IQNConfig, IQNHypers, iqn
from purejaxrl_suite.agents.mpo import MPOConfig, MPOHypers, mpo
from purejaxrl_suite.agents.muesli import MuesliConfig, MuesliHypers, muesli
from purejaxrl_suite.agents.munchausen import MunchausenConfig, MunchausenHypers, munchausen
from purejaxrl_suite.agents.ppg import PPGConfig, PPGHypers, ppg
from purejaxrl_suite.agents.ppo import PPOConfig, ppo
from purejaxrl_suite.agents.pqn import PQNConfig, pqn
from purejaxrl_suite.agents.pvn import PVNConfig, PVNHypers, pvn
from purejaxrl_suite.agents.qr_dqn import QRDQNConfig, QRDQNHypers, qr_dqn
from purejaxrl_suite.agents.qsarsa import QSarsaConfig, qsarsa
from purejaxrl_suite.agents.rainbow import RainbowConfig, RainbowHypers, rainbow
from purejaxrl_suite.agents.reincarnation import jsrl
from purejaxrl_suite.agents.sac import SACConfig, SACHypers, sac
from purejaxrl_suite.agents.shared.associations import SyntheticSettings
from purejaxrl_suite.agents.shared.bbf_released import AsReleased
from purejaxrl_suite.agents.shared.students import join, reincarnated
from purejaxrl_suite.agents.synthetic_returns import synthetic_returns
from purejaxrl_suite.agents.tandem import TandemConfig, TandemHypers, tandem
from purejaxrl_suite.agents.td3 import TD3Config, TD3Hypers, td3
from purejaxrl_suite.agents.td3_bc import TD3BCConfig, td3_bc
from purejaxrl_suite.agents.vmpo import VMPOConfig, VMPOHypers, vmpo
from purejaxrl_suite.core import validate
from purejaxrl_suite.core.types import Box, Discrete, Transition
from purejaxrl_suite.engine.source import dataset
from purejaxrl_suite.envs import make, probes
from purejaxrl_suite.envs.multi_task import multi_task
from purejaxrl_suite.nets.tasks import multi_head
from purejaxrl_suite.representations import auxiliary, dynamics, mico

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
QUANTILES = {"quantiles": 4, "target_quantiles": 3, "policy_quantiles": 2}


def small_q(env, atoms=0):
    options = {"hidden": (8,), "atoms": atoms, "layer_norm": False}
    return nets.q_network(env.observation, env.action, **options)


def small_mixture(env):
    router = nets.top_k(1, importance=0.1, load=0.1)
    options = {"hidden": (8,), "bridge": nets.everywhere(router, 2), "layer_norm": False}
    return nets.q_network(env.observation, env.action, **options)


def small_implicit(env):
    return nets.implicit_quantile_network(
        env.observation, env.action, hidden=(8,), mixed=(8,), cosines=4, quantiles=2
    )


def small_ppo(config=PPO, **network):
    return lambda env, **more: ppo(
        env, config, nets.actor_critic(env.observation, env.action, hidden=(8,), **network), **more
    )


def small_fma_pg(**config):
    config = FMAPGConfig(num_envs=4, rollout_length=8, epochs=2, minibatches=2, **config)
    return lambda env, **more: fma_pg(
        env, config, nets.actor_critic(env.observation, env.action, hidden=(8,)), **more
    )


def small_vmpo(**network):
    config = VMPOConfig(num_envs=4, rollout_length=8, epochs=2, minibatches=2)
    return lambda env, **more: vmpo(
        env,
        config,
        nets.actor_critic(env.observation, env.action, hidden=(8,), **network),
        VMPOHypers(entropy_coefficient=0.01),
        **more,
    )


def small_mpo(env, **more):
    sizes = {"num_envs": 4, "rollout_length": 4, "gradient_steps": 2, "batch_size": 8}
    config = MPOConfig(**sizes, sequence_length=3, capacity=64)
    network = nets.actor_critic(env.observation, env.action, hidden=(8,), values=env.action.n)
    hypers = MPOHypers(learning_rate=1e-2, target_update_period=2.0)
    return mpo(env, config, network, hypers, **more)


def small_pqn(**network):
    return lambda env, **more: pqn(
        env, PQN, nets.q_network(env.observation, env.action, hidden=(8,), **network), **more
    )


IMPALA = ImpalaConfig(num_envs=4, rollout_length=8, minibatches=2)
STALE = IMPALA._replace(n_step=3, emphatic=True, emphatic_policy=True, replayed=1, replay_age=2)


# Gradients of sums are clipped, and learning shows early.
IMPALA_SOON = ImpalaHypers(learning_rate=1e-2, max_gradient_norm=1.0)


def small_impala(config=IMPALA, **network):
    return lambda env, **more: impala(
        env,
        config,
        nets.actor_critic(env.observation, env.action, hidden=(8,), **network),
        IMPALA_SOON,
        **more,
    )


def small_synthetic(build, config, hypers=None, **network):
    """An agent with synthetic returns, whose memory is shorter than some episodes."""
    settings = SyntheticSettings(capacity=6, hidden=(4,))
    builder = synthetic_returns(build, settings)
    return lambda env, **more: builder(
        env,
        config,
        nets.actor_critic(env.observation, env.action, hidden=(8,), **network),
        hypers,
        **more,
    )


ROLLOUT = {"num_envs": 4, "rollout_length": 8, "epochs": 2, "minibatches": 2}
PHASIC = ROLLOUT | {"policy_phases": 2, "auxiliary_epochs": 2, "auxiliary_minibatches": 4}


def small_decoupled(build, config, hypers, units=1, shared=False):
    """An on-policy agent with two encoders; `config` are fields of its Config."""
    made = hypers(learning_rate=1e-2, gamma=0.9)

    def make_agent(env, **more):
        spaces = env.observation, env.action
        options = {"hidden": (8,), "units": units, "shared": shared}
        network = nets.decoupled_actor_critic(*spaces, **options)
        return build(env, config, network, made, **more)

    return make_agent


def small_dqn(**config):
    # Errors are squared: on this probe Huber's gradient is saturated, whatever the target network.
    sizes = DQNConfig(num_envs=4, rollout_length=8, gradient_steps=4, batch_size=8, capacity=96)
    hypers = DQNHypers(epsilon_decay=0.5, min_history=32.0, target_update_period=4.0)
    config = sizes._replace(max_n_step=3, probe_size=16, huber=False, **config)
    return lambda env, **more: dqn(
        env, config, nets.q_network(env.observation, env.action, hidden=(8,)), hypers, **more
    )


def guided_dqn(env, **more):
    """DQN, the first step of whose episodes is another one's."""
    method, teacher = jsrl(), small_dqn()(env)
    hypers = join(method, teacher.hypers, weaning=False)._replace(guide_steps=1.0)
    build = reincarnated(dqn, method, teacher, weaning=False)
    return build(env, teacher.config, small_q(env), hypers, **more)


def mico_dqn(env, **more):
    """DQN with an auxiliary loss of its only hidden layer."""
    inside = small_dqn()(env)
    return auxiliary(dqn, mico())(env, inside.config, small_q(env), inside.hypers, **more)


def dynamics_ppg(env, **more):
    """PPG with a classifier of transitions beside its actor, which is part of its parameters."""
    inside = small_decoupled(ppg, PPGConfig(**PHASIC), PPGHypers)(env)
    build = auxiliary(ppg, dynamics("actor", hidden=(8,)))
    return build(env, inside.config, inside.network, inside.hypers, **more)


def small_sparse(build, make_agent, network, updater):
    """An agent of the list with masks that are renewed after every update."""

    def make_sparse(env, **more):
        inside = make_agent(env)
        builder = sparsity.sparse(build, updater, period=inside.gradient_steps)
        hypers = builder(env, inside.config).hypers._replace(**inside.hypers._asdict())
        known = {"sparsity": 0.5, "sparsity_start": 0.25, "sparsity_end": 1.0}
        hypers = hypers._replace(**{name: known[name] for name in known if hasattr(hypers, name)})
        return builder(env, inside.config, network(env), hypers, **more)

    return make_sparse


def small_value(build, config, hypers, network=small_q, **fields):
    """An agent with replay: `config` and `hypers` are its types, `fields` those of its Hypers."""
    settings = config(**REPLAY), hypers(**(EARLY | fields))
    return lambda env, **more: build(env, settings[0], network(env), settings[1], **more)


RAINBOW = RainbowConfig(**REPLAY, atoms=5)
# Every one of these shows within four updates of 16 steps, and so does its half.
SOON = {
    "learning_rate": 1e-2,
    "n_step": 1.0,
    "epsilon": 1.0,
    "epsilon_decay_steps": 64.0,
    "min_history": 16.0,
    "target_update_period": 4.0,
    "target_update_rate": 0.5,
    "value_low": -2.0,
    "value_high": 2.0,
}
BBF = BBFConfig(**REPLAY | {"gradient_steps": 4, "max_n_step": 3}, atoms=5, jumps=2)
BBF_SOON = BBFHypers(
    **SOON, start_n_step=3.0, anneal_steps=8.0, reset_period=32.0, no_resets_after=70.0
)


def small_rainbow(config=RAINBOW, **network):
    options = {"hidden": (8,), "atoms": 5, "layer_norm": False} | network
    return lambda env, **more: rainbow(
        env,
        config,
        nets.q_network(env.observation, env.action, **options),
        RainbowHypers(**SOON, final_epsilon=0.01),
        **more,
    )


def small_bbf(config=BBF, hypers=BBF_SOON, **network):
    encoder = nets.cnn((nets.ConvLayer(2),))
    options = {"hidden": (4,), "atoms": 5, "encoder": encoder} | network
    return lambda env, **more: bbf(
        env, config, nets.self_predictive(env.observation, env.action, **options), hypers, **more
    )


def small_pvn(env, **more):
    """PVN with a warm-up of one gradient step, and a share that many tasks can have."""
    sizes = {"num_envs": 4, "rollout_length": 8, "minibatches": 2, "tasks": 4}
    hypers = {"learning_rate": 1e-2, "quantile_learning_rate": 0.1, "warm_up": 1.0}
    hypers |= {"activation": 0.5, "target_update_rate": 0.5}
    config = PVNConfig(**sizes, tasks_per_network=2)
    return pvn(env, config, small_q(env, 4), PVNHypers(**hypers), **more)


MUESLI = MuesliConfig(
    num_envs=4,
    rollout_length=4,
    gradient_steps=2,
    batch_size=8,
    fresh=2,
    sequence_length=3,
    capacity=64,
    unroll_length=2,
)
SAMPLED = MUESLI._replace(kl_samples=3, unroll_length=1, fresh=0)


def small_muesli(config=MUESLI, **network):
    options = {"hidden": (8,), "model_units": 6, "atoms": 5} | network
    return lambda env, **more: muesli(
        env,
        config,
        nets.latent_model(env.observation, env.action, **options),
        MuesliHypers(learning_rate=1e-2, value_bound=2.0),
        **more,
    )


CONTINUOUS = {name: REPLAY[name] for name in REPLAY if name != "max_n_step"} | {"policy_delay": 2}
SOON_TOO = {"min_history": 16.0, "actor_learning_rate": 1e-2, "critic_learning_rate": 1e-2}


def small_sac(config=None, **network):
    options = {"hidden": (8,), "critic_hidden": (6,)} | network
    return lambda env, **more: sac(
        env,
        SACConfig(**CONTINUOUS | (config or {})),
        nets.actor_critics(env.observation, env.action, **options),
        SACHypers(**SOON_TOO, temperature_learning_rate=1e-2),
        **more,
    )


def small_td3(env, **more):
    network = nets.actor_critics(env.observation, env.action, hidden=(8,), deterministic=True)
    config = TD3Config(**CONTINUOUS, normalize_observations=True)
    return td3(env, config, network, TD3Hypers(**SOON_TOO), **more)


OFFLINE = {"gradient_steps": 4, "batch_size": 8}
WEIGHTS = {"value_learning_rate": 1e-2, "most_weight": 2.0}
QUICK = {"actor_learning_rate": 1e-2, "critic_learning_rate": 1e-2, "target_update_rate": 0.5}


def small_offline(build, config, hypers=None, **network):
    """An agent that learns from a data set; `hypers` are fields of its Hypers."""

    def make_agent(env, **more):
        box = env.action if isinstance(env.action, Box) else Box((env.action.n,))
        made = nets.actor_critics(env.observation, box, hidden=(8,), **network)
        given = build(env).hypers._replace(**QUICK | (hypers or {}))
        return build(env, config(**OFFLINE), made, given, **more)

    return make_agent


def small_discrete_cql(env, **more):
    hypers = DiscreteCQLHypers(learning_rate=1e-2, target_update_period=4.0)
    return discrete_cql(env, DiscreteCQLConfig(**OFFLINE), small_q(env), hypers, **more)


def source_of(agent, env):
    """What an agent learns from: None where it acts, else 40 steps of random experience."""
    if agent.offline is None:
        return None
    draw, count, box = np.random.default_rng(0), 40, env.observation
    obs = draw.uniform(-1.0, 1.0, (2, count, *box.shape)).astype(box.dtype)
    if isinstance(env.action, Discrete):
        action = draw.integers(env.action.n, size=count, dtype=np.int32)
    else:
        shape = count, *env.action.shape
        action = draw.uniform(env.action.low, env.action.high, shape).astype(np.float32)
    ends = draw.uniform(size=(2, count)) < 0.1
    ends[1, -1] = True
    reward = draw.normal(size=count).astype(np.float32)
    steps = Transition(obs[0], action, reward, ends[0], ends[1], obs[1], {})
    return partial(dataset, steps=steps)


def shown(env, box, show):
    """The environment with observations of another space, of which show(obs) is one."""

    def init(key, params):
        state, obs = env.init(key, params)
        return state, show(obs)

    def step(key, params, state, action):
        state, now = env.step(key, params, state, action)
        return state, now._replace(obs=show(now.obs), final_obs=show(now.final_obs))

    return env._replace(observation=box, init=init, step=step)


def board(number):
    """A checkered board that shows a number, which a scaled latent still tells from another."""
    checks = jnp.indices((4, 4)).sum(0)[..., None] % 2
    return jnp.where(checks == 1, 1.0, number)


def two_tasks():
    """One of two actions, and one of two observed numbers and three actions."""
    return multi_task([probes.delayed_reward(), probes.recall()._replace(action=Discrete(3))])


def ppo_on_tasks(env, **more):
    """PPO with a head for each task."""
    config = PPO._replace(normalize_each_task=True)
    network = nets.actor_critic(env.observation, env.action, hidden=(8,))
    return ppo(env, config, multi_head(network, env.observation), **more)


def on_a_board(env):
    """The environment with a board for each number, within [-1, 1], that it would show."""
    return shown(env, Box((4, 4, 1), "float32", -1.0, 1.0), lambda obs: board(obs[0]))


def in_pixels(env):
    """The numbers of a probe, in [-1, 1], as the brightness of an image."""
    box = Box((36, 36, 1), "uint8", 0, 255)
    return shown(env, box, lambda obs: jnp.full((36, 36, 1), 100 + 80 * obs[0]).astype(jnp.uint8))


def pendulum():
    return make("Pendulum-v1")


# name: (builder of the agent from an environment, builder of an environment that it can act in)
AGENTS = {
    "ppo": (small_ppo(), probes.delayed_reward),
    "ppo-recurrent": (small_ppo(memory_units=8), probes.recall),
    "ppo-normalized": (small_ppo(NORMALIZED), pendulum),
    "ppo-tasks": (ppo_on_tasks, two_tasks),
    "impala": (small_impala(), probes.delayed_reward),
    "impala-recurrent": (small_impala(memory_units=8), probes.recall),
    "impala-emphatic": (small_impala(STALE), probes.delayed_reward),
    "impala-synthetic": (
        small_synthetic(impala, IMPALA, IMPALA_SOON, shared=True),
        probes.delayed_reward,
    ),
    "ppo-synthetic": (small_synthetic(ppo, PPO, memory_units=8), probes.recall),
    "daac": (
        small_decoupled(daac, DAACConfig(**ROLLOUT, value_epochs=2), DAACHypers, units=2),
        probes.delayed_reward,
    ),
    "ppg": (
        small_decoupled(ppg, PPGConfig(**PHASIC, normalize_observations=True), PPGHypers),
        pendulum,
    ),
    "dcpg": (small_decoupled(dcpg, DCPGConfig(**PHASIC), DCPGHypers), probes.delayed_reward),
    "ppg-shared": (
        small_decoupled(ppg, PPGConfig(**PHASIC), PPGHypers, shared=True),
        probes.delayed_reward,
    ),
    "ppg-dynamics": (dynamics_ppg, probes.delayed_reward),
    "dcpg-shared": (
        small_decoupled(dcpg, DCPGConfig(**PHASIC), DCPGHypers, shared=True),
        probes.delayed_reward,
    ),
    "fma-pg": (small_fma_pg(), probes.delayed_reward),
    "mdpo": (small_fma_pg(softmax=False, reverse=True), pendulum),
    "vmpo": (small_vmpo(), probes.delayed_reward),
    "vmpo-recurrent": (small_vmpo(memory_units=8), probes.recall),
    "vmpo-boxed": (small_vmpo(), pendulum),
    "mpo": (small_mpo, probes.delayed_reward),
    "dqn": (small_dqn(), probes.delayed_reward),
    "dqn-double": (small_dqn(double=True), probes.delayed_reward),
    "dqn-guided": (guided_dqn, probes.delayed_reward),
    "dqn-mico": (mico_dqn, probes.delayed_reward),
    "dqn-sparse": (
        small_sparse(dqn, small_dqn(), small_q, sparsity.rigl()),
        probes.delayed_reward,
    ),
    "dqn-mixture": (small_value(dqn, DQNConfig, DQNHypers, small_mixture), probes.delayed_reward),
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
        small_value(iqn, partial(IQNConfig, **QUANTILES), IQNHypers, small_implicit),
        probes.delayed_reward,
    ),
    "m-dqn": (
        small_value(munchausen, MunchausenConfig, MunchausenHypers, temperature=0.5, lowest=-0.3),
        probes.delayed_reward,
    ),
    "m-iqn": (
        small_value(
            munchausen,
            partial(MunchausenConfig, distributional=True, **QUANTILES),
            MunchausenHypers,
            small_implicit,
            temperature=0.5,
            lowest=-0.3,
        ),
        probes.delayed_reward,
    ),
    "tandem": (
        small_value(
            tandem,
            partial(TandemConfig, own_data=True),
            TandemHypers,
            own_fraction=0.5,
            epsilon_decay=0.3,
        ),
        probes.delayed_reward,
    ),
    "drq": (
        small_value(dqn, partial(DQNConfig, augment=True), DQNHypers),
        lambda: in_pixels(probes.delayed_reward()),
    ),
    "rainbow": (small_rainbow(dueling=True, noisy=True), probes.delayed_reward),
    "rainbow-epsilon": (small_rainbow(RAINBOW._replace(double=False)), probes.delayed_reward),
    "bbf": (small_bbf(), lambda: on_a_board(probes.delayed_reward())),
    "bbf-as-released": (
        small_bbf(
            BBF._replace(as_released=AsReleased(True, True, True, True)),
            BBF_SOON._replace(no_resets_after=100.0),
            noisy=True,
        ),
        lambda: on_a_board(probes.delayed_reward()),
    ),
    "pvn": (small_pvn, lambda: make("CartPole-v1")),
    "muesli": (small_muesli(), probes.delayed_reward),
    "muesli-sampled": (small_muesli(SAMPLED), probes.delayed_reward),
    "muesli-recurrent": (small_muesli(memory_units=8), probes.recall),
    "sac": (small_sac(), pendulum),
    "sac-residual": (small_sac(hidden=(6,), blocks=1, critic_blocks=1), pendulum),
    "sac-normalized": (
        small_sac({"normalize_observations": True, "critic_subset": 2}, critics=3),
        pendulum,
    ),
    "td3": (small_td3, pendulum),
    "behaviour": (small_offline(behaviour, BehaviourConfig, deterministic=True), pendulum),
    "behaviour-discrete": (
        small_offline(behaviour, BehaviourConfig, deterministic=True),
        probes.delayed_reward,
    ),
    "td3-bc": (small_offline(td3_bc, TD3BCConfig, deterministic=True), pendulum),
    "qsarsa": (
        small_offline(qsarsa, QSarsaConfig, {"cloning_weight": 0.5}, deterministic=True),
        pendulum,
    ),
    "cql": (small_offline(cql, CQLConfig, {"temperature_learning_rate": 1e-2}), pendulum),
    "discrete-cql": (small_discrete_cql, probes.delayed_reward),
    "iql": (small_offline(iql, IQLConfig, WEIGHTS, value=True), pendulum),
    "iql-discrete": (
        small_offline(iql, IQLConfig, WEIGHTS, value=True, deterministic=True),
        probes.delayed_reward,
    ),
    "pqn": (small_pqn(), probes.delayed_reward),
    "pqn-recurrent": (small_pqn(memory_units=8), probes.recall),
    "pqn-sparse": (
        # The share of the target in force is that of the run that is over, but for a constant one.
        small_sparse(
            pqn, small_pqn(), small_q, sparsity.magnitude_ste(schedule=sparsity.constant())
        ),
        probes.delayed_reward,
    ),
}

VARIANTS = (
    "ppo-tasks",
    "impala-recurrent",
    "impala-emphatic",
    "ppo-synthetic",
    "mdpo",
    "vmpo-recurrent",
    "vmpo-boxed",
    "drq",
    "dqn-guided",
    "dqn-mico",
    "ppg-dynamics",
    "dqn-mixture",
    "dqn-sparse",
    "pqn-sparse",
    "rainbow-epsilon",
    "bbf-as-released",
    "muesli-sampled",
    "muesli-recurrent",
    "sac-residual",
    "sac-normalized",
)
"""Other settings of agents on the list."""

ON_DATA = (
    "behaviour",
    "behaviour-discrete",
    "td3-bc",
    "qsarsa",
    "cql",
    "discrete-cql",
    "iql",
    "iql-discrete",
)
"""Agents that learn from a data set."""

BOXED = {"sac", "td3", "td3_bc", "qsarsa", "cql"}
"""Agents of the command line that have continuous actions only."""

SIBLINGS = (
    "ppg",
    "ppg-shared",
    "dcpg-shared",
    "daac",
    "fma-pg",
    "vmpo",
    "dqn-double",
    "qr-dqn",
    "m-dqn",
    "m-iqn",
    "tandem",
    "bbf",
    "td3",
    *ON_DATA,
    *VARIANTS,
)
"""Agents that are rules on a loop that another one on the list has, too: for `make test-all`."""


def ends(agent):
    """{field: [(end of its Range, -1 or 1 for which way is out, whether it is inside)]}.

    The finite ones, as numbers.
    """
    known = agent.config._asdict() | agent.hypers._asdict()
    found = {}
    for field, (_, allowed) in validate.ranges(type(agent.hypers)).items():
        values = [known.get(end, end) for end in allowed[:4]]
        each = zip(values, (-1, 1, -1, 1), (True, True, False, False), strict=True)
        found[field] = [(float(x), *how) for x, *how in each if np.isfinite(x)]
    return found
