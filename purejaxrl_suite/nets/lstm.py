"""Long short-term memory (Hochreiter and Schmidhuber 1997).

Pure functions of parameters in any precision, for rules that read whole rollouts: learned rewards
run forward in time and across episodes, learned targets backward from the end of a rollout. And the
cell between trunk and heads of a network, whose gates have leaves of their own, as those of a GRU.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from purejaxrl_suite.core.types import Array, Edge, Key, Path, PyTree
from purejaxrl_suite.nets.recurrent import Cell, product

GATES = ("enter", "forget", "candidate", "leave")
PATH: Path = ("trunk", "lstm")
"""Of the parameters of a cell between trunk and heads."""


class LSTMMemory(NamedTuple):
    """Memory of an LSTM; hidden, cell: f[B, H]."""

    hidden: Array
    cell: Array


def init(key: Key, inputs: int, units: int) -> PyTree:
    """Draw parameters: LeCun normal kernels [I, 4 H] and [H, 4 H], biases 0, forget gates' 1."""
    draw, keys = jax.nn.initializers.lecun_normal(), jax.random.split(key)
    gates = jnp.zeros((4, units)).at[1].set(1.0)
    return {
        "input": draw(keys[0], (inputs, 4 * units)),
        "recurrent": draw(keys[1], (units, 4 * units)),
        "bias": jnp.ravel(gates),
    }


def empty(params: PyTree, batch: int) -> LSTMMemory:
    """Make the memory before the first step, in the precision of the parameters."""
    recurrent = params["recurrent"]
    zeros = jnp.zeros((batch, recurrent.shape[0]), recurrent.dtype)
    return LSTMMemory(zeros, zeros)


def unroll(
    params: PyTree,
    x: Array,
    memory: LSTMMemory,
    resets: Array | None = None,
    *,
    backward: bool = False,
) -> tuple[LSTMMemory, Array]:
    """Take T steps.

    Args:
        params: of `init`.
        x: f[T, B, I], the inputs.
        memory: before the first step that is taken.
        resets: bool[T, B], before which steps the memory is emptied; None never.
        backward: from step T - 1 to step 0.

    Returns:
        The memory after the last step that is taken, and the hidden values f[T, B, H].
    """
    projected = x @ params["input"] + params["bias"][None, None]
    resets = jnp.zeros(x.shape[:2], bool) if resets is None else resets

    def body(memory: LSTMMemory, inputs: tuple[Array, Array]) -> tuple[LSTMMemory, Array]:
        projected, reset = inputs
        memory = emptied(memory, reset)
        memory = step(projected + memory.hidden @ params["recurrent"], memory.cell)
        return memory, memory.hidden

    return jax.lax.scan(body, memory, (projected, resets), reverse=backward)


def emptied(memory: LSTMMemory, reset: Array) -> LSTMMemory:
    """Empty the memory of those sequences bool[B] that start anew."""
    return LSTMMemory(*(jnp.where(reset[:, None], 0.0, part) for part in memory))


def step(gates: Array, cell: Array) -> LSTMMemory:
    """Take one step: gates f[B, 4 H] before their nonlinearities, cell f[B, H]."""
    parts = jnp.split(gates, 4, axis=-1)
    enter, forget, leave = map(jax.nn.sigmoid, (parts[0], parts[1], parts[3]))
    cell = forget * cell + enter * jnp.tanh(parts[2])
    return LSTMMemory(leave * jnp.tanh(cell), cell)


def cell(units: int, dtype: Any) -> Cell:
    """Make the LSTM between trunk and heads, which read its hidden values.

    units: H. dtype: of matrix products; memory and results are float32.
    """

    def joined(params: Mapping[str, Mapping[str, Array]]) -> dict[str, Array]:
        """Put the gates side by side, for one matrix product instead of four."""
        leaves = {
            name: jnp.concatenate([params[gate][name] for gate in GATES], axis=-1)
            for name in ("input", "recurrent", "bias")
        }
        kernels = {name: leaves[name].astype(dtype) for name in ("input", "recurrent")}
        return leaves | kernels

    def project(params: dict[str, Array], x: Array) -> Array:
        return product(x, params["input"]) + params["bias"][None]

    def advance(params: dict[str, Array], projected: Array, memory: LSTMMemory) -> LSTMMemory:
        return step(projected + product(memory.hidden, params["recurrent"]), memory.cell)

    def one_step(params: PyTree, x: Array, memory: LSTMMemory) -> LSTMMemory:
        whole = joined(params)
        return advance(whole, project(whole, x), memory)

    def steps(params: PyTree, x: Array, memory: LSTMMemory, starts: Array, tap: Array | None):
        whole = joined(params)
        projected = jnp.reshape(project(whole, x), (*starts.shape, -1))

        def body(memory: LSTMMemory, inputs: Any) -> tuple[LSTMMemory, LSTMMemory]:
            projected, start, tap = inputs
            memory = advance(whole, projected, emptied(memory, start))
            memory = memory if tap is None else with_tap(memory, tap)
            return memory, memory

        return jax.lax.scan(body, memory, (projected, starts, tap))[1]

    return Cell(
        path=PATH,
        units=units,
        init=partial(_of_gates, units=units),
        memory=lambda batch: LSTMMemory(*jnp.zeros((2, batch, units), jnp.float32)),
        step=one_step,
        shown=lambda memory: memory.hidden,
        with_tap=with_tap,
        unroll=steps,
        edge=partial(_edge, units),
        inputs=tuple((*PATH, gate, "input") for gate in GATES),
    )


def with_tap(memory: LSTMMemory, tap: Array) -> LSTMMemory:
    """Add a tap f32[B, H] to the hidden values."""
    return memory._replace(hidden=memory.hidden + tap)


def _of_gates(key: Key, inputs: int, units: int) -> dict[str, dict[str, Array]]:
    """Draw parameters as `init` does, with leaves of each gate's own."""
    leaves = {name: jnp.split(x, 4, axis=-1) for name, x in init(key, inputs, units).items()}
    return {gate: {name: x[i] for name, x in leaves.items()} for i, gate in enumerate(GATES)}


def _edge(units: int, readers: tuple[Path, ...]) -> Edge:
    """Make the edge of the units, which cannot be re-initialised one by one."""
    leaves = ("input", "recurrent", "bias")
    incoming = tuple((*PATH, gate, leaf) for gate in GATES for leaf in leaves)
    recurrent = tuple((*PATH, gate, "recurrent") for gate in GATES)
    return Edge("/".join(PATH), units, incoming, (*readers, *recurrent), recyclable=False)
