"""Spaces of Gymnasium as spaces of the suite, and the conversion of batches of their elements.

Observations that are no Box become one float32 vector, by a fixed rule: the entries of a Dict in
the order of the space, those of a Tuple in theirs; a Box row by row; a Discrete or MultiDiscrete
one-hot, one code after the other; a MultiBinary as it is. Nothing is scaled.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from purejaxrl_suite.core.types import Box, Discrete, Space

Convert = Callable[[Any], np.ndarray]
"""A batch of elements of a Gymnasium space -> [N, ...] of the suite's."""

_NARROW = {"float64": "float32", "int64": "int32", "uint64": "uint32"}
"""Types that JAX does not have by default."""


class Part(NamedTuple):
    """A piece of a flattened observation. low, high: f32[size]. read: batch -> f32[N, size]."""

    low: np.ndarray
    high: np.ndarray
    read: Convert


def observation(what: str, space: Any) -> tuple[Box, Convert]:
    """Convert an observation space: the Box, and the function that converts batches to it.

    Raises:
        ValueError: the space, or a part of it, has no numbers, such as a text.
    """
    import gymnasium

    if isinstance(space, gymnasium.spaces.Box) and space.shape:
        dtype = _NARROW.get(space.dtype.name, space.dtype.name)
        low, high = (_bound(bound, dtype) for bound in (space.low, space.high))
        box = Box(tuple(map(int, space.shape)), dtype, *_compact(low, high))
        return box, lambda batch: np.asarray(batch).astype(dtype, copy=False)
    part = _part(what, space)
    box = Box((len(part.low),), "float32", *_compact(part.low, part.high))
    return box, part.read


def action(what: str, space: Any) -> tuple[Space, Convert]:
    """Convert an action space: the space, and the function that converts batches for Gymnasium.

    Continuous actions are clipped to their bounds, as in the suite's other environments.

    Raises:
        ValueError: it is neither Discrete nor a vector of numbers with the same bounds throughout.
    """
    import gymnasium

    if isinstance(space, gymnasium.spaces.Discrete):
        start, dtype = int(space.start), space.dtype
        return Discrete(int(space.n)), lambda batch: np.asarray(batch).astype(dtype) + start
    real = isinstance(space, gymnasium.spaces.Box) and space.dtype.kind == "f"
    if not real or len(space.shape) != 1:
        raise ValueError(
            f"{what}: actions {space}: expected Discrete, or a Box of one axis of floats"
        )
    low, high = space.low, space.high
    box = Box(tuple(map(int, space.shape)), "float32", *_compact(low, high))
    return box, lambda batch: np.clip(np.asarray(batch, space.dtype), low, high)


def _part(what: str, space: Any) -> Part:
    """Flatten a space into a vector."""
    import gymnasium

    spaces = gymnasium.spaces
    if isinstance(space, spaces.Dict):
        named = {key: _part(f"{what}[{key!r}]", one) for key, one in space.spaces.items()}
        return _joined(named)
    if isinstance(space, spaces.Tuple):
        return _joined({i: _part(f"{what}[{i}]", one) for i, one in enumerate(space.spaces)})
    if isinstance(space, spaces.Discrete):
        return _codes([int(space.n)], [int(space.start)])
    if isinstance(space, spaces.MultiDiscrete) and space.nvec.ndim == 1:
        return _codes(space.nvec.tolist(), np.ravel(space.start).tolist())
    if isinstance(space, spaces.Box | spaces.MultiBinary):
        return _numbers(space)
    raise ValueError(f"{what}: expected numbers, got {space}, which has no stated flattening")


def _joined(parts: dict[Any, Part]) -> Part:
    low, high = (np.concatenate([getattr(p, x) for p in parts.values()]) for x in ("low", "high"))
    return Part(
        low, high, lambda batch: np.concatenate([p.read(batch[k]) for k, p in parts.items()], 1)
    )


def _numbers(space: Any) -> Part:
    size = int(np.prod(space.shape))
    low, high = (getattr(space, name, value) for name, value in (("low", 0.0), ("high", 1.0)))
    low, high = (np.ravel(np.broadcast_to(_bound(x, "float32"), space.shape)) for x in (low, high))
    return Part(low, high, lambda batch: np.asarray(batch, np.float32).reshape(-1, size))


def _codes(sizes: list[int], starts: list[int]) -> Part:
    """Flatten integers into one-hot codes."""
    total = sum(sizes)
    first = np.cumsum([0, *sizes[:-1]]) - np.asarray(starts)

    def read(batch: Any) -> np.ndarray:
        found = np.asarray(batch).reshape(-1, len(sizes))
        made = np.zeros((len(found), total), np.float32)
        made[np.arange(len(found))[:, None], found + first] = 1.0
        return made

    return Part(np.zeros(total, np.float32), np.ones(total, np.float32), read)


def _bound(bound: Any, dtype: str) -> np.ndarray:
    """Convert bounds to float32; of floats the largest numbers, and what is beyond, are inf."""
    found = np.asarray(bound, np.float64)
    if np.dtype(dtype).kind == "f":
        limit = float(np.finfo(np.float32).max)
        found = np.where(found >= limit, np.inf, np.where(found <= -limit, -np.inf, found))
    return found.astype(np.float32)


def _compact(low: np.ndarray, high: np.ndarray) -> tuple[Any, Any]:
    """Reduce bounds to one number if all are equal, else to one per entry of the last axis.

    Where entries of another axis differ, the last axis has the widest.
    """

    def one(bound: np.ndarray, widest: Any) -> Any:
        values = tuple(map(float, widest(np.reshape(bound, (-1, bound.shape[-1])), axis=0)))
        return values[0] if len(set(values)) == 1 else values

    return one(low, np.min), one(high, np.max)
