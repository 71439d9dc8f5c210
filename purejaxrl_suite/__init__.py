"""Deep-RL research as one compiled program: environments, agents, seeds and statistics.

    import purejaxrl_suite as pjs

    env = pjs.make("Breakout-MinAtar")
    result = pjs.run(pjs.ppo(env), env, seeds=16, steps=1e6)
    pjs.report.learning_curves(result.curves, path="breakout.png")

Names are imported when they are first used, so importing the package is quick and touches no
device.
"""

# ruff: noqa: F401 (the imports for type checkers are what `__getattr__` gives)

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from purejaxrl_suite import (
        agents,
        buffers,
        core,
        datasets,
        engine,
        envs,
        mdps,
        meta,
        microscopy,
        nets,
        ops,
        plasticity,
        populations,
        presets,
        problems,
        report,
        representations,
        search,
        sparsity,
        stats,
        studies,
        sweeps,
    )
    from purejaxrl_suite.agents.bbf import BBFConfig, BBFHypers, bbf
    from purejaxrl_suite.agents.behaviour import BehaviourConfig, BehaviourHypers, behaviour
    from purejaxrl_suite.agents.c51 import C51Config, C51Hypers, c51
    from purejaxrl_suite.agents.cql import CQLConfig, CQLHypers, cql
    from purejaxrl_suite.agents.daac import DAACConfig, DAACHypers, daac
    from purejaxrl_suite.agents.dcpg import DCPGConfig, DCPGHypers, dcpg
    from purejaxrl_suite.agents.discrete_cql import (
        DiscreteCQLConfig,
        DiscreteCQLHypers,
        discrete_cql,
    )
    from purejaxrl_suite.agents.dqn import DQNConfig, DQNHypers, dqn
    from purejaxrl_suite.agents.fma_pg import FMAPGConfig, FMAPGHypers, fma_pg
    from purejaxrl_suite.agents.impala import ImpalaConfig, ImpalaHypers, impala
    from purejaxrl_suite.agents.iql import IQLConfig, IQLHypers, iql
    from purejaxrl_suite.agents.iqn import IQNConfig, IQNHypers, iqn
    from purejaxrl_suite.agents.mpo import MPOConfig, MPOHypers, mpo
    from purejaxrl_suite.agents.muesli import MuesliConfig, MuesliHypers, muesli
    from purejaxrl_suite.agents.munchausen import MunchausenConfig, MunchausenHypers, munchausen
    from purejaxrl_suite.agents.ppg import PPGConfig, PPGHypers, ppg
    from purejaxrl_suite.agents.ppo import PPOConfig, PPOHypers, ppo
    from purejaxrl_suite.agents.pqn import PQNConfig, PQNHypers, pqn
    from purejaxrl_suite.agents.pvn import PVNConfig, PVNHypers, pvn
    from purejaxrl_suite.agents.qr_dqn import QRDQNConfig, QRDQNHypers, qr_dqn
    from purejaxrl_suite.agents.qsarsa import QSarsaConfig, QSarsaHypers, qsarsa
    from purejaxrl_suite.agents.rainbow import RainbowConfig, RainbowHypers, rainbow
    from purejaxrl_suite.agents.reincarnation import (
        dqfd,
        fine_tuning,
        jsrl,
        kickstarting,
        offline_pretraining,
        qdagger,
        rehearsal,
    )
    from purejaxrl_suite.agents.sac import SACConfig, SACHypers, sac
    from purejaxrl_suite.agents.shared.associations import SyntheticSettings
    from purejaxrl_suite.agents.shared.students import reincarnated
    from purejaxrl_suite.agents.synthetic_returns import synthetic_returns
    from purejaxrl_suite.agents.tandem import TandemConfig, TandemHypers, tandem
    from purejaxrl_suite.agents.td3 import TD3Config, TD3Hypers, td3
    from purejaxrl_suite.agents.td3_bc import TD3BCConfig, TD3BCHypers, td3_bc
    from purejaxrl_suite.agents.vmpo import VMPOConfig, VMPOHypers, vmpo
    from purejaxrl_suite.cli.load import load
    from purejaxrl_suite.cli.rules import lpg_rule
    from purejaxrl_suite.core.compiling import use_compilation_cache, use_cores
    from purejaxrl_suite.core.types import (
        Agent,
        Box,
        Clock,
        Discrete,
        Environment,
        ExtraLoss,
        Intervention,
        LossInputs,
        Network,
        TimeStep,
        Transition,
    )
    from purejaxrl_suite.engine.evaluate import Evaluating, make_evaluate
    from purejaxrl_suite.engine.problem import Problem
    from purejaxrl_suite.engine.train import make_train
    from purejaxrl_suite.envs import ids, make
    from purejaxrl_suite.envs.gymnasium import host_environment, vector_environment
    from purejaxrl_suite.meta.frodo import FRODOConfig, FRODOHypers, frodo
    from purejaxrl_suite.meta.intrinsic_rewards import LIRConfig, LIRHypers, intrinsic_reward
    from purejaxrl_suite.meta.lpg import LPGConfig, LPGHypers, lpg
    from purejaxrl_suite.meta.modac import MODACConfig, MODACHypers, modac
    from purejaxrl_suite.populations.population import evolve
    from purejaxrl_suite.populations.selection import (
        Selection,
        population_based_training,
        successive_halving,
    )
    from purejaxrl_suite.representations.auxiliary import auxiliary
    from purejaxrl_suite.sparsity.sparse import sparse
    from purejaxrl_suite.sweeps.experiment import Experiment
    from purejaxrl_suite.sweeps.plan import Plan
    from purejaxrl_suite.sweeps.policy import Policy, load_policy
    from purejaxrl_suite.sweeps.reincarnate import reincarnate, student_hypers
    from purejaxrl_suite.sweeps.result import Result
    from purejaxrl_suite.sweeps.run import run
    from purejaxrl_suite.sweeps.settings import Progress
    from purejaxrl_suite.sweeps.stages import Stage, Stages, stages
    from purejaxrl_suite.sweeps.sweep import plan, sweep

