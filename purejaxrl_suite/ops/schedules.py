"""Schedules: pure functions of a step count, which its owner may set back to 0.

Every argument may be traced. Before `delay` a schedule is at its start, from `delay + duration` on
at its end.
"""

import jax.numpy as jnp

from purejaxrl_suite.core.types import Array

Scalar = Array | float
MOST = 2**31 - 1
LARGEST = 2.0**31 - 128  # the largest float32 below 2^31


def passed(step: Array | int, duration: Scalar, delay: Scalar = 0.0) -> Array:
    """Compute the fraction f32[] in [0, 1] of a schedule that is over.

    Args:
        step: the step count.
        duration: steps from start to end; 0 ends at `delay`.
        delay: steps before the start.

    Returns:
        The fraction.
    """
    since = jnp.asarray(step, jnp.float32) - delay
    return jnp.where(since < duration, jnp.clip(since / jnp.maximum(duration, 1e-9), 0.0, 1.0), 1.0)


def linear(
    step: Array | int, start: Scalar, end: Scalar, duration: Scalar, delay: Scalar = 0.0
) -> Array:
    """Interpolate linearly, like the epsilon of DQN (Mnih et al. 2015, Nature 518).

    Args:
        step: the step count.
        start: first value.
        end: last value.
        duration: steps between them.
        delay: steps before the start.

    Returns:
        f32[], the value at `step`.
    """
    return start + passed(step, duration, delay) * (end - start)


def exponential(
    step: Array | int, start: Scalar, end: Scalar, duration: Scalar, delay: Scalar = 0.0
) -> Array:
    """Interpolate geometrically: by an equal factor in every step.

    Args:
        step: the step count.
        start: first value, >= 0.
        end: last value, >= 0. If either is 0, so are the values in between: only they have equal
            factors.
        duration: steps between them.
        delay: steps before the start.

    Returns:
        f32[], the value at `step`.
    """
    over, start = passed(step, duration, delay), jnp.asarray(start, jnp.float32)
    positive = start > 0.0
    between = start * (end / jnp.where(positive, start, 1.0)) ** over
    return jnp.where(positive, between, jnp.where(over < 1.0, 0.0, end))


def annealed_n_step(
    step: Array | int, start: Scalar = 10.0, end: Scalar = 3.0, duration: Scalar = 10_000.0
) -> Array:
    """Compute n of BBF's n-step returns.

    Schwarzer et al. 2023, arXiv 2305.19452, section 3. By default 10 goes to 9, 8, 7, 6, 5, 4, 3 at
    steps 427, 1350, 2390, 3579, 4966, 6633, 8720.

    Args:
        step: gradient steps since the last reset.
        start: first n.
        end: last n.
        duration: steps between them.

    Returns:
        i32[], n.
    """
    return jnp.round(exponential(step, start, end, duration)).astype(jnp.int32)


def annealed_discount(
    step: Array | int, start: Scalar = 0.97, end: Scalar = 0.997, duration: Scalar = 10_000.0
) -> Array:
    """Compute BBF's discount: 1 - gamma falls geometrically.

    Schwarzer et al. 2023, arXiv 2305.19452, section 3.

    Args:
        step: gradient steps since the last reset.
        start: first discount.
        end: last discount.
        duration: steps between them.

    Returns:
        f32[], the discount.
    """
    return 1.0 - exponential(step, 1.0 - start, 1.0 - end, duration)


def reset_is_due(
    updates: Array, advance: int, period: Scalar, last: Scalar, *, as_released: bool = False
) -> Array:
    """Tell whether an update ends with a reset, as in SR-SPR and BBF.

    Resets are due every `period` steps unless fewer than `period` steps would be left until `last`
    (arXiv 2305.19452, section 3 and its code). With period 20,000 and last 100,000 that is at steps
    20,000, 40,000, 60,000 and 80,000.

    Args:
        updates: i32[], the number of the update, 1, 2 ...
        advance: steps of an update; if it is more than 1, a reset waits for the update's end.
        period: steps between resets, below 2^31; 0 never resets.
        last: the last step, possibly above 2^31.
        as_released: as later snapshots of the code, which compare with > in place of >= and start
            a step later: at steps 20,002, 40,003 and 60,004.

    Returns:
        bool[].
    """
    late = int(as_released)
    period, last = jnp.round(jnp.asarray(period)), jnp.round(jnp.asarray(last))
    interval = jnp.maximum(whole(period) + late, 1).astype(jnp.uint32)
    # A multiple of the interval lies among the steps of this update if the remainder of its last
    # step is small; an interval of 0 has no multiples.
    count = updates.astype(jnp.uint32)
    rest = (remainder(count, advance, interval) + interval - late % interval) % interval
    passed = (rest < advance) & (count > (interval - 1 + late) // advance)
    # Compares updates and not steps, whose product could overflow.
    fits = (whole(last) + late - whole(period)) // advance
    latest = jnp.where(last < LARGEST, fits, whole(jnp.floor((last - period) / advance)))
    return (period > 0) & passed & (updates <= latest)


def whole(x: Array) -> Array:
    """Convert a whole number f32[] to i32[]; larger ones become the largest below 2^31."""
    return jnp.clip(x, -1.0, LARGEST).astype(jnp.int32)


def remainder(x: Array, factor: int, modulus: Array) -> Array:
    """Compute x * factor % modulus without overflow, for u32[] and a factor below 2^31."""
    found = x = x % modulus
    for bit in f"{factor:b}"[1:]:
        found = 2 * found % modulus
        found = (found + x) % modulus if bit == "1" else found
    return found


def counted(steps: Array, period: Array | int = 1) -> Array:
    """Increment a count i32[]; after 2^31 - 1 it goes back by one period (i32[]).

    So the count stays near its maximum, where every schedule is over, and keeps its phase within
    the period.
    """
    return jnp.where(steps < MOST, steps, steps - period) + 1
