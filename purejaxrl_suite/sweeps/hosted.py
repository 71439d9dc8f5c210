"""Members whose environments are on the host: a learner program, fed by actors, update by update.

In place of a segment as one program, each update is a call of the same program of a fleet, for one
update, with the experience of the actors as its data. Rows, segments and checkpoints are those of a
compiled run. A checkpoint has everything but the environments, which start anew on resuming: the
last step in a replay is then cut off, so that no step leads from one episode into another. The same
is done where an actor's environments were restarted. All such breaks are listed with the segments.
"""

import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from purejaxrl_suite.buffers.ring import Ring, break_off
from purejaxrl_suite.core import tree
from purejaxrl_suite.core.host import HostError
from purejaxrl_suite.core.types import Array, Clock, Run
from purejaxrl_suite.engine import rows
from purejaxrl_suite.engine.actors import Actors, Cast
from purejaxrl_suite.engine.evaluate import make_row, row_names
from purejaxrl_suite.engine.exchange import Break
from purejaxrl_suite.engine.keys import member_keys, update_keys
from purejaxrl_suite.engine.rows import Kinds
from purejaxrl_suite.sweeps.fleet import Members, Program, Segment
from purejaxrl_suite.sweeps.layout import Group


def hosted_segments(
    group: Group,
    program: Program,
    members: Members,
    run: Run,
    *,
    start: int,
    until: int,
    updates: int,
    wanted: Callable[[int], bool],
    halt: Callable[[], int] = lambda: 0,
) -> Iterator[Segment]:
    """Train segment by segment, as `fleet.segments`, and stop after any update.

    Args:
        group: of the members.
        program: compiled for one update; its `length` and `row` are those of the segments.
        members: of the fleet.
        run: initial state, donated.
        start: the first update.
        until: the update to stop before.
        updates: of the whole training.
        wanted: update -> whether to copy the state after it to the host.
        halt: called after each update; a result other than 0 makes it the last.

    Returns:
        An iterator over the segments. The first one begins with a whole row, so its `start` may be
        before the argument, where training stopped inside of a row.

    Raises:
        HostError: environments failed; the segment before has the state and rows until then.
    """
    agent, how = group.agent, group.hosted
    assert how is not None
    if start > 0:
        run = _broken_off(run, agent.num_envs)
    cast = Cast(agent, group.env, how, members.seeds, members.hypers, updates)
    learning = _Learning(group, program, members, run)
    with Actors(cast, start=start, until=until) as actors:
        actors.publish(start, learning.run.agent)
        saved, begin, failure = start, start // program.row * program.row, None
        began = time.perf_counter()
        for update in range(start, until):
            try:
                learning.take(actors, update)
            except HostError as error:
                failure = error
                break
            learning.update(Clock(np.int32(update), np.int32(updates)))
            done, last = update + 1, halt()
            if done < until:
                actors.publish(done, learning.run.agent)
            if last or done == until or done % program.length == 0:
                copy = bool(last) or wanted(done)
                now = time.perf_counter()
                yield learning.segment(begin, done, copy=copy, seconds=now - began)
                saved, begin, began = done if copy else saved, done, now
            if last:
                return
        if failure is not None:
            stop, now = max(learning.done, start), time.perf_counter()
            learning.breaks.append(Break(stop, None, str(failure), "training ended"))
            first, more = (begin, True) if stop > saved else (stop, False)
            yield learning.segment(first, stop, copy=more, seconds=now - began)
            raise failure


