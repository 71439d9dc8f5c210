"""The chunks of one call, trained one after the other: segments, curves, checkpoints."""

import time
from collections.abc import Callable
from contextlib import closing
from functools import partial
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from purejaxrl_suite.core import tree
from purejaxrl_suite.core.types import Run
from purejaxrl_suite.engine.exchange import Break
from purejaxrl_suite.engine.rows import row_count
from purejaxrl_suite.sweeps import curves
from purejaxrl_suite.sweeps.before import begun
from purejaxrl_suite.sweeps.fleet import Members, Segment, segments
from purejaxrl_suite.sweeps.hosted import hosted_segments
from purejaxrl_suite.sweeps.interrupt import Interrupted, interruptible
from purejaxrl_suite.sweeps.layout import Layout
from purejaxrl_suite.sweeps.plan import Plan
from purejaxrl_suite.sweeps.settings import Progress, Settings, Watch

if TYPE_CHECKING:
    import xarray


class Training:
    """The chunks of one call, trained one after the other."""

    def __init__(
        self,
        laid: Layout,
        made: Plan,
        chunks: tuple[tuple[Any, ...], ...],
        *,
        settings: Settings,
        watch: Watch,
    ):
        """Prepare the chunks; `all` trains them."""
        self.laid, self.plan, self.chunks = laid, made, chunks
        self.settings, self.watch = settings, watch
        self.began, self.trained, self.before = 0.0, 0, 0

    def all(self) -> None:
        """Train every incomplete chunk."""
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

        hosted = group.hosted is not None
        if hosted and start > 0:
            store.note([Break(start, None, "training went on", "all episodes began anew")])
        advance = partial(hosted_segments, group) if hosted else segments
        trained: Any = advance(
            made.program,
            members,
            run,
            start=start,
            until=end,
            updates=group.updates,
            wanted=due,
            halt=stop,
        )
        del run  # donated
        try:
            with closing(trained):
                for segment in trained:
                    self._keep(g, k, segment)
                    if stop() and segment.run is not None:
                        text = f"stopped at update {segment.stop} of {group.updates}"
                        raise Interrupted(text, stop())
        finally:
            store.close()

    def _keep(self, g: int, k: int, segment: Segment) -> None:
        """Store the rows of a segment, then its state, then report progress."""
        group, made, store = self.laid.groups[g], self.plan.groups[g], self.chunks[g][k]
        count = segment.stop - segment.start
        if segment.breaks:
            store.note(segment.breaks)
        if not count:  # only a state, of a segment whose rows are stored, or the end by a failure
            if segment.run is not None:
                store.save(segment.stop, segment.run)
            return
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
        """Return update and state of the last checkpoint of a chunk, or its initial state."""
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
        states = begun(before, members.seeds, rows=rows, fresh=fresh)
        return 0, jax.device_put(states, program.sharding)

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
            done=min(done, 1.0),
            seconds=seconds,
            steps_per_second=steps / segment.seconds,
            left=seconds * max(total - self.before - self.trained, 0) / self.trained,
            diverged=int(np.sum(~segment.finite[: len(group.members.seeds) - k * made.chunk])),
            history=segment.history,
        )

    def dataset(self) -> "xarray.Dataset":
        """Make the labelled curves of all chunks."""
        stored = [
            [store.curves(group.updates) for store in stores]
            for group, stores in zip(self.laid.groups, self.chunks, strict=True)
        ]
        sizes = [group.chunk for group in self.plan.groups]
        rows = [group.program.row for group in self.plan.groups]
        gathered = curves.gather(self.laid, sizes, rows, stored)
        return curves.dataset(self.laid, gathered, self.plan.compile_seconds)
