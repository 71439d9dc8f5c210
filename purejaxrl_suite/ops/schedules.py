"""Schedules: pure functions of a step, a clock that whoever owns it may set back to 0.

Every argument may be traced. Before `delay` a schedule is at its start, from `delay + duration` on
at its end.
"""

import jax.numpy as jnp

from purejaxrl_suite.core.types import Array

Scalar = Array | float
MOST = 2**31 - 1
LARGEST = 2.0**31 - 128  # the largest float32 below 2^31


def passed(step: Array | int, duration: Scalar, delay: Scalar = 0.0) -> Array:
    """Fraction f32[] in [0, 1] of a schedule that is over; a duration of 0 is over at `delay`."""
    since = jnp.asarray(step, jnp.float32) - delay
    return jnp.where(since < duration, jnp.clip(since / jnp.maximum(duration, 1e-9), 0.0, 1.0), 1.0)


def linear(
    step: Array | int, start: Scalar, end: Scalar, duration: Scalar, delay: Scalar = 0.0
) -> Array:
    """Straight from start to end: the epsilon of DQN (Mnih et al. 2015, Nature 518)."""
    return start + passed(step, duration, delay) * (end - start)


def exponential(
    step: Array | int, start: Scalar, end: Scalar, duration: Scalar, delay: Scalar = 0.0
) -> Array:
    """By equal factors from start to end, which are >= 0.

    What starts or ends at 0 is 0 in between: nothing else has equal factors.
    """
    over, start = passed(step, duration, delay), jnp.asarray(start, jnp.float32)
    positive = start > 0.0
    between = start * (end / jnp.where(positive, start, 1.0)) ** over
    return jnp.where(positive, between, jnp.where(over < 1.0, 0.0, end))


def annealed_n_step(
    step: Array | int, start: Scalar = 10.0, end: Scalar = 3.0, duration: Scalar = 10_000.0
) -> Array:
    """n of BBF's n-step returns, i32[] (Schwarzer et al. 2023, arXiv 2305.19452, section 3).

    step: gradient steps since the last reset. By default 10 goes to 9, 8, 7, 6, 5, 4, 3 at steps
    427, 1350, 2390, 3579, 4966, 6633, 8720.
    """
    return jnp.round(exponential(step, start, end, duration)).astype(jnp.int32)


def annealed_discount(
    step: Array | int, start: Scalar = 0.97, end: Scalar = 0.997, duration: Scalar = 10_000.0
) -> Array:
    """Discount of BBF, f32[]: 1 - gamma falls by equal factors (arXiv 2305.19452, section 3).

    step: gradient steps since the last reset.
    """
    return 1.0 - exponential(step, 1.0 - start, 1.0 - end, duration)


def reset_is_due(
    updates: Array, advance: int, period: Scalar, last: Scalar, *, as_released: bool = False
) -> Array:
    """Whether update number `updates` i32[] (1, 2 ...), of `advance` steps, ends with a reset.

    Every `period` steps (0 is never), unless fewer than `period` steps would be left until `last`
    (SR-SPR and BBF, arXiv 2305.19452, section 3 and its code). With period 20,000 and last 100,000:
    at steps 20,000, 40,000, 60,000 and 80,000. Later snapshots of the code compare with > where
    this one has >=, and start a step later: `as_released`, at steps 20,002, 40,003 and 60,004.

    advance: steps of an update; where it is more than 1, a reset waits for the update's end.
    Steps may exceed 2^31, and so may `last`; the period and `advance` may not.

    Returns bool[].
    """
    late = int(as_released)
    period, last = jnp.round(jnp.asarray(period)), jnp.round(jnp.asarray(last))
    interval = jnp.maximum(whole(period) + late, 1).astype(jnp.uint32)
    # A multiple of the interval lies among the steps of this update where the remainder of the
    # last of them is small; 0 is none.
    count = updates.astype(jnp.uint32)
    rest = (remainder(count, advance, interval) + interval - late % interval) % interval
    passed = (rest < advance) & (count > (interval - 1 + late) // advance)
    # Updates are compared, as a product that counts steps could be too large.
    fits = (whole(last) + late - whole(period)) // advance
    latest = jnp.where(last < LARGEST, fits, whole(jnp.floor((last - period) / advance)))
    return (period > 0) & passed & (updates <= latest)


def whole(x: Array) -> Array:
    """i32[] of a whole number f32[]; the nearest one below 2^31 where it is larger."""
    return jnp.clip(x, -1.0, LARGEST).astype(jnp.int32)


def remainder(x: Array, factor: int, modulus: Array) -> Array:
    """x * factor % modulus, of u32[] below 2^31 (as the factor is): no product can be too large."""
    found = x = x % modulus
    for bit in f"{factor:b}"[1:]:
        found = 2 * found % modulus
        found = (found + x) % modulus if bit == "1" else found
    return found


def counted(steps: Array, period: Array | int = 1) -> Array:
    """i32[] one more; after 2^31 - 1 it goes back by one period (i32[]).

    So the count stays at its largest, every schedule of it stays over, and its place in the period
    is kept.
    """
    return jnp.where(steps < MOST, steps, steps - period) + 1
