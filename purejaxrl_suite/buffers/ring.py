"""The ring buffer in which every replay keeps its experience.

A ring has rows of N slots, one slot for each environment: slot = row * N + environment, so the next
step of an environment is N slots further on. An observation is stored once, and the successor of a
step is the observation of the next slot, except where an episode was cut. There the next slot has
a start observation, and the true successor is kept aside: one place for the cuts of each
environment within `spacing` consecutive rows. Cuts by a time limit are at least that far apart, so
each is kept as long as its rows; of cuts closer together only the last is kept, and windows end
before a cut whose successor is lost.

Of observations that are stacks of frames (`Box.frames`) only the newest frame is stored. Each slot
says which of the older ones are not black; those are the newest ones of the slots before it. So the
oldest rows of a full ring start no window: the frames before them are overwritten.
"""

import math
from collections.abc import Callable, Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from purejaxrl_suite.buffers.packing import packing
from purejaxrl_suite.core import spaces
from purejaxrl_suite.core.types import Array, Box, Discrete, Space, Transition

SPACING = 64  # rows, about: one observation kept aside for 64 steps is 1.6 % more memory
TERMINATED, TRUNCATED = 1, 2
MOST = 2**30  # slots, so that the sum of two fits an int32


class Ring(NamedTuple):
    """C slots of experience; arrays only.

    obs: [C + F, size], rows of `packing`: the observations, then F successors of cut steps.
    action: [C, ...]. reward: f32[C]. end: u8[C], a sum of 1 (terminated) and 2 (truncated).
    extras: {name: [C, ...]}. cut: i32[F], which of its rows each kept successor belongs to.
    row: i32[], the next row to write. filled: i32[], rows written, at most C / N.
    discount: f32[C], of each step; None if the layout is not `discounted`.
    older: u8[C + F], bit k - 1: whether the frame of k steps before is not all 0; None without a
        stack.
    """

    obs: Array
    action: Array
    reward: Array
    end: Array
    extras: Mapping[str, Array]
    cut: Array
    row: Array
    filled: Array
    discount: Array | None = None
    older: Array | None = None


