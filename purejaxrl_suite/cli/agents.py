"""Agents of the command line: their builders, settings and the networks that flags may change."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    from purejaxrl_suite.core.types import Environment, Network


class NetworkOf(Protocol):
    """Make the network of an agent with a Config; options: the changes by `NetworkFlags`."""

    def __call__(self, env: "Environment", config: Any, /, **options: Any) -> "Network":
        """Return the network."""
        ...


class AgentEntry(NamedTuple):
    """An agent of the command line.

    network: None if flags cannot change it. recurrent: whether it may have a memory. bridged:
    whether it may have another bridge.
    """

    build: Any
    config: Any
    hypers: Any
    network: NetworkOf | None
    recurrent: bool = False
    bridged: bool = False


def agents() -> dict[str, AgentEntry]:
    """Return every agent by its name."""
    return dict(sorted({**_acting(), **_regularised(), **_decoupled(), **_offline()}.items()))


def _of(build: Callable[..., Any], **options: Any) -> NetworkOf:
    """Make a network with these options; functions among them get the config."""

    def network(env: "Environment", config: Any, **given: Any) -> Any:
        known = {name: x(config) if callable(x) else x for name, x in options.items()}
        return build(env.observation, env.action, **known | given)

    return network


def _of_daac(env: "Environment", config: Any, **given: Any) -> Any:
    """Make the network of DAAC, with an advantage of each action."""
    from purejaxrl_suite import nets

    units = getattr(env.action, "n", 1)
    return nets.decoupled_actor_critic(env.observation, env.action, units=units, **given)


def _of_mpo(env: "Environment", config: Any, **given: Any) -> Any:
    """Make the network of MPO, with a value of each action."""
    from purejaxrl_suite import nets

    values = getattr(env.action, "n", None)
    return nets.actor_critic(env.observation, env.action, values=values, **given)


def _acting() -> dict[str, AgentEntry]:
    """Return the agents that act while they learn."""
    from purejaxrl_suite import nets
    from purejaxrl_suite.agents.bbf import BBFConfig, BBFHypers, bbf
    from purejaxrl_suite.agents.c51 import C51Config, C51Hypers, c51
    from purejaxrl_suite.agents.dqn import DQNConfig, DQNHypers, dqn
    from purejaxrl_suite.agents.impala import ImpalaConfig, ImpalaHypers, impala
    from purejaxrl_suite.agents.iqn import IQNConfig, IQNHypers, iqn
    from purejaxrl_suite.agents.munchausen import MunchausenConfig, MunchausenHypers, munchausen
    from purejaxrl_suite.agents.ppo import PPOConfig, PPOHypers, ppo
    from purejaxrl_suite.agents.pqn import PQNConfig, PQNHypers, pqn
    from purejaxrl_suite.agents.pvn import PVNConfig, PVNHypers, pvn
    from purejaxrl_suite.agents.qr_dqn import QRDQNConfig, QRDQNHypers, qr_dqn
    from purejaxrl_suite.agents.rainbow import RainbowConfig, RainbowHypers, rainbow
    from purejaxrl_suite.agents.sac import SACConfig, SACHypers, sac
    from purejaxrl_suite.agents.tandem import TandemConfig, TandemHypers, tandem
    from purejaxrl_suite.agents.td3 import TD3Config, TD3Hypers, td3

    def munchausen_network(env: "Environment", config: Any, **given: Any) -> Any:
        return (implicit if config.distributional else plain)(env, config, **given)

    plain = _of(nets.q_network, layer_norm=False)
    implicit = _of(nets.implicit_quantile_network)
    atoms = _of(nets.q_network, layer_norm=False, atoms=lambda config: config.atoms)
    visits = _of(nets.q_network, layer_norm=False, atoms=lambda config: config.tasks)
    quantiles = _of(nets.q_network, layer_norm=False, atoms=lambda config: config.quantiles)
    noisy = _of(
        nets.q_network,
        layer_norm=False,
        atoms=lambda config: config.atoms,
        dueling=True,
        noisy=True,
    )
    predictive = _of(nets.self_predictive, atoms=lambda config: config.atoms)
    either = {"recurrent": True, "bridged": True}
    deterministic = _of(nets.actor_critics, deterministic=True)
    return {
        "bbf": AgentEntry(bbf, BBFConfig(), BBFHypers(), predictive, bridged=True),
        "c51": AgentEntry(c51, C51Config(), C51Hypers(), atoms, bridged=True),
        "dqn": AgentEntry(dqn, DQNConfig(), DQNHypers(), plain, bridged=True),
        "impala": AgentEntry(
            impala, ImpalaConfig(), ImpalaHypers(), _of(nets.actor_critic), **either
        ),
        "iqn": AgentEntry(iqn, IQNConfig(), IQNHypers(), implicit, bridged=True),
        "munchausen": AgentEntry(
            munchausen, MunchausenConfig(), MunchausenHypers(), munchausen_network, bridged=True
        ),
        "ppo": AgentEntry(ppo, PPOConfig(), PPOHypers(), _of(nets.actor_critic), **either),
        "pqn": AgentEntry(pqn, PQNConfig(), PQNHypers(), _of(nets.q_network), **either),
        "pvn": AgentEntry(pvn, PVNConfig(), PVNHypers(), visits, bridged=True),
        "qr_dqn": AgentEntry(qr_dqn, QRDQNConfig(), QRDQNHypers(), quantiles, bridged=True),
        "rainbow": AgentEntry(rainbow, RainbowConfig(), RainbowHypers(), noisy, bridged=True),
        "sac": AgentEntry(sac, SACConfig(), SACHypers(), _of(nets.actor_critics)),
        "tandem": AgentEntry(tandem, TandemConfig(), TandemHypers(), plain, bridged=True),
        "td3": AgentEntry(td3, TD3Config(), TD3Hypers(), deterministic),
    }


def _regularised() -> dict[str, AgentEntry]:
    """Return the agents whose policy stays near another: functional mirror ascent, MPO, Muesli."""
    from purejaxrl_suite import nets
    from purejaxrl_suite.agents.fma_pg import FMAPGConfig, FMAPGHypers, fma_pg
    from purejaxrl_suite.agents.mpo import MPOConfig, MPOHypers, mpo
    from purejaxrl_suite.agents.muesli import MuesliConfig, MuesliHypers, muesli
    from purejaxrl_suite.agents.vmpo import VMPOConfig, VMPOHypers, vmpo

    plain, model = _of(nets.actor_critic), _of(nets.latent_model)
    either = {"recurrent": True, "bridged": True}
    return {
        "fma_pg": AgentEntry(fma_pg, FMAPGConfig(), FMAPGHypers(), plain, **either),
        "mpo": AgentEntry(mpo, MPOConfig(), MPOHypers(), _of_mpo, bridged=True),
        "muesli": AgentEntry(muesli, MuesliConfig(), MuesliHypers(), model, recurrent=True),
        "vmpo": AgentEntry(vmpo, VMPOConfig(), VMPOHypers(), plain, **either),
    }


def _decoupled() -> dict[str, AgentEntry]:
    """Return the agents whose actor and critic have encoders of their own."""
    from purejaxrl_suite import nets
    from purejaxrl_suite.agents.daac import DAACConfig, DAACHypers, daac
    from purejaxrl_suite.agents.dcpg import DCPGConfig, DCPGHypers, dcpg
    from purejaxrl_suite.agents.ppg import PPGConfig, PPGHypers, ppg

    network = _of(nets.decoupled_actor_critic)
    return {
        "daac": AgentEntry(daac, DAACConfig(), DAACHypers(), _of_daac),
        "dcpg": AgentEntry(dcpg, DCPGConfig(), DCPGHypers(), network),
        "ppg": AgentEntry(ppg, PPGConfig(), PPGHypers(), network),
    }


def _offline() -> dict[str, AgentEntry]:
    """Return the agents that learn from a data set alone."""
    from purejaxrl_suite import nets
    from purejaxrl_suite.agents.behaviour import BehaviourConfig, BehaviourHypers, behaviour
    from purejaxrl_suite.agents.cql import CQLConfig, CQLHypers, cql
    from purejaxrl_suite.agents.discrete_cql import (
        DiscreteCQLConfig,
        DiscreteCQLHypers,
        discrete_cql,
    )
    from purejaxrl_suite.agents.iql import IQLConfig, IQLHypers, iql
    from purejaxrl_suite.agents.qsarsa import QSarsaConfig, QSarsaHypers, qsarsa
    from purejaxrl_suite.agents.shared.offline_learning import box_of
    from purejaxrl_suite.agents.td3_bc import TD3BCConfig, TD3BCHypers, td3_bc

    def on_either(env: "Environment", value: bool, **given: Any) -> Any:
        """Make a network for actions of either kind, which are one-hot where they are discrete."""
        box = box_of(env.action)
        options: dict[str, Any] = {
            "deterministic": box != env.action or not value,
            "value": value,
        }
        return nets.actor_critics(env.observation, box, **options | given)

    def policy(env: "Environment", config: Any, **given: Any) -> Any:
        return on_either(env, False, **given)

    def policy_and_value(env: "Environment", config: Any, **given: Any) -> Any:
        return on_either(env, True, **given)

    plain = _of(nets.q_network, layer_norm=False)
    deterministic = _of(nets.actor_critics, deterministic=True)
    return {
        "behaviour": AgentEntry(behaviour, BehaviourConfig(), BehaviourHypers(), policy),
        "cql": AgentEntry(cql, CQLConfig(), CQLHypers(), _of(nets.actor_critics)),
        "discrete_cql": AgentEntry(
            discrete_cql, DiscreteCQLConfig(), DiscreteCQLHypers(), plain, bridged=True
        ),
        "iql": AgentEntry(iql, IQLConfig(), IQLHypers(), policy_and_value),
        "qsarsa": AgentEntry(qsarsa, QSarsaConfig(), QSarsaHypers(), deterministic),
        "td3_bc": AgentEntry(td3_bc, TD3BCConfig(), TD3BCHypers(), deterministic),
    }
