"""The flags of `train` and `sweep`, and the layout that they describe."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from purejaxrl_suite.cli import folder
from purejaxrl_suite.cli.axes import varied
from purejaxrl_suite.cli.flags import PROGRAM, Given, parse, parse_problem, problem

if TYPE_CHECKING:
    from purejaxrl_suite.sweeps.experiment import Experiment
    from purejaxrl_suite.sweeps.layout import Layout
    from purejaxrl_suite.sweeps.settings import Settings


@dataclasses.dataclass(kw_only=True)
class Kept:
    """Flags of storage."""

    overwrite: bool = False
    """Replace what another run left in the folder; this very run goes on if it was stopped."""
    memory: str | None = None
    """Memory that may be used, such as 8GiB; by default that of the device."""
    segments: int = 20
    """Parts of training; progress is shown and Ctrl-C is obeyed after each."""
    checkpoint_every: int = 1
    """Segments between checkpoints."""
    accept_changes: bool = False
    """Go on with other versions, or another kind of device, than at the start."""


@dataclasses.dataclass(kw_only=True)
class One(Kept):
    """Flags without anything that is varied."""

    grid: ClassVar[tuple[str, ...]] = ()
    sample: ClassVar[tuple[str, ...]] = ()
    method: ClassVar[Literal["sobol", "random"]] = "sobol"
    sample_seed: ClassVar[int] = 0


@dataclasses.dataclass(kw_only=True)
class Train(One):
    """Train a fleet of seeds as one program, stored while it runs; the same command goes on."""

    env: tuple[str]
    """Id of the environment, as listed by `purejaxrl-suite envs`."""


@dataclasses.dataclass(kw_only=True)
class TrainProblem(One):
    """Train a fleet of seeds as one program, stored while it runs; the same command goes on."""

    env: ClassVar[tuple[str, ...]] = ()


@dataclasses.dataclass(kw_only=True)
class Varied(Kept):
    """Flags of what is varied."""

    grid: tuple[str, ...] = ()
    """Every combination of NAME=VALUE,VALUE ..."""
    sample: tuple[str, ...] = ()
    """COUNT configurations drawn from NAME=LOW:HIGH, NAME=LOW:HIGH:log or NAME=VALUE,VALUE ..."""
    method: Literal["sobol", "random"] = "sobol"
    """How --sample draws: sobol is more even, best for 2, 4, 8, ... configurations."""
    sample_seed: int = 0
    """Seed of the draws of --sample."""


@dataclasses.dataclass(kw_only=True)
class Sweep(Varied):
    """Train every configuration with every seed, planned by memory, resumable at any moment.

    A varied NAME is a field of the Hypers (all values in one program), a field of the Config (a
    program per value) or env.NAME, a parameter of the environment (one program).
    """

    env: tuple[str, ...]
    """Ids of one or more environments, as listed by `purejaxrl-suite envs`."""


@dataclasses.dataclass(kw_only=True)
class SweepProblem(Varied):
    """Train every configuration with every seed, planned by memory, resumable at any moment.

    A varied NAME is a field of the Hypers (all values in one program) or of the Config (a program
    per value).
    """

    env: ClassVar[tuple[str, ...]] = ()


PROBLEMS = {Train: TrainProblem, Sweep: SweepProblem}
"""{flags of an agent: those of a problem}."""


def parsed(command: str, flags: type, words: list[str]) -> Given:
    """Parse `command NAME ...` of an agent, or of a problem, which has fewer flags."""
    if words and problem(words[0]) is not None:
        return parse_problem(command, PROBLEMS[flags], words)
    return parse(command, flags, words)


def stored(run: Path) -> Given:
    """Read the command that trained a folder; ValueError if it was not trained by a command."""
    command, words = folder.read_command(run)
    flags = {"train": Train, "sweep": Sweep}
    if command not in flags:
        raise ValueError(f"{run} was not written by `{PROGRAM} train` or `sweep`")
    return parsed(command, flags[command], words)


def lay_out(given: Given) -> "Layout":
    """Lay out groups and members; ValueError for invalid settings."""
    from purejaxrl_suite.sweeps import layout

    return layout.lay_out(experiment(given))


def experiment(given: Given) -> "Experiment":
    """Make the Experiment; ValueError if environments' parameters cannot be varied together."""
    from purejaxrl_suite.sweeps.experiment import Experiment

    if given.problem:
        return _without_environment(given)
    environments = [given.make(id) for id in given.flags.env]
    base = environments[0].params
    if any(name.startswith("env.") for name in (*given.flags.grid, *given.flags.sample)):
        _check_alike(environments)
    flags = given.flags
    points = varied(
        given.hypers,
        given.config,
        base,
        grid=flags.grid,
        sample=flags.sample,
        method=flags.method,
        seed=flags.sample_seed,
    )
    return Experiment(
        given.entry.build,
        environments if len(environments) > 1 else environments[0],
        given.seeds,
        given.fleet.steps,
        hypers=points.hypers,
        config=points.config,
        network=given.network,
        env_params=None if points.env_params is base else points.env_params,
        evaluate_every=_evaluating(given.fleet),
        reset_pool=given.fleet.reset_pool,
        source=_source(given.fleet, environments),
        **given.plasticity,
    )


def _without_environment(given: Given) -> "Experiment":
    from purejaxrl_suite.sweeps.experiment import Experiment

    own = given.flags
    how: Any = {"method": own.method, "seed": own.sample_seed}
    points = varied(given.hypers, given.config, None, own.grid, own.sample, **how)
    known = {"hypers": points.hypers, "config": points.config}
    return Experiment(given.entry.build, None, given.seeds, given.fleet.steps, **known)


def _source(fleet: Any, environments: list[Any]) -> Any:
    """Return the source that flags choose; ValueError if a data set is of another environment."""
    from purejaxrl_suite import datasets

    hosted = {name: x for name in folder.LATER if (x := getattr(fleet, name)) is not None}
    if hosted:
        return _hosted(hosted, fleet, environments)
    if fleet.dataset is None:
        return None
    data = datasets.load(fleet.dataset)
    for env in environments:
        if data.record.environment not in ("", env.name):
            there = f"--dataset: {fleet.dataset} is of {data.record.environment!r}"
            raise ValueError(f"{there}, expected one of {env.name!r}")
    return data.source


def _hosted(given: dict[str, Any], fleet: Any, environments: list[Any]) -> Any:
    """Make the source of environments on the host; ValueError where the flags mean nothing."""
    from functools import partial

    from purejaxrl_suite.engine import sebulba

    flags = ", ".join(f"--{name.replace('_', '-')}" for name in given)
    if fleet.dataset is not None:
        raise ValueError(f"{flags}: expected none with --dataset, from which nobody acts")
    for env in environments:
        if env.host is None:
            raise ValueError(f"{flags}: expected an environment on the host, got {env.name}")
    return partial(sebulba, **given)


def _evaluating(fleet: Any) -> Any:
    from purejaxrl_suite.engine.evaluate import Evaluating

    if fleet.evaluate_every is None:
        return None
    return Evaluating(fleet.evaluate_every, fleet.evaluate_episodes, fleet.evaluate_explore)


def _check_alike(environments: list[Any]) -> None:
    """Raise ValueError unless all environments have the varied parameters."""
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


def settings(given: Given) -> "Settings":
    """Make the settings of execution."""
    from purejaxrl_suite.sweeps.settings import Settings

    return Settings(
        segments=given.flags.segments,
        checkpoint_every=given.flags.checkpoint_every,
        memory=given.flags.memory,
        accept_changes=given.flags.accept_changes,
    )
