"""`train`: a fleet of seeds, one configuration."""

import dataclasses
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from purejaxrl_suite.cli import folder
from purejaxrl_suite.cli.bar import progress_bar
from purejaxrl_suite.cli.flags import Given, parse, use_compilation_cache

if TYPE_CHECKING:
    from purejaxrl_suite.core.types import Agent, Environment
    from purejaxrl_suite.engine.layout import Layout
    from purejaxrl_suite.engine.result import Result

SEGMENTS = 20
MEMBERS = "members"
"""Where in the folder the final states are."""


@dataclasses.dataclass
class Train:
    """Train a fleet of seeds as one program; write curves, a figure and the configuration."""

    env: str
    """Id of the environment, as listed by `purejaxrl-suite envs`."""
    overwrite: bool = False
    """Replace the run in the folder, if there is one."""


def train(arguments: list[str]) -> int:
    """Train a fleet of seeds: purejaxrl-suite train AGENT --env ID [--preset NAME] ..."""
    given = parse("train", Train, arguments)
    use_compilation_cache()
    out = given.fleet.out or Path("runs") / f"{given.name}-{given.flags.env}"
    folder.check_empty(out, overwrite=given.flags.overwrite)
    _write(out, _run(given), given)
    return 0


def lay_out(given: Given) -> "Layout":
    """What `train` trains, without training it."""
    from purejaxrl_suite.engine import layout

    agent, env = _agent(given)
    return layout.lay_out(
        lambda env, config, network, hypers: agent,
        env,
        hypers=agent.hypers,
        config=None,
        network=None,
        env_params=None,
        seeds=given.seeds,
        steps=given.fleet.steps,
        reset_pool=given.fleet.reset_pool,
        **given.plasticity,
    )


def _agent(given: Given) -> tuple["Agent", "Environment"]:
    env = given.make(given.flags.env)
    network = given.network(env) if given.network else None
    return given.entry.build(env, given.config, network, given.hypers), env


def _run(given: Given) -> "Result":
    """Train with a progress bar."""
    from purejaxrl_suite.engine.run import run

    agent, env = _agent(given)
    with progress_bar(f"{agent.name} on {env.name}") as bar:
        return run(
            agent,
            env,
            seeds=given.seeds,
            steps=given.fleet.steps,
            segments=SEGMENTS,
            reset_pool=given.fleet.reset_pool,
            on_segment=bar.show,
            **given.plasticity,
        )


def _write(out: Path, result: "Result", given: Given) -> None:
    """The run folder: config.json, curves.zarr, members/, figures/; the table on the terminal."""
    from rich import print as print_table

    from purejaxrl_suite import report
    from purejaxrl_suite.engine import curves as storage
    from purejaxrl_suite.engine import members
    from purejaxrl_suite.engine.plan import describe_parameters

    folder.write_record(out, given)
    storage.write(out / "curves.zarr", result.curves)
    shutil.rmtree(out / MEMBERS, ignore_errors=True)
    members.save(result, out / MEMBERS)
    folder.write_figures(out, result.curves)
    print_table(report.table(result.curves))
    print(describe_parameters(result.parameters.to_series().to_dict()))
    print(f"Written to {out}")
