"""Gated recurrent unit (GRU) between trunk and heads.

Formulas: Cho et al. 2014 (arXiv 1406.1078), in the form of cuDNN and flax, where the reset gate
multiplies the recurrent product. Each gate has its own leaves, so that the last axis of every
kernel indexes the units; they are joined at use, for one matrix product instead of three.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn

from purejaxrl_suite.core.types import Array, Edge, Key, Memory, Path, PyTree
from purejaxrl_suite.nets.layers import Initializer

GATES = ("reset", "update", "candidate")
PATH: Path = ("trunk", "gru")
"""Of a GRU's parameters between trunk and heads."""


class Cell(NamedTuple):
    """A recurrent cell of H units between trunk and heads, as functions of its parameters.

    path: of the parameters in those of the network. units: H.
    init: (key, inputs) -> params.
    memory: B -> memory before the first step, leaves [B, ...].
    step: (params, x f32[B, D], memory) -> memory.
    shown: memory -> f32[..., H], what the heads read.
    with_tap: (memory, tap f32[B, H]) -> memory, the tap added to what is shown.
    unroll: (params, x f32[T * B, D], memory, starts bool[T, B], tap f32[T, B, H] or None) ->
        memories after each step, leaves [T, B, ...]; reset before steps that start an episode.
    edge: kernels that read what is shown -> the edge of the units.
    inputs: kernels that read x.
    """

    path: Path
    units: int
    init: Callable[[Key, int], PyTree]
    memory: Callable[[int], Memory]
    step: Callable[[PyTree, Array, Memory], Memory]
    shown: Callable[[Memory], Array]
    with_tap: Callable[[Memory, Array], Memory]
    unroll: Callable[[PyTree, Array, Memory, Array, Array | None], Memory]
    edge: Callable[[tuple[Path, ...]], Edge]
    inputs: tuple[Path, ...]


class Gru(NamedTuple):
    """Sizes of a GRU. units: of the memory f32[B, units]. dtype: of matrix products."""

    units: int
    dtype: Any


def cell(units: int, dtype: Any) -> Cell:
    """Make the GRU between trunk and heads; its memory is f32[B, H], which heads read."""
    gru = Gru(units, dtype)

    def one_step(params: PyTree, x: Array, memory: Array) -> Array:
        joined = join(gru, params)
        return step(joined, project(joined, x), memory)

    def steps(params: PyTree, x: Array, memory: Array, starts: Array, tap: Array | None) -> Array:
        joined = join(gru, params)
        projected = jnp.reshape(project(joined, x), (*starts.shape, -1))
        return unroll(joined, projected, memory=memory, starts=starts, tap=tap)

    return Cell(
        path=PATH,
        units=units,
        init=lambda key, inputs: init(gru, key, inputs),
        memory=lambda batch: jnp.zeros((batch, units), jnp.float32),
        step=one_step,
        shown=lambda memory: memory,
        with_tap=lambda memory, tap: memory + tap,
        unroll=steps,
        edge=lambda readers: edge(gru, PATH, readers),
        inputs=input_kernels(PATH),
    )


def init(gru: Gru, key: Key, inputs: int) -> dict[str, dict[str, Array]]:
    """Draw parameters: input kernels LeCun normal, recurrent kernels orthogonal, biases zero."""
    key_input, key_recurrent = jax.random.split(key)
    kernels = {
        "input": _draw(nn.initializers.lecun_normal(), key_input, (inputs, gru.units)),
        "recurrent": _draw(nn.initializers.orthogonal(), key_recurrent, (gru.units, gru.units)),
        "bias": jnp.zeros((len(GATES), gru.units), jnp.float32),
    }
    params = {
        gate: {name: leaf[i] for name, leaf in kernels.items()} for i, gate in enumerate(GATES)
    }
    # The candidate's recurrent product is gated, so it needs its own bias.
    params["candidate"]["recurrent_bias"] = jnp.zeros((gru.units,), jnp.float32)
    return params


