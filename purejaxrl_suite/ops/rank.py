"""Ranks of a matrix of features, as the literature defines them; each under its own name.

All are functions of singular values, which come from the Gram matrix: cheaper than an SVD, at the
price that what is smaller than sqrt(n eps) of the largest one (0.4 % for n = 128 in float32) cannot
be told from rounding, and counts as zero. For zero matrices every rank is 0.
"""

import jax
import jax.numpy as jnp

from purejaxrl_suite.core.types import Array


def singular_values(x: Array) -> Array:
    """Of a matrix f32[n, m], f32[min(n, m)], the largest first."""
    size = min(x.shape)
    scale = jnp.max(jnp.abs(x))
    x = x / jnp.where(scale > 0, scale, 1.0)  # squares of tiny gradients would underflow
    x = x.T if x.shape[0] < x.shape[1] else x
    gram = jnp.matmul(x.T, x, precision=jax.lax.Precision.HIGHEST)
    values = jnp.linalg.eigvalsh(gram)[::-1]
    known = values > size * jnp.finfo(x.dtype).eps * values[0]
    return scale * jnp.sqrt(jnp.where(known, values, 0.0))


def effective_rank(values: Array) -> Array:
    """exp of the entropy of the normalised singular values f32[n].

    Roy and Vetterli 2007, "The effective rank", EUSIPCO.
    """
    share = _shares(values)
    entropy = -jnp.sum(jax.scipy.special.xlogy(share, share))
    return jnp.where(values[0] > 0, jnp.exp(entropy), 0.0)


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
    return jnp.where(values[0] > 0, before + 1.0, 0.0)


def numerical_rank(values: Array, threshold: float = 0.01) -> Array:
    """How many singular values exceed a share of the largest; Dopamine's MoE code calls it srank.

    values: f32[n], the largest first.
    """
    return jnp.sum(values > threshold * values[0]).astype(jnp.float32)


def _shares(values: Array) -> Array:
    total = jnp.sum(values)
    return values / jnp.where(total > 0, total, 1.0)
