"""Running a layout: plan, chunks, segments, checkpoints; `run` and `sweep` both end here."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from purejaxrl_suite.core import tree
from purejaxrl_suite.core.argument import integer
from purejaxrl_suite.core.check_environment import check_quickly
from purejaxrl_suite.core.types import Run
from purejaxrl_suite.engine.rows import row_count, updates_per_row
from purejaxrl_suite.sweeps import curves, plan
from purejaxrl_suite.sweeps.fleet import Members, Program, Segment, compile_fleet, segments
from purejaxrl_suite.sweeps.folder import Entered, How, begin, enter
from purejaxrl_suite.sweeps.interrupt import Interrupted, interruptible
from purejaxrl_suite.sweeps.layout import Before, Group, Layout
from purejaxrl_suite.sweeps.memory import parse_bytes
from purejaxrl_suite.sweeps.plan import GroupPlan, Plan
from purejaxrl_suite.sweeps.result import Result
from purejaxrl_suite.sweeps.store import Sweep, claimed
from purejaxrl_suite.sweeps.stored import chunks_of, stored

if TYPE_CHECKING:
    import xarray


@dataclass(frozen=True)
class Settings:
    """How a sweep is run, which changes no number; ValueError where that makes no sense.

    accept_changes: whether a sweep goes on with other versions, or on another kind of device, which
    can change bits, and is recorded.
    """

    segments: int = 1
    checkpoint_every: int = 1
    keep: int = 2
    memory: str | int | float | None = None
    accept_changes: bool = False

    def __post_init__(self):
        """Raise ValueError, naming the setting, for what makes no sense."""
        for name in ("segments", "checkpoint_every", "keep"):
            integer(name, getattr(self, name), 1)
        if self.memory is not None:
            parse_bytes(self.memory)


class Progress(NamedTuple):
    """What `on_segment` is told after each segment.

    group, chunk: what is being trained, of `groups` and `chunks`. update, updates and step, steps:
    of each of its members, done and in all. done: share of the whole sweep, in environment steps.
    seconds: since training started. steps_per_second: of this segment, all its members together.
    left: predicted seconds to the end. diverged: members of this chunk with parameters that are not
    finite. history: {metric: f32[B, rows of this segment]}.
    """

    group: int
    groups: int
    chunk: int
    chunks: int
    update: int
    updates: int
    step: int
    steps: int
    done: float
    seconds: float
    steps_per_second: float
    left: float
    diverged: int
    history: dict[str, np.ndarray]

    def __str__(self) -> str:
        """Where training stands, as one line."""
        return (
            f"{self.done:.0%}: group {self.group + 1} of {self.groups}, "
            f"chunk {self.chunk + 1} of {self.chunks}, step {self.step:,} of {self.steps:,}; "
            f"{self.steps_per_second:,.0f} steps/s, {self.left:.0f} s left, "
            f"{self.diverged} diverged"
        )

    __repr__ = __str__


class Watch(NamedTuple):
    """Say who is told, and when, while a layout is trained; nobody by default.

    compiling: told a group before its programs are compiled. announce: told the Plan before
    training, or that all of it is finished already. on_segment: told progress after each segment.
    """

    compiling: Callable[[Group], None] = lambda group: None
    announce: Callable[[object], None] = lambda what: None
    on_segment: Callable[[Progress], None] = lambda progress: None


NOBODY = Watch()


def make_plan(
    laid: Layout,
    settings: Settings,
    *,
    checkpoints: bool,
    saved: dict[str, Any] | None = None,
    watch: Watch = NOBODY,
) -> Plan:
    """Compile the programs of every group for as many members at once as fit.

    saved: chunk and block sizes, segment lengths and updates of a row of the sweep that is resumed,
        as `sizes_of` says them.
    Raises ValueError if a group can never fit, or not as it is stored.
    """
    began = time.perf_counter()
    if saved is None:
        for env in {id(group.env): group.env for group in laid.groups}.values():
            check_quickly(env)
    limit = plan.memory_limit(settings.memory)
    groups = []
    for number, group in enumerate(laid.groups):
        watch.compiling(group)
        stored = {name: sizes[number] for name, sizes in (saved or {}).items()}
        groups.append(_plan_group(group, settings, limit, stored, checkpoints=checkpoints))
    seconds = time.perf_counter() - began
    sizes = laid.configurations, len(laid.seeds)
    return Plan(tuple(groups), *sizes, curves.device(), limit, laid.steps, seconds)


def _plan_group(
    group: Group, settings: Settings, limit: int, stored: dict[str, int], *, checkpoints: bool
) -> GroupPlan:
    """Compile one group; its `stored` sizes are followed, what is not stored is chosen."""
    what = f"{group.agent.name} on {group.env.name}"
    state_bytes, shared = plan.state_bytes(group), plan.shared_bytes(group)
    row = stored.get("row") or updates_per_row(group.env, group.updates)
    rows = -(-group.updates // settings.segments // row)  # of a segment, rounded up
    length = stored.get("length", row * rows)

    def compile_at(size: int) -> Program:
        block = plan.choose_block(state_bytes, size, stored.get("block"), what)
        members = group.members.chunk(0, size)
        return compile_fleet(group.train, members, length=length, block=block, row=row)

    count = len(group.members.seeds)
    program, predicted = plan.choose_chunk(
        compile_at,
        count,
        limit,
        fixed=stored.get("chunk"),
        state_bytes=state_bytes,
        shared=shared,
        checkpoints=checkpoints,
        what=what,
    )
    return GroupPlan(
        labels=group.labels,
        parameters=plan.parameters(group.agent),
        updates=group.updates,
        evaluation=plan.describe_evaluation(group),
        chunk=program.size,
        chunks=-(-count // program.size),
        bytes_per_member=(program.bytes - shared) * len(jax.local_devices()) // program.size,
        shared=shared,
        predicted=predicted,
        program=program,
    )


def begun(before: Before, seeds: np.ndarray, rows: np.ndarray, fresh: Run, sharding: Any) -> Run:
    """States, like the fresh ones, with which members go on from those of the stage before.

    rows: which members of their group they are.
    """
    if before.begin is None or before.states is None:
        raise ValueError(f"expected `stages`, which trains stage {before.told['stage']!r} first")
    # 2**31 + 1 is no update: this key is not among those of training.
    keys = jax.vmap(lambda seed: jax.random.fold_in(jax.random.key(seed), 2**31 + 1))(seeds)
    found = jax.tree.map(jnp.asarray, before.states(rows))
    made = jax.jit(jax.vmap(before.begin))(keys, found, fresh)
    return jax.device_put(tree.strong(made), sharding)


def sizes_of(made: Plan) -> dict[str, list[int]]:
    """The sizes that decide bits, of each group: stored with a sweep, followed on resuming."""
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

    resuming, overwrite: see `folder.enter`. record: what else config.json says of a new run. Where
    JAX runs in several processes, each trains its share of the chunks in the same folder; the
    first one claims, plans and joins.
    """
    how = How(resuming, overwrite, settings.accept_changes)
    with claimed(folder):
        return _execute(laid, settings, folder, how, record or {}, watch)