_HOMES = {
    "agents.bbf": ("BBFConfig", "BBFHypers", "bbf"),
    "agents.c51": ("C51Config", "C51Hypers", "c51"),
    "agents.daac": ("DAACConfig", "DAACHypers", "daac"),
    "agents.dcpg": ("DCPGConfig", "DCPGHypers", "dcpg"),
    "agents.dqn": ("DQNConfig", "DQNHypers", "dqn"),
    "agents.fma_pg": ("FMAPGConfig", "FMAPGHypers", "fma_pg"),
    "agents.impala": ("ImpalaConfig", "ImpalaHypers", "impala"),
    "agents.iqn": ("IQNConfig", "IQNHypers", "iqn"),
    "agents.mpo": ("MPOConfig", "MPOHypers", "mpo"),
    "agents.muesli": ("MuesliConfig", "MuesliHypers", "muesli"),
    "agents.munchausen": ("MunchausenConfig", "MunchausenHypers", "munchausen"),
    "agents.ppg": ("PPGConfig", "PPGHypers", "ppg"),
    "agents.ppo": ("PPOConfig", "PPOHypers", "ppo"),
    "agents.pqn": ("PQNConfig", "PQNHypers", "pqn"),
    "agents.pvn": ("PVNConfig", "PVNHypers", "pvn"),
    "agents.qr_dqn": ("QRDQNConfig", "QRDQNHypers", "qr_dqn"),
    "agents.rainbow": ("RainbowConfig", "RainbowHypers", "rainbow"),
    "agents.reincarnation": (
        "dqfd",
        "fine_tuning",
        "jsrl",
        "kickstarting",
        "offline_pretraining",
        "qdagger",
        "rehearsal",
    ),
    "agents.shared.associations": ("SyntheticSettings",),
    "agents.shared.students": ("reincarnated",),
    "agents.sac": ("SACConfig", "SACHypers", "sac"),
    "agents.synthetic_returns": ("synthetic_returns",),
    "agents.tandem": ("TandemConfig", "TandemHypers", "tandem"),
    "agents.td3": ("TD3Config", "TD3Hypers", "td3"),
    "agents.behaviour": ("BehaviourConfig", "BehaviourHypers", "behaviour"),
    "agents.cql": ("CQLConfig", "CQLHypers", "cql"),
    "agents.discrete_cql": ("DiscreteCQLConfig", "DiscreteCQLHypers", "discrete_cql"),
    "agents.iql": ("IQLConfig", "IQLHypers", "iql"),
    "agents.qsarsa": ("QSarsaConfig", "QSarsaHypers", "qsarsa"),
    "agents.td3_bc": ("TD3BCConfig", "TD3BCHypers", "td3_bc"),
    "agents.vmpo": ("VMPOConfig", "VMPOHypers", "vmpo"),
    "cli.load": ("load",),
    "cli.rules": ("lpg_rule",),
    "core.compiling": ("use_compilation_cache", "use_cores"),
    "core.types": (
        "Agent",
        "Box",
        "Clock",
        "Discrete",
        "Environment",
        "ExtraLoss",
        "Intervention",
        "LossInputs",
        "Network",
        "TimeStep",
        "Transition",
    ),
    "engine.evaluate": ("Evaluating", "make_evaluate"),
    "meta.frodo": ("FRODOConfig", "FRODOHypers", "frodo"),
    "meta.intrinsic_rewards": ("LIRConfig", "LIRHypers", "intrinsic_reward"),
    "meta.lpg": ("LPGConfig", "LPGHypers", "lpg"),
    "meta.modac": ("MODACConfig", "MODACHypers", "modac"),
    "representations.auxiliary": ("auxiliary",),
    "sparsity.sparse": ("sparse",),
    "sweeps.settings": ("Progress",),
    "sweeps.experiment": ("Experiment",),
    "sweeps.plan": ("Plan",),
    "populations.population": ("evolve",),
    "sweeps.policy": ("Policy", "load_policy"),
    "sweeps.reincarnate": ("reincarnate", "student_hypers"),
    "sweeps.result": ("Result",),
    "sweeps.run": ("run",),
    "populations.selection": ("Selection", "population_based_training", "successive_halving"),
    "sweeps.stages": ("Stage", "Stages", "stages"),
    "sweeps.sweep": ("plan", "sweep"),
    "engine.problem": ("Problem",),
    "engine.train": ("make_train",),
    "envs": ("ids", "make"),
    "envs.gymnasium": ("host_environment", "vector_environment"),
}
_PACKAGES = (
    "agents",
    "buffers",
    "core",
    "datasets",
    "engine",
    "envs",
    "mdps",
    "meta",
    "microscopy",
    "nets",
    "ops",
    "plasticity",
    "populations",
    "presets",
    "problems",
    "report",
    "representations",
    "search",
    "sparsity",
    "stats",
    "studies",
    "sweeps",
)
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [*_PACKAGES, *_HOME_OF]  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name == "__version__":  # of the installed package: pyproject.toml is where it stands
        return import_module("importlib.metadata").version(__name__)
    if name in _PACKAGES:
        return import_module(f"{__name__}.{name}")
    if name in _HOME_OF:
        return getattr(import_module(f"{__name__}.{_HOME_OF[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
