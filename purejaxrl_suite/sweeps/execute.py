"""Run a layout: plan, chunks, segments, checkpoints; `run` and `sweep` both end here."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax

from purejaxrl_suite.core.check_environment import check_quickly
from purejaxrl_suite.engine.rows import updates_per_row
from purejaxrl_suite.sweeps import curves, fleet, plan
from purejaxrl_suite.sweeps.fleet import Program, compile_fleet
from purejaxrl_suite.sweeps.folder import Entered, How, begin, enter
from purejaxrl_suite.sweeps.layout import Group, Layout
from purejaxrl_suite.sweeps.plan import GroupPlan, Plan
from purejaxrl_suite.sweeps.result import Result
from purejaxrl_suite.sweeps.settings import NOBODY, Settings, Watch
from purejaxrl_suite.sweeps.store import Sweep, claimed
from purejaxrl_suite.sweeps.stored import chunks_of, stored
from purejaxrl_suite.sweeps.training import Training


def make_plan(
    laid: Layout,
    settings: Settings,
    *,
    checkpoints: bool,
    saved: dict[str, Any] | None = None,
    watch: Watch = NOBODY,
) -> Plan:
    """Compile the programs of every group for as many members at once as fit.

    Args:
        laid: layout of the sweep.
        settings: of execution.
        checkpoints: whether states are stored.
        saved: of a resumed sweep its chunk and block sizes, segment lengths and updates of a row,
            from `sizes_of`.
        watch: callbacks.

    Returns:
        The plan with the programs.

    Raises:
        ValueError: a group can never fit, or not with the saved sizes.
    """
    began = time.perf_counter()
    if saved is None:
        environments = {id(group.environment): group.environment for group in laid.groups}
        for env in filter(None, environments.values()):
            check_quickly(env)
    limit = plan.memory_limit(settings.memory)
    groups = []
    for number, group in enumerate(laid.groups):
        watch.compiling(group)
        stored = {name: sizes[number] for name, sizes in (saved or {}).items()}
        with fleet.on(() if group.hosted is None else group.hosted.learner_devices):
            groups.append(_plan_group(group, settings, limit, stored, checkpoints=checkpoints))
    seconds = time.perf_counter() - began
    return Plan(
        groups=tuple(groups),
        configurations=laid.configurations,
        seeds=len(laid.seeds),
        devices=curves.device(),
        limit=limit,
        steps=laid.steps,
        compile_seconds=seconds,
    )


def _plan_group(
    group: Group, settings: Settings, limit: int, stored: dict[str, int], *, checkpoints: bool
) -> GroupPlan:
    """Compile one group with its `stored` sizes; sizes that are not stored are chosen."""
    what, environment = group.title, group.environment
    state_bytes, shared = plan.state_bytes(group), plan.shared_bytes(group)
    row = stored.get("row") or updates_per_row(environment, group.updates)
    rows = -(-group.updates // settings.segments // row)  # in a segment, rounded up
    length = stored.get("length", row * rows)
    count = len(group.members.seeds)
    if "chunk" in stored:  # older folders have no blocks: all were trained together
        whole = stored.get("block", stored["chunk"])
    else:
        whole = fleet.block_size(state_bytes, count)

    def compile_at(size: int) -> Program:
        block = plan.block_of(whole, size)
        members = group.members.chunk(0, size)
        if group.hosted is None:
            return compile_fleet(group.train, members, length=length, block=block, row=row)
        one = compile_fleet(group.train, members, length=1, block=block)
        return one._replace(length=length, row=row)

    program, predicted = plan.choose_chunk(
        compile_at,
        count,
        limit,
        fixed=stored.get("chunk"),
        block=whole,
        state_bytes=state_bytes,
        shared=shared,
        checkpoints=checkpoints,
        what=what,
    )
    return GroupPlan(
        labels=group.labels,
        parameters=plan.parameters(group),
        updates=group.updates,
        evaluation=plan.describe_evaluation(group),
        chunk=program.size,
        chunks=-(-count // program.size),
        bytes_per_member=(program.bytes - shared) * program.devices // program.size,
        shared=shared,
        predicted=predicted,
        program=program,
    )


def sizes_of(made: Plan) -> dict[str, list[int]]:
    """Return the sizes of each group that decide bits: stored with a sweep, reused on resuming."""
    programs = [group.program for group in made.groups]
    return {
        "chunk": [program.size for program in programs],
        "block": [program.block for program in programs],
        "length": [program.length for program in programs],
        "row": [program.row for program in programs],
    }


def execute(
    laid: Layout,
    settings: Settings,
    folder: Path | None,
    *,
    resuming: bool = False,
    overwrite: bool = False,
    record: Mapping[str, Any] | None = None,
    watch: Watch = NOBODY,
) -> Result:
    """Train all members of a layout, in a folder or in memory.

    If JAX runs in several processes, each trains its share of the chunks in the same folder; the
    first one claims the folder, plans and joins.

    Args:
        laid: layout of the sweep.
        settings: of execution.
        folder: of the run; None keeps all in memory.
        resuming: see `folder.enter`.
        overwrite: see `folder.enter`.
        record: other entries of config.json of a new run.
        watch: callbacks.

    Returns:
        The result.
    """
    how = How(resuming, overwrite, settings.accept_changes)
    with claimed(folder):
        return _execute(laid, settings, folder, how=how, record=record or {}, watch=watch)


def _execute(
    laid: Layout,
    settings: Settings,
    folder: Path | None,
    *,
    how: How,
    record: Mapping[str, Any],
    watch: Watch,
) -> Result:
    sweep, first = Sweep(folder) if folder else None, jax.process_index() == 0
    if sweep is None and jax.process_count() > 1:
        raise ValueError("several processes share a sweep through its folder: pass out")
    entered = Entered(None)
    identity = {} if sweep is None else laid.identity()
    if sweep is not None:
        entered = enter(sweep, identity, how)
    _meet("the folder is checked")
    if sweep is not None and entered.sizes is not None and sweep.finished():
        watch.announce(f"{folder} is finished: nothing is left to train")
        return stored(laid, sweep.path).result
    if sweep is not None and not first:
        _meet("the sweep is planned")
        entered = Entered(sweep.open(identity))
    stores = sweep is not None
    made = make_plan(laid, settings, checkpoints=stores, saved=entered.sizes, watch=watch)
    watch.announce(made)
    if sweep is not None and entered.sizes is None:
        told = {**record, "plan": str(made)}
        begin(sweep, identity, sizes_of(made), told, replaces=entered.replaces)
    if first:
        _meet("the sweep is planned")
    return _carry_out(laid, made, sweep, settings=settings, watch=watch)


def _carry_out(
    laid: Layout, made: Plan, sweep: Sweep | None, *, settings: Settings, watch: Watch
) -> Result:
    """Train the rest of a layout, and join the curves."""
    sizes = [group.chunk for group in made.groups]
    rows = [group.program.row for group in made.groups]
    chunks = chunks_of(laid, sizes, rows, sweep, keep=settings.keep)
    training = Training(laid, made, chunks, settings=settings, watch=watch)
    training.all()
    _meet("all chunks are trained")
    found = training.dataset()
    if sweep is not None and jax.process_index() == 0:
        sweep.write_curves(found)
    _meet("the curves are joined")
    return Result(found, laid, tuple(sizes), chunks)


def _meet(point: str) -> None:
    """Wait for the other processes, if any."""
    if jax.process_count() > 1:
        from jax.experimental import multihost_utils

        multihost_utils.sync_global_devices(point)
