"""`report`, `envs` and `show`: commands that only look."""

import sys
from pathlib import Path
from typing import Annotated, Any

from purejaxrl_suite.cli import sweep
from purejaxrl_suite.cli.flags import PROGRAM, agent


def report(arguments: list[str]) -> int:
    """Compare runs, or look at a sweep: purejaxrl-suite report RUN [RUN ...] [--figure FILE]"""
    import tyro

    def command(
        runs: Annotated[tuple[Path, ...], tyro.conf.Positional],
        figure: Path | None = None,
        metric: str = "episode_return",
        pair: tuple[str, str] | None = None,
    ) -> None:
        """Compare runs in one table and one figure; of a sweep alone, its best and its figures.

        Args:
            runs: folders that `train` or `sweep` has written; a sweep may still be running.
            figure: where to write learning curves (png, pdf or svg); none by default.
            metric: what the figures show, and the configurations of a sweep are ordered by.
            pair: two names that a sweep varied, for a map of both in its folder.
        """
        from rich import print as print_table

        from purejaxrl_suite import report

        missing = [
            str(run)
            for run in runs
            if not any((run / name).exists() for name in ("curves.zarr", "sweep.json"))
        ]
        if missing or not runs:
            raise ValueError(f"runs: expected run folders; not one: {', '.join(missing) or 'none'}")
        curves = {run.name: _read(run) for run in runs}
        alone = len(runs) == 1 and (runs[0] / "sweep.json").exists()
        if pair is not None and not alone:
            raise ValueError("--pair: expected the folder of one sweep")
        if alone:
            (only,) = curves.values()
            sweep.show(runs[0], only, metric, pair)
        else:
            print_table(report.table(curves))
        if figure is not None:
            report.learning_curves(curves, metric, figure)
            print(f"Figure: {figure}")

    tyro.cli(command, prog=f"{PROGRAM} report", args=arguments)
    return 0


def _read(run: Path) -> Any:
    """The curves of a run; of an unfinished sweep what there is."""
    from purejaxrl_suite.cli.partial import partial_curves
    from purejaxrl_suite.engine import curves as storage

    if (run / "curves.zarr").exists():
        return storage.read(run / "curves.zarr")
    found = partial_curves(sweep.lay_out(sweep.stored(run)), run)
    print(f"{run} is not finished: {found.done:.0%} is trained")
    return found.curves


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
    return 0


def show(arguments: list[str]) -> int:
    """Print an agent with the formulas it uses inlined: purejaxrl-suite show AGENT"""
    from rich.console import Console
    from rich.syntax import Syntax

    from purejaxrl_suite.report.source import inlined

    _, entry = agent(arguments, "show")
    source = inlined(sys.modules[entry.build.__module__], "purejaxrl_suite.ops")
    if sys.stdout.isatty():
        Console().print(Syntax(source, "python"))
    else:
        print(source)
    return 0
