"""Distributions of the return of one state and action: C51's atoms, and quantiles.

Categorical distributions have probabilities f32[M] on a support f32[M], a strictly increasing
sequence; quantile distributions are f32[M], the values at fractions f32[M] in (0, 1).
"""

import jax
import jax.numpy as jnp

from purejaxrl_suite.core.types import Array
from purejaxrl_suite.ops.value import bootstrap

SMALLEST_KAPPA = 1e-12


def support(low: Array | float, high: Array | float, atoms: int) -> Array:
    """Space atoms f32[atoms] evenly from low to high, both of which may be traced."""
    return jnp.linspace(low, high, atoms, dtype=jnp.float32)


def expectation(logits: Array, support: Array) -> Array:
    """Compute the means f32[...] of categorical distributions with logits f32[..., M]."""
    return jax.nn.softmax(logits, axis=-1) @ support


def project(probabilities: Array, positions: Array, support: Array) -> Array:
    """Project masses at any positions to the atoms of a support.

    Bellemare et al. 2017, arXiv 1707.06887, equation 7, for any support: each mass is shared
    between the two atoms around it, in proportion to its nearness; masses outside go to the
    outermost atom. The total is kept, and the mean too if nothing lies outside.

    Args:
        probabilities: f32[K], the masses.
        positions: f32[K], where they are.
        support: f32[M], the atoms.

    Returns:
        f32[M], probabilities of the atoms.
    """
    gaps = (support[1:] - support[:-1])[:, None]
    # The fraction of each gap that lies below each position: 1, ..., 1, a fraction, 0, ..., 0.
    passed = jnp.clip((positions[None] - support[:-1, None]) / gaps, 0.0, 1.0)
    padded = jnp.pad(passed, ((1, 1), (0, 0)), constant_values=((1.0, 0.0), (0.0, 0.0)))
    return (padded[:-1] - padded[1:]) @ probabilities


def categorical_target(
    reward: Array, discount: Array, terminated: Array, next_probabilities: Array, support: Array
) -> Array:
    """Compute C51's target: the next distribution, scaled, shifted by the reward and projected.

    Bellemare et al. 2017, arXiv 1707.06887, algorithm 1.

    Args:
        reward: f32[], discounted sum of rewards, as in `ops.value`.
        discount: f32[], of the value after them.
        terminated: bool[], the state after them has no value.
        next_probabilities: f32[M], of the greedy (or double Q) action after the last reward.
        support: f32[M], the atoms.

    Returns:
        f32[M], probabilities of the atoms.
    """
    positions = bootstrap(reward, discount, terminated, support)
    return project(next_probabilities, positions, support)


def categorical_q_target(
    reward: Array,
    discount: Array,
    terminated: Array,
    next_logits: Array,
    selector: Array,
    support: Array,
) -> Array:
    """Compute `value.q_target` for categorical distributions.

    Args:
        reward: f32[], discounted sum of rewards, as in `ops.value`.
        discount: f32[], of the value after them.
        terminated: bool[], the state after them has no value.
        next_logits: f32[A, M], the target network's.
        selector: f32[A], the first of its greatest entries is the action whose distribution counts.
        support: f32[M], the atoms.

    Returns:
        f32[M], probabilities of the atoms.
    """
    probabilities = jax.nn.softmax(next_logits[jnp.argmax(selector)])
    return categorical_target(reward, discount, terminated, probabilities, support)


def cross_entropy(target: Array, logits: Array) -> Array:
    """Compute the cross-entropy f32[] of logits f32[M] with respect to a target f32[M]."""
    return -jnp.sum(target * jax.nn.log_softmax(logits))


def midpoints(number: int) -> Array:
    """Return fractions f32[number] in the middle of equal intervals of (0, 1).

    The quantile fractions of QR-DQN (Dabney et al. 2018, arXiv 1710.10044, lemma 2).
    """
    return (jnp.arange(number, dtype=jnp.float32) + 0.5) / number


def quantile_huber(
    quantiles: Array, fractions: Array, targets: Array, kappa: Array | float = 1.0
) -> Array:
    """Compute the quantile Huber loss, summed over the quantiles, averaged over the targets.

    Dabney et al. 2018, arXiv 1806.06923, equation 3. At kappa = 1 it is equation 10 of QR-DQN
    (arXiv 1710.10044), which does not divide by kappa; at kappa = 0 it is plain quantile
    regression.

    Args:
        quantiles: f32[M], predictions.
        fractions: f32[M], of which they are the quantiles.
        targets: f32[K], with stopped gradient.
        kappa: errors below it count quadratically.

    Returns:
        f32[], the loss.
    """
    errors = targets[None] - quantiles[:, None]
    size = jnp.abs(errors)
    # huber(error) / kappa, in a form that is also right in the limit kappa = 0.
    ratio = jnp.minimum(size / jnp.maximum(kappa, SMALLEST_KAPPA), 1.0)
    huber = ratio * (size - 0.5 * jnp.minimum(size, kappa))
    tilt = jnp.abs(fractions[:, None] - (errors < 0.0))
    return jnp.sum(jnp.mean(tilt * huber, axis=1))
