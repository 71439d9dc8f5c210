"""`train`: a fleet of seeds, one configuration."""

import dataclasses
from pathlib import Path
from typing import Any

from purejaxrl_suite.cli import folder
from purejaxrl_suite.cli.bar import progress_bar
from purejaxrl_suite.cli.flags import Given, parse, use_compilation_cache

SEGMENTS = 20


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
    curves = _run(given)
    _write(out, curves, given)
    return 0


def _run(given: Given) -> Any:
    """Train with a progress bar; returns the curves."""
    from purejaxrl_suite.engine.run import run

    env = given.make(given.flags.env)
    network = given.network(env) if given.network else None
    agent = given.entry.build(env, given.config, network, given.hypers)
    updates = int(given.fleet.steps) // (agent.num_envs * agent.rollout_length)
    with progress_bar(f"{agent.name} on {env.name}") as bar:
        result = run(
            agent,
            env,
            seeds=given.seeds,
            steps=given.fleet.steps,
            segments=max(1, min(SEGMENTS, updates)),
            reset_pool=given.fleet.reset_pool,
            on_segment=bar.show,
        )
    return result.curves


def _write(out: Path, curves: Any, given: Given) -> None:
    """The run folder: config.json, curves.zarr, figures/; and the table on the terminal."""
    from rich import print as print_table

    from purejaxrl_suite import report
    from purejaxrl_suite.engine import curves as storage

    folder.write_record(out, given)
    storage.write(out / "curves.zarr", curves)
    folder.write_figures(out, curves)
    print_table(report.table(curves))
    print(f"Written to {out}")
