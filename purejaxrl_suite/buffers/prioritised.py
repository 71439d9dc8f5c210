"""Prioritised replay, proportional variant (Schaul et al. 2016, arXiv 1511.05952).

A window is drawn with probability p^alpha / sum of p^alpha, stratified over the batch;
`ops.value.importance_weights` corrects the bias of this. New steps have the largest priority p seen
so far, at first 1.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, Protocol, cast

import jax
import jax.numpy as jnp

from purejaxrl_suite.buffers import pyramid
from purejaxrl_suite.buffers import uniform as uniforms
from purejaxrl_suite.buffers.pyramid import Pyramid
from purejaxrl_suite.buffers.ring import Layout, Ring
from purejaxrl_suite.buffers.uniform import Drawn, Uniform
from purejaxrl_suite.buffers.windows import Batch, Sequence
from purejaxrl_suite.core.types import Array, Key, Transition


class PrioritisedState(NamedTuple):
    """State of prioritised replay.

    ring: the experience. masses: p^alpha of each slot. largest: f32[], of all p so far.
    """

    ring: Ring
    masses: Pyramid
    largest: Array


class Reprioritise(Protocol):
    """Type of `Prioritised.update`."""

    def __call__(
        self,
        state: PrioritisedState,
        slot: Array,
        priority: Array,
        alpha: Array | float,
        where: Array | bool = True,
    ) -> PrioritisedState:
        """Set the priorities f32[B] of slots i32[B], if `where` is True."""
        ...


Read = Callable[[PrioritisedState, Array, Array | int, Array | float], Batch]
"""(state, slot i32[B], n, discount of a step) -> Batch: steps of n steps each."""


class Prioritised(NamedTuple):
    """Prioritised replay as functions of a PrioritisedState.

    Fields that are not listed here are those of `Uniform`.
    add: (state, Transition[T, N], alpha) -> state.
    draw: (key, state, batch) -> Drawn, windows of which `max_n` steps are stored.
    update: (state, slot i32[B], priority f32[B] >= 0, alpha, where=True) -> state: sets new
        priorities of slots drawn since the last `add`; `where=False` changes nothing.
    """

    layout: Layout
    init: Callable[[], PrioritisedState]
    add: Callable[[PrioritisedState, Transition, Array | float], PrioritisedState]
    ready: Callable[[PrioritisedState, Array | float, Array | int], Array]
    draw: Callable[[Key, PrioritisedState, int], Drawn]
    read: Read
    sequences: Callable[[PrioritisedState, Array, int], Sequence]
    stats_batch: Callable[[Key, PrioritisedState, int], Array]
    update: Reprioritise


class MakesPrioritised(Protocol):
    """A function that makes a prioritised replay: `prioritised`, or one with the same arguments."""

    def __call__(self, *spaces: Any, **sizes: Any) -> Prioritised:
        """Make the replay."""
        ...


def unprioritised(plain: Uniform) -> Prioritised:
    """Use a uniform replay in the place of a prioritised one: all windows stay equally likely.

    Its state is the uniform replay's own; priorities change nothing.
    """
    longest = plain.layout.max_n

    def draw(key: Key, state: Any, batch: int) -> Drawn:
        return plain.draw(key, state, batch, longest)

    return Prioritised(
        layout=plain.layout,
        init=cast(Any, plain.init),
        add=lambda state, transition, alpha: cast(Any, plain.add)(state, transition),
        ready=lambda state, min_history, n: cast(Any, plain.ready)(state, min_history, longest),
        draw=draw,
        read=cast(Any, plain.read),
        sequences=cast(Any, plain.sequences),
        stats_batch=cast(Any, plain.stats_batch),
        update=cast(Any, lambda state, slot, priority, alpha, where=True: state),
    )


def prioritised(*spaces: Any, **sizes: Any) -> Prioritised:
    """Make a prioritised replay buffer; the arguments are those of `ring.layout`.

    Raises:
        ValueError: a size is wrong, as in `ring.layout`.
    """
    plain = uniforms.uniform(*spaces, **sizes)
    at = plain.layout

    def init() -> PrioritisedState:
        return PrioritisedState(plain.init(), pyramid.init(at.slots), jnp.ones((), jnp.float32))

    def add(state: PrioritisedState, transition: Transition, alpha: Array | float):
        """Add a rollout; a step may be drawn once max_n steps follow it, and has no mass before.

        Those that have lost frames before them (`Layout.before`) have none any more.
        """
        ring = state.ring
        row = jnp.arange(-at.max_n, at.rollout_length + at.before)
        complete = (row < at.rollout_length - at.max_n) & (row >= -ring.filled)
        mass = jnp.where(complete, state.largest**alpha, 0.0)
        slot = (ring.row + row) % at.rows * at.num_envs
        slot = jnp.ravel(slot[:, None] + jnp.arange(at.num_envs)[None])
        masses = pyramid.put(state.masses, slot, jnp.repeat(mass, at.num_envs))
        return PrioritisedState(plain.add(ring, transition), masses, state.largest)

    def ready(state: PrioritisedState, min_history: Array | float, n: Array | int) -> Array:
        return plain.ready(state.ring, min_history, at.max_n)

    def draw(key: Key, state: PrioritisedState, batch: int) -> Drawn:
        share = (jnp.arange(batch) + jax.random.uniform(key, (batch,))) / batch
        slot = jnp.minimum(pyramid.find(state.masses, share), at.slots - 1)
        # Reads of the masses must come before writes, or XLA copies them all: through the barrier
        # whatever depends on the slots also depends on their masses having been read.
        slot, mass = jax.lax.optimization_barrier((slot, pyramid.get(state.masses, slot)))
        tiny = jnp.finfo(jnp.float32).tiny  # avoids 0 / 0 while the replay is not ready
        total = jnp.maximum(pyramid.total(state.masses), tiny)
        return Drawn(slot, jnp.maximum(mass / total, tiny))

    def update(
        state: PrioritisedState,
        slot: Array,
        priority: Array,
        alpha: Array | float,
        where: Array | bool = True,
    ) -> PrioritisedState:
        # A slot that was drawn twice gets its greatest priority, whatever the device's order.
        same = slot[:, None] == slot[None]
        priority = jnp.max(jnp.where(same, priority[None], 0.0), axis=1)
        mass = jnp.where(where, priority**alpha, pyramid.get(state.masses, slot))
        largest = jnp.where(where, jnp.maximum(state.largest, jnp.max(priority)), state.largest)
        return PrioritisedState(state.ring, pyramid.put(state.masses, slot, mass), largest)

    def of_ring(function: Callable[..., Any], state: PrioritisedState, *arguments: Any) -> Any:
        return function(state.ring, *arguments)

    def stats_batch(key: Key, state: PrioritisedState, batch: int) -> Array:
        return plain.stats_batch(key, state.ring, batch)

    return Prioritised(
        layout=at,
        init=init,
        add=add,
        ready=ready,
        draw=draw,
        read=partial(of_ring, plain.read),
        sequences=partial(of_ring, plain.sequences),
        stats_batch=stats_batch,
        update=update,
    )
