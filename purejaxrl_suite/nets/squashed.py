"""A Gaussian behind tanh, the policy of SAC (Haarnoja et al. 2018, 1801.01290, appendix C)."""

from collections.abc import Callable

import jax.numpy as jnp

from purejaxrl_suite.core.types import Array
from purejaxrl_suite.nets.heads import Gaussian, import_distrax


def squashed() -> Callable[[Array, Gaussian], tuple[Array, Array]]:
    """(normal noise f32[B, A], policy) -> actions in (-1, 1) f32[B, A], their log_prob f32[B].

    The log-probability is that of the action before tanh less log(1 - tanh(x)^2), written as 2 *
    (log 2 - x - softplus(-2x)): exact where tanh has rounded to 1, and no action is ever inverted.
    distrax is imported at this call.
    """
    distrax = import_distrax()
    tanh = distrax.Block(distrax.Tanh(), 1)

    def sample(noise: Array, policy: Gaussian) -> tuple[Array, Array]:
        deviation = jnp.exp(policy.log_std)
        before = policy.mean + deviation * noise
        normal = distrax.MultivariateNormalDiag(policy.mean, deviation)
        squeezed, log_det = tanh.forward_and_log_det(before)
        return squeezed, normal.log_prob(before) - log_det

    return sample
