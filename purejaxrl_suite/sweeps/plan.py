"""Plan a sweep before it runs: programs, members, bytes, chunks.

Bytes come from the compiled programs (XLA's memory analysis), device memory from the backend, on
CPU from the free memory of the system.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np

from purejaxrl_suite.sweeps import fleet
from purejaxrl_suite.sweeps.fleet import Program
from purejaxrl_suite.sweeps.layout import Group
from purejaxrl_suite.sweeps.memory import available, describe_bytes, parse_bytes, resident

SAFETY = 0.9
"""Share of the free memory that a plan may use; a user's limit is used in full."""
COPIES = 2.5
"""Copies of the state on the host while checkpoints are written (measured in
benchmarks/sweeps.py: 2 for states that compress well, 3 for those that do not)."""


class GroupPlan(NamedTuple):
    """One compiled group of a sweep.

    labels: its static choices.
    parameters: {namespace: parameters of one member}.
    updates: of each member.
    evaluation: the cost of evaluations in training, "" without.
    chunk: members that are trained at once.
    chunks: how many of them, one after the other.
    bytes_per_member: on its device, at the peak.
    shared: bytes on each device of data that all members learn from.
    predicted: bytes of the whole process on CPU, of each device elsewhere.
    program: the compiled programs.
    """

    labels: Mapping[str, Any]
    parameters: dict[str, int]
    updates: int
    evaluation: str
    chunk: int
    chunks: int
    bytes_per_member: int
    shared: int
    predicted: int
    program: Program


class Plan(NamedTuple):
    """The plan of a sweep; prints as a text of a few lines.

    configurations: traced ones, in each group. seeds: of each configuration. limit: bytes that the
    sweep may use, compared with `GroupPlan.predicted`. steps: environment steps of each member.
    """

    groups: tuple[GroupPlan, ...]
    configurations: int
    seeds: int
    devices: str
    limit: int
    steps: float
    compile_seconds: float

    @property
    def members(self) -> int:
        """Return the members of the whole sweep."""
        return len(self.groups) * self.configurations * self.seeds

    def __str__(self) -> str:
        """Write the plan in a few lines."""
        lines = [
            f"{self.members:,} members = {len(self.groups)} groups (one program each) x "
            f"{self.configurations} configurations x {self.seeds} seeds; "
            f"{self.steps:,.0f} steps each",
            f"{self.devices}; limit {describe_bytes(self.limit)}; "
            f"compiled in {self.compile_seconds:.1f} s",
        ]
        return "\n".join(lines + [_line(group) for group in self.groups])

    __repr__ = __str__


def _line(group: GroupPlan) -> str:
    name = ", ".join(f"{key}={value}" for key, value in group.labels.items()) or "all members"
    return (
        f"  {name}: {describe_parameters(group.parameters)}; "
        f"{describe_bytes(group.bytes_per_member)} a member"
        + f" and {describe_bytes(group.shared)} of data"
        * bool(group.shared)
        + f"; {group.chunk:,} at once in "
        f"{group.chunks} chunk{'s' * (group.chunks > 1)}{_devices(group.program)}, "
        f"peak {describe_bytes(group.predicted)}" + f"; {group.evaluation}" * bool(group.evaluation)
    )


def _devices(program: Program) -> str:
    """Describe on how many devices a program runs; "" if it runs on all of them."""
    there = len(fleet.devices())
    return f" on {program.devices} of {there} devices" * (program.devices < there)


def describe_evaluation(group: Group) -> str:
    """Describe the cost of evaluations during training; "" without."""
    how = group.evaluation
    if how is None or how.steps is None:
        return ""
    times = group.updates // how.every
    policies = 1 + len(group.agent.policies)
    share = policies * times * how.episodes * how.steps / (group.updates * group.per_update)
    each = f"{policies} policies x " if policies > 1 else ""
    return (
        f"{times:,} evaluations of {each}{how.episodes:,} episodes x {how.steps:,} steps, "
        f"{share:.0%} of the steps of training on top"
    )


def describe_parameters(counts: Mapping[str, int]) -> str:
    """Write numbers of parameters by namespace: `9,155 parameters (heads 195, ...)`."""
    parts = ", ".join(f"{name} {count:,}" for name, count in counts.items())
    return f"{sum(counts.values()):,} parameters ({parts})"


def memory_limit(memory: str | int | float | None) -> int:
    """Return the bytes that a sweep may use: `memory`, or those of the backend or the system."""
    if memory is not None:
        return parse_bytes(memory)
    stats = [device.memory_stats() for device in fleet.devices()]
    if all(stat and "bytes_limit" in stat for stat in stats):
        return int(SAFETY * min(stat["bytes_limit"] for stat in stats if stat))
    return resident() + int(SAFETY * available())


