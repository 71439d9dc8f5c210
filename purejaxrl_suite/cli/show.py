"""The commands `envs` and `show`: list environments, print an agent."""

import sys
from typing import Annotated

from purejaxrl_suite.cli.arguments import call
from purejaxrl_suite.cli.flags import agent, problem

INLINED = "purejaxrl_suite.ops", "purejaxrl_suite.agents.shared"
"""Where formulas are, and what several agents share."""


def envs(arguments: list[str]) -> int:
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

        from purejaxrl_suite.core.spaces import describe
        from purejaxrl_suite.envs import ids, make
        from purejaxrl_suite.report.plain import PlainTable

        found = [id for id in ids() if pattern.lower() in id.lower()]
        table = PlainTable(
            box=SIMPLE_HEAD, caption=f"{len(found)} of {len(ids())} ids", caption_justify="left"
        )
        table.add_column("id", no_wrap=True)
        for name in ("observation", "action", "time limit"):
            table.add_column(name)
        found = found or [pattern]  # if there is none, the error of `make` names the nearest
        for id in track(found, "reading", console=Console(stderr=True), transient=True):
            env = make(id)
            spaces = describe(env.observation), describe(env.action)
            table.add_row(id, *spaces, str(env.time_limit or "none"))
        print_table(table)

    call(command, "envs", arguments)
    return 0


def show(arguments: list[str]) -> int:
    """Print an agent with the formulas it uses inlined: purejaxrl-suite show AGENT"""
    from rich.console import Console
    from rich.syntax import Syntax

    from purejaxrl_suite.report.source import inlined

    alone = problem(arguments[0]) if arguments else None
    entry = agent(arguments, "show")[1] if alone is None else alone
    source = inlined(sys.modules[entry.build.__module__], INLINED)
    if sys.stdout.isatty():
        Console().print(Syntax(source, "python"))
    else:
        print(source)
    return 0
