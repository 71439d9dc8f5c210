"""`train`, `sweep`, `resume` and `plan`: train and store an experiment."""

import dataclasses
from pathlib import Path
from typing import Annotated, Any

from purejaxrl_suite.cli import experiment, folder
from purejaxrl_suite.cli.arguments import call, told
from purejaxrl_suite.cli.ends import training
from purejaxrl_suite.cli.flags import Given, prepare


def train(arguments: list[str]) -> int:
    """Train a fleet of seeds: purejaxrl-suite train AGENT --env ID [--preset NAME] ..."""
    given = experiment.parsed("train", experiment.Train, arguments)
    out = given.fleet.out or folder.default(given)
    return _carry_out(given, out, overwrite=given.flags.overwrite)


def sweep(arguments: list[str]) -> int:
    """Train every configuration: purejaxrl-suite sweep AGENT --env ID ... --grid NAME=V,V ..."""
    given = experiment.parsed("sweep", experiment.Sweep, arguments)
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

    given = experiment.parsed("plan", experiment.Sweep, arguments)
    prepare()
    laid = experiment.lay_out(given)
    print(make_plan(laid, experiment.settings(given), checkpoints=True))
    return 0


def _carry_out(given: Given, out: Path, *, overwrite: bool) -> int:
    """Train the rest of an experiment and report it; returns the exit code."""
    from purejaxrl_suite.sweeps.display import title_of, watched
    from purejaxrl_suite.sweeps.execute import execute
    from purejaxrl_suite.sweeps.plan import describe_parameters

    prepare()
    laid, settings = experiment.lay_out(given), experiment.settings(given)
    how: Any = {"overwrite": overwrite, "record": folder.record(given)}
    with (
        training(out, told("resume", out)) as ended,
        watched(title_of(laid), True, ended.announce) as watch,
    ):
        ended.result = execute(laid, settings, out, watch=watch, **how)
    if ended.code:
        return ended.code
    folder.show(out, ended.result.curves)
    if len(laid.groups) == 1:
        print(describe_parameters(ended.result.parameters.to_series().to_dict()))
    print(f"Written to {out}")
    return 0
