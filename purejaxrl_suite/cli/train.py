"""`train`, `sweep`, `resume` and `plan`: train and store an experiment."""

import dataclasses
import errno
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

from purejaxrl_suite.cli import experiment, folder
from purejaxrl_suite.cli.arguments import PROGRAM, call, told
from purejaxrl_suite.cli.flags import Given, parse, use_compilation_cache


def train(arguments: list[str]) -> int:
    """Train a fleet of seeds: purejaxrl-suite train AGENT --env ID [--preset NAME] ..."""
    given = parse("train", experiment.Train, arguments)
    out = given.fleet.out or folder.default(given)
    return _carry_out(given, out, overwrite=given.flags.overwrite)


def sweep(arguments: list[str]) -> int:
    """Train every configuration: purejaxrl-suite sweep AGENT --env ID ... --grid NAME=V,V ..."""
    given = parse("sweep", experiment.Sweep, arguments)
    out = given.fleet.out or folder.default(given, "sweep")
    return _carry_out(given, out, overwrite=given.flags.overwrite)


def resume(arguments: list[str]) -> int:
    """Go on with what was stopped: purejaxrl-suite resume RUN"""
    import tyro

    def command(
        run: Annotated[Path, tyro.conf.Positional],
        memory: str | None = None,
        accept_changes: bool = False,
    ) -> int:
        """Resume a run that was stopped in any way; its curves will be as if it had not been.

        Args:
            run: the folder of a run or sweep.
            memory: replaces the run's own setting, such as 8GiB.
            accept_changes: resume with other versions, or another kind of device, than before.
        """
        given = experiment.stored(run)
        changed = {"memory": memory or given.flags.memory, "accept_changes": accept_changes}
        given = given._replace(flags=dataclasses.replace(given.flags, **changed))
        return _carry_out(given, run, overwrite=False)

    return call(command, "resume", arguments)


def plan(arguments: list[str]) -> int:
    """Print the plan of a sweep and run nothing: purejaxrl-suite plan AGENT ..., as for sweep"""
    from purejaxrl_suite.sweeps.execute import make_plan

    given = parse("plan", experiment.Sweep, arguments)
    use_compilation_cache()
    laid = experiment.lay_out(given)
    print(make_plan(laid, experiment.settings(given), checkpoints=True))
    return 0


def _carry_out(given: Given, out: Path, *, overwrite: bool) -> int:
    """Train the rest of an experiment and report it; returns the exit code."""
    from purejaxrl_suite.sweeps.display import title_of, watched
    from purejaxrl_suite.sweeps.execute import execute
    from purejaxrl_suite.sweeps.plan import describe_parameters

    use_compilation_cache()
    laid, settings = experiment.lay_out(given), experiment.settings(given)
    announced: list[Any] = []
    try:
        with _quiet_writers(), watched(title_of(laid), True, announced.append) as watch:
            how: Any = {"overwrite": overwrite, "record": folder.record(given), "watch": watch}
            result = execute(laid, settings, out, **how)
    except KeyboardInterrupt as stop:
        return _stopped(stop, out, training=bool(announced))
    except (OSError, ValueError) as error:
        if not announced:
            raise
        return _failed(error, out)
    folder.show(out, result.curves)
    if len(laid.groups) == 1:
        print(describe_parameters(result.parameters.to_series().to_dict()))
    print(f"Written to {out}")
    return 0


@contextmanager
def _quiet_writers() -> Iterator[None]:
    """Silence the tracebacks that orbax logs of its threads: their errors are raised here."""
    logger = logging.getLogger("absl")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)


def _stopped(stop: KeyboardInterrupt, out: Path, *, training: bool) -> int:
    from purejaxrl_suite.sweeps.interrupt import Interrupted, exit_code

    again = f"`{told('resume', out)}` goes on"
    if isinstance(stop, Interrupted):
        text = f"{stop}; everything is saved, {again}"
    elif training:
        text = f"stopped at once; what the last checkpoints hold is safe, {again} from there"
    else:
        text = "stopped before training; nothing has changed"
    print(f"{PROGRAM}: {text}", file=sys.stderr)
    return exit_code(stop)


def _failed(error: Exception, out: Path) -> int:
    """Print what failed, and what is saved; returns the exit code."""
    reason = (str(error).splitlines() or [type(error).__name__])[0][:300]
    where = "" if str(out) in reason else f"{out}: "
    print(f"{PROGRAM}: {where}{reason}", file=sys.stderr)
    full = getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT) or "space left" in reason
    then = "Once the disk has free space" if full else "Once the cause is gone"
    if (out / "sweep.json").exists():
        again = f"`{told('resume', out)}` goes on from the last complete checkpoints."
        print(f"Nothing of what they hold is lost. {then}, {again}", file=sys.stderr)
    else:
        print("Nothing was trained yet.", file=sys.stderr)
    return 1
