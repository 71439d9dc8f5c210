"""Draw resamples of runs and evaluate statistics of them, all on the host."""

from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import jax
import numpy as np

from purejaxrl_suite.core.types import Key
from purejaxrl_suite.stats.weighted import Statistic, form_of

CHUNK = 2**16
"""Scores that are resampled at once, whatever the number of resamples, to fit into caches."""

Arms = tuple[np.ndarray, ...]
"""Scores f32[S, C] that are drawn together, a column per task; two arms if they are paired."""
Draw = Callable[[np.random.Generator, np.ndarray, int], np.ndarray]
"""(random, arm [S, C], B) -> the drawn rows, i32[B, S, C], or [B, S, 1] for whole rows."""


class Resampled(NamedTuple):
    """A statistic of scores [...], and of their resamples [B, ...].

    value: of the scores. center: of the distribution of resamples; the same, except for the
    interquartile mean, whose quarter may be exact in resamples.
    """

    value: np.ndarray
    center: np.ndarray
    drawn: np.ndarray


def whole_rows(random: np.random.Generator, arm: np.ndarray, resamples: int) -> np.ndarray:
    """Draw seeds: rows with replacement, i32[B, S, 1]."""
    return _below(random, (resamples, len(arm), 1), len(arm))


def within_columns(random: np.random.Generator, arm: np.ndarray, resamples: int) -> np.ndarray:
    """Draw runs within each task among its own runs, i32[B, S, C].

    The number of missing runs stays; they come last.
    """
    missing = np.isnan(arm)
    order = np.argsort(missing, axis=0, kind="stable")
    known = len(arm) - missing.sum(axis=0)
    places = np.arange(len(arm))[:, None]
    drawn = np.where(places < known, _below(random, (resamples, *arm.shape), known), places)
    return np.take_along_axis(order[None], drawn, axis=1)


def resampled(
    key: Key,
    groups: Sequence[Arms],
    *,
    statistic: Statistic,
    resamples: int,
    draw: Draw,
    exact: bool,
    tasks: tuple[int, ...],
) -> Resampled:
    """Evaluate a statistic of resampled scores, chunk by chunk.

    groups: drawn independently of each other. exact: whether the interquartile mean of resamples
    cuts exactly a quarter (`form_of`). tasks: the shape of the axes after seeds that a user's
    statistic expects; their product is C.
    """
    size = sum(arm.size for arms in groups for arm in arms)
    batch = max(1, min(resamples, CHUNK // size))
    generators = [np.random.default_rng([*_words(key), index]) for index in range(len(groups))]
    evaluate = _weighted(groups, statistic, exact) or _copied(groups, statistic, batch, tasks)

    def chunks() -> Iterator[np.ndarray]:
        for start in range(0, resamples, batch):
            count = min(batch, resamples - start)
            pairs = zip(generators, groups, strict=True)
            yield evaluate([draw(random, arms[0], count) for random, arms in pairs])

    once = [np.arange(len(arms[0]))[None, :, None] for arms in groups]
    center = evaluate(once)[0]
    plain = _weighted(groups, statistic, exact=False) if exact else None
    value = center if plain is None else plain(once)[0]
    return Resampled(value, center, np.concatenate(list(chunks())))


Evaluate = Callable[[list[np.ndarray]], np.ndarray]
"""Drawn rows of each group -> the statistic [B, ...]."""


def _weighted(groups: Sequence[Arms], statistic: Statistic, exact: bool) -> Evaluate | None:
    form = form_of(statistic, whole=not exact)
    if form is None:
        return None
    arms = [arm for group in groups for arm in group]

    def evaluate(drawn: list[np.ndarray]) -> np.ndarray:
        counts = map(counts_of, drawn)
        return form(arms, [c for c, group in zip(counts, groups, strict=True) for _ in group])

    return evaluate


def _copied(
    groups: Sequence[Arms], statistic: Statistic, batch: int, tasks: tuple[int, ...]
) -> Evaluate:
    """Make the evaluation of any statistic, compiled once for chunks of `batch` resamples.

    Smaller chunks are padded.
    """

    def evaluate(drawn: list[np.ndarray]) -> np.ndarray:
        count = len(drawn[0])
        copies = []
        for rows, group in zip(drawn, groups, strict=True):
            rows = np.concatenate([rows, np.repeat(rows[:1], batch - count, axis=0)])
            columns = np.arange(group[0].shape[1])
            taken = (arm[rows, columns] for arm in group)
            copies += [each.reshape(*each.shape[:2], *tasks) for each in taken]
        return np.asarray(_batched(statistic)(*copies))[:count]

    return evaluate


@lru_cache(maxsize=256)
def _batched(statistic: Statistic) -> Statistic:
    return jax.jit(jax.vmap(statistic))


def counts_of(drawn: np.ndarray) -> np.ndarray:
    """Count how often each row was drawn, f32 like `drawn`."""
    batch, rows, columns = drawn.shape
    first = np.arange(batch)[:, None, None] * (rows * columns) + np.arange(columns)
    places = drawn * columns + first
    counts = np.bincount(places.ravel(), minlength=drawn.size)
    return counts.reshape(drawn.shape).astype(np.float32)


def _below(random: np.random.Generator, shape: tuple[int, ...], limit: Any) -> np.ndarray:
    """Draw integers from 0 to below limit; they do not depend on the chunks."""
    limit = np.asarray(limit, np.int32)
    drawn = (random.random(shape, np.float32) * limit.astype(np.float32)).astype(np.int32)
    return np.minimum(drawn, np.maximum(limit - 1, 0))  # u * n may round up to n


def _words(key: Key) -> list[int]:
    """Return the words of a key, as a seed for numpy; equal keys draw equal numbers."""
    return [int(word) for word in np.asarray(jax.random.key_data(key)).ravel()]
