"""Measures of dependence between samples of two variables: mutual information, rank correlation.

Information is estimated from distances to nearest neighbours, found by comparing all pairs in
blocks of rows: n^2 distances of D numbers, and memory for a block of them.
"""

import math
from typing import Any

import jax
import jax.numpy as jnp
from jax.scipy.special import digamma

from purejaxrl_suite.core.types import Array

BLOCK = 2**22
"""About so many distances are held at once."""
ROUNDING = 8.0
"""Coordinates are equal if they differ by so many units of rounding of the largest number."""


def mutual_information(x: Array, y: Array, k: int = 3, where: Array | None = None) -> Array:
    """Estimate the mutual information of two continuous variables, in nats; at least 0.

    psi(n) + psi(k) - mean(psi(n_x + 1) + psi(n_y + 1)): n_x of the others are nearer in x than the
    k-th nearest neighbour is in x and y, by the larger of both distances (Kraskov, Stoegbauer and
    Grassberger 2004, arXiv cond-mat/0305641, estimator 1). A distance is the largest difference of
    a coordinate. Where k others are equal to a sample in both variables, their number, it included,
    takes the place of k, and n_x counts those that are equal in x (Gao et al. 2017, arXiv
    1709.06212): so variables may be discrete, as observations of a board are. Variables are used as
    they are: `unit_variance` scales them.

    Args:
        x: f32[n, D].
        y: f32[n, E].
        k: which neighbour; fewer have less bias, more less variance.
        where: bool[n], which samples count; None for all.

    Returns:
        f32[]; NaN if not more than k count.

    Raises:
        ValueError: there are not more samples than k, or their numbers differ.
    """
    x, y = _once(jnp.asarray(x)), _once(jnp.asarray(y))
    n, where = _samples(x, y, k, where)

    def counts(rows: Array) -> tuple[Array, Array, Array]:
        apart_x, apart_y = (_distances(z, rows, where) for z in (x, y))
        both = jnp.maximum(apart_x, apart_y)
        radius = _radius(both, rows, k)
        neighbours = _or_equals(both, radius, float(k))
        return _within(apart_x, radius), _within(apart_y, radius), neighbours

    near_x, near_y, neighbours = _by_rows(counts, n)
    count = jnp.sum(where).astype(jnp.float32)
    each = digamma(neighbours) - digamma(near_x) - digamma(near_y)
    found = digamma(count) + jnp.sum(jnp.where(where, each, 0.0)) / count
    return jnp.where(count > k, jnp.maximum(found, 0.0), jnp.nan)


def mutual_information_with_labels(
    x: Array, label: Array, k: int = 3, where: Array | None = None
) -> Array:
    """Estimate the mutual information of a continuous variable and a label, in nats; at least 0.

    psi(n) + mean(psi(k_i) - psi(n_i) - psi(m_i)): of the n_i samples with the same label the k-th
    nearest other is at a distance within which there are m_i - 1 of all others (Ross 2014, PLOS
    ONE 9(2)). k_i is less than k where fewer samples have that label; samples that are alone with
    it are left out, as in scikit-learn. Where k_i others are equal to a sample, all of its label
    that are, it included, take the place of k_i, as in `mutual_information`.

    Args:
        x: f32[n, D].
        label: i32[n].
        k: which neighbour.
        where: bool[n], which samples count; None for all.

    Returns:
        f32[]; 0 if all samples are alone.

    Raises:
        ValueError: there are not more samples than k, or their numbers differ.
    """
    x, label = _once(jnp.asarray(x)), jnp.asarray(label)
    n, where = _samples(x, label, k, where)
    same = (label[:, None] == label[None, :]) & where[None, :]
    alike = jnp.sum(same, axis=1).astype(jnp.float32)
    where = where & (alike > 1.0)
    neighbour = jnp.clip(alike - 1.0, 1.0, k)

    def counts(rows: Array) -> tuple[Array, Array]:
        apart = _distances(x, rows, where)
        own = jnp.where(label[rows][:, None] == label[None, :], apart, jnp.inf)
        radius = _radius(own, rows, k, neighbour[rows])
        return _within(apart, radius), _or_equals(own, radius, neighbour[rows])

    near, neighbours = _by_rows(counts, n)
    count = jnp.maximum(jnp.sum(where).astype(jnp.float32), 1.0)
    each = jnp.where(where, digamma(neighbours) - digamma(alike) - digamma(near), 0.0)
    found = jnp.maximum(digamma(count) + jnp.sum(each) / count, 0.0)
    return jnp.where(jnp.any(where), found, 0.0)


