"""Train many seeds of one experiment as one program: a sweep that varies only the seed."""

from collections.abc import Callable
from pathlib import Path
from typing import Unpack

from purejaxrl_suite.core.argument import function, instance
from purejaxrl_suite.core.compiling import use_compilation_cache
from purejaxrl_suite.core.types import Agent, Builder, Environment
from purejaxrl_suite.engine.problem import MakesProblem, Problem
from purejaxrl_suite.sweeps import check
from purejaxrl_suite.sweeps.axes import Points
from purejaxrl_suite.sweeps.check import FORM
from purejaxrl_suite.sweeps.display import title_of, watched
from purejaxrl_suite.sweeps.execute import execute
from purejaxrl_suite.sweeps.experiment import Experiment, Fields, front, told
from purejaxrl_suite.sweeps.folder import choose
from purejaxrl_suite.sweeps.layout import Layout, lay_out
from purejaxrl_suite.sweeps.result import Result
from purejaxrl_suite.sweeps.settings import Progress, Settings


@front
def run(
    agent: Agent | Builder | Problem | MakesProblem | Experiment,
    env: Environment | None = None,
    *,
    out: str | Path | None = None,
    resume: str | Path | None = None,
    segments: int = 20,
    checkpoint_every: int = 1,
    keep: int = 2,
    memory: str | int | float | None = None,
    accept_changes: bool = False,
    progress: bool = True,
    announce: Callable[[object], None] | None = None,
    on_segment: Callable[[Progress], None] | None = None,
    **fields: Unpack[Fields],
) -> Result:
    """Train one member per seed, all in one program.

    Args:
        agent: an agent or its builder, a problem or what makes it, or an Experiment, in which the
            given fields are replaced.
        env: the environment; None for a problem.
        out: a folder in which the run is stored while it trains, and resumed by the same call; None
            keeps all in memory.
        resume: as in `sweep`.
        segments: as in `sweep`.
        checkpoint_every: as in `sweep`.
        keep: as in `sweep`.
        memory: as in `sweep`.
        accept_changes: as in `sweep`.
        progress: False shows nothing; see `sweep`.
        announce: as in `sweep`.
        on_segment: as in `sweep`.
        **fields: of the `Experiment`, such as `seeds` and `steps`, with one value each.

    Returns:
        The result: curves over (seed, step), and members to evaluate and act with.

    Raises:
        ValueError: a field has several values; or as in `sweep`.
        KeyboardInterrupt: as in `sweep`.

    Example:
        >>> env = pjs.make("CartPole-v1")
        >>> result = pjs.run(pjs.ppo(env), env, seeds=16, steps=5e5)
        >>> result.curves["episode_return"].dims
        ('seed', 'step')
    """
    use_compilation_cache()
    settings = Settings(segments, checkpoint_every, keep, memory, accept_changes=accept_changes)
    laid = _lay_out(told(run, agent, env, fields))
    folder, resuming = choose(out, resume), resume is not None
    with watched(title_of(laid), progress, announce, on_segment) as watch:
        return execute(laid, settings, folder, resuming=resuming, watch=watch)


def _lay_out(experiment: Experiment) -> Layout:
    """Lay out an experiment without axes; raises ValueError for one with axes."""
    if experiment.env is None:
        check.problem(experiment)
    else:
        if not isinstance(experiment.builder, Agent):
            function("agent", experiment.builder, 4, f"{FORM}, or an Agent")
        instance("env", experiment.env, Environment)
    for name in ("hypers", "env_params"):
        if isinstance(getattr(experiment, name), Points):
            raise _several(name)
    laid = lay_out(experiment)
    for axis in laid.static:
        raise _several(axis)
    return laid


def _several(name: str) -> ValueError:
    text = f"{name}: expected one setting, got several: `sweep` trains each of them"
    return ValueError(text)
