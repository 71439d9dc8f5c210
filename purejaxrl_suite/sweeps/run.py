"""Many seeds of one experiment as one program: a sweep that varies nothing but the seed."""

from collections.abc import Callable
from pathlib import Path
from typing import Unpack

from purejaxrl_suite.core.argument import function, instance
from purejaxrl_suite.core.types import Agent, Builder, Environment
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
    agent: Agent | Builder | Experiment,
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
    """Train one member per seed, all of them in one program.

    agent, env, fields: what is trained, as `Experiment` says, whose `builder` is the agent; or an
        Experiment first, of which the fields that are given are replaced. One setting of each.
    out, resume, segments, checkpoint_every, keep, memory, accept_changes, progress, announce,
        on_segment: as in `sweep`, of which this is one without axes: with `out` it is stored while
        it trains, and the same call goes on; `progress=False` shows nothing.

    Raises what `sweep` does; ValueError for several settings.
    """
    settings = Settings(segments, checkpoint_every, keep, memory, accept_changes=accept_changes)
    laid = _lay_out(told(run, agent, env, fields))
    folder, resuming = choose(out, resume), resume is not None
    with watched(title_of(laid), progress, announce, on_segment) as watch:
        return execute(laid, settings, folder, resuming=resuming, watch=watch)


def _lay_out(experiment: Experiment) -> Layout:
    """The layout of an experiment without axes; raises ValueError for one that has any."""
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
