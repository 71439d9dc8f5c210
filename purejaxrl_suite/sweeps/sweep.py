"""Sweeps: every configuration and seed of an experiment, planned, stored, resumed.

A sweep is a list of groups (one compiled program each) of members (one flat batch axis); what does
not fit into memory at once is split into chunks of one size. A chunk is trained from its first to
its last update in segments; after each segment its curves are stored, and its state when a
checkpoint is due. So at any moment the folder holds all that is needed to go on, and going on
gives the same bits.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from purejaxrl_suite.core.types import Agent, Environment, Metric
from purejaxrl_suite.engine.evaluate import Evaluating
from purejaxrl_suite.sweeps.cluster import execute_on_ray
from purejaxrl_suite.sweeps.execute import Progress, Settings, execute, make_plan
from purejaxrl_suite.sweeps.folder import choose
from purejaxrl_suite.sweeps.layout import lay_out
from purejaxrl_suite.sweeps.plan import Plan
from purejaxrl_suite.sweeps.result import Result


def sweep(
    builder: Callable[..., Agent],
    env: Environment | Sequence[Environment],
    *,
    seeds: int | Sequence[int],
    steps: float,
    hypers: Any = None,
    config: Any = None,
    network: Any = None,
    env_params: Any = None,
    out: str | Path | None = None,
    resume: str | Path | None = None,
    segments: int = 20,
    checkpoint_every: int = 1,
    keep: int = 2,
    ray_gpus: float | None = None,
    memory: str | int | float | None = None,
    accept_changes: bool = False,
    reset_pool: int = 1,
    intervention: Any = None,
    metrics: Sequence[Metric] = (),
    measure_every: int = 10,
    evaluate_every: int | Evaluating | None = None,
    announce: Callable[[object], None] = print,
    on_segment: Callable[[Progress], None] | None = None,
) -> Result:
    """Train every configuration with every seed; returns curves labelled by what was varied.

    builder: (env, config, network, hypers) -> Agent, such as `ppo`.
    env: one, or several with distinct names (a group each).
    hypers, env_params: values, or points of them (`grid`, `random`, `sobol`, `one_at_a_time`): all
        members of one program.
    config: a Config, a list of them, or points: a group each. network: a function Environment ->
        Network, or {name: function}, a group each.
    seeds: how many, or which; configurations with equal seeds are paired.
    steps: environment steps of each member, rounded down to whole updates.
    intervention: what is done to each member's learner between updates, or {name: that or None}, a
        group each. metrics, measure_every: what is measured of it, and after every how many
        updates. See `purejaxrl_suite.plasticity`. evaluate_every: updates, or an `Evaluating`.
    out: a folder for curves and checkpoints, new or of this very sweep, which then goes on where it
        stopped; None keeps all in memory. resume: the same, but there must be something.
    segments: parts in which a chunk is trained, at most. checkpoint_every: segments between
        checkpoints, of which `keep` stay. memory: such as "8GiB"; the device's by default.
    accept_changes: go on with other versions, or on another kind of device; it is recorded.
    ray_gpus: not None trains each group as a Ray task with that many GPUs (0 for none), in `out`,
        which all workers must see; a lost worker's group is tried again from its checkpoint.
    announce: told the Plan, or that a sweep is finished already. on_segment: told progress.

    Raises ValueError before anything is compiled if an argument makes no sense, or the folder is of
    another sweep or not writable; KeyboardInterrupt, when all is saved, after Ctrl-C or SIGTERM.
    """
    settings = Settings(segments, checkpoint_every, keep, memory, accept_changes)
    varied = {"hypers": hypers, "config": config, "network": network, "env_params": env_params}
    watched = {"intervention": intervention, "metrics": metrics, "measure_every": measure_every}
    amount = {"seeds": seeds, "steps": steps, "reset_pool": reset_pool}
    laid = lay_out(builder, env, **varied, **watched, **amount, evaluate_every=evaluate_every)
    if ray_gpus is not None:
        return execute_on_ray(laid, settings, choose(out, resume), gpus=ray_gpus)
    told = {"announce": announce, "on_segment": on_segment}
    return execute(laid, settings, choose(out, resume), resuming=resume is not None, **told)


def plan(
    builder: Callable[..., Agent],
    env: Environment | Sequence[Environment],
    *,
    seeds: int | Sequence[int],
    steps: float,
    hypers: Any = None,
    config: Any = None,
    network: Any = None,
    env_params: Any = None,
    segments: int = 20,
    memory: str | int | float | None = None,
    reset_pool: int = 1,
    intervention: Any = None,
    metrics: Sequence[Metric] = (),
    measure_every: int = 10,
    evaluate_every: int | Evaluating | None = None,
) -> Plan:
    """The plan of a sweep with these arguments: compiles its programs and runs nothing."""
    settings = Settings(segments=segments, memory=memory)
    varied = {"hypers": hypers, "config": config, "network": network, "env_params": env_params}
    varied["reset_pool"] = reset_pool
    watched = {"intervention": intervention, "metrics": metrics, "measure_every": measure_every}
    watched["evaluate_every"] = evaluate_every
    laid = lay_out(builder, env, **varied, **watched, seeds=seeds, steps=steps)
    return make_plan(laid, settings, checkpoints=True)
