"""The command `purejaxrl-suite`: the only place that maps names to functions.

Each command is a function of its own arguments that returns the exit code; expensive imports are
inside it, so that help and error messages are quick.
"""

import sys
from collections.abc import Sequence
from importlib.metadata import version

from purejaxrl_suite.cli import render, report, show, sonify, stages, study, train
from purejaxrl_suite.cli.arguments import PROGRAM
from purejaxrl_suite.core.argument import one_of

_COMMANDS = (
    train.train,
    train.sweep,
    train.resume,
    stages.stages,
    train.plan,
    study.study,
    report.report,
    report.gallery,
    render.render,
    sonify.sonify,
    report.export,
    show.envs,
    show.show,
)
COMMANDS = {command.__name__: command for command in _COMMANDS}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns its exit code.

    0: done. 1: failed while running. 2: a mistake in the arguments. 130: Ctrl-C. 143: SIGTERM.
    """
    command, *rest = list(sys.argv[1:] if arguments is None else arguments) or ["--help"]
    if command in ("-h", "--help"):
        print(_help())
        return 0
    if command == "--version":
        print(f"{PROGRAM} {version('purejaxrl_suite')}")
        return 0
    try:
        return COMMANDS[one_of("command", command, COMMANDS)](rest)
    except ValueError as error:
        print(f"{PROGRAM}: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"{PROGRAM}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt as stop:
        from purejaxrl_suite.sweeps.interrupt import exit_code

        print(f"{PROGRAM}: interrupted", file=sys.stderr)
        return exit_code(stop)


def _help() -> str:
    lines = [f"usage: {PROGRAM} COMMAND ...", "", "Deep-RL research as one compiled program.", ""]
    lines += [f"  {name:8}{command.__doc__}" for name, command in COMMANDS.items()]
    return "\n".join([*lines, "", f"`{PROGRAM} COMMAND --help` says more; --version prints it."])
