"""A fleet: B members as one compiled program on the local devices, advanced segment by segment.

Members are one flat batch axis. It is split over the devices with `shard_map`, so a device has
whole members and no program contains a collective. A CPU trains the members of a segment in blocks
that fit its caches, one after another: 64 members of PPO on CartPole in blocks of 8 take four
fifths of the time of all at once. Neither the number of cores nor that of devices has a part in
the size of a block.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from purejaxrl_suite.core import tree
from purejaxrl_suite.core.compiling import compile_lightly
from purejaxrl_suite.core.types import Array, Clock, Key, PyTree, Run
from purejaxrl_suite.engine.exchange import Break
from purejaxrl_suite.engine.rows import row_count
from purejaxrl_suite.engine.train import Train, repeat

AXIS = "members"
CACHE = 2**20
"""Bytes of states that a CPU core processes at once."""
BLOCKS = 8
"""So many blocks are made, if there are as many members, for as many cores to have one each."""


class Members(NamedTuple):
    """The differences between B members, as numpy arrays on the host.

    seeds: u32[B]. hypers: a Hypers, leaves f32[B]. data: of their source, such as parameters of the
    environment; leaves [B, ...] where `varied` (a tree of bools) is True, without a batch axis
    elsewhere.
    """

    seeds: np.ndarray
    hypers: Any
    data: PyTree
    varied: PyTree

    def take(self, index: np.ndarray) -> "Members":
        """Select the members at these positions."""

        def pick(varied: bool, leaf: Any) -> Any:
            return np.asarray(leaf)[index] if varied else leaf

        return self._replace(
            seeds=self.seeds[index],
            hypers=jax.tree.map(lambda leaf: leaf[index], self.hypers),
            data=jax.tree.map(pick, self.varied, self.data),
        )

    def data_of(self, member: int) -> PyTree:
        """Select the data of one member."""
        return jax.tree.map(lambda v, x: x[member] if v else x, self.varied, self.data)

    def chunk(self, start: int, size: int) -> "Members":
        """Select `size` members from `start` on; the last one is repeated past the end."""
        return self.take(np.minimum(np.arange(start, start + size), len(self.seeds) - 1))


_CHOSEN: ContextVar[tuple[int, ...]] = ContextVar("devices", default=())


def devices() -> list[Any]:
    """Return the local devices over which members are split: those of `on`, by default all."""
    local = jax.local_devices()
    return [local[i] for i in _CHOSEN.get()] or local


@contextmanager
def on(positions: Sequence[int]) -> Iterator[None]:
    """Split members over some of the local devices, by position; over all if there is none."""
    token = _CHOSEN.set(tuple(positions))
    try:
        yield
    finally:
        _CHOSEN.reset(token)


def in_axes(varied: PyTree) -> PyTree:
    """Return the `in_axes` of `jax.vmap` for data that vary between members as `varied` says."""
    return jax.tree.map(lambda varies: 0 if varies else None, varied)


def abstract_run(train: Train, members: Members, count: int | None = None) -> Run:
    """Find shapes and dtypes of the state of these members, without compiling.

    count: of the members of the fleet, if these are only some of them; see `eval_shape`.
    """
    init = _init(train, in_axes(members.varied))
    arguments = members.seeds, members.hypers, members.data
    return eval_shape(init, *arguments, count=count or len(members.seeds))


def arguments_of_one(members: Members) -> tuple[Key, Any, PyTree]:
    """Give what the start of one member is traced with: its key, hypers and data."""
    hypers = jax.tree.map(lambda x: x[0], members.hypers)
    return jax.eval_shape(jax.random.key, 0), hypers, members.data_of(0)


def eval_shape(function: Callable[..., Any], *arguments: Any, count: int) -> Any:
    """Find shapes and dtypes of a function's results, on the mesh of a fleet of `count` members.

    JAX caches the trace for that mesh, so compiling a fleet does not trace it again.
    """
    mesh = _mesh(spread(count)[0])
    return jax.eval_shape(
        jax.shard_map(function, mesh=mesh, in_specs=P(), out_specs=P(), check_vma=False),
        *arguments,
    )


def spread(blocks: int) -> tuple[int, int]:
    """Spread blocks over the devices: (devices that are used, blocks of each of them).

    As many devices have something to do as shorten the work, so that few blocks are padding: five
    blocks are three devices with two each, on a machine that has four.
    """
    each = -(-blocks // len(devices()))
    return -(-blocks // each), each


def _mesh(count: int) -> Mesh:
    return Mesh(np.array(devices()[:count]), (AXIS,))


def _init(train: Train, axes: PyTree) -> Callable[[Array, Any, PyTree], Run]:
    """Make (seeds, hypers, data) -> the states of all members."""

    def init(seeds: Array, hypers: Any, data: PyTree) -> Run:
        keys = jax.vmap(jax.random.key)(seeds)
        return jax.vmap(train.init, (0, 0, axes))(keys, hypers, data)

    return init


def block_size(state_bytes: int, members: int) -> int | None:
    """Choose how many of all members are trained together; None for all that a device has.

    On a CPU as many as have states (of `state_bytes` each) of CACHE bytes, in BLOCKS blocks or
    more, and with few members of padding in the last one. It decides bits, so a sweep stores it and
    reuses it on resuming.
    """
    if jax.default_backend() != "cpu":
        return None
    most = max(1, min(CACHE // state_bytes, members // BLOCKS))
    return min(range(most, most // 2, -1), key=lambda block: -(-members // block) * block)


def train_members(
    train: Train, varied: PyTree, at_once: int | None = None
) -> Callable[[Array, Any, PyTree, Run, Clock], tuple[Run, dict[str, Array]]]:
    """Make (seeds, hypers, data, run, clock) -> (run, history {name: f32[B, R]}), by blocks.

    Args:
        train: of one member.
        varied: of the `Members` that it is called with.
        at_once: size of a block, a divisor of B; None is the largest up to `block_size`.

    Returns:
        The function.
    """
    axes = in_axes(varied)

    def together(seeds: Array, hypers: Any, data: PyTree, run: Run, clock: Clock):
        keys = jax.vmap(jax.random.key)(seeds)
        return jax.vmap(train.train, (0, 0, axes, 0, None))(keys, hypers, data, run, clock)

    def by_blocks(seeds: Array, hypers: Any, data: PyTree, run: Run, clock: Clock):
        size = len(seeds)
        block = at_once or _divisor(size, block_size(_bytes(run) // size, size) or size)
        if block == size:
            return together(seeds, hypers, data, run, clock)

        def one(i: Array, run: Run) -> tuple[Run, dict[str, Array]]:
            def take(x: Array) -> Array:
                return jax.lax.dynamic_slice_in_dim(x, i * block, block)

            own = jax.tree.map(lambda varies, x: take(x) if varies else x, varied, data)
            states, settings = jax.tree.map(take, (run, hypers))
            return together(take(seeds), settings, own, states, clock)

        def body(i: Array, carry: tuple[Run, dict[str, Array]]) -> Any:
            def put(whole: Array, x: Array) -> Array:
                return jax.lax.dynamic_update_slice_in_dim(whole, x, i * block, 0)

            return jax.tree.map(put, carry, one(i, carry[0]))

        rows = jax.eval_shape(one, jnp.int32(0), run)[1]
        history = {name: jnp.zeros((size, *x.shape[1:])) for name, x in rows.items()}
        return jax.lax.fori_loop(0, size // block, body, (run, history))

    return by_blocks


class Program(NamedTuple):
    """Two compiled programs for B members.

    init: (seeds, hypers, data) -> Run.
    train: (seeds, hypers, data, run, clock) -> (run, history {name: f32[B, R]}, finite bool[B]);
        donates `run`.
    size: B.
    length: updates of a segment.
    row: updates of each of its R rows.
    block: members that a device trains together.
    sharding: of every leaf with a member axis.
    bytes: peak on each device, of either program.
    state_bytes: of a Run, on each device.
    """

    init: Any
    train: Any
    size: int
    length: int
    row: int
    block: int
    sharding: NamedSharding
    bytes: int
    state_bytes: int

    @property
    def devices(self) -> int:
        """Return the number of devices that train."""
        return self.sharding.mesh.size


def compile_fleet(
    train: Train, members: Members, *, length: int, block: int, row: int = 1
) -> Program:
    """Compile the programs of a fleet like `members`, on devices that divide its blocks.

    Args:
        train: of one member.
        members: whose number and shapes count.
        length: updates of a segment.
        block: members that a device trains together, a divisor of their number.
        row: updates of a row of the history, a divisor of `length`.

    Returns:
        The programs.
    """
    train = repeat(train, length, row)
    blocks = len(members.seeds) // block
    mesh = _mesh(_divisor(blocks, len(devices())))
    each, all_alike = P(AXIS), P()
    axes = in_axes(members.varied)
    data_specs = jax.tree.map(lambda v: each if v else all_alike, members.varied)

    def advance(seeds: Array, hypers: Any, data: PyTree, run: Run, clock: Clock):
        fleet = train_members(train, members.varied, block)
        run, history = fleet(seeds, hypers, data, run, clock)
        return run, history, jax.vmap(tree.all_finite)(train.params(run))

    def shard(function: Any, specs: Any) -> Any:
        # Only the clock and shared parameters are replicated, so there is nothing to check.
        return jax.shard_map(function, mesh=mesh, in_specs=specs, out_specs=each, check_vma=False)

    arguments = members.seeds, members.hypers, members.data
    start = jax.jit(shard(_init(train, axes), (each, each, data_specs))).lower(*arguments)
    sharding = NamedSharding(mesh, each)
    run = jax.tree.map(
        lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=sharding), start.out_info
    )
    go = jax.jit(shard(advance, (each, each, data_specs, each, all_alike)), donate_argnums=3)
    clock = Clock(np.int32(0), np.int32(1))
    go = go.lower(*arguments, run, clock)  # tracing errors come before the first compilation
    start, go = compile_lightly(start), go.compile()
    size = _bytes(run)
    peak = max(_peak(start), _peak(go))
    return Program(
        init=start,
        train=go,
        size=len(members.seeds),
        length=length,
        row=row,
        block=block,
        sharding=sharding,
        bytes=peak,
        state_bytes=size // mesh.size,
    )


def _divisor(number: int, most: int) -> int:
    """Return the largest divisor of a number up to `most`."""
    return next(found for found in range(min(number, most), 0, -1) if number % found == 0)


def _bytes(tree: PyTree) -> int:
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))


def _peak(compiled: Any) -> int:
    memory = compiled.memory_analysis()
    if memory is None:
        return 0
    kept = memory.argument_size_in_bytes + memory.output_size_in_bytes
    return kept + memory.temp_size_in_bytes - memory.alias_size_in_bytes


def _placed(program: Program, members: Members) -> PyTree:
    """Return the data, with arrays that all members share put on the devices once."""
    alike = NamedSharding(program.sharding.mesh, P())

    def place(varied: bool, x: Any) -> Any:
        return x if varied or not isinstance(x, np.ndarray) else jax.device_put(x, alike)

    return jax.tree.map(place, members.varied, members.data)


class Segment(NamedTuple):
    """Result of a segment: updates start .. stop - 1, history {name: f32[B, R]} of their rows.

    run: the state after it on the host (`tree.to_host`), if it was asked for, else None.
    finite: bool[B], whether all parameters of a member are finite. seconds: its wall time.
    breaks: episodes on the host that were broken off meanwhile.
    """

    start: int
    stop: int
    run: Run | None
    history: dict[str, np.ndarray]
    finite: np.ndarray
    seconds: float
    breaks: tuple[Break, ...] = ()


def segments(
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
    """Train segment by segment; donates `run`.

    The next segment already runs while the caller processes one.

    Args:
        program: of the fleet.
        members: of the fleet.
        run: initial state.
        start: the first update.
        until: the update to stop before.
        updates: of the whole training.
        wanted: update -> whether to copy the state after it to the host.
        halt: called after each segment; a result other than 0 makes it the last, and its state is
            copied.

    Returns:
        An iterator over the segments.
    """
    arguments = members.seeds, members.hypers, _placed(program, members)

    def advance(run: Run, start: int) -> Any:
        return program.train(*arguments, run, Clock(np.int32(start), np.int32(updates)))

    began = time.perf_counter()
    pending = advance(run, start) if start < until else None
    while pending is not None:
        run, history, finite = pending
        stop = min(start + program.length, until)
        count = row_count(stop - start, program.row)
        rows = {name: np.asarray(x)[:, :count] for name, x in history.items()}
        finite = np.asarray(finite)
        last = halt()
        copy = tree.to_host(run) if last or wanted(stop) else None
        ended = time.perf_counter()
        pending = advance(run, stop) if stop < until and not last else None
        yield Segment(
            start=start,
            stop=stop,
            run=copy,
            history=rows,
            finite=finite,
            seconds=ended - began,
        )
        start, began = stop, ended
