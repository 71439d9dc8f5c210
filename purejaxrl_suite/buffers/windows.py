"""Read n-step transitions and sequences from a ring, each within one episode, and stretches.

A window starts at a slot and ends after n steps or with the episode. Termination leaves nothing to
bootstrap from. At a cut the value is bootstrapped from the true successor; if that was lost (see
`ring`), the window stops a step earlier, at the last observation of the episode. A window that
starts at such a step is empty: its weight is 0.
"""

from collections.abc import Mapping
from typing import NamedTuple

import jax.numpy as jnp

from purejaxrl_suite.buffers import ring as rings
from purejaxrl_suite.buffers.ring import TERMINATED, TRUNCATED, Layout, Ring
from purejaxrl_suite.core.types import Array


class Batch(NamedTuple):
    """B windows of up to n steps, each as one transition.

    obs, action, extras: of the first step. reward: f32[B], the discounted sum of rewards.
    discount: f32[B], the factor of the value of next_obs: gamma to the power of the steps, times
        the discounts of the steps themselves, if they have any (`Layout.discounted`).
    next_obs: the observation after the last step. terminated: bool[B], next_obs has no value (it is
    any finite observation). truncated: bool[B], the episode was cut after the last step.
    steps: i32[B], of the window. weight: f32[B], 1, or 0 if it is empty. slot: i32[B], its start.
    """

    obs: Array
    action: Array
    reward: Array
    discount: Array
    next_obs: Array
    terminated: Array
    truncated: Array
    steps: Array
    weight: Array
    slot: Array
    extras: Mapping[str, Array]


class Sequence(NamedTuple):
    """B windows of up to L steps, step by step.

    obs: [L + 1, B, ...], up to the observation after the last step. action, reward, terminated,
    truncated, extras: [L, B, ...]. mask: f32[L, B], 1 for steps of the window, 0 after its episode;
    masked entries are finite and meaningless, and so is obs[steps] after a termination.
    weight: f32[B], 1, or 0 if the window is empty. slot: i32[B], its start.
    """

    obs: Array
    action: Array
    reward: Array
    terminated: Array
    truncated: Array
    mask: Array
    weight: Array
    slot: Array
    extras: Mapping[str, Array]


class Stretch(NamedTuple):
    """B stretches of L consecutive steps, whatever episodes they belong to.

    obs: [L + 1, B, ...]; after the end of an episode it is the start of the next. action, reward,
    terminated, truncated, extras: [L, B, ...].
    """

    obs: Array
    action: Array
    reward: Array
    terminated: Array
    truncated: Array
    extras: Mapping[str, Array]


class Walk(NamedTuple):
    """Slots that windows visit.

    path: i32[B, L], slots. end: u8[B, L]. steps: i32[B] of the window. after: i32[B], the place
    of the observation after the last of them. end_last: u8[B], how the window ended.
    """

    path: Array
    end: Array
    steps: Array
    after: Array
    end_last: Array


def walk(at: Layout, ring: Ring, slot: Array, length: int, n: Array | int) -> Walk:
    """Follow up to n <= length steps from each slot i32[B], within its episode; n may be traced."""
    ahead = jnp.arange(length)[None]
    path = rings.ahead(at, slot[:, None], ahead)
    end = rings.take(ring.end, path)
    before = jnp.cumsum(end > 0, axis=1) - (end > 0)
    steps = jnp.sum((before == 0) & (ahead < n), axis=1).astype(jnp.int32)
    last = rings.ahead(at, slot, steps - 1)
    end_last = rings.take(ring.end, last)
    place, owner = rings.place_of_cut(at, last)
    cut = end_last == TRUNCATED
    known = cut & (rings.take(ring.cut, place) == owner)
    lost = cut & ~known
    steps = steps - lost.astype(jnp.int32)
    after = jnp.where(known, at.slots + place, rings.ahead(at, slot, steps))
    return Walk(path=path, end=end, steps=steps, after=after, end_last=jnp.where(lost, 0, end_last))


def transitions(at: Layout, ring: Ring, slot: Array, n: Array | int, gamma: Array | float) -> Batch:
    """Read n-step transitions from slots i32[B]; n <= at.max_n and gamma may be traced."""
    found = walk(at, ring, slot, at.max_n, n)
    if ring.discount is None:
        powers = jnp.asarray(gamma, jnp.float32) ** jnp.arange(at.max_n + 1)
    else:
        powers = _products(gamma * rings.take(ring.discount, found.path))
    inside = jnp.arange(at.max_n)[None] < found.steps[:, None]
    before = powers[None, :-1] if powers.ndim == 1 else powers[:, :-1]
    reward = before * rings.take(ring.reward, found.path)
    return Batch(
        obs=rings.observations(at, ring, slot),
        action=rings.actions(at, ring, slot),
        reward=jnp.sum(jnp.where(inside, reward, 0.0), axis=1),
        discount=_after(powers, found.steps),
        next_obs=rings.observations(at, ring, found.after),
        terminated=found.end_last & TERMINATED > 0,
        truncated=found.end_last & TRUNCATED > 0,
        steps=found.steps,
        weight=(found.steps > 0).astype(jnp.float32),
        slot=slot,
        extras=rings.extras(at, ring, slot),
    )


def _products(discounts: Array) -> Array:
    """Compute the discount before each step of windows and after the last, f32[B, L + 1]."""
    return jnp.cumprod(jnp.pad(discounts, ((0, 0), (1, 0)), constant_values=1.0), axis=1)


def _after(powers: Array, steps: Array) -> Array:
    """Read the discount after so many steps i32[B], f32[B]."""
    if powers.ndim == 1:
        return powers[steps]
    return jnp.take_along_axis(powers, steps[:, None], axis=1)[:, 0]


def sequences(at: Layout, ring: Ring, slot: Array, length: int) -> Sequence:
    """Read windows of L = length <= at.max_n steps from slots i32[B], time first."""
    found = walk(at, ring, slot, length, length)
    times = jnp.arange(length + 1)[:, None]
    after = times == found.steps[None]
    path = rings.ahead(at, slot[None], times)
    mask = times[:-1] < found.steps[None]
    end = jnp.where(mask, found.end.T, 0)
    return Sequence(
        obs=rings.observations(at, ring, jnp.where(after, found.after[None], path)),
        action=rings.actions(at, ring, path[:-1]),
        reward=rings.take(ring.reward, path[:-1]),
        terminated=end & TERMINATED > 0,
        truncated=end & TRUNCATED > 0,
        mask=mask.astype(jnp.float32),
        weight=(found.steps > 0).astype(jnp.float32),
        slot=slot,
        extras=rings.extras(at, ring, path[:-1]),
    )


def stretches(at: Layout, ring: Ring, slot: Array, length: int) -> Stretch:
    """Read L = length <= at.max_n consecutive steps from slots i32[B], time first.

    Unlike windows, of which few begin in the first steps of an episode, stretches have all steps
    equally often.
    """
    path = rings.ahead(at, slot[None], jnp.arange(length + 1)[:, None])
    end = rings.take(ring.end, path[:-1])
    return Stretch(
        obs=rings.observations(at, ring, path),
        action=rings.actions(at, ring, path[:-1]),
        reward=rings.take(ring.reward, path[:-1]),
        terminated=end & TERMINATED > 0,
        truncated=end & TRUNCATED > 0,
        extras=rings.extras(at, ring, path[:-1]),
    )
