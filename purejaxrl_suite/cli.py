"""The command `purejaxrl-suite`: the only place where names meet strings.

Each command is a function of its own arguments; what is heavy is imported inside it, so that help
and mistakes are quick.
"""

import dataclasses
import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

if TYPE_CHECKING:
    from purejaxrl_suite.core.types import Agent, Environment
    from purejaxrl_suite.engine.run import Progress

PROGRAM = "purejaxrl-suite"
SEGMENTS = 20


@dataclasses.dataclass
class Train:
    """Train a fleet of seeds as one program; write curves, a figure and the configuration."""

    env: str
    """Id of the environment, as listed by `purejaxrl-suite envs`."""
    seeds: int = 16
    """Members to train, with the seeds base_seed, base_seed + 1, ..."""
    steps: float = 1e6
    """Environment steps of each seed, rounded down to whole updates."""
    out: Path | None = None
    """Run folder to write; by default runs/AGENT-ENV."""
    preset: str | None = None
    """Published settings to start from; all other flags change these."""
    options: tuple[str, ...] = ()
    """What the environment is made with: NAME=VALUE ..."""
    base_seed: int = 0
    """The first seed."""
    reset_pool: int = 1
    """Start states per environment and rollout; 0 computes an exact reset at every step."""
    overwrite: bool = False
    """Replace the run in the folder, if there is one."""


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


def _agents() -> dict[str, AgentEntry]:
    from purejaxrl_suite import nets
    from purejaxrl_suite.agents.ppo import PPOConfig, PPOHypers, ppo
    from purejaxrl_suite.agents.pqn import PQNConfig, PQNHypers, pqn

    return {
        "ppo": AgentEntry(ppo, PPOConfig(), PPOHypers(), nets.actor_critic),
        "pqn": AgentEntry(pqn, PQNConfig(), PQNHypers(), nets.q_network),
    }


def train(arguments: list[str]) -> None:
    """Train a fleet of seeds: purejaxrl-suite train AGENT --env ID [--preset NAME] ..."""
    import tyro

    name, entry = _agent(arguments, "train")
    entry, preset_network = _start_from_preset(name, entry, arguments)
    command = dataclasses.make_dataclass(
        "Command",
        [
            ("train", tyro.conf.OmitArgPrefixes[Train]),
            ("config", type(entry.config), dataclasses.field(default=entry.config)),
            ("hypers", type(entry.hypers), dataclasses.field(default=entry.hypers)),
            ("network", NetworkFlags, dataclasses.field(default=NetworkFlags())),
        ],
    )
    given: Any = tyro.cli(
        command, prog=f"{PROGRAM} train {name}", description=Train.__doc__, args=arguments[1:]
    )
    _use_compilation_cache()
    from purejaxrl_suite.envs import make

    out = _free_folder(given.train.out or Path("runs") / f"{name}-{given.train.env}", given.train)
    env = make(given.train.env, **dict(_option(text) for text in given.train.options))
    network = preset_network(env) if preset_network else None
    flags = {flag: x for flag, x in given.network._asdict().items() if x}
    if flags:
        network = entry.network(env.observation, env.action, **flags)
    agent = entry.build(env, given.config, network, given.hypers)
    curves = _run(agent, env, given.train)
    _write(out, curves, given, name)


def _agent(arguments: list[str], command: str) -> tuple[str, AgentEntry]:
    agents = _agents()
    if arguments[:1] in (["-h"], ["--help"]):
        print(f"usage: {PROGRAM} {command} {{{','.join(agents)}}} ...")
        raise SystemExit(0)
    if not arguments or arguments[0] not in agents:
        found = repr(arguments[0]) if arguments else "nothing"
        raise ValueError(f"{command}: expected an agent ({', '.join(agents)}) first, got {found}")
    return arguments[0], agents[arguments[0]]


def _start_from_preset(
    name: str, entry: AgentEntry, arguments: list[str]
) -> tuple[AgentEntry, Callable[["Environment"], Any] | None]:
    """The entry with the defaults of `--preset`, which must be known before flags are made."""
    import argparse

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


def _option(text: str) -> tuple[str, Any]:
    name, separator, value = text.partition("=")
    if not separator:
        raise ValueError(f"--options: expected NAME=VALUE, got {text!r}")
    try:
        return name, json.loads(value)
    except json.JSONDecodeError:
        return name, value


def _free_folder(out: Path, options: Train) -> Path:
    if out.exists() and any(out.iterdir()) and not options.overwrite:
        raise ValueError(f"--out: {out} is not empty; choose another or pass --overwrite")
    return out


def _use_compilation_cache() -> None:
    """Compile a program once per machine; where JAX has been told a place already, keep that."""
    import jax

    if jax.config.jax_compilation_cache_dir is None:
        home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        jax.config.update("jax_compilation_cache_dir", str(home / "purejaxrl_suite" / "jax"))


def _run(agent: "Agent", env: "Environment", options: Train) -> Any:
    """Train with a progress bar; returns the curves."""
    from rich import progress as bars
    from rich.console import Console

    from purejaxrl_suite.engine.run import run
    from purejaxrl_suite.report.summary import engineering, mean
    from purejaxrl_suite.stats import iqm

    updates = int(options.steps) // (agent.num_envs * agent.rollout_length)
    columns = (
        bars.TextColumn("{task.description}"),
        bars.BarColumn(),
        bars.TaskProgressColumn(),
        bars.TextColumn("{task.fields[speed]} steps/s, IQM {task.fields[score]}, left"),
        bars.TimeRemainingColumn(),
    )
    with bars.Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(f"compiling {agent.name}", total=None, speed="-", score="-")

        def show(progress: "Progress") -> None:
            bar.update(
                task,
                description=f"{agent.name} on {env.name}",
                total=progress.updates,
                completed=progress.update,
                speed=engineering(progress.steps_per_second),
                score=engineering(float(iqm(mean(progress.history["episode_return"])))),
            )

        result = run(
            agent,
            env,
            seeds=range(options.base_seed, options.base_seed + options.seeds),
            steps=options.steps,
            segments=max(1, min(SEGMENTS, updates)),
            reset_pool=options.reset_pool,
            on_segment=show,
        )
    return result.curves


