"""Flags and presets of the command line, and their conversion to arguments of calls."""

import argparse
import dataclasses
import inspect
import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from purejaxrl_suite.cli import plasticity, problems, rules
from purejaxrl_suite.cli.agents import AgentEntry, agents
from purejaxrl_suite.cli.arguments import PROGRAM, fill
from purejaxrl_suite.cli.auxiliary import AuxiliaryFlags, auxiliary
from purejaxrl_suite.cli.bridges import bridge
from purejaxrl_suite.cli.learners import learners
from purejaxrl_suite.cli.plugins import defaults
from purejaxrl_suite.cli.sparse import SparseFlags, sparse
from purejaxrl_suite.core.argument import integer, one_of, wrong
from purejaxrl_suite.core.plugins import AGENTS, called, find, installed, is_reference

if TYPE_CHECKING:
    from purejaxrl_suite.core.types import Environment, Network


@dataclasses.dataclass
class Fleet:
    """Flags that all trained members share."""

    seeds: int = 16
    """Members to train of each configuration, with the seeds base_seed, base_seed + 1, ..."""
    steps: float = 1e6
    """Environment steps of each member, rounded down to whole updates."""
    out: Path | None = None
    """Run folder to write; by default one in runs/, named after the settings."""
    preset: str | None = None
    """Published settings to start from; other flags change them."""
    options: tuple[str, ...] = ()
    """Options of the environment: NAME=VALUE ..."""
    base_seed: int = 0
    """The first seed."""
    reset_pool: int = 1
    """Start states per environment and rollout; 0 computes an exact reset at every step."""
    lag: int | None = None
    """Of an environment on the host: updates that acting may be behind learning; 0 by default."""
    actors: int | None = None
    """Of an environment on the host: threads that act; 1 by default."""
    restarts: int | None = None
    """Of an environment on the host: how often each may open its environments again after a
    failure; 0 by default, so the first one ends training."""
    actor_devices: tuple[int, ...] | None = None
    """Of an environment on the host: numbers of the devices that they act on, in turn; by default
    where the learner learns."""
    learner_devices: tuple[int, ...] | None = None
    """Of an environment on the host: numbers of the devices that members are split over; by default
    all."""
    dataset: Path | None = None
    """Folder of a data set to learn from in place of acting, written by `Experience.save`."""
    metrics: tuple[str, ...] = ()
    """Metrics to record: cheap and costly ones of plasticity, representations, sparse, or
    package.module:function of your own."""
    measure_every: int = 10
    """Updates from one measurement of these metrics to the next."""
    evaluate_every: int | None = None
    """Updates from one evaluation to the next; none by default."""
    evaluate_episodes: int = 32
    """Episodes of an evaluation."""
    evaluate_explore: bool = False
    """Evaluations act as training does at its end; greedily by default."""
    intervention: str | None = None
    """Intervention between updates, such as redo (docs/plasticity.md has the names), or
    package.module:function that returns one."""
    intervene_every: int = 100
    """Updates from one intervention to the next."""

    def __post_init__(self):
        """Expand `~`, which shells do not do in `--out=~/x`."""
        self.out = None if self.out is None else self.out.expanduser()
        self.dataset = None if self.dataset is None else self.dataset.expanduser()


@dataclasses.dataclass
class Members:
    """Flags that all members of a problem share."""

    seeds: int = 16
    """Members to train of each configuration, with the seeds base_seed, base_seed + 1, ..."""
    steps: float = 1000
    """Updates of each member."""
    out: Path | None = None
    """Run folder to write; by default one in runs/, named after the settings."""
    base_seed: int = 0
    """The first seed."""

    def __post_init__(self):
        """Expand `~`, which shells do not do in `--out=~/x`."""
        self.out = None if self.out is None else self.out.expanduser()


class NetworkFlags(NamedTuple):
    """Changes of the agent's or preset's network; 0 or nothing keeps it.

    Attributes:
        hidden: units of the dense layers.
        memory_units: units of a GRU, of Muesli's LSTM, for tasks that are only partly observed.
        bridge: from encoder to trunk, such as pool:2 or soft-moe:8; docs/scaling.md has the names.
    """

    hidden: tuple[int, ...] = ()
    memory_units: int = 0
    bridge: str = ""


