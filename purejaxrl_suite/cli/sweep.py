"""`sweep`, `resume` and `plan`: every configuration and seed of an experiment."""

import dataclasses
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from purejaxrl_suite.cli import folder
from purejaxrl_suite.cli.axes import varied
from purejaxrl_suite.cli.bar import progress_bar
from purejaxrl_suite.cli.flags import PROGRAM, Given, parse, use_compilation_cache

if TYPE_CHECKING:
    from purejaxrl_suite.engine.execute import Settings
    from purejaxrl_suite.engine.layout import Layout


@dataclasses.dataclass
class Sweep:
    """Train every configuration with every seed, planned by memory, resumable at any moment.

    What is varied is a name of the Hypers (all values in one program), a field of the Config (a
    program per value) or env.NAME, a parameter of the environment (one program).
    """

    env: tuple[str, ...]
    """Ids of one or more environments, as listed by `purejaxrl-suite envs`."""
    grid: tuple[str, ...] = ()
    """Every combination of NAME=VALUE,VALUE ..."""
    sample: tuple[str, ...] = ()
    """COUNT configurations drawn from NAME=LOW:HIGH, NAME=LOW:HIGH:log or NAME=VALUE,VALUE ..."""
    method: Literal["sobol", "random"] = "sobol"
    """How --sample draws: sobol is more even, best for 2, 4, 8, ... configurations."""
    sample_seed: int = 0
    """Of the draws of --sample."""
    memory: str | None = None
    """What the sweep may use, such as 8GiB; by default what the device has."""
    segments: int = 20
    """Parts in which members are trained; progress moves and Ctrl-C is obeyed after each."""
    checkpoint_every: int = 1
    """Segments between checkpoints."""


def sweep(arguments: list[str]) -> int:
    """Train every configuration: purejaxrl-suite sweep AGENT --env ID ... --grid NAME=V,V ..."""
    given = parse("sweep", Sweep, arguments)
    out = given.fleet.out or Path("runs") / f"sweep-{given.name}-{'-'.join(given.flags.env)}"
    folder.check_empty(out)
    return _train(given, out)


def resume(arguments: list[str]) -> int:
    """Go on with a sweep that was stopped: purejaxrl-suite resume RUN"""
    import tyro

    def command(run: Annotated[Path, tyro.conf.Positional], memory: str | None = None) -> int:
        """Go on with a sweep that was stopped in any way; its curves will be as if it had not been.

        Args:
            run: the folder of the sweep.
            memory: in place of what the sweep was given, such as 8GiB.
        """
        given = stored(run)
        if memory is not None:
            given = given._replace(flags=dataclasses.replace(given.flags, memory=memory))
        return _train(given, run)

    return tyro.cli(command, prog=f"{PROGRAM} resume", args=arguments)


def plan(arguments: list[str]) -> int:
    """Print the plan of a sweep and run nothing: purejaxrl-suite plan AGENT ..., as for sweep"""
    from purejaxrl_suite.engine.execute import make_plan

    given = parse("plan", Sweep, arguments)
    use_compilation_cache()
    laid = lay_out(given)
    print(make_plan(laid, _settings(given), checkpoints=True))
    return 0


def stored(run: Path) -> Given:
    """The sweep that a folder was written by."""
    command, words = folder.read_command(run)
    if command != "sweep":
        raise ValueError(f"{run} was written by `{PROGRAM} {command}`: only sweeps are resumed")
    return parse("sweep", Sweep, words)


def lay_out(given: Given) -> "Layout":
    """Groups and members of a sweep; ValueError for what makes no sense."""
    from purejaxrl_suite.engine import layout

    return layout.lay_out(given.entry.build, **_arguments(given))


