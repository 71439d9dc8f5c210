"""A population between two rungs: its configurations, its schedule, and its checkpoints."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np

from purejaxrl_suite.core import validate
from purejaxrl_suite.core.types import Run
from purejaxrl_suite.engine.rows import row_count, updates_per_row
from purejaxrl_suite.populations.selection import Rules, Selection
from purejaxrl_suite.sweeps import fleet, plan
from purejaxrl_suite.sweeps.axes import CONFIGURATION
from purejaxrl_suite.sweeps.fleet import Members
from purejaxrl_suite.sweeps.layout import Layout


class Cohort(NamedTuple):
    """C configurations that are trained from one rung to the next.

    configuration: i32[C], their ids. hypers: {name: f32[C]}, in force. source: i32[C], for each the
    place in the previous cohort whose state it continues, unless it is fresh (bool[C]). scores:
    f32[C before], of the previous cohort (`Standing`); empty in the first cohort.
    """

    configuration: np.ndarray
    hypers: dict[str, np.ndarray]
    source: np.ndarray
    fresh: np.ndarray
    scores: np.ndarray

    def record(self) -> dict[str, Any]:
        """Write the cohort as JSON, from which `of` restores it bit for bit."""
        return jax.tree.map(np.ndarray.tolist, self._asdict())

    @classmethod
    def of(cls, record: dict[str, Any]) -> "Cohort":
        """Read a cohort from what `record` has written."""
        hypers = {name: np.asarray(x, np.float32) for name, x in record["hypers"].items()}
        return cls(
            configuration=np.asarray(record["configuration"], np.int32),
            hypers=hypers,
            source=np.asarray(record["source"], np.int32),
            fresh=np.asarray(record["fresh"], bool),
            scores=np.asarray(record["scores"], np.float32),
        )

    def agrees(self, other: "Cohort") -> bool:
        """Tell whether both are the same decision, hypers up to rounding."""
        if not np.array_equal(self.source, other.source):
            return False
        close = [np.allclose(x, other.hypers[name], 1e-5, 0) for name, x in self.hypers.items()]
        return all(close) and np.array_equal(self.fresh, other.fresh)

    def rows_before(self, seeds: int, size: int) -> tuple[np.ndarray, np.ndarray]:
        """Find the origin of `size` members: row i32[B] of the previous batch, fresh bool[B].

        A member continues the member with its own seed, of S `seeds`. Entries past the C * S
        members repeat the last one, as in `Members.chunk`.
        """
        member = np.minimum(np.arange(size), len(self.source) * seeds - 1)
        place, seed = np.divmod(member, seeds)
        return self.source[place] * seeds + seed, self.fresh[place]


def first_cohort(laid: Layout) -> Cohort:
    """Make the first cohort: all configurations of a layout of one group, all of them fresh."""
    ids = np.arange(laid.configurations, dtype=np.int32)
    members = laid.groups[0].members.hypers._asdict()
    hypers = {name: np.asarray(x[:: len(laid.seeds)]) for name, x in members.items()}
    return Cohort(
        configuration=ids,
        hypers=hypers,
        source=ids,
        fresh=np.ones(len(ids), bool),
        scores=np.zeros(0, np.float32),
    )


def lay_out_cohort(laid: Layout, cohort: Cohort) -> Layout:
    """Lay out the members of a cohort: one group, one axis with the ids of its configurations."""
    members, seeds = laid.groups[0].members, np.asarray(laid.seeds, np.uint32)
    each = {name: np.repeat(x, len(seeds)) for name, x in cohort.hypers.items()}
    members = members._replace(
        seeds=np.tile(seeds, len(cohort.configuration)), hypers=type(members.hypers)(**each)
    )
    return with_configurations(laid, cohort.configuration, members, cohort.hypers)


def with_configurations(
    laid: Layout, ids: np.ndarray, members: Members, hypers: Mapping[str, np.ndarray]
) -> Layout:
    """Lay out these members over one axis of ids.

    Its coordinates are the hyper-parameters that are not at their defaults.
    """
    group = laid.groups[0]._replace(members=members)
    along = {name: on for name, on in laid.along.items() if on[0] in laid.static}
    for name, values in hypers.items():
        if np.any(values != np.float32(getattr(group.agent.hypers, name))):
            # The shortest decimal of the same float32: 0.0003, not 0.0003000000142.
            along[name] = CONFIGURATION, [float(str(np.float32(x))) for x in values]
    return laid._replace(groups=(group,), traced={CONFIGURATION: ids.tolist()}, along=along)


class Schedule(NamedTuple):
    """The phases of a population, known before it is trained; prints as one line.

    length: updates of a segment.
    edges: updates at which phases begin, and the last update.
    window: of a score, in updates.
    counts: configurations in each phase.
    sizes: members of each phase's program.
    blocks: members that a device trains together in each phase.
    per_update: environment steps of a member in an update.
    row: updates of a row of the curves; it divides length, window and all edges but the last.
    """

    length: int
    edges: tuple[int, ...]
    window: int
    counts: tuple[int, ...]
    sizes: tuple[int, ...]
    blocks: tuple[int, ...]
    per_update: int
    row: int

    def rows(self, updates: int) -> int:
        """Count the rows of so many updates."""
        return row_count(updates, self.row)

    @property
    def spans(self) -> list[tuple[int, int]]:
        """Return the first update of each phase, and the one after its last."""
        return list(zip(self.edges, self.edges[1:], strict=False))

    def __str__(self) -> str:
        """Say how many configurations are trained how long."""
        trained = sum(c * (b - a) for c, (a, b) in zip(self.counts, self.spans, strict=True))
        share = trained / (self.counts[0] * self.edges[-1])
        phases = ", ".join(
            f"{count} to step {until * self.per_update:,}"
            for count, (_, until) in zip(self.counts, self.spans, strict=True)
        )
        return f"configurations: {phases}; {share:.0%} of the steps of all to the end"

    __repr__ = __str__


def make_schedule(laid: Layout, rules: Rules, segments: int) -> Schedule:
    """Check a population and try its rules on equal scores; raises ValueError."""
    if len(laid.groups) != 1:
        raise ValueError(
            f"a population is one group, got {len(laid.groups)} (environments x networks x configs)"
        )
    if laid.configurations < 2:
        raise ValueError(f"hypers: expected 2 or more points, got {laid.configurations}")
    group = laid.groups[0]
    row = updates_per_row(group.env, group.updates)
    length, edges = _edges(rules, segments, group.updates, row)
    first = first_cohort(laid)
    hypers, counts = first.hypers, [len(first.configuration)]
    for rung in range(1, len(edges) - 1):
        equal = np.zeros(counts[-1], np.float32)
        tried = decide(laid, rules, rung, scores=equal, hypers=hypers)
        hypers = dict(tried.hypers)
        counts.append(len(tried.source))
    each, sizes, blocks = plan.state_bytes(group), [], []
    for count in counts:
        members = count * len(laid.seeds)
        block = fleet.block_size(each, members)
        sizes.append(plan.size_of_all(members, block))
        blocks.append(plan.block_of(block, sizes[-1]))
    return Schedule(
        length=length,
        edges=edges,
        window=length * rules.window,
        counts=tuple(counts),
        sizes=tuple(sizes),
        blocks=tuple(blocks),
        per_update=group.per_update,
        row=row,
    )


def decide(
    laid: Layout, rules: Rules, rung: int, *, scores: np.ndarray, hypers: dict[str, np.ndarray]
) -> Selection:
    """Apply the rules at a rung, and convert hypers to the agent's types.

    Integer hyper-parameters are rounded to the nearest whole number.

    Raises:
        ValueError: a value is out of its Range, or one that members keep from their beginning
            changes without a fresh beginning.
    """
    chosen, agent = rules.choose(rung, scores, hypers), laid.groups[0].agent
    kind = type(agent.hypers)
    for name in agent.initial:
        if np.any((chosen.hypers[name] != hypers[name][chosen.source]) & ~chosen.fresh):
            text = f"expected one that {agent.name!r} reads in training, not at the beginning alone"
            raise ValueError(f"select: at rung {rung}, hypers.{name}: {text}")
    whole = {name for name, (_, allowed) in validate.ranges(kind).items() if allowed.integer}
    new = {name: np.round(x) if name in whole else x for name, x in chosen.hypers.items()}
    try:
        return chosen._replace(hypers=validate.columns(kind, new, agent.config))
    except ValueError as error:
        raise ValueError(f"select: at rung {rung}, {error}") from None


def _edges(rules: Rules, segments: int, updates: int, row: int) -> tuple[int, tuple[int, ...]]:
    """Compute the updates of a segment, and those at which phases begin and the last one ends.

    row: updates of a row; it divides a segment.
    """
    if segments > updates:
        raise ValueError(f"segments must be between 1 and the {updates} updates, got {segments}")
    length = row * -(-updates // segments // row)
    last = -(-updates // length)
    gaps = [b - a for a, b in zip((0, *rules.rungs), rules.rungs, strict=False)]
    if not gaps or min(gaps) < 1 or rules.rungs[-1] >= last:
        raise ValueError(
            f"rungs: expected increasing numbers of segments in 1 .. {last - 1} "
            f"({updates} updates are {last} segments), got {list(rules.rungs)}"
        )
    if not 1 <= rules.window <= min(gaps):
        raise ValueError(
            f"window must be 1 .. {min(gaps)} segments, the fewest between rungs, "
            f"got {rules.window}"
        )
    return length, (0, *(length * rung for rung in rules.rungs), updates)


class Kept(NamedTuple):
    """A checkpoint of a phase: the state of its members, their hypers and configurations."""

    run: Run
    hypers: dict[str, np.ndarray]
    configuration: np.ndarray


class Phase:
    """The store of a phase, like a `Chunk`, for the updates of `span`, which begins with a row.

    inner: a Chunk or InMemory. carry: (shapes of the state) -> the state that the phase begins
    with; None if members are initialised.
    """

    def __init__(
        self,
        inner: Any,
        span: tuple[int, int],
        cohort: Cohort,
        carry: Callable[[Run], Run] | None,
    ):
        """Make the store without reading or writing anything."""
        self.inner, self.cohort, self.carry = inner, cohort, carry
        self.first, self.until = span
        self.clear, self.close = inner.clear, inner.close
        self.note, self.noted, self.path = inner.note, inner.noted, inner.path
        self.durable = inner.durable

    def curves(self) -> dict[str, np.ndarray]:
        """Return the rows {metric: f32[B, R]} of a finished phase."""
        return self.inner.curves(self.until - self.first)

    def append(self, start: int, updates: int, length: int, rows: dict[str, np.ndarray]) -> None:
        """Store rows {metric: f32[B, n]} of the updates from `start` on."""
        self.inner.append(start - self.first, self.until - self.first, length, rows)

    def save(self, update: int, run: Run) -> None:
        """Store the state after `update`."""
        self.inner.save(update, Kept(run, self.cohort.hypers, self.cohort.configuration))

    def restore(self, like: Run, until: int | None = None) -> tuple[int, Run] | None:
        """Return the last stored state; without one clear the store and return the initial state.

        until: the update that the state must be of, if another is of no use.
        """
        ours = Kept(like, self.cohort.hypers, self.cohort.configuration)
        found = self.inner.restore(ours, until)
        if found is None:
            self.clear()  # rows that no checkpoint covers, or a store without metadata
            return None if self.carry is None else (self.first, self.carry(like))
        update, kept = found
        same = jax.tree.map(np.array_equal, kept[1:], ours[1:])
        if not all(jax.tree.leaves(same)):
            raise ValueError(
                f"the checkpoint after update {update} is of other configurations than "
                "the decision before it says: delete it to go back to the one before"
            )
        return update, kept.run