class Given(NamedTuple):
    """A parsed command.

    command: the typed words. name: the agent's. entry: the agent. flags: those of the command only.
    network_flags, auxiliary_flags, sparse_flags: as given; `entry.build` and `hypers` are what the
    latter two make of the agent's. network: Environment -> Network, None for the agent's own.
    problem: whether it is a problem, which has no environment.
    """

    command: tuple[str, ...]
    name: str
    entry: AgentEntry
    flags: Any
    fleet: Fleet
    config: Any
    hypers: Any
    network_flags: NetworkFlags
    auxiliary_flags: AuxiliaryFlags
    sparse_flags: SparseFlags
    network: Callable[["Environment"], "Network"] | None
    problem: bool = False

    def make(self, id: str) -> "Environment":
        """Make the environment, or that of `package.module:function`, with the given options."""
        from purejaxrl_suite.core.types import Environment
        from purejaxrl_suite.envs import make
        from purejaxrl_suite.envs.catalog import has_family

        options = [_option(text) for text in self.fleet.options]
        if len(dict(options)) < len(options):
            raise wrong("--options", "each NAME once", " ".join(self.fleet.options))
        if "id" in dict(options):
            raise wrong("--options", "what the environment is made with", "id")
        if is_reference(id) and not has_family(id):
            return called("--env", id, Environment, **dict(options))
        return make(id, **dict(options))

    @property
    def plasticity(self) -> dict[str, Any]:
        """Return the metrics and the intervention as fields of an `Experiment`."""
        return plasticity.arguments(self.fleet)

    @property
    def seeds(self) -> range:
        """Return the seeds to train."""
        count = integer("--seeds", self.fleet.seeds, 1, 2**32)
        first = integer("--base-seed", self.fleet.base_seed, 0, 2**32 - count)
        return range(first, first + count)


