"""Ranks of a feature matrix, under the names that the literature gives them.

All are functions of singular values. Every rank of a zero matrix is 0, of a matrix with a NaN it is
NaN.
"""

import jax
import jax.numpy as jnp

from purejaxrl_suite.core.types import Array


def singular_values(x: Array) -> Array:
    """Compute the singular values of a matrix f32[n, m]: f32[min(n, m)], the largest first.

    They are computed from the matrix itself, not from the eigenvalues of its Gram matrix: in
    float32 those hide singular values below sqrt(n eps) of the largest, and a layer of ReLUs has
    one, from its mean, that is much larger than all others. The error of each value is about eps
    times the largest.
    """
    scale = jnp.max(jnp.abs(x))
    x = x / jnp.where(scale == 0, 1.0, scale)  # so that tiny gradients do not underflow
    x = x.T if x.shape[0] < x.shape[1] else x
    # R has the singular values of x, but only as many rows as there are units.
    triangle = jnp.linalg.qr(x, mode="r")
    return scale * jnp.linalg.svd(triangle, compute_uv=False)


def effective_rank(values: Array) -> Array:
    """Compute exp of the entropy of the normalised singular values f32[n].

    Roy and Vetterli 2007, "The effective rank", EUSIPCO.
    """
    share = _shares(values)
    entropy = -jnp.sum(jax.scipy.special.xlogy(share, share))
    return _defined(values, jnp.exp(entropy))


def stable_rank(values: Array) -> Array:
    """Compute squared Frobenius norm over squared spectral norm, from singular values f32[n].

    Rudelson and Vershynin 2007, "Sampling from large matrices", J. ACM 54(4).
    """
    largest = jnp.where(values[0] > 0, values[0], 1.0)
    return jnp.sum(jnp.square(values / largest))


def srank(values: Array, delta: float = 0.01) -> Array:
    """Count the fewest singular values f32[n] whose sum is at least 1 - delta of the total.

    Kumar et al. 2020, "Implicit under-parameterization", arXiv 2010.14498.
    """
    before = jnp.sum(jnp.cumsum(_shares(values)) < 1.0 - delta)
    return _defined(values, before + 1.0)


def numerical_rank(values: Array, threshold: float = 0.01) -> Array:
    """Count the singular values f32[n], largest first, above `threshold` times the largest.

    Dopamine's MoE code calls it srank.
    """
    return _defined(values, jnp.sum(values > threshold * values[0]).astype(jnp.float32))


def _defined(values: Array, rank: Array) -> Array:
    """Return the rank, or the largest value if that is 0 or NaN."""
    return jnp.where(values[0] > 0, rank, values[0])


def _shares(values: Array) -> Array:
    total = jnp.sum(values)
    return values / jnp.where(total > 0, total, 1.0)
