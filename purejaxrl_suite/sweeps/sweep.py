"""Sweeps: train every configuration and seed of an experiment, planned, stored and resumable.

A sweep is a list of groups (one compiled program each) of members (one flat batch axis); members
that do not fit into memory at once are split into chunks of one size. A chunk is trained from its
first to its last update in segments; after each segment its curves are stored, and its state when a
checkpoint is due. So at any moment the folder has all that is needed to resume, with the same bits.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Unpack

from purejaxrl_suite.core.compiling import use_compilation_cache
from purejaxrl_suite.core.types import Agent, Builder, Environment
from purejaxrl_suite.engine.problem import MakesProblem, Problem
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
    builder: Builder | Agent | Problem | MakesProblem | Experiment,
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
    """Train every configuration with every seed.

    Args:
        builder: of agents, an Agent, a problem or what makes it, or an Experiment, in which the
            given fields are replaced.
        env: one environment or several; None for a problem.
        out: a folder for curves and checkpoints, new or of the same sweep, which is then resumed;
            None keeps all in memory.
        resume: like `out`, but the folder must have the sweep.
        segments: the most parts in which a chunk is trained.
        checkpoint_every: segments between checkpoints.
        keep: how many checkpoints are kept.
        ray_gpus: not None trains each group as a Ray task with that many GPUs (0 for none), in
            `out`, which all workers must share; a lost worker's group is retried from its
            checkpoint.
        memory: that may be used, such as "8GiB"; None is that of the device.
        accept_changes: resume with other versions, or on another kind of device; it is recorded.
        progress: show the Plan and progress on stderr: a bar in a terminal and in a notebook,
            elsewhere a line per segment; nothing of Ray's workers. False shows nothing.
        announce: called with the Plan, or with a text if the sweep is finished already; its errors
            end training.
        on_segment: called with Progress; its errors end training.
        **fields: of the `Experiment`, such as `seeds`, `steps` and `hypers`.

    Returns:
        The result: curves over (varied axes ..., seed, step), and members to evaluate and act with.

    Raises:
        ValueError: an argument is invalid, or the folder has another sweep or is not writable; all
            before anything is compiled.
        TypeError: a keyword is unknown.
        KeyboardInterrupt: after Ctrl-C or SIGTERM, when all is saved.

    Example:
        >>> env = pjs.make("CartPole-v1")
        >>> rates = pjs.search.grid(pjs.PPOHypers(), learning_rate=[1e-3, 3e-4])
        >>> result = pjs.sweep(pjs.ppo, env, hypers=rates, seeds=8, steps=1e5)
        >>> print(pjs.report.best(result.curves).first(1))
    """
    use_compilation_cache()
    settings = Settings(segments, checkpoint_every, keep, memory, accept_changes=accept_changes)
    laid = lay_out(told(sweep, builder, env, fields))
    if ray_gpus is not None:
        return execute_on_ray(laid, settings, choose(out, resume), gpus=ray_gpus)
    folder, resuming = choose(out, resume), resume is not None
    with watched(title_of(laid), progress, announce, on_segment) as watch:
        return execute(laid, settings, folder, resuming=resuming, watch=watch)


@front
def plan(
    builder: Builder | Agent | Problem | MakesProblem | Experiment,
    env: Environment | Sequence[Environment] | None = None,
    *,
    segments: int = 20,
    memory: str | int | float | None = None,
    **fields: Unpack[Fields],
) -> Plan:
    """Compile the programs of a sweep and run nothing: find out what it will need.

    Args:
        builder: as in `sweep`.
        env: as in `sweep`.
        segments: as in `sweep`.
        memory: as in `sweep`.
        **fields: as in `sweep`.

    Returns:
        The plan, which prints as a few lines.

    Raises:
        ValueError: as in `sweep`.
    """
    use_compilation_cache()
    settings = Settings(segments=segments, memory=memory)
    return make_plan(lay_out(told(plan, builder, env, fields)), settings, checkpoints=True)
