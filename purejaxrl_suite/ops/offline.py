"""Formulas of offline reinforcement learning, for one sample; for a batch use `jax.vmap`."""

import math

import jax
import jax.numpy as jnp

from purejaxrl_suite.core.types import Array


def conservative_penalty(q_values: Array, action: Array) -> Array:
    """Compute the penalty of CQL(H) for discrete actions: log sum_a exp Q(s, a) - Q(s, action).

    Kumar et al. 2020, arXiv 2006.04779, equation 4. It is positive, and its gradient lowers the
    values of likely actions of the softmax policy and raises that of the data's action.

    Args:
        q_values: f32[A], of all actions.
        action: i32[], that of the data.

    Returns:
        f32[], the penalty.

    Example:
        >>> from purejaxrl_suite.ops.offline import conservative_penalty
        >>> round(float(conservative_penalty(jnp.zeros(2), 0)), 3)  # log 2
        0.693
    """
    return jax.nn.logsumexp(q_values) - q_values[action]


def sampled_log_partition(q_values: Array, log_density: Array) -> Array:
    """Estimate log of the integral of exp Q(s, a) over actions a by importance sampling.

    Kumar et al. 2020, arXiv 2006.04779, appendix F: log (1/K) sum_k exp(Q(s, a_k)) / p(a_k). With
    it CQL(H) has a penalty for continuous actions: the estimate less Q(s, a) of the data's action.

    Args:
        q_values: f32[K], of K sampled actions.
        log_density: f32[K], logarithms of the densities p that the actions were drawn from.

    Returns:
        f32[], the estimate.
    """
    return jax.nn.logsumexp(q_values - log_density) - math.log(q_values.shape[0])


def expectile_loss(errors: Array, expectile: Array | float) -> Array:
    """Compute |expectile - (error < 0)| * error^2, whose minimum is an expectile of the targets.

    Kostrikov et al. 2021, arXiv 2110.06169, equation 5.

    Args:
        errors: target - prediction, of any shape.
        expectile: in (0, 1): 0.5 gives half the squared error, and the minimum goes to the greatest
            target as it goes to 1.

    Returns:
        The loss, of the shape of `errors`.
    """
    return jnp.where(errors < 0.0, 1.0 - expectile, expectile) * jnp.square(errors)


def advantage_weight(
    advantage: Array, inverse_temperature: Array | float, most: Array | float
) -> Array:
    """Compute min(exp(inverse_temperature * advantage), most), weights of the actions of the data.

    Advantage-weighted regression (Peng et al. 2019, arXiv 1910.00177), as in IQL.

    Args:
        advantage: Q(s, a) - V(s), of any shape.
        inverse_temperature: 0 weights all actions alike, which clones the behaviour.
        most: the greatest weight, positive.

    Returns:
        The weights, of the shape of `advantage`.
    """
    # The minimum is taken of the exponents: the derivative of an infinite weight would be NaN.
    return jnp.exp(jnp.minimum(inverse_temperature * advantage, jnp.log(most)))
