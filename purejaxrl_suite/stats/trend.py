"""Tests of a trend along ordered settings: Page's test and the Jonckheere-Terpstra test.

Page (1963) compares settings within blocks: use it where the same seeds ran under every setting.
Jonckheere (1954) and Terpstra (1952) compare independent groups: use it where seeds differ. Both
are one-sided, for scores that grow from the first setting to the last; reverse the settings for
scores that shrink. They use ranks only, so scores of different tasks need no normalization.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from purejaxrl_suite.core.types import Array, Key

CHUNK = 2**20
"""Scores that are permuted at once."""
LARGEST = 46_340
"""The most scores of one Jonckheere test: the square still fits into int32."""


class Trend(NamedTuple):
    """A test against "no trend", in favour of growing scores: f32[] each.

    statistic: Page's L or Jonckheere's J. effect: from -1 (all scores shrink along the settings)
    over 0 (no trend) to 1 (all grow). z: the statistic, standardised under no trend, corrected for
    ties. p_normal: of z, without continuity correction. p_permutation: the share of permutations
    with a statistic at least as large; the observed one is counted as one.
    """

    statistic: Array
    effect: Array
    z: Array
    p_normal: Array
    p_permutation: Array


def page(key: Key, scores: ArrayLike, permutations: int = 9999) -> Trend:
    """Compute Page's L test of a trend over K settings, within blocks.

    Permutations shuffle the scores within each block. Ties get the mean of their ranks; if all
    scores of every block are tied, p = 1 by permutation (z = 0).

    Args:
        key: of the permutations.
        scores: f32[..., K], ordered settings last; every row over the other axes (seeds, tasks) is
            a block. Blocks with a missing score are left out; without any block all is NaN.
        permutations: how many.

    Returns:
        The test.

    Raises:
        ValueError: there are fewer than two settings, permutations < 1, or so many scores that the
            statistic does not fit into int32 (six million blocks of ten settings, 6,000 of a
            hundred).

    Example:
        >>> scores = jnp.array([[1.0, 2.0, 3.0], [0.0, 1.0, 5.0]])
        >>> float(pjs.stats.page(jax.random.key(0), scores, permutations=99).effect)
        1.0
    """
    scores = jnp.asarray(scores, jnp.float32)
    _check(scores, permutations)
    settings = scores.shape[-1]
    if scores.size * (settings**2 - 1) // 3 >= 2**31:  # the statistic if every block grows
        raise ValueError(
            f"scores: expected fewer blocks of {settings} settings, got {scores.shape}"
        )
    return _page(key, scores, permutations)


@partial(jax.jit, static_argnames="permutations")
def _page(key: Key, scores: Array, permutations: int) -> Trend:
    settings = scores.shape[-1]
    blocks = jnp.reshape(scores, (-1, settings))
    valid = ~jnp.any(jnp.isnan(blocks), axis=1, keepdims=True)
    # Twice the deviations of ranks and of settings from their means are exact in int32.
    above = blocks[:, :, None] > blocks[:, None, :]
    ranks = jnp.sum(above, axis=2) - jnp.sum(above, axis=1)
    ranks = jnp.where(valid, ranks, 0)
    position = jnp.broadcast_to(2 * jnp.arange(settings) - (settings - 1), ranks.shape)

    def trend(ranks: Array) -> Array:
        return jnp.sum(ranks * position)

    def shuffled(key: Key) -> Array:
        return trend(jax.random.permutation(key, ranks, axis=1, independent=True))

    count = jnp.sum(valid)
    spread = settings * (settings**2 - 1) / 12
    found = trend(ranks)
    variance = spread * jnp.sum(jnp.square(ranks)) / 4 / (settings - 1)
    excess = found / 4
    statistic = excess + count * (settings * (settings + 1) ** 2 / 4)
    p = _permuted(key, shuffled, found, permutations=permutations, size=ranks.size)
    return _trend(statistic, excess, most=count * spread, variance=variance, p_permutation=p)


def jonckheere(key: Key, scores: ArrayLike, permutations: int = 9999) -> Trend:
    """Compute the Jonckheere-Terpstra test of a trend over K settings, for independent groups.

    J counts the pairs of scores of different settings in which the later setting scores more, ties
    half. Permutations shuffle all scores over the settings; if all are tied, p = 1 (z = 0).

    Args:
        key: of the permutations.
        scores: f32[S, K], ordered settings last. NaN pads settings with fewer seeds; with scores in
            fewer than two settings all is NaN.
        permutations: how many.

    Returns:
        The test.

    Raises:
        ValueError: scores do not have two axes, there are fewer than two settings or more than
            LARGEST scores, or permutations < 1.
    """
    scores = jnp.asarray(scores, jnp.float32)
    _check(scores, permutations)
    if scores.ndim != 2 or scores.size > LARGEST:
        raise ValueError(
            f"scores: expected [S, settings] with at most {LARGEST} entries, got {scores.shape}"
        )
    return _jonckheere(key, scores, permutations)


@partial(jax.jit, static_argnames="permutations")
def _jonckheere(key: Key, scores: Array, permutations: int) -> Trend:
    values = jnp.ravel(scores)
    order = jnp.argsort(values)  # NaN sorts last
    values, valid = values[order], ~jnp.isnan(values[order])
    settings = jnp.arange(scores.size) % scores.shape[1]
    group = jax.nn.one_hot(settings[order], scores.shape[1], dtype=jnp.int32) * valid[:, None]
    left = jnp.searchsorted(values, values, side="left")
    right = jnp.where(valid, jnp.searchsorted(values, values, side="right"), left)

    def twice_wins(group: Array) -> Array:
        """Count for every score how many of earlier settings lie below it, by running counts."""
        counts = jnp.concatenate([jnp.zeros_like(group[:1]), jnp.cumsum(group, axis=0)])
        below = counts[left] + counts[right]
        return jnp.sum((jnp.cumsum(below, axis=1) - below) * group)

    def shuffled(key: Key) -> Array:
        draw = jnp.where(valid, jax.random.uniform(key, valid.shape), 2.0)
        return twice_wins(group[jnp.argsort(draw)])

    sizes = jnp.sum(group, axis=0)
    pairs = (jnp.square(jnp.sum(sizes)) - jnp.sum(jnp.square(sizes))) // 2
    found = twice_wins(group)
    p = _permuted(key, shuffled, found, permutations=permutations, size=group.size)
    variance = _jonckheere_variance(sizes, jnp.where(valid, right - left, 1))
    excess = (found - pairs) / 2
    return _trend(found / 2, excess, most=pairs / 2, variance=variance, p_permutation=p)


def _jonckheere_variance(sizes: Array, ties: Array) -> Array:
    """Compute the variance of J under no trend, with ties.

    Hollander, Wolfe & Chicken 2014, section 6.2.
    sizes: i32[K], scores per setting. ties: i32[N], for each score how many equal it (with itself).
    """
    n = jnp.asarray(sizes, jnp.float32)
    t = jnp.asarray(ties, jnp.float32)
    total = jnp.sum(n)

    # Sums over groups of ties are sums over scores, each divided by the size of its group.
    def sums(f: Callable[[Array], Array]) -> tuple[Array, Array]:
        return jnp.sum(n * f(n)), jnp.sum(f(t))

    (n_first, t_first), (n_second, t_second), (n_third, t_third) = (
        sums(f)
        for f in (
            lambda x: (x - 1) * (2 * x + 5),
            lambda x: (x - 1) * (x - 2),
            lambda x: x - 1,
        )
    )
    all_first = total * (total - 1) * (2 * total + 5)
    second = n_second * t_second / (36 * jnp.maximum(total * (total - 1) * (total - 2), 1))
    third = n_third * t_third / (8 * jnp.maximum(total * (total - 1), 1))
    return (all_first - n_first - t_first) / 72 + second + third


def _trend(
    statistic: Array, excess: Array, *, most: Array, variance: Array, p_permutation: Array
) -> Trend:
    """Make a Trend from the statistic's excess over its mean and its largest excess; NaN if 0."""
    z = jnp.where(variance > 0, excess / jnp.sqrt(jnp.maximum(variance, 1e-30)), 0.0)
    effect = excess / jnp.where(most > 0, most, 1.0)
    found = Trend(
        statistic=statistic,
        effect=effect,
        z=z,
        p_normal=jax.scipy.stats.norm.sf(z),
        p_permutation=p_permutation,
    )
    return jax.tree.map(lambda x: jnp.where(most > 0, x, jnp.nan), found)


def _permuted(
    key: Key, draw: Callable[[Key], Array], found: Array, *, permutations: int, size: int
) -> Array:
    batch = max(1, min(permutations, CHUNK // size))
    drawn = jax.lax.map(draw, jax.random.split(key, permutations), batch_size=batch)
    return (1 + jnp.sum(drawn >= found)) / (1 + permutations)


def _check(scores: Array, permutations: int) -> None:
    if scores.ndim == 0 or scores.size == 0 or scores.shape[-1] < 2:
        raise ValueError(f"scores: expected [..., settings], at least two, got {scores.shape}")
    if permutations < 1:
        raise ValueError(f"permutations: expected at least 1, got {permutations}")