def on_host() -> bool:
    """Tell whether the devices are the host itself, so that they share its memory."""
    return jax.local_devices()[0].platform == "cpu"


def predict(program: Program, chunks: int, checkpoints: bool) -> int:
    """Predict the peak bytes of each device, or of the whole process if the host is the device.

    The latter includes states on the host: those of a checkpoint while the next segment runs, or
    without a folder the final ones of all chunks.
    """
    if not on_host():
        return program.bytes
    need, state = program.bytes, program.state_bytes
    if checkpoints:
        need += int(COPIES * state)
    else:
        need = max(need, 2 * state) + (chunks - 1) * state
    return resident() + program.devices * need


def state_bytes(group: Group) -> int:
    """Compute the bytes of one member's state, without compiling."""
    members = group.members.chunk(0, 1)
    run = fleet.abstract_run(group.train, members, len(group.members.seeds))
    return sum(x.size * x.dtype.itemsize for x in jax.tree.leaves(run))


def shared_bytes(group: Group) -> int:
    """Compute the bytes of the data that all members share, once on each device."""
    if not group.shares:
        return 0
    data, varied = (jax.tree.leaves(x) for x in (group.members.data, group.members.varied))
    return sum(np.asarray(x).nbytes for x, varies in zip(data, varied, strict=True) if not varies)


def size_of_all(members: int, block: int | None) -> int:
    """Return the size of a chunk of all members, in whole blocks, as many for each device."""
    return _even(members, _whole(members, block or 1), block or 1)


def block_of(block: int | None, chunk: int) -> int:
    """Return the members of a chunk that a device trains together: `block`, or all that it has."""
    return chunk // fleet.spread(chunk)[0] if block is None else block


def parameters(group: Group) -> dict[str, int]:
    """Count the parameters of one member by namespace of its network."""
    params = group.learnt
    parts = params if isinstance(params, dict) else {"all": params}
    return {name: sum(x.size for x in jax.tree.leaves(part)) for name, part in parts.items()}


def choose_chunk(
    compile_at: Callable[[int], Program],
    members: int,
    limit: int,
    *,
    fixed: int | None,
    block: int | None,
    state_bytes: int,
    shared: int,
    checkpoints: bool,
    what: str,
) -> tuple[Program, int]:
    """Compile for as many members as fit at once: (program, bytes predicted).

    Chunks have equal sizes, so that few members are padding.

    Args:
        compile_at: number of members -> programs.
        members: of the group.
        limit: bytes that may be used.
        fixed: the number at once, if it is not to be chosen.
        block: members that are trained together, of which there are whole ones; None for any.
        state_bytes: of one member, for a first guess.
        shared: bytes on each device, for any number of members.
        checkpoints: whether states are stored.
        what: the group, for messages.

    Returns:
        The programs, and the predicted bytes.

    Raises:
        ValueError: a single block does not fit.
    """
    unit = block or 1

    def predicted(program: Program) -> int:
        return predict(program, -(-members // program.size), checkpoints)

    if fixed is not None:
        program = compile_at(fixed)
        need = predicted(program)
        if need > limit:
            raise ValueError(_too_large(what, need, limit))
        return program, need
    best, fewer, devices = None, _whole(members, unit), len(fleet.devices())
    # So that every process has a chunk.
    share = _whole(-(-members // jax.process_count()), unit)
    room = max(limit - shared, 0) // (4 * state_bytes)
    for _ in range(6):
        size = _even(members, min(room, fewer, share), unit)
        if best is not None and size < 1.2 * best[0].size:
            break
        program = compile_at(size)
        need = predicted(program)
        base = shared + (resident() if on_host() else 0)
        room = int(0.97 * size * max(limit - base, 0) / max(need - base, 1))
        if need <= limit:
            best = program, need
        elif size <= unit:
            raise ValueError(_too_large(what, need, limit))
        else:
            fewer = size - unit * (devices if size > unit * devices else 1)
    if best is None:
        raise ValueError(_too_large(what, need, limit))
    return best


def _too_large(what: str, need: int, limit: int) -> str:
    return (
        f"{what} does not fit: it needs {describe_bytes(need)} with the fewest members at once, "
        f"the limit is {describe_bytes(limit)}. Fewer environments, a shorter rollout, a smaller "
        "network or replay, or more memory would change that"
    )


def _whole(members: int, unit: int) -> int:
    """Round up to whole blocks of `unit` members."""
    return -(-members // unit) * unit


def _even(members: int, room: int, unit: int) -> int:
    """Choose a size up to about `room` that splits members evenly, in whole blocks of `unit`.

    Devices have equally many blocks each.
    """
    blocks = -(-members // unit)
    chunks = -(-blocks // max(room // unit, 1))
    return unit * math.prod(fleet.spread(-(-blocks // chunks)))