def parse(command: str, flags: type, arguments: Sequence[str]) -> Given:
    """Parse `command AGENT ...`, where the command's own flags are the fields of `flags`.

    Raises:
        ValueError: the agent or preset is unknown; other mistakes end the program (exit code 2).
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
        ("auxiliary", AuxiliaryFlags, dataclasses.field(default=AuxiliaryFlags())),
        ("sparse", SparseFlags, dataclasses.field(default=SparseFlags())),
    ]
    form = dataclasses.make_dataclass("Command", fields)
    given: Any = fill(form, f"{command} {name}", arguments[1:], flags.__doc__)
    own = getattr(given, command)
    several = command != "train"
    inner = auxiliary(given.auxiliary, entry.build, given.hypers, several=several)
    made = sparse(given.sparse, inner.build, inner.hypers, several=several)
    for one in (made, inner):
        one.check((*own.grid, *own.sample))
    if inner.grid or made.grid:
        own = dataclasses.replace(own, grid=(*inner.grid, *made.grid, *own.grid))
    return Given(
        command=(command, *arguments),
        name=name,
        entry=entry._replace(build=made.build),
        flags=own,
        fleet=given.fleet,
        config=given.config,
        hypers=made.hypers,
        network_flags=given.network,
        auxiliary_flags=given.auxiliary,
        sparse_flags=given.sparse,
        network=_network(name, entry, given) or preset_network,
    )


def parse_problem(command: str, flags: type, arguments: Sequence[str]) -> Given:
    """Parse `command PROBLEM ...`, as `parse` does for an agent."""
    import tyro

    name, entry = arguments[0], problem(arguments[0])
    assert entry is not None
    fields: list[Any] = [
        (command, tyro.conf.OmitArgPrefixes[flags]),
        ("fleet", tyro.conf.OmitArgPrefixes[Members], dataclasses.field(default_factory=Members)),
        ("config", type(entry.config), dataclasses.field(default=entry.config)),
        ("hypers", type(entry.hypers), dataclasses.field(default=entry.hypers)),
    ]
    form = dataclasses.make_dataclass("Command", fields)
    given: Any = fill(form, f"{command} {name}", arguments[1:], flags.__doc__)
    return Given(
        command=(command, *arguments),
        name=name,
        entry=AgentEntry(entry.build, entry.config, entry.hypers, None),
        flags=getattr(given, command),
        fleet=given.fleet,
        config=given.config,
        hypers=given.hypers,
        network_flags=NetworkFlags(),
        auxiliary_flags=AuxiliaryFlags(),
        sparse_flags=SparseFlags(),
        network=None,
        problem=True,
    )


def problem(name: str) -> problems.ProblemEntry | None:
    """Find a problem by name or as `package.module:function`; None for anything else."""
    if not is_reference(name) or name.startswith(rules.FLAG):
        return problems.problems().get(name)
    build = find(f"agent {name}", name)
    alone = callable(build) and [*inspect.signature(build).parameters] == ["config", "hypers"]
    return problems.entry(name, build) if alone else None


def agent(arguments: Sequence[str], command: str) -> tuple[str, AgentEntry]:
    """Find the agent that the arguments begin with: by name, as `package.module:function`, or as
    `lpg_rule:PATH` of a learned rule."""
    known: dict[str, Any] = agents() | learners()
    if arguments and arguments[0] not in known:
        known = installed(AGENTS) | known
    if list(arguments[:1]) in (["-h"], ["--help"]):
        print(f"usage: {PROGRAM} {command} {{{','.join([*known, *problems.problems()])}}} ...")
        raise SystemExit(0)
    if not arguments:
        raise ValueError(f"{command}: expected an agent ({', '.join(known)}) first, got nothing")
    if arguments[0].startswith(rules.FLAG):
        build, config, hypers = rules.agent(arguments[0].removeprefix(rules.FLAG))
        return arguments[0], AgentEntry(build, config, hypers, network=None)
    name = arguments[0] if is_reference(arguments[0]) else one_of("agent", arguments[0], known)
    found = known.get(name, name)
    if isinstance(found, str):
        build = find(f"agent {name}", found)
        config, hypers = defaults(f"agent {name}", build)
        found = AgentEntry(build=build, config=config, hypers=hypers, network=None)
    return name, found


def prepare() -> None:
    """Keep compiled programs, and use every core, before a command uses JAX."""
    from purejaxrl_suite.core.compiling import use_compilation_cache, use_cores

    use_compilation_cache()
    with suppress(ValueError):  # of a caller in Python that has used JAX
        use_cores()


def _start_from_preset(
    name: str, entry: AgentEntry, arguments: Sequence[str]
) -> tuple[AgentEntry, Callable[["Environment"], Any] | None]:
    """Apply the defaults of `--preset`, which must be known before flags are made."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--preset", nargs="?")
    chosen = parser.parse_known_args(arguments)[0].preset
    if chosen is None:
        return entry, None
    from purejaxrl_suite.presets import PRESETS

    fitting = [key for key, preset in PRESETS.items() if preset.builder is entry.build]
    preset = PRESETS[one_of(f"--preset of {name}", chosen, fitting)]
    return entry._replace(config=preset.config, hypers=preset.hypers), preset.network


def _network(
    name: str, entry: AgentEntry, given: Any
) -> Callable[["Environment"], "Network"] | None:
    changed = {field: x for field, x in given.network._asdict().items() if x}
    if not changed:
        return None
    build = entry.network
    if build is None:
        raise ValueError(f"--network: no flags change the network of {name}")
    if "memory_units" in changed and not entry.recurrent:
        raise ValueError(f"--network.memory-units: {name} replays single steps, it has no memory")
    if "bridge" in changed:
        if not entry.bridged:
            raise ValueError(f"--network.bridge: the network of {name} has none to change")
        changed["bridge"] = bridge(changed["bridge"])
    return lambda env: build(env, given.config, **changed)


def _option(text: str) -> tuple[str, Any]:
    name, separator, value = text.partition("=")
    if not separator or not name.isidentifier() or not value:
        raise wrong("--options", "NAME=VALUE", text)
    try:
        return name, json.loads(value)
    except (json.JSONDecodeError, RecursionError):
        return name, value