class Layout(NamedTuple):
    """Static sizes and spaces of a ring; made by `layout`."""

    observation: Box
    action: Space
    extras: Mapping[str, Space]
    rows: int
    num_envs: int
    rollout_length: int
    max_n: int
    spacing: int
    discounted: bool = False

    @property
    def slots(self) -> int:
        """Return C: the steps that are kept, of all environments together."""
        return self.rows * self.num_envs

    @property
    def kept(self) -> int:
        """Return F: the places for successors of cut steps."""
        return self.rows // self.spacing * self.num_envs

    @property
    def before(self) -> int:
        """Return the rows before an observation that it has frames of."""
        return max(self.observation.frames - 1, 0)

    @property
    def frame(self) -> Box:
        """Return the space of what is stored of an observation: all of it, or its newest frame."""
        if not self.before:
            return self.observation
        *shape, channels = self.observation.shape
        shape = (*shape, channels // self.observation.frames)
        return self.observation._replace(shape=shape, frames=0)


def layout(
    observation: Box,
    action: Space,
    *,
    capacity: int,
    num_envs: int,
    rollout_length: int,
    max_n: int = 1,
    time_limit: int | None = None,
    extras: Mapping[str, Space] | None = None,
    discounted: bool = False,
) -> Layout:
    """Lay out a ring for rollouts of T = rollout_length steps in N = num_envs environments.

    Args:
        observation: space of `Transition.obs`.
        action: space of `Transition.action`.
        capacity: steps that are kept, of all environments together, in whole rollouts.
        num_envs: N.
        rollout_length: T.
        max_n: length of the longest window that will be read.
        time_limit: least steps between two cuts of an environment, if known.
        extras: spaces of the entries of `Transition.extras` to keep, by name.
        discounted: whether steps have discounts of their own, to be kept (`Transition.discount`).

    Returns:
        The layout.

    Raises:
        ValueError: a size is not positive, the capacity does not hold a rollout and a window, or it
            is too large to count slots.
    """
    sizes = {"num_envs": num_envs, "rollout_length": rollout_length, "max_n": max_n}
    for name, value in sizes.items():
        if value < 1:
            raise ValueError(f"{name}={value}: expected at least 1")
    rows = capacity // (num_envs * rollout_length) * rollout_length
    more = max_n + _check_frames(observation)
    if rows < rollout_length + more:
        raise ValueError(
            f"capacity={capacity}: expected whole rollouts of {num_envs} environments x "
            f"{rollout_length} steps, and {more} steps more than one of them (max_n={max_n})"
        )
    if rows * num_envs > MOST:
        raise ValueError(f"capacity={capacity}: expected at most {MOST:,} steps")
    spacing = _spacing(rows, rollout_length, time_limit)
    return Layout(
        observation=observation,
        action=action,
        extras=dict(extras or {}),
        rows=rows,
        num_envs=num_envs,
        rollout_length=rollout_length,
        max_n=max_n,
        spacing=spacing,
        discounted=discounted,
    )


def _check_frames(observation: Box) -> int:
    """Return the older frames of an observation; ValueError if it is no stack of equal frames."""
    space = observation
    if not space.frames:
        return 0
    whole = bool(space.shape) and space.shape[-1] % space.frames == 0
    alike = np.ndim(space.low) == np.ndim(space.high) == 0
    if not (1 <= space.frames <= 9 and whole and alike) or space.categories or space.tasks:
        raise ValueError(
            f"observation: expected 1 to 9 frames in the last axis, alike, got {space}"
        )
    return space.frames - 1


def init(at: Layout) -> Ring:
    """Make an empty ring."""
    rows = packing(at.frame)
    return Ring(
        obs=jnp.zeros((at.slots + at.kept, rows.size), rows.dtype),
        action=_empty(at.action, at.slots),
        reward=jnp.zeros(at.slots, jnp.float32),
        end=jnp.zeros(at.slots, jnp.uint8),
        extras={name: _empty(space, at.slots) for name, space in at.extras.items()},
        cut=jnp.full(at.kept, -1, jnp.int32),
        row=jnp.zeros((), jnp.int32),
        filled=jnp.zeros((), jnp.int32),
        discount=jnp.zeros(at.slots, jnp.float32) if at.discounted else None,
        older=jnp.zeros(at.slots + at.kept, jnp.uint8) if at.before else None,
    )


def add(at: Layout, ring: Ring, transition: Transition) -> Ring:
    """Add a rollout, leaves [T, N, ...]; in place if the ring is donated."""
    end = TERMINATED * transition.terminated.astype(jnp.uint8)
    end = end + TRUNCATED * transition.truncated.astype(jnp.uint8)
    start = ring.row * at.num_envs

    def write(x: Array, new: Array) -> Array:
        block = jnp.reshape(new, (at.rollout_length * at.num_envs, *x.shape[1:]))
        return jax.lax.dynamic_update_slice_in_dim(x, block.astype(x.dtype), start, 0)

    ring = _keep_cuts(at, ring, transition, end == TRUNCATED)
    return Ring(
        obs=write(ring.obs, _newest(at, transition.obs)),
        action=write(ring.action, transition.action),
        reward=write(ring.reward, transition.reward),
        end=write(ring.end, end),
        extras={name: write(x, transition.extras[name]) for name, x in ring.extras.items()},
        cut=ring.cut,
        row=(ring.row + at.rollout_length) % at.rows,
        filled=jnp.minimum(ring.filled + at.rollout_length, at.rows),
        discount=_kept_discounts(at, ring, transition, write),
        older=None if ring.older is None else write(ring.older, _older(at, transition.obs)),
    )


def _newest(at: Layout, obs: Array) -> Array:
    """Pack what is stored of observations [..., *shape]."""
    return packing(at.frame).pack(obs[..., -at.frame.shape[-1] :] if at.before else obs)


def _older(at: Layout, obs: Array) -> Array:
    """Tell which older frames of observations [..., *shape] are not all 0, as bits u8[...]."""
    space = at.observation
    split = jnp.reshape(
        obs, (*obs.shape[: -len(space.shape)], -1, space.frames, at.frame.shape[-1])
    )
    seen = jnp.any(split != 0, axis=(-3, -1))[..., -2::-1]  # from the newest of the older ones on
    bits = jnp.dot(seen.astype(jnp.int32), 1 << np.arange(at.before, dtype=np.int32))
    return bits.astype(jnp.uint8)


def _kept_discounts(
    at: Layout, ring: Ring, transition: Transition, write: Callable[[Array, Array], Array]
) -> Array | None:
    """Write the discounts of the steps; ValueError if there are some that the layout has not."""
    given, kept = transition.discount, ring.discount
    if given is None and kept is None:
        return None
    if given is None or kept is None:
        got = "None" if given is None else "an array"
        raise ValueError(
            f"transition.discount: discounted={at.discounted} in the layout, got {got}"
        )
    return write(kept, given)


def _keep_cuts(at: Layout, ring: Ring, transition: Transition, cut: Array) -> Ring:
    """Keep the successor of the last cut in each group of `spacing` rows that a rollout touches."""
    groups = max(at.rollout_length // at.spacing, 1)
    length = at.rollout_length // groups
    cut = jnp.reshape(cut, (groups, length, at.num_envs))
    which = length - 1 - jnp.argmax(cut[:, ::-1], axis=1)  # the last one
    found = jnp.ravel(jnp.any(cut, axis=1))
    time = jnp.arange(groups)[:, None] * length + which
    successor = transition.next_obs[time, jnp.arange(at.num_envs)]
    start = ring.row // at.spacing * at.num_envs

    def merge(x: Array, new: Array, start: Array) -> Array:
        old = jax.lax.dynamic_slice_in_dim(x, start, groups * at.num_envs)
        mask = jnp.reshape(found, (-1,) + (1,) * (x.ndim - 1))
        new = jnp.where(mask, jnp.reshape(new, old.shape), old)
        return jax.lax.dynamic_update_slice_in_dim(x, new, start, 0)

    owner = (ring.row % at.spacing + which).astype(jnp.int32)
    older = ring.older
    if older is not None:
        older = merge(older, _older(at, successor), at.slots + start)
    return ring._replace(
        obs=merge(ring.obs, _newest(at, successor), at.slots + start),
        cut=merge(ring.cut, owner, start),
        older=older,
    )


def break_off(ring: Ring, num_envs: int) -> Ring:
    """Cut the last row, whose successors are lost: the next step is one of another episode.

    Windows end before such a cut. Steps that end an episode stay as they are.

    Args:
        ring: to which the next rollout will be added after a break.
        num_envs: N.

    Returns:
        The ring.
    """
    slots, spacing = ring.reward.shape[0], ring.reward.shape[0] // ring.cut.shape[0]
    row = (ring.row - 1) % (slots // num_envs)
    last = row * num_envs + jnp.arange(num_envs, dtype=jnp.int32)
    place = row // spacing * num_envs + jnp.arange(num_envs, dtype=jnp.int32)
    open_ended = (ring.end[last] == 0) & (ring.filled > 0)
    stale = open_ended & (ring.cut[place] == row % spacing)  # of an older row with that number
    return ring._replace(
        end=ring.end.at[last].add(TRUNCATED * open_ended.astype(jnp.uint8)),
        cut=ring.cut.at[place].set(jnp.where(stale, -1, ring.cut[place])),
    )


def place_of_cut(at: Layout, slot: Array) -> tuple[Array, Array]:
    """Return the place 0 .. F-1 of a cut step's successor, and the value of `Ring.cut` there."""
    row, env = slot // at.num_envs, slot % at.num_envs
    return row // at.spacing * at.num_envs + env, row % at.spacing


def ahead(at: Layout, slot: Array, steps: Array | int) -> Array:
    """Return the slot of the same environment so many steps later."""
    return (slot + at.num_envs * steps) % at.slots


def observations(at: Layout, ring: Ring, place: Array) -> Array:
    """Read observations [..., *shape] at places [...] of `Ring.obs`."""
    newest = packing(at.frame).unpack(take(ring.obs, place))
    if ring.older is None:
        return newest
    older, first, frames = take(ring.older, place), _place_before(at, ring, place), [newest]
    for k in range(at.before):
        frame = packing(at.frame).unpack(take(ring.obs, (first - k * at.num_envs) % at.slots))
        seen = jnp.reshape(older >> k & 1, (*older.shape, *(1,) * len(at.frame.shape)))
        frames.append(frame * seen.astype(frame.dtype))
    return jnp.concatenate(frames[::-1], axis=-1)


def _place_before(at: Layout, ring: Ring, place: Array) -> Array:
    """Return the slot of the step before an observation: of a kept successor, its own step."""
    kept = jnp.maximum(place - at.slots, 0)
    row = kept // at.num_envs * at.spacing + take(ring.cut, kept)
    cut = row * at.num_envs + kept % at.num_envs
    return jnp.where(place < at.slots, place - at.num_envs, cut)


def actions(at: Layout, ring: Ring, slot: Array) -> Array:
    """Read actions at slots [...], in the dtype of their space."""
    return _widen(at.action, take(ring.action, slot))


def extras(at: Layout, ring: Ring, slot: Array) -> dict[str, Array]:
    """Read the kept extras at slots [...]."""
    return {name: _widen(at.extras[name], take(x, slot)) for name, x in ring.extras.items()}


def take(x: Array, index: Array) -> Array:
    """Read rows of x at indices that are known to be valid."""
    return x.at[index].get(mode="promise_in_bounds")


def _spacing(rows: int, rollout_length: int, time_limit: int | None) -> int:
    """Choose how many rows share a kept successor: whole rollouts, or a whole fraction of one."""
    fits = [
        p
        for p in range(1, min(time_limit or rows, rows) + 1)
        if rows % p == 0 and (p % rollout_length == 0 or rollout_length % p == 0)
    ]
    return min(fits, key=lambda p: abs(math.log(p / SPACING)))


def _empty(space: Space, slots: int) -> Array:
    shape = spaces.abstract(space, slots).shape
    # uint8 is enough for few actions; Discrete is int32 everywhere else.
    narrow = isinstance(space, Discrete) and space.n <= 256
    return jnp.zeros(shape, jnp.uint8 if narrow else spaces.abstract(space).dtype)


def _widen(space: Space, x: Array) -> Array:
    return x.astype(spaces.abstract(space).dtype)
