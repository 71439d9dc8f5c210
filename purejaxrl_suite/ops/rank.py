"""Ranks of a matrix of features, as the literature defines them; each under its own name.

All are functions of singular values. For zero matrices every rank is 0, for matrices with a NaN it
is NaN.
"""

import jax
import jax.numpy as jnp

from purejaxrl_suite.core.types import Array


def singular_values(x: Array) -> Array:
    """Compute the singular values of a matrix f32[n, m]: f32[min(n, m)], the largest first.

    Of the matrix itself and not as roots of the eigenvalues of its Gram matrix: in float32 that one
    hides what is smaller than sqrt(n eps) of the largest value, and a layer of ReLUs has one that
    is much larger than all others, its mean. Each value is exact to about eps of the largest.
    """
    scale = jnp.max(jnp.abs(x))
    x = x / jnp.where(scale == 0, 1.0, scale)  # tiny gradients are no smaller than others
    x = x.T if x.shape[0] < x.shape[1] else x
    # R has the values of x, and of so many samples only as many rows as there are units.
    triangle = jnp.linalg.qr(x, mode="r")
    return scale * jnp.linalg.svd(triangle, compute_uv=False)


def effective_rank(values: Array) -> Array:
    """exp of the entropy of the normalised singular values f32[n].

    Roy and Vetterli 2007, "The effective rank", EUSIPCO.
    """
    share = _shares(values)
    entropy = -jnp.sum(jax.scipy.special.xlogy(share, share))
    return _defined(values, jnp.exp(entropy))


def stable_rank(values: Array) -> Array:
    """Squared Frobenius norm over squared spectral norm: of singular values f32[n].

    Rudelson and Vershynin 2007, "Sampling from large matrices", J. ACM 54(4).
    """
    largest = jnp.where(values[0] > 0, values[0], 1.0)
    return jnp.sum(jnp.square(values / largest))


def srank(values: Array, delta: float = 0.01) -> Array:
    """Fewest singular values whose sum is a share of 1 - delta of all: of f32[n].

    Kumar et al. 2020, "Implicit under-parameterization", arXiv 2010.14498.
    """
    before = jnp.sum(jnp.cumsum(_shares(values)) < 1.0 - delta)
    return _defined(values, before + 1.0)


def numerical_rank(values: Array, threshold: float = 0.01) -> Array:
    """How many singular values exceed a share of the largest; Dopamine's MoE code calls it srank.

    values: f32[n], the largest first.
    """
    return _defined(values, jnp.sum(values > threshold * values[0]).astype(jnp.float32))


def _defined(values: Array, rank: Array) -> Array:
    """The rank; where the largest value is 0 or NaN, that."""
    return jnp.where(values[0] > 0, rank, values[0])


def _shares(values: Array) -> Array:
    total = jnp.sum(values)
    return values / jnp.where(total > 0, total, 1.0)