def unit_variance(x: Array) -> Array:
    """Divide each column of f32[n, D] by its standard deviation; constant ones are left as is."""
    deviation = jnp.std(x, axis=0, keepdims=True)
    return x / jnp.where(deviation > 0.0, deviation, 1.0)


def ranks(x: Array) -> Array:
    """Compute the ranks 1 .. n of f32[n], equal numbers having the mean of theirs, f32[n]."""
    ordered = jnp.sort(x)
    first = jnp.searchsorted(ordered, x, side="left", method="sort")
    last = jnp.searchsorted(ordered, x, side="right", method="sort")
    return 0.5 * (first + last + 1).astype(jnp.float32)


def spearman(x: Array, y: Array) -> Array:
    """Compute Spearman's rank correlation of f32[n] and f32[n], f32[]; NaN if one is constant."""
    centred = [(ranks(one) - 0.5 * (len(one) + 1)) / len(one) for one in (x, y)]
    spread = jnp.mean(jnp.square(centred[0])) * jnp.mean(jnp.square(centred[1]))
    return jnp.mean(centred[0] * centred[1]) / jnp.sqrt(spread)


def participation_ratio(x: Array) -> Array:
    """Compute (sum of eigenvalues)^2 / sum of their squares of the covariance of f32[n, D], f32[].

    It is between 1 and D: in how many directions samples vary alike. 0 if they are all equal.
    """
    centred = x - jnp.mean(x, axis=0, keepdims=True)
    centred = centred / jnp.maximum(jnp.max(jnp.abs(centred)), jnp.finfo(x.dtype).tiny)
    small = centred if x.shape[0] <= x.shape[1] else centred.T
    gram = jnp.matmul(small, small.T, precision=jax.lax.Precision.HIGHEST)
    squares = jnp.sum(jnp.square(gram))
    return jnp.square(jnp.trace(gram)) / jnp.where(squares > 0.0, squares, 1.0)


def _samples(x: Array, y: Array, k: int, where: Array | None) -> tuple[int, Array]:
    """The number of samples, and which count; ValueError unless there are more than k of both."""
    n = len(x)
    if len(y) != n or n <= k:
        raise ValueError(f"x, y: expected as many samples, and more than k={k}, got {n}, {len(y)}")
    return n, jnp.ones(n, bool) if where is None else where


def _distances(x: Array, rows: Array, where: Array) -> Array:
    """Largest differences of a coordinate, from samples `rows` i32[b] to all, f32[b, n].

    They are 0 within rounding, as networks compute equal rows of a batch with unequal last bits,
    and infinite to those that do not count.
    """
    apart = jnp.max(jnp.abs(x[rows][:, None, :] - x[None, :, :]), axis=-1)
    largest = jnp.max(jnp.where(where[:, None], jnp.abs(x), 0.0))
    apart = jnp.where(apart <= ROUNDING * jnp.finfo(x.dtype).eps * largest, 0.0, apart)
    return jnp.where(where[None, :], apart, jnp.inf)


def _once(x: Array) -> Array:
    """Have an array computed once.

    A compiler that computes it again where it is compared may round otherwise, and then a sample
    differs from itself.
    """
    return jax.lax.optimization_barrier(x)


def _radius(apart: Array, rows: Array, k: int, which: Array | None = None) -> Array:
    """The distance just below the k-th smallest, but for the sample itself, f32[b, 1].

    which: f32[b], in place of k.
    """
    other = jnp.arange(apart.shape[1])[None, :] != rows[:, None]
    nearest = -jax.lax.top_k(-jnp.where(other, apart, jnp.inf), k)[0]
    last = jnp.full(len(rows), k) if which is None else which.astype(jnp.int32)
    return jnp.nextafter(jnp.take_along_axis(nearest, last[:, None] - 1, axis=1), 0.0)


def _or_equals(apart: Array, radius: Array, k: Array | float) -> Array:
    """Return k, or how many samples are equal, itself included, where the radius is 0, f32[b]."""
    return jnp.where(radius[:, 0] > 0.0, k, _within(apart, jnp.zeros_like(radius)))


def _within(apart: Array, radius: Array) -> Array:
    """How many samples are within the radius, the sample itself included, f32[b]."""
    return jnp.sum(apart <= radius, axis=1).astype(jnp.float32)


def _by_rows(counts: Any, n: int) -> Any:
    """Call `counts` with blocks of rows; results [n]."""
    size = max(1, min(n, BLOCK // n))
    blocks = math.ceil(n / size)
    rows = jnp.minimum(jnp.arange(blocks * size), n - 1).reshape((blocks, size))
    found = jax.lax.map(counts, rows)
    return jax.tree.map(lambda x: jnp.reshape(x, (-1,))[:n], found)
