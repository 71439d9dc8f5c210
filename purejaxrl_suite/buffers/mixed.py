"""Replay of two rings: an agent's own experience, and another's, for some elements of a batch.

Rehearsal, as in Agarwal et al. 2022 (arXiv 2206.01626): each element of a batch is replaced, with a
given probability, by one of the other's experience.
"""

from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp

from purejaxrl_suite.buffers.ring import Ring
from purejaxrl_suite.buffers.uniform import Drawn, Uniform
from purejaxrl_suite.buffers.windows import Batch, Sequence
from purejaxrl_suite.core import tree
from purejaxrl_suite.core.types import Array, Key, Transition

OTHER = 0x07E4
"""Folded into the key of a batch, makes that of the other ring: one's own draws stay the same."""


class Mixed(NamedTuple):
    """State of a mixed replay.

    own: the ring that experience is added to. other: the one that never changes. share: f32[], the
    probability that an element of a batch is from `other`.
    """

    own: Ring
    other: Ring
    share: Array


def mixed(own: Uniform, other: Uniform) -> Uniform:
    """Make a replay whose batches are of two rings; its state is a `Mixed`, at first with share 0.

    Slots from `own.layout.slots` on are those of the other ring. With share 0 every draw and every
    batch is bitwise that of `own`. It is ready when both are.
    """
    slots = own.layout.slots

    def init() -> Mixed:
        return Mixed(own.init(), other.init(), jnp.zeros(()))

    def add(state: Mixed, transition: Transition) -> Mixed:
        return state._replace(own=own.add(state.own, transition))

    def ready(state: Mixed, min_history: Array | float, n: Array | int) -> Array:
        return own.ready(state.own, min_history, n) & other.ready(state.other, 1, n)

    def draw(
        key: Key, state: Mixed, batch: int, n: Array | int, recent: Array | float = 1.0
    ) -> Drawn:
        choice_key, other_key = jax.random.split(jax.random.fold_in(key, OTHER))
        ours = own.draw(key, state.own, batch, n, recent)
        theirs = other.draw(other_key, state.other, batch, n)
        replaced = jax.random.uniform(choice_key, (batch,)) < state.share
        return Drawn(
            jnp.where(replaced, slots + theirs.slot, ours.slot),
            jnp.where(
                replaced,
                state.share * theirs.probability,
                (1.0 - state.share) * ours.probability,
            ),
        )

    def read(state: Mixed, slot: Array, n: Array | int, gamma: Array | float) -> Batch:
        ours = own.read(state.own, jnp.where(slot < slots, slot, 0), n, gamma)
        theirs = other.read(state.other, jnp.maximum(slot - slots, 0), n, gamma)
        return tree.where(slot < slots, ours, theirs)._replace(slot=slot)

    def sequences(state: Mixed, slot: Array, length: int) -> Sequence:
        ours = own.sequences(state.own, jnp.where(slot < slots, slot, 0), length)
        theirs = other.sequences(state.other, jnp.maximum(slot - slots, 0), length)

        def last(x: Array) -> Array:
            return x if x.ndim == 1 else jnp.moveaxis(x, 1, 0)

        def back(x: Array) -> Array:
            return x if x.ndim == 1 else jnp.moveaxis(x, 0, 1)

        parts = (jax.tree.map(last, one) for one in (ours, theirs))
        return jax.tree.map(back, tree.where(slot < slots, *parts))._replace(slot=slot)

    def stats_batch(key: Key, state: Mixed, batch: int) -> Array:
        return own.stats_batch(key, state.own, batch)

    functions: Any = {
        "init": init,
        "add": add,
        "ready": ready,
        "draw": draw,
        "read": read,
        "sequences": sequences,
        "stats_batch": stats_batch,
    }
    return cast(Uniform, own._replace(**functions))
