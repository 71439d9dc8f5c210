"""The tanh-squashed Gaussian policy of SAC (Haarnoja et al. 2018, 1801.01290, appendix C)."""

import math
from collections.abc import Callable, Sequence

import jax.numpy as jnp
import numpy as np

from purejaxrl_suite.core.types import Array
from purejaxrl_suite.nets.heads import Gaussian, import_distrax


def squashed(free: Sequence[bool]) -> Callable[[Array, Gaussian], tuple[Array, Array]]:
    """Make the sampler of a tanh-squashed Gaussian with log-probabilities.

    The log-probability is that of the action before tanh minus log(1 - tanh(x)^2), written as 2 *
    (log 2 - x - softplus(-2x)): exact where tanh rounds to 1, and without inverting actions.
    distrax is imported at this call.

    Args:
        free: for each dimension, whether it is drawn; others are 0 and do not count in the
            probability.

    Returns:
        (normal noise f32[B, A], policy) -> (actions f32[B, A] in (-1, 1), log_prob f32[B]).
    """
    distrax = import_distrax()
    tanh = distrax.Block(distrax.Tanh(), 1)
    # A dimension that is not free has noise 0 of a standard normal, whose density is known.
    known = 0.5 * math.log(2.0 * math.pi) * (len(free) - sum(free))

    def hold(x: Array) -> Array:
        return x if all(free) else jnp.where(np.broadcast_to(free, x.shape), x, 0.0)

    def sample(noise: Array, policy: Gaussian) -> tuple[Array, Array]:
        mean, deviation = hold(policy.mean), jnp.exp(hold(policy.log_std))
        before = mean + deviation * hold(noise)
        normal = distrax.MultivariateNormalDiag(mean, deviation)
        squeezed, log_det = tanh.forward_and_log_det(before)
        log_prob = normal.log_prob(before) - log_det
        return squeezed, log_prob if all(free) else log_prob + known

    return sample