def _execute(
    laid: Layout,
    settings: Settings,
    folder: Path | None,
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
    return _carry_out(laid, made, sweep, settings, watch)


def _carry_out(
    laid: Layout,
    made: Plan,
    sweep: Sweep | None,
    settings: Settings,
    watch: Watch,
) -> Result:
    """Train what is not trained yet, and join the curves."""
    sizes = [group.chunk for group in made.groups]
    rows = [group.program.row for group in made.groups]
    chunks = chunks_of(laid, sizes, rows, sweep, settings.keep)
    training = Training(laid, made, chunks, settings, watch)
    training.all()
    _meet("all chunks are trained")
    found = training.dataset()
    if sweep is not None and jax.process_index() == 0:
        sweep.write_curves(found)
    _meet("the curves are joined")
    return Result(found, laid, tuple(sizes), chunks)


def _meet(point: str) -> None:
    """Wait for the other processes, if there are any."""
    if jax.process_count() > 1:
        from jax.experimental import multihost_utils

        multihost_utils.sync_global_devices(point)


class Training:
    """The chunks of one call, trained one after the other."""

    def __init__(
        self,
        laid: Layout,
        made: Plan,
        chunks: tuple[tuple[Any, ...], ...],
        settings: Settings,
        watch: Watch,
    ):
        """Nothing is trained before `all`."""
        self.laid, self.plan, self.chunks = laid, made, chunks
        self.settings, self.watch = settings, watch
        self.began, self.trained, self.before = 0.0, 0, 0

    def all(self) -> None:
        """Train every chunk that is not complete."""
        self.began = time.perf_counter()
        with interruptible() as stop:
            units = [(g, k) for g, one in enumerate(self.plan.groups) for k in range(one.chunks)]
            for g, k in units[jax.process_index() :: jax.process_count()]:
                self.one(g, k, stop)

    def one(self, g: int, k: int, stop: Callable[[], int], until: int | None = None) -> None:
        """Train one chunk from its last checkpoint to the end, or to the update `until`."""
        group, made, store = self.laid.groups[g], self.plan.groups[g], self.chunks[g][k]
        members = group.members.chunk(k * made.chunk, made.chunk)
        start, run = self._begin(g, k, members)
        self.before += start * group.per_update * made.chunk
        every = self.settings.checkpoint_every * made.program.length
        end = group.updates if until is None else until

        def due(update: int) -> bool:
            return update == end or (store.durable and update % every == 0)

        clock = start, end, group.updates
        try:
            for segment in segments(made.program, members, run, clock, due, stop):
                run = None  # donated
                self._keep(g, k, segment)
                if stop() and segment.run is not None:
                    text = f"stopped at update {segment.stop} of {group.updates}"
                    raise Interrupted(text, stop())
        finally:
            store.close()

    def _keep(self, g: int, k: int, segment: Segment) -> None:
        """Store what a segment gave, then its state, then tell."""
        group, made, store = self.laid.groups[g], self.plan.groups[g], self.chunks[g][k]
        count = segment.stop - segment.start
        steps = count * group.per_update * made.chunk
        self.trained += steps
        rows = row_count(count, made.program.row)
        rate = np.full((1, rows), steps / segment.seconds, np.float32)
        diverged = np.repeat(~segment.finite[:, None], rows, axis=1).astype(np.float32)
        found = segment.history | {"steps_per_second": rate, "diverged": diverged}
        store.append(segment.start, group.updates, made.program.length, found)
        if segment.run is not None:
            store.save(segment.stop, segment.run)
        self.watch.on_segment(self._progress(g, k, segment, steps))

    def _begin(self, g: int, k: int, members: Members) -> tuple[int, Run]:
        """The update of the last checkpoint of a chunk, and its state; else how it begins."""
        program, store = self.plan.groups[g].program, self.chunks[g][k]
        before, shape = self.laid.groups[g].before, program.init.out_info
        found = store.restore(shape)
        if found is not None:
            return found[0], jax.device_put(tree.from_host(shape, found[1]), program.sharding)
        store.clear()
        fresh = program.init(members.seeds, members.hypers, members.data)
        if before is None:
            return 0, fresh
        last = len(self.laid.groups[g].members.seeds) - 1
        rows = np.minimum(np.arange(k * program.size, (k + 1) * program.size), last)
        return 0, begun(before, members.seeds, rows, fresh, program.sharding)

    def _progress(self, g: int, k: int, segment: Segment, steps: int) -> Progress:
        group, made = self.laid.groups[g], self.plan.groups[g]
        total = sum(
            one.per_update * one.updates * planned.chunk * planned.chunks
            for one, planned in zip(self.laid.groups, self.plan.groups, strict=True)
        )
        seconds = time.perf_counter() - self.began
        done = (self.before + self.trained) / total
        return Progress(
            group=g,
            groups=len(self.plan.groups),
            chunk=k,
            chunks=made.chunks,
            update=segment.stop,
            updates=group.updates,
            step=segment.stop * group.per_update,
            steps=group.updates * group.per_update,
            done=done,
            seconds=seconds,
            steps_per_second=steps / segment.seconds,
            left=seconds * (total - self.before - self.trained) / self.trained,
            diverged=int(np.sum(~segment.finite[: len(group.members.seeds) - k * made.chunk])),
            history=segment.history,
        )

    def dataset(self) -> "xarray.Dataset":
        """The labelled curves of all chunks."""
        stored = [
            [store.curves(group.updates) for store in stores]
            for group, stores in zip(self.laid.groups, self.chunks, strict=True)
        ]
        sizes = [group.chunk for group in self.plan.groups]
        rows = [group.program.row for group in self.plan.groups]
        gathered = curves.gather(self.laid, sizes, rows, stored)
        return curves.dataset(self.laid, gathered, self.plan.compile_seconds)
