"""Uniform replay (Lin 1992; Mnih et al. 2015, Nature 518): stored windows are equally likely."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp

from purejaxrl_suite.buffers import ring as rings
from purejaxrl_suite.buffers import windows
from purejaxrl_suite.buffers.ring import Layout, Ring
from purejaxrl_suite.buffers.windows import Batch, Sequence
from purejaxrl_suite.core.types import Array, Key, Transition


class Drawn(NamedTuple):
    """Start slots of the windows of a batch.

    slot: i32[B]. probability: f32[B], with which each was drawn, for importance weights.
    """

    slot: Array
    probability: Array


class Draw(Protocol):
    """Type of `Uniform.draw`."""

    def __call__(
        self, key: Key, ring: Ring, batch: int, n: Array | int, recent: Array | float = 1.0
    ) -> Drawn:
        """Draw `batch` windows with n stored steps, from the newest `recent` of the capacity."""
        ...


class Uniform(NamedTuple):
    """Uniform replay as functions of a Ring.

    layout: its sizes. init: () -> Ring. add: (ring, Transition[T, N]) -> ring.
    ready: (ring, min_history, n) -> bool[]: whether it holds `min_history` steps (or is full) and a
        window of n steps.
    draw: (key, ring, batch, n, recent=1) -> Drawn, windows of which n steps are stored, among the
        newest `recent` (fraction of the capacity).
    read: (ring, slot, n, gamma) -> Batch. sequences: (ring, slot, length) -> Sequence.
    stats_batch: (key, ring, batch) -> observations [batch, ...].
    """

    layout: Layout
    init: Callable[[], Ring]
    add: Callable[[Ring, Transition], Ring]
    ready: Callable[[Ring, Array | float, Array | int], Array]
    draw: Draw
    read: Callable[[Ring, Array, Array | int, Array | float], Batch]
    sequences: Callable[[Ring, Array, int], Sequence]
    stats_batch: Callable[[Key, Ring, int], Array]


class MakesReplay(Protocol):
    """A function that makes a replay: `uniform`, `frozen`, or one with the same arguments."""

    def __call__(self, *spaces: Any, **sizes: Any) -> Uniform:
        """Make the replay."""
        ...


def uniform(*spaces: Any, **sizes: Any) -> Uniform:
    """Make a uniform replay buffer; the arguments are those of `ring.layout`.

    The cost of a sample does not depend on the capacity. A batch drawn before the replay is ready
    is finite and meaningless.

    Raises:
        ValueError: a size is wrong, as in `ring.layout`.

    Example:
        >>> env = pjs.make("CartPole-v1")
        >>> spaces = env.observation, env.action
        >>> replay = pjs.buffers.uniform(*spaces, capacity=1000, num_envs=4, rollout_length=1)
        >>> replay.layout.slots
        1000
    """
    at = rings.layout(*spaces, **sizes)

    def draw(
        key: Key, ring: Ring, batch: int, n: Array | int, recent: Array | float = 1.0
    ) -> Drawn:
        newest = jnp.ceil(jnp.asarray(recent, jnp.float32) * at.rows).astype(jnp.int32)
        rows = jnp.maximum(newest, n + 1)
        if at.before:  # frames before the oldest rows of a full ring are overwritten
            rows = jnp.minimum(rows, at.rows - at.before)
        rows = jnp.minimum(ring.filled, rows)
        # The last n rows start no window yet: the steps after them are not stored.
        starts = jnp.maximum(rows - n, 1) * at.num_envs
        oldest = (ring.row - rows) % at.rows * at.num_envs
        slot = (oldest + jax.random.randint(key, (batch,), 0, starts)) % at.slots
        return Drawn(slot, jnp.full(batch, 1.0 / starts, jnp.float32))

    def stats_batch(key: Key, ring: Ring, batch: int) -> Array:
        return rings.observations(at, ring, draw(key, ring, batch, 0).slot)

    return Uniform(
        layout=at,
        init=partial(rings.init, at),
        add=partial(rings.add, at),
        ready=partial(ready, at),
        draw=draw,
        read=partial(windows.transitions, at),
        sequences=partial(windows.sequences, at),
        stats_batch=stats_batch,
    )


def frozen(*spaces: Any, **sizes: Any) -> Uniform:
    """Make a uniform replay that keeps what it holds: adding changes nothing, not even its bits.

    The arguments and errors are those of `uniform`. It is empty until somebody fills it, as a
    stage's `begin` does (`sweeps.stages`).
    """
    return uniform(*spaces, **sizes)._replace(add=lambda ring, transition: ring)


def ready(at: Layout, ring: Ring, min_history: Array | float, n: Array | int) -> Array:
    """Tell whether a ring holds `min_history` steps, or is full, and a window of n steps."""
    enough = ring.filled * at.num_envs >= jnp.minimum(min_history, at.slots)
    return enough & (ring.filled > n)