def _arguments(given: Given) -> dict[str, Any]:
    """Those that `engine.sweep` and `lay_out` share."""
    environments = [given.make(id) for id in given.flags.env]
    base = environments[0].params
    if any(name.startswith("env.") for name in (*given.flags.grid, *given.flags.sample)):
        _check_alike(environments)
    flags = given.flags
    points = varied(
        given.hypers,
        given.config,
        base,
        flags.grid,
        flags.sample,
        method=flags.method,
        seed=flags.sample_seed,
    )
    return {
        "env": environments if len(environments) > 1 else environments[0],
        "hypers": points.hypers,
        "config": points.config,
        "env_params": None if points.env_params is base else points.env_params,
        "network": given.network,
        "seeds": given.seeds,
        "steps": given.fleet.steps,
        "reset_pool": given.fleet.reset_pool,
        **given.plasticity,
    }


def _check_alike(environments: list[Any]) -> None:
    """One set of varied parameters is used by all environments."""
    import jax
    import numpy as np

    first, *others = environments
    for other in others:
        same = type(first.params) is type(other.params) and all(
            np.array_equal(a, b)
            for a, b in zip(*map(jax.tree.leaves, (first.params, other.params)), strict=True)
        )
        if not same:
            raise ValueError(
                f"--grid, --sample: the parameters of {first.name} and {other.name} differ, so "
                "env.NAME can be varied in one of them at a time only"
            )


def _settings(given: Given) -> "Settings":
    """How to run it."""
    from purejaxrl_suite.engine.execute import Settings

    return Settings(
        segments=given.flags.segments,
        checkpoint_every=given.flags.checkpoint_every,
        memory=given.flags.memory,
    )


def _train(given: Given, out: Path) -> int:
    """Train what is not trained yet and report it; returns the exit code."""
    from purejaxrl_suite.engine.execute import execute

    use_compilation_cache()
    laid = lay_out(given)
    resuming = (out / "sweep.json").exists()
    told: list[Any] = []
    try:
        with _quiet_writers(), progress_bar(f"{given.name} on {', '.join(given.flags.env)}") as bar:

            def announce(what: Any) -> None:
                told.append(what)
                if not resuming:
                    folder.write_record(out, given, plan=str(what))
                bar.announce(what)

            how = {"resuming": resuming, "announce": announce, "on_segment": bar.show}
            result = execute(laid, _settings(given), out, **how)
    except KeyboardInterrupt as stop:
        return _stopped(stop, out, training=bool(told))
    except (OSError, ValueError) as error:
        if not told:
            raise
        return _failed(error, out)
    if isinstance(told[0], str):
        print(f"`{PROGRAM} report {out}` shows it")
    else:
        show(out, result.curves)
    return 0


def show(
    out: Path,
    curves: Any,
    metric: str = "episode_return",
    pair: tuple[str, str] | None = None,
) -> None:
    """Print the best configurations and write the figures; pair: for a map of two settings."""
    from rich import print as print_table

    from purejaxrl_suite import report

    print_table(report.best(curves, metric))
    folder.write_figures(out, curves, metric, pair)
    print(f"Written to {out}")


@contextmanager
def _quiet_writers() -> Iterator[None]:
    """Without the tracebacks that orbax logs of its threads: what fails there is raised here."""
    logger = logging.getLogger("absl")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)


def _stopped(stop: KeyboardInterrupt, out: Path, *, training: bool) -> int:
    from purejaxrl_suite.engine.interrupt import Interrupted

    again = f"`{PROGRAM} resume {out}` goes on"
    if isinstance(stop, Interrupted):
        text = f"{stop}; everything is saved, {again}"
    elif training:
        text = f"stopped at once; what the last checkpoints hold is safe, {again} from there"
    else:
        text = "stopped before training; nothing has changed"
    print(f"{PROGRAM}: {text}", file=sys.stderr)
    return 130


def _failed(error: Exception, out: Path) -> int:
    """What is safe after an error while files were read or written."""
    reason = (str(error).splitlines() or [type(error).__name__])[0][:300]
    if (out / "config.json").exists():
        safe = (
            "What the last complete checkpoints hold is safe. Once the cause is gone (on a full "
            f"disk: free some space), `{PROGRAM} resume {out}` goes on from there."
        )
    else:
        safe = "Nothing was trained yet."
    print(f"{PROGRAM}: {out}: {reason}\n{safe}", file=sys.stderr)
    return 1
