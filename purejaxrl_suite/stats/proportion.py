"""Confidence intervals of proportions, such as success rates."""

import numpy as np
from jax.typing import ArrayLike
from scipy import special

from purejaxrl_suite.stats.bootstrap import Estimate


def clopper_pearson(successes: ArrayLike, trials: ArrayLike, confidence: float = 0.95) -> Estimate:
    """Compute the exact interval of a proportion, which covers at least `confidence`.

    Clopper & Pearson 1934. Computed on the host, in double precision.

    Args:
        successes: whole numbers [...].
        trials: whole numbers of the same shape; either may be a single number. Trials must be
            independent: episodes of one trained policy are, pooled episodes of several seeds are
            not.
        confidence: of the interval.

    Returns:
        The proportions with their intervals, f32[...]; NaN and 0 to 1 without trials.

    Raises:
        ValueError: a number is not whole, successes are outside [0, trials], shapes do not fit or
            the confidence is outside (0, 1).
    """
    if not 0.0 < confidence < 1.0:
        raise ValueError(f"confidence: expected a number between 0 and 1, got {confidence}")
    k, n = (np.asarray(x, np.float64) for x in (successes, trials))
    if k.ndim and n.ndim and k.shape != n.shape:
        raise ValueError(f"successes: expected the shape of trials, {n.shape}, got {k.shape}")
    for name, counts in (("trials", n), ("successes", k)):
        if not np.all(counts == np.floor(counts)) or np.isinf(counts).any():
            raise ValueError(f"{name}: expected whole numbers, got {counts}")
    if not np.all((k >= 0) & (k <= n)):
        raise ValueError(f"successes: expected 0 to {trials} (trials), got {successes}")
    k, n = np.broadcast_arrays(k, n)
    tail = (1.0 - confidence) / 2.0
    low = np.where(k > 0, special.betaincinv(np.maximum(k, 1), n - k + 1, tail), 0.0)
    high = np.where(k < n, special.betaincinv(k + 1, np.maximum(n - k, 1), 1.0 - tail), 1.0)
    value = np.where(n > 0, k / np.maximum(n, 1), np.nan)
    return Estimate(*(np.asarray(x, np.float32) for x in (value, low, high)))
