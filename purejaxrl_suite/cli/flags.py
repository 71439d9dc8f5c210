"""What the command line takes: flags, agents, presets; and how they become arguments of calls."""

import argparse
import dataclasses
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from purejaxrl_suite.core.types import Agent, Environment, Network

PROGRAM = "purejaxrl-suite"


@dataclasses.dataclass
class Fleet:
    """What all trained members share."""

    seeds: int = 16
    """Members to train of each configuration, with the seeds base_seed, base_seed + 1, ..."""
    steps: float = 1e6
    """Environment steps of each member, rounded down to whole updates."""
    out: Path | None = None
    """Run folder to write; by default a folder in runs/ named after what is trained."""
    preset: str | None = None
    """Published settings to start from; all other flags change these."""
    options: tuple[str, ...] = ()
    """What the environment is made with: NAME=VALUE ..."""
    base_seed: int = 0
    """The first seed."""
    reset_pool: int = 1
    """Start states per environment and rollout; 0 computes an exact reset at every step."""


class NetworkFlags(NamedTuple):
    """The network, where it is not the one of the agent or preset; 0 or nothing keeps that.

    Attributes:
        hidden: units of the dense layers.
        memory_units: units of a GRU, for tasks that are only partly observed.
    """

    hidden: tuple[int, ...] = ()
    memory_units: int = 0


class AgentEntry(NamedTuple):
    """What the command line needs to know of an agent."""

    build: Callable[..., "Agent"]
    config: Any
    hypers: Any
    network: Callable[..., Any]


class Given(NamedTuple):
    """What was asked for.

    command: the words typed. name: the agent's. entry: the agent. flags: those of the command
    alone. network_flags: as given. network: Environment -> Network, None for the agent's own.
    """

    command: tuple[str, ...]
    name: str
    entry: AgentEntry
    flags: Any
    fleet: Fleet
    config: Any
    hypers: Any
    network_flags: NetworkFlags
    network: Callable[["Environment"], "Network"] | None

    def make(self, id: str) -> "Environment":
        """The environment, with the options that were given."""
        from purejaxrl_suite.envs import make

        return make(id, **dict(_option(text) for text in self.fleet.options))

    @property
    def seeds(self) -> range:
        """The seeds to train."""
        return range(self.fleet.base_seed, self.fleet.base_seed + self.fleet.seeds)


def agents() -> dict[str, AgentEntry]:
    """Every agent by its name."""
    from purejaxrl_suite import nets
    from purejaxrl_suite.agents.dqn import DQNConfig, DQNHypers, dqn
    from purejaxrl_suite.agents.ppo import PPOConfig, PPOHypers, ppo
    from purejaxrl_suite.agents.pqn import PQNConfig, PQNHypers, pqn

    return {
        "dqn": AgentEntry(dqn, DQNConfig(), DQNHypers(), nets.q_network),
        "ppo": AgentEntry(ppo, PPOConfig(), PPOHypers(), nets.actor_critic),
        "pqn": AgentEntry(pqn, PQNConfig(), PQNHypers(), nets.q_network),
    }


def parse(command: str, flags: type, arguments: Sequence[str]) -> Given:
    """The arguments of `command AGENT ...`, whose own flags are the fields of `flags`.

    Raises ValueError for an unknown agent or preset; other mistakes end the program (exit code 2).
    """
    import tyro

    name, entry = agent(arguments, command)
    entry, preset_network = _start_from_preset(name, entry, arguments)
    fields: list[Any] = [
        (command, tyro.conf.OmitArgPrefixes[flags]),
        ("fleet", tyro.conf.OmitArgPrefixes[Fleet], dataclasses.field(default_factory=Fleet)),
        ("config", type(entry.config), dataclasses.field(default=entry.config)),
        ("hypers", type(entry.hypers), dataclasses.field(default=entry.hypers)),
        ("network", NetworkFlags, dataclasses.field(default=NetworkFlags())),
    ]
    given: Any = tyro.cli(
        dataclasses.make_dataclass("Command", fields),
        prog=f"{PROGRAM} {command} {name}",
        description=flags.__doc__,
        args=list(arguments[1:]),
    )
    return Given(
        (command, *arguments),
        name,
        entry,
        getattr(given, command),
        given.fleet,
        given.config,
        given.hypers,
        given.network,
        _network(entry, given.network) or preset_network,
    )


def agent(arguments: Sequence[str], command: str) -> tuple[str, AgentEntry]:
    """The agent that the arguments begin with."""
    known = agents()
    if list(arguments[:1]) in (["-h"], ["--help"]):
        print(f"usage: {PROGRAM} {command} {{{','.join(known)}}} ...")
        raise SystemExit(0)
    if not arguments or arguments[0] not in known:
        found = repr(arguments[0]) if arguments else "nothing"
        raise ValueError(f"{command}: expected an agent ({', '.join(known)}) first, got {found}")
    return arguments[0], known[arguments[0]]


def use_compilation_cache() -> None:
    """Compile a program once per machine; where JAX has been told a place already, keep that."""
    import jax

    if jax.config.jax_compilation_cache_dir is None:
        home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        jax.config.update("jax_compilation_cache_dir", str(home / "purejaxrl_suite" / "jax"))


def _start_from_preset(
    name: str, entry: AgentEntry, arguments: Sequence[str]
) -> tuple[AgentEntry, Callable[["Environment"], Any] | None]:
    """The entry with the defaults of `--preset`, which must be known before flags are made."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--preset", nargs="?")
    chosen = parser.parse_known_args(arguments)[0].preset
    if chosen is None:
        return entry, None
    from purejaxrl_suite.presets import PRESETS

    fitting = [key for key, preset in PRESETS.items() if preset.builder is entry.build]
    if chosen not in fitting:
        raise ValueError(f"--preset: {chosen!r} is not for {name}; these are: {', '.join(fitting)}")
    preset = PRESETS[chosen]
    return entry._replace(config=preset.config, hypers=preset.hypers), preset.network


def _network(entry: AgentEntry, flags: NetworkFlags) -> Callable[["Environment"], "Network"] | None:
    given = {name: x for name, x in flags._asdict().items() if x}
    if not given:
        return None
    return lambda env: entry.network(env.observation, env.action, **given)


def _option(text: str) -> tuple[str, Any]:
    name, separator, value = text.partition("=")
    if not separator:
        raise ValueError(f"--options: expected NAME=VALUE, got {text!r}")
    try:
        return name, json.loads(value)
    except json.JSONDecodeError:
        return name, value
