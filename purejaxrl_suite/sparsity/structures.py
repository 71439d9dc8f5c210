"""What is kept or pruned together: single weights, blocks, channels, or n weights of every m.

A structure sees one kernel as rows of candidates, of which the best of every row are kept. Exactly
max(1, round((1 - sparsity) * candidates)) are kept, halves to even; of equal scores those of lower
flat index. The sparsity may be traced.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from purejaxrl_suite.core.argument import integer, wrong
from purejaxrl_suite.core.types import Array


class Structure(NamedTuple):
    """name: with its settings.

    rows: a kernel's scores -> f32[R, K], R rows of K candidates.
    back: (bool[R, K], shape of the kernel) -> its mask, bool.
    count: (K, sparsity f32[]) -> i32[], how many of every row are kept.
    check: (name, shape of a kernel) -> None; raises ValueError where the structure does not fit.
    evolves: whether some of what is kept can be replaced, as SET and RigL do.
    sparsity: of every layer that is pruned, whatever the target; None where the target tells.
    """

    name: str
    rows: Callable[[Array], Array]
    back: Callable[[Array, tuple[int, ...]], Array]
    count: Callable[[int, Array], Array]
    check: Callable[[str, tuple[int, ...]], None] = lambda name, shape: None
    evolves: bool = True
    sparsity: float | None = None


def best(structure: Structure, scores: Array, sparsity: Array) -> Array:
    """The mask of one kernel: True for what scores most, and is kept."""
    rows = structure.rows(scores)
    kept = highest(rows, structure.count(rows.shape[1], sparsity))
    return structure.back(kept, scores.shape)


def highest(rows: Array, count: Array) -> Array:
    """The `count` highest of every row of f32[R, K], as bool[R, K]: exactly so many.

    Nothing is sorted: the score and the place of the last one that is kept are found bit by bit, by
    counting. On one core a sort of 0.8 M scores takes ten times as long.

    count: i32[] or i32[R], 1 .. K. Of equal ones those of lower index; NaN is below all numbers.
    """
    scores, count = _ordered(rows), jnp.broadcast_to(count, (rows.shape[0],))[:, None]
    index = jnp.arange(rows.shape[1], dtype=jnp.uint32)[None]
    total = lambda x: jnp.sum(x, axis=1, keepdims=True)  # noqa: E731
    least = _greatest(32, lambda x: total(scores >= x) >= count, count)
    above, equal = scores > least, scores == least
    left = count - total(above)
    last = _greatest(rows.shape[1].bit_length(), lambda x: total(equal & (index < x)) < left, count)
    return above | (equal & (index <= last))


def _ordered(x: Array) -> Array:
    """Numbers u32 in the order of f32, with NaN for the lowest and one zero."""
    x = jnp.where(jnp.isnan(x), -jnp.inf, jnp.where(x == 0, 0.0, x))
    bits = jax.lax.bitcast_convert_type(x.astype(jnp.float32), jnp.uint32)
    sign = jnp.uint32(2**31)
    return jnp.where(bits >= sign, ~bits, bits | sign)


def _greatest(bits: int, holds: Callable[[Array], Array], like: Array) -> Array:
    """The greatest u32 of so many bits for which a condition holds, shaped `like`.

    The condition holds for 0 and for all numbers below one for which it holds.
    """

    def decide(i: Array, found: Array) -> Array:
        trial = found | (jnp.uint32(1) << jnp.uint32(bits - 1 - i))
        return jnp.where(holds(trial), trial, found)

    return jax.lax.fori_loop(0, bits, decide, jnp.zeros(like.shape, jnp.uint32))


def unstructured() -> Structure:
    """Keep or prune every weight by itself."""
    return Structure(
        name="unstructured",
        rows=lambda x: jnp.reshape(x, (1, -1)),
        back=lambda kept, shape: jnp.reshape(kept, shape),
        count=_rounded,
    )


def n_of_m(n: int, m: int, axis: int = -2) -> Structure:
    """Keep n of every m weights that follow each other on an axis.

    So there is no target sparsity, and agents have no such hyper-parameter. The second-to-last axis
    is that of a kernel's inputs, over which matrix products sum, as hardware has it; JaxPruner's is
    the last, `axis=-1`.

    Raises ValueError for m < n, and, when masks are made, for an axis that m does not divide.
    """
    integer("m", m, 1)
    integer("n", n, 1, m)
    integer("axis", axis, -4, -1)

    def check(name: str, shape: tuple[int, ...]) -> None:
        if -axis > len(shape):
            raise ValueError(f"axis: expected one of {name} {list(shape)}, got {axis}")
        if shape[axis] % m:
            raise ValueError(
                f"{name}: expected a multiple of {m} on axis {axis} for {n} of {m}, got "
                f"{shape[axis]} of {list(shape)}"
            )

    def back(kept: Array, shape: tuple[int, ...]) -> Array:
        moved = (*shape[:axis], *shape[len(shape) + axis + 1 :], shape[axis])
        return jnp.moveaxis(jnp.reshape(kept, moved), -1, axis)

    return Structure(
        name=f"{n}_of_{m}" if axis == -2 else f"{n}_of_{m}(axis={axis})",
        rows=lambda x: jnp.reshape(jnp.moveaxis(x, axis, -1), (-1, m)),
        back=back,
        count=lambda candidates, sparsity: jnp.where(sparsity == 0, m, n),
        check=check,
        evolves=False,
        sparsity=1.0 - n / m,
    )


def block(height: int, width: int, pool: Callable[..., Array] = jnp.mean) -> Structure:
    """Keep or prune blocks of height inputs x width outputs: the last two axes of a kernel.

    Blocks at the ends may be smaller. Every position of a convolution has blocks of its own.

    pool: from scores of weights to that of their block: `jnp.mean` or `jnp.max`.
    """
    integer("height", height, 1)
    integer("width", width, 1)
    if pool not in (jnp.mean, jnp.max):
        raise wrong("pool", "jnp.mean or jnp.max", pool)
    low: dict[str, Any] = {"initial": -jnp.inf} if pool is jnp.max else {}

    def cut(x: Array) -> Array:
        """[P, blocks, height, blocks, width], False or 0 behind the ends."""
        x = jnp.reshape(x, (-1, *x.shape[-2:]))
        x = jnp.pad(x, ((0, 0), (0, -x.shape[1] % height), (0, -x.shape[2] % width)))
        return jnp.reshape(x, (len(x), x.shape[1] // height, height, x.shape[2] // width, width))

    def rows(x: Array) -> Array:
        real = cut(jnp.ones(x.shape, bool))
        return jnp.reshape(pool(cut(x), axis=(2, 4), where=real, **low), (1, -1))

    def back(kept: Array, shape: tuple[int, ...]) -> Array:
        high, wide = -(-shape[-2] // height), -(-shape[-1] // width)
        mask = jnp.reshape(kept, (math.prod(shape[:-2]), high, wide))
        mask = jnp.repeat(jnp.repeat(mask, height, axis=1), width, axis=2)
        return jnp.reshape(mask[:, : shape[-2], : shape[-1]], shape)

    pooled = "" if pool is jnp.mean else ", max"
    return Structure(f"block({height}, {width}{pooled})", rows, back, _rounded)


def channel(axis: int = -1) -> Structure:
    """Keep or prune whole channels, scored by the sum over their weights.

    axis: -1, the outputs of a layer: units or filters; -2, its inputs.
    """
    integer("axis", axis, -2, -1)

    def rows(x: Array) -> Array:
        return jnp.sum(jnp.reshape(jnp.moveaxis(x, axis, -1), (-1, x.shape[axis])), axis=0)[None]

    def back(kept: Array, shape: tuple[int, ...]) -> Array:
        alone = tuple(-1 if i == len(shape) + axis else 1 for i in range(len(shape)))
        return jnp.broadcast_to(jnp.reshape(kept, alone), shape)

    return Structure("channel" if axis == -1 else "channel(axis=-2)", rows, back, _rounded)


def _rounded(candidates: int, sparsity: Array) -> Array:
    """How many are kept: at least one."""
    return jnp.maximum(1, jnp.round(candidates * (1.0 - sparsity)).astype(jnp.int32))
