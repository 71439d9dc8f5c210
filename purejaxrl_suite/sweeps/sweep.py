"""Sweeps: every configuration and seed of an experiment, planned, stored, resumed.

A sweep is a list of groups (one compiled program each) of members (one flat batch axis); what does
not fit into memory at once is split into chunks of one size. A chunk is trained from its first to
its last update in segments; after each segment its curves are stored, and its state when a
checkpoint is due. So at any moment the folder holds all that is needed to go on, and going on
gives the same bits.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Unpack

from purejaxrl_suite.core.types import Agent, Builder, Environment
from purejaxrl_suite.sweeps.cluster import execute_on_ray
from purejaxrl_suite.sweeps.display import title_of, watched
from purejaxrl_suite.sweeps.execute import execute, make_plan
from purejaxrl_suite.sweeps.experiment import Experiment, Fields, front, told
from purejaxrl_suite.sweeps.folder import choose
from purejaxrl_suite.sweeps.layout import lay_out
from purejaxrl_suite.sweeps.plan import Plan
from purejaxrl_suite.sweeps.result import Result
from purejaxrl_suite.sweeps.settings import Progress, Settings


@front
def sweep(
    builder: Builder | Agent | Experiment,
    env: Environment | Sequence[Environment] | None = None,
    *,
    out: str | Path | None = None,
    resume: str | Path | None = None,
    segments: int = 20,
    checkpoint_every: int = 1,
    keep: int = 2,
    ray_gpus: float | None = None,
    memory: str | int | float | None = None,
    accept_changes: bool = False,
    progress: bool = True,
    announce: Callable[[object], None] | None = None,
    on_segment: Callable[[Progress], None] | None = None,
    **fields: Unpack[Fields],
) -> Result:
    """Train every configuration with every seed; returns curves labelled by what was varied.

    builder, env, fields: what is trained, as `Experiment` says; or an Experiment first, of which
        the fields that are given are replaced.
    out: a folder for curves and checkpoints, new or of this very sweep, which then goes on where it
        stopped; None keeps all in memory. resume: the same, but there must be something.
    segments: parts in which a chunk is trained, at most. checkpoint_every: segments between
        checkpoints, of which `keep` stay. memory: such as "8GiB"; the device's by default.
    accept_changes: go on with other versions, or on another kind of device; it is recorded.
    ray_gpus: not None trains each group as a Ray task with that many GPUs (0 for none), in `out`,
        which all workers must see; a lost worker's group is tried again from its checkpoint.
    progress: show the Plan and how training goes: on stderr, a bar in a terminal and in a notebook,
        elsewhere a line per segment; nothing of what Ray's workers train. False shows nothing.
    announce: told the Plan, or that a sweep is finished already. on_segment: told Progress. What
        they raise ends training.

    Raises ValueError before anything is compiled if an argument makes no sense, or the folder is of
    another sweep or not writable; TypeError for an unknown keyword; KeyboardInterrupt, when all is
    saved, after Ctrl-C or SIGTERM.
    """
    settings = Settings(segments, checkpoint_every, keep, memory, accept_changes=accept_changes)
    laid = lay_out(told(sweep, builder, env, fields))
    if ray_gpus is not None:
        return execute_on_ray(laid, settings, choose(out, resume), gpus=ray_gpus)
    folder, resuming = choose(out, resume), resume is not None
    with watched(title_of(laid), progress, announce, on_segment) as watch:
        return execute(laid, settings, folder, resuming=resuming, watch=watch)


@front
def plan(
    builder: Builder | Agent | Experiment,
    env: Environment | Sequence[Environment] | None = None,
    *,
    segments: int = 20,
    memory: str | int | float | None = None,
    **fields: Unpack[Fields],
) -> Plan:
    """Compile the programs of a sweep with these arguments and run nothing: what it will need."""
    settings = Settings(segments=segments, memory=memory)
    return make_plan(lay_out(told(plan, builder, env, fields)), settings, checkpoints=True)
