"""Intervals of proportions, such as success rates."""

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.typing import ArrayLike

from purejaxrl_suite.core.types import Array
from purejaxrl_suite.stats.bootstrap import Estimate

HALVINGS = 32


def clopper_pearson(successes: ArrayLike, trials: ArrayLike, confidence: float = 0.95) -> Estimate:
    """Exact interval of a proportion (Clopper & Pearson 1934): it covers at least `confidence`.

    successes, trials: integers [...], of one shape or one of them a single number. Trials must be
        independent: episodes of one trained policy are, episodes of several seeds pooled are not.
    Returns an Estimate of f32[...], with a value of NaN and an interval of 0 to 1 without trials.
    Absolute error below 5e-5 up to ten thousand trials.
    Raises ValueError for successes outside [0, trials] (unless traced) or a confidence outside
    (0, 1).
    """
    if not 0.0 < confidence < 1.0:
        raise ValueError(f"confidence: expected a number between 0 and 1, got {confidence}")
    traced = isinstance(successes, Tracer) or isinstance(trials, Tracer)
    if not traced and not np.all((np.asarray(successes) >= 0) & (successes <= np.asarray(trials))):
        raise ValueError(f"successes: expected 0 to {trials} (trials), got {successes}")
    shape = jnp.broadcast_shapes(np.shape(successes), np.shape(trials))
    k, n = (jnp.broadcast_to(jnp.asarray(x, jnp.float32), shape) for x in (successes, trials))
    tail = (1.0 - confidence) / 2.0
    low = jnp.where(k > 0, _beta_quantile(tail, jnp.maximum(k, 1.0), n - k + 1.0), 0.0)
    # The upper end is the lower end for failures, seen from 1: small tails keep their digits.
    high = jnp.where(k < n, 1.0 - _beta_quantile(tail, jnp.maximum(n - k, 1.0), k + 1.0), 1.0)
    return Estimate(jnp.where(n > 0, k / jnp.maximum(n, 1.0), jnp.nan), low, high)


@jax.jit
def _beta_quantile(probability: ArrayLike, a: Array, b: Array) -> Array:
    """Where the distribution function of Beta(a, b) reaches `probability`, by bisection."""

    def halve(_: int, bracket: tuple[Array, Array]) -> tuple[Array, Array]:
        low, high = bracket
        middle = (low + high) / 2
        below = jax.scipy.special.betainc(a, b, middle) < probability
        return jnp.where(below, middle, low), jnp.where(below, high, middle)

    low, high = jax.lax.fori_loop(0, HALVINGS, halve, (jnp.zeros_like(a), jnp.ones_like(a)))
    return (low + high) / 2
