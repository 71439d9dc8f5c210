"""Long short-term memory (Hochreiter and Schmidhuber 1997), for rules that read whole rollouts.

Pure functions of parameters in any precision: learned rewards run forward in time and across
episodes, learned targets backward from the end of a rollout.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from purejaxrl_suite.core.types import Array, Key, PyTree


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

    def step(memory: LSTMMemory, inputs: tuple[Array, Array]) -> tuple[LSTMMemory, Array]:
        projected, reset = inputs
        hidden, cell = (jnp.where(reset[:, None], 0.0, part) for part in memory)
        gates = jnp.split(projected + hidden @ params["recurrent"], 4, axis=-1)
        enter, forget, leave = map(jax.nn.sigmoid, (gates[0], gates[1], gates[3]))
        cell = forget * cell + enter * jnp.tanh(gates[2])
        hidden = leave * jnp.tanh(cell)
        return LSTMMemory(hidden, cell), hidden

    return jax.lax.scan(step, memory, (projected, resets), reverse=backward)
