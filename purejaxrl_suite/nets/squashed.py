"""A Gaussian behind tanh, the policy of SAC (Haarnoja et al. 2018, 1801.01290, appendix C)."""

import math
from collections.abc import Callable, Sequence

import jax.numpy as jnp
import numpy as np

from purejaxrl_suite.core.types import Array
from purejaxrl_suite.nets.heads import Gaussian, import_distrax


def squashed(free: Sequence[bool]) -> Callable[[Array, Gaussian], tuple[Array, Array]]:
    """(normal noise f32[B, A], policy) -> actions in (-1, 1) f32[B, A], their log_prob f32[B].

    The log-probability is that of the action before tanh less log(1 - tanh(x)^2), written as 2 *
    (log 2 - x - softplus(-2x)): exact where tanh has rounded to 1, and no action is ever inverted.
    distrax is imported at this call.

    free: of each dimension, whether it is drawn. All others are 0 and no part of the probability.
    """
    distrax = import_distrax()
    tanh = distrax.Block(distrax.Tanh(), 1)
    # One that is not is drawn with noise 0 from a standard normal, whose density is known.
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