class _Learning:
    """The learner: the state of the members, and the rows of the segment in progress."""

    def __init__(self, group: Group, program: Program, members: Members, run: Run):
        self.program, self.members, self.run = program, members, run
        self.add, self.whole = _summing(group.train.kinds())
        self.evaluate = _evaluating(group, members)
        self.row: rows.Sums | None = None
        self.history: list[dict[str, Any]] = []
        self.finite: Any = np.ones(len(members.seeds), bool)
        self.num_envs, self.done = group.agent.num_envs, 0
        self.data: Any = None
        self.breaks: list[Break] = []

    def take(self, actors: Actors, update: int) -> None:
        """Wait for the experience of an update; after restarts cut off what was before."""
        self.data = actors.batch(update)
        if actors.breaks:
            self.breaks += actors.breaks
            actors.breaks.clear()
            self.run = _broken_off(self.run, self.num_envs)

    def update(self, clock: Clock) -> None:
        """Make one update of all members, without waiting for it."""
        members, row = self.members, self.program.row
        self.run, found, self.finite = self.program.train(
            members.seeds, members.hypers, self.data, self.run, clock
        )
        self.done = int(clock.update) + 1
        found |= self.evaluate(clock, self.run)
        if row == 1:
            self.history.append(found)
            return
        self.row = self.add(self.row or _empty(found), found)
        if self.done % row == 0 or self.done == int(clock.updates):
            self._end_row()

    def segment(self, start: int, stop: int, *, copy: bool, seconds: float) -> Segment:
        """Make the segment of the rows since the last one."""
        if self.row is not None:
            self._end_row()
        parts, self.history = jax.device_get(self.history), []
        breaks, self.breaks = tuple(self.breaks), []
        names = parts[0] if parts else {}
        history = {name: np.concatenate([part[name] for part in parts], 1) for name in names}
        return Segment(
            start=start,
            stop=stop,
            run=tree.to_host(self.run) if copy else None,
            history=history,
            finite=np.asarray(self.finite),
            seconds=seconds,
            breaks=breaks,
        )

    def _end_row(self) -> None:
        assert self.row is not None
        self.history.append(self.whole(self.row, self.finite))
        self.row = None


def _evaluating(group: Group, members: Members) -> Callable[[Clock, Run], dict[str, np.ndarray]]:
    """Make the evaluation of B members after an update, {name: f32[B, 1]}; NaN if none is due."""
    agent, env, how = group.agent, group.env, group.evaluation
    if how is None:
        return lambda clock, run: {}
    row, names, size = make_row(agent, env, how), row_names(agent, env), len(members.seeds)

    @jax.jit
    @partial(jax.vmap, in_axes=(0, None))
    def keys(seed: Array, clock: Clock) -> Array:
        return update_keys(member_keys(jax.random.key(seed)), clock).evaluation

    def evaluate(clock: Clock, run: Run) -> dict[str, np.ndarray]:
        if (clock.update + 1) % how.every:
            return {name: np.full((size, 1), np.nan, np.float32) for name in names}
        drawn = keys(members.seeds, clock)
        each = [row(drawn[i], *tree.index((members.hypers, (), run.agent), i)) for i in range(size)]
        return {name: np.asarray([[one[name]] for one in each], np.float32) for name in names}

    return evaluate


def _summing(kinds: Kinds) -> tuple[Callable[..., rows.Sums], Callable[..., dict[str, Array]]]:
    """Compile the sums over the updates of a row, of B members: {name: f32[B, 1]}."""

    def whole(sums: rows.Sums, finite: Array) -> dict[str, Array]:
        return rows.whole(kinds, sums, finite[:, None])

    return jax.jit(partial(rows.add, kinds)), jax.jit(whole)


def _empty(row: dict[str, Array]) -> rows.Sums:
    zeros = {name: jnp.zeros_like(x) for name, x in row.items()}
    return rows.Sums({name: jnp.full_like(x, jnp.nan) for name, x in zeros.items()}, zeros)


def _broken_off(run: Run, num_envs: int) -> Run:
    """Cut the last steps of every replay of B members, whose successors are in no environment."""

    def edit(node: Any) -> Any:
        if not isinstance(node, Ring):
            return node
        return jax.vmap(partial(break_off, num_envs=num_envs))(node)

    def edited(run: Run) -> Run:
        return jax.tree.map(edit, run, is_leaf=lambda node: isinstance(node, Ring))

    return jax.jit(edited, donate_argnums=0)(run)