def _write(out: Path, curves: Any, given: Any, agent: str) -> None:
    """The run folder: config.json, curves.zarr, figures/; and the table on the terminal."""
    from rich import print as print_table

    from purejaxrl_suite import report
    from purejaxrl_suite.engine import curves as storage

    out.mkdir(parents=True, exist_ok=True)
    record = {
        "command": [PROGRAM, *sys.argv[1:]],
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": _commit(),
        "agent": agent,
        **dataclasses.asdict(given.train),
        "config": given.config._asdict(),
        "hypers": given.hypers._asdict(),
        "network": given.network._asdict(),
        "device": curves.attrs["device"],
        "versions": json.loads(curves.attrs["versions"]),
    }
    (out / "config.json").write_text(json.dumps(record, indent=2, default=str) + "\n")
    storage.write(out / "curves.zarr", curves)
    report.learning_curves(curves, path=out / "figures" / "learning_curve.png")
    if "success" in curves:
        report.learning_curves(curves, "success", out / "figures" / "success.png")
    print_table(report.table(curves))
    print(f"Written to {out}")


def _commit() -> str | None:
    """The commit of the repository we stand in, marked where files differ from it; None if none."""
    command = ["git", "describe", "--always", "--abbrev=40", "--dirty", "--exclude=*"]
    try:
        found = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return None
    return found.stdout.strip() or None


def report(arguments: list[str]) -> None:
    """Compare runs: purejaxrl-suite report RUN [RUN ...] [--figure FILE] [--metric NAME]"""
    import tyro

    def command(
        runs: Annotated[tuple[Path, ...], tyro.conf.Positional],
        figure: Path | None = None,
        metric: str = "episode_return",
    ) -> None:
        """Compare runs in one table and one figure.

        Args:
            runs: folders that `train` has written.
            figure: where to write the figure (png, pdf or svg); none by default.
            metric: what the figure shows.
        """
        from rich import print as print_table

        from purejaxrl_suite import report
        from purejaxrl_suite.engine import curves as storage

        missing = [str(run) for run in runs if not (run / "curves.zarr").exists()]
        if missing or not runs:
            raise ValueError(f"runs: expected run folders; not one: {', '.join(missing) or 'none'}")
        curves = {run.name: storage.read(run / "curves.zarr") for run in runs}
        print_table(report.table(curves))
        if figure is not None:
            report.learning_curves(curves, metric, figure)
            print(f"Figure: {figure}")

    tyro.cli(command, prog=f"{PROGRAM} report", args=arguments)


def envs(arguments: list[str]) -> None:
    """List environments: purejaxrl-suite envs [PATTERN]"""
    import tyro

    def command(pattern: Annotated[str, tyro.conf.Positional] = "") -> None:
        """List environment ids with observation, action and time limit (in steps).

        Args:
            pattern: show only the ids that contain this text.
        """
        from rich import print as print_table
        from rich.box import SIMPLE_HEAD
        from rich.console import Console
        from rich.progress import track
        from rich.table import Table

        from purejaxrl_suite.core.spaces import describe
        from purejaxrl_suite.envs import ids, make

        found = [id for id in ids() if pattern.lower() in id.lower()]
        table = Table(
            box=SIMPLE_HEAD, caption=f"{len(found)} of {len(ids())} ids", caption_justify="left"
        )
        table.add_column("id", no_wrap=True)
        for name in ("observation", "action", "time limit"):
            table.add_column(name)
        found = found or [pattern]  # where there is none, `make` names the nearest
        for id in track(found, "reading", console=Console(stderr=True), transient=True):
            env = make(id)
            spaces = describe(env.observation), describe(env.action)
            table.add_row(id, *spaces, str(env.time_limit or "none"))
        print_table(table)

    tyro.cli(command, prog=f"{PROGRAM} envs", args=arguments)


def show(arguments: list[str]) -> None:
    """Print an agent with the formulas it uses inlined: purejaxrl-suite show AGENT"""
    from rich.console import Console
    from rich.syntax import Syntax

    from purejaxrl_suite.report.source import inlined

    _, entry = _agent(arguments, "show")
    source = inlined(sys.modules[entry.build.__module__], "purejaxrl_suite.ops")
    if sys.stdout.isatty():
        Console().print(Syntax(source, "python"))
    else:
        print(source)


COMMANDS = {command.__name__: command for command in (train, report, envs, show)}


def _help() -> str:
    lines = [f"usage: {PROGRAM} COMMAND ...", "", "Deep-RL research as one compiled program.", ""]
    lines += [f"  {name:8}{command.__doc__}" for name, command in COMMANDS.items()]
    return "\n".join([*lines, "", f"`{PROGRAM} COMMAND --help` says more; --version prints it."])


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns its exit code: 2 for a mistake in the arguments."""
    command, *rest = list(sys.argv[1:] if arguments is None else arguments) or ["--help"]
    if command in ("-h", "--help"):
        print(_help())
        return 0
    if command == "--version":
        print(f"{PROGRAM} {version('purejaxrl_suite')}")
        return 0
    try:
        if command not in COMMANDS:
            raise ValueError(f"unknown command {command!r}; expected one of {', '.join(COMMANDS)}")
        COMMANDS[command](rest)
    except ValueError as error:
        print(f"{PROGRAM}: {error}", file=sys.stderr)
        return 2
    return 0