def _draw(initializer: Initializer, key: Key, shape: tuple[int, ...]) -> Array:
    """Draw a kernel per gate, f32[3, *shape], as a batch: orthogonal ones are slow to compile."""
    return jax.vmap(lambda key: initializer(key, shape))(jax.random.split(key, len(GATES)))


class Joined(NamedTuple):
    """Parameters of all gates side by side: kernels [., 3 H] in the dtype of the products."""

    input: Array
    bias: Array
    recurrent: Array
    recurrent_bias: Array


def join(gru: Gru, params: Mapping[str, Mapping[str, Array]]) -> Joined:
    """Put the gates side by side; called outside a scan, so that it is done once."""

    def leaves(name: str) -> Array:
        return jnp.concatenate([params[gate][name] for gate in GATES], axis=-1)

    return Joined(
        leaves("input").astype(gru.dtype),
        leaves("bias"),
        leaves("recurrent").astype(gru.dtype),
        params["candidate"]["recurrent_bias"],
    )


def project(joined: Joined, x: Array) -> Array:
    """Compute the part of the gates that does not need the memory: f32[B, D] -> f32[B, 3 H]."""
    return product(x, joined.input) + joined.bias[None]


def step(joined: Joined, projected: Array, memory: Array) -> Array:
    """Take one step of the cell: return the next memory f32[B, H]."""
    return _gated(joined, projected, product(memory, joined.recurrent), memory)


def each(joined: Joined, projected: Array, memory: Array) -> Array:
    """Take one step with each of A inputs f32[A, 3 H] from every memory f32[B, H]: f32[B, A, H]."""
    recurrent = product(memory, joined.recurrent)[:, None]
    return _gated(joined, projected[None], recurrent, memory[:, None])


def _gated(joined: Joined, of_input: Array, of_memory: Array, memory: Array) -> Array:
    reset_x, update_x, candidate_x = jnp.split(of_input, 3, axis=-1)
    reset_h, update_h, candidate_h = jnp.split(of_memory, 3, axis=-1)
    reset = jax.nn.sigmoid(reset_x + reset_h)
    update = jax.nn.sigmoid(update_x + update_h)
    bias = jnp.expand_dims(joined.recurrent_bias, tuple(range(memory.ndim - 1)))
    candidate = jnp.tanh(candidate_x + reset * (candidate_h + bias))
    return (1.0 - update) * candidate + update * memory


def unroll(
    joined: Joined, projected: Array, memory: Array, starts: Array, tap: Array | None
) -> Array:
    """Take T steps of the cell.

    Args:
        joined: from `join`.
        projected: f32[T, B, 3 H], from `project`.
        memory: f32[B, H], before the first step.
        starts: bool[T, B], before which steps the memory is reset.
        tap: f32[T, B, H], added to every memory, or None.

    Returns:
        f32[T, B, H], the memory after each step.
    """

    def body(memory: Array, inputs: Any) -> tuple[Array, Array]:
        projected, start, tap = inputs
        memory = step(joined, projected, jnp.where(start[:, None], 0.0, memory))
        memory = memory if tap is None else memory + tap
        return memory, memory

    return jax.lax.scan(body, memory, (projected, starts, tap))[1]


def edge(gru: Gru, path: Path, readers: tuple[Path, ...]) -> Edge:
    """Make the edge of the memory's units, which cannot be re-initialised one by one."""
    incoming = [(*path, gate, leaf) for gate in GATES for leaf in ("input", "recurrent", "bias")]
    incoming.append((*path, "candidate", "recurrent_bias"))
    recurrent = tuple((*path, gate, "recurrent") for gate in GATES)
    return Edge(
        "/".join(path), gru.units, tuple(incoming), (*readers, *recurrent), recyclable=False
    )


def input_kernels(path: Path) -> tuple[Path, ...]:
    """List the kernels that read the input of the cell."""
    return tuple((*path, gate, "input") for gate in GATES)


def product(x: Array, kernel: Array) -> Array:
    """Multiply in the precision of the kernel; the result is float32."""
    return (x.astype(kernel.dtype) @ kernel).astype(jnp.float32)
