"""Choose the settings that a sweep tries: grids, random and Sobol draws, one field at a time.

Each function makes `Points` from default values and the fields that vary:

    pjs.search.grid(pjs.PPOHypers(), learning_rate=[1e-3, 1e-2], gamma=[0.9, 0.99])
    pjs.search.random(pjs.PPOHypers(), 64, learning_rate=pjs.search.log_uniform(1e-5, 1e-2))
"""

import itertools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from purejaxrl_suite.core.argument import integer, number, wrong
from purejaxrl_suite.sweeps.axes import CONFIGURATION, Points, fields

MOST = 2**20
"""The most points of one search: each is made, checked and labelled by itself."""

Quantile = Callable[[np.ndarray], np.ndarray]
"""The quantile function of a distribution: probabilities f64[C] in [0, 1) -> values [C]."""


def grid(base: Any, /, **values: Iterable[Any]) -> Points:
    """Combine every value of each field with every value of the others.

    Args:
        base: settings, such as PPOHypers(), with values for the other fields.
        **values: by field, the values to try.

    Returns:
        Points with one axis per field.

    Raises:
        ValueError: `base` lacks a field, or a field has no values or repeats one.

    Example:
        >>> points = pjs.search.grid(pjs.PPOHypers(), gamma=[0.9, 0.99], gae_lambda=[0.9, 0.95])
        >>> points.count
        4
    """
    axes = {name: _distinct(base, name, options) for name, options in values.items()}
    _check_count("grid", math.prod(map(len, axes.values())))
    rows = list(itertools.product(*axes.values()))
    columns = {name: [row[i] for row in rows] for i, name in enumerate(axes)}
    return Points(base, columns, axes)


def one_at_a_time(base: Any, /, **values: Iterable[Any]) -> Points:
    """Vary each field by itself, from the defaults, as sensitivity is usually measured.

    Args:
        base: settings, such as PPOHypers(): the defaults.
        **values: by field, the values to try; the default is not repeated.

    Returns:
        Points, the first of which is the defaults.

    Raises:
        ValueError: `base` lacks a field, or a field has no values or repeats one.
    """
    axes = {name: _distinct(base, name, options) for name, options in values.items()}
    rows, varied = [{}], [""]
    for name, options in axes.items():
        default = fields(base)[name]
        rows += [{name: option} for option in options if option != default]
        varied += [name] * (len(rows) - len(varied))
    columns = {name: [row.get(name, fields(base)[name]) for row in rows] for name in axes}
    return Points(base, columns, {CONFIGURATION: range(len(rows))}, varied)


def uniform(low: float, high: float) -> Quantile:
    """Make a uniform distribution over [low, high], for `random` and `sobol`."""
    _check_ends("uniform", low, high)
    return lambda u: low + u * (high - low)


def log_uniform(low: float, high: float) -> Quantile:
    """Make a log-uniform distribution over [low, high], for `random` and `sobol`.

    Raises:
        ValueError: not 0 < low < high.
    """
    _check_ends("log_uniform", low, high)
    if low <= 0:
        raise ValueError(f"log_uniform: expected 0 < low < high, got {low} and {high}")
    return lambda u: low * (high / low) ** u


def choice(options: Sequence[Any]) -> Quantile:
    """Make a distribution over options of equal probability, for `random` and `sobol`.

    Raises:
        ValueError: the options are not a list with at least one entry.
    """
    if isinstance(options, str) or not hasattr(options, "__len__") or not len(options):
        raise wrong("choice", "a list of options, at least one", options)
    return lambda u: np.asarray(options)[
        np.minimum((u * len(options)).astype(int), len(options) - 1)
    ]


def random(base: Any, count: int, /, *, seed: int = 0, **ranges: Quantile) -> Points:
    """Draw settings independently at random.

    Args:
        base: settings, such as PPOHypers(), with values for the other fields.
        count: how many points.
        seed: of the draws.
        **ranges: by field, a distribution: `uniform`, `log_uniform` or `choice`.

    Returns:
        Points.

    Raises:
        ValueError: `base` lacks a field, or no range is given.

    Example:
        >>> rates = pjs.search.log_uniform(1e-5, 1e-2)
        >>> points = pjs.search.random(pjs.PPOHypers(), 64, learning_rate=rates)
        >>> points.count
        64
    """
    _check_draw(base, count, seed, ranges)
    return _drawn(base, np.random.default_rng(seed).random((count, len(ranges))), ranges)


def sobol(base: Any, count: int, /, *, seed: int = 0, **ranges: Quantile) -> Points:
    """Draw settings from a scrambled Sobol sequence, which is more even than `random`.

    Owen scrambling, from scipy.stats.qmc.

    Args:
        base: settings, such as PPOHypers(), with values for the other fields.
        count: how many points, best a power of 2.
        seed: of the scrambling.
        **ranges: by field, a distribution: `uniform`, `log_uniform` or `choice`.

    Returns:
        Points.

    Raises:
        ValueError: `base` lacks a field, or no range is given.
    """
    from scipy.stats import qmc

    _check_draw(base, count, seed, ranges)
    sequence = qmc.Sobol(len(ranges), scramble=True, rng=seed)
    return _drawn(base, sequence.random_base2(math.ceil(math.log2(count)))[:count], ranges)


def _check_field(base: Any, name: str) -> None:
    if isinstance(base, type):
        raise wrong("base", f"settings to vary, such as {base.__name__}()", base)
    known = fields(base)
    if name not in known:
        raise ValueError(
            f"{name!r} is not a field of {type(base).__name__}, "
            f"which has: {', '.join(known) or 'none'}"
        )


def _distinct(base: Any, name: str, given: Iterable[Any]) -> list[Any]:
    _check_field(base, name)
    if isinstance(given, str | Mapping) or not isinstance(given, Iterable):
        raise wrong(name, "a list of distinct values, at least one", given)
    options = list(itertools.islice(given, MOST + 1))
    _check_count(name, len(options))
    try:
        distinct = len(set(options)) == len(options)
    except TypeError:  # arrays and other unhashable values
        distinct = not any(_same(one, two) for one, two in itertools.combinations(options, 2))
    if not options or not distinct:
        raise wrong(name, "distinct values, at least one", options)
    return options


def _same(one: Any, two: Any) -> bool:
    return bool(np.array_equal(np.asarray(one), np.asarray(two)))


def _check_ends(name: str, low: float, high: float) -> None:
    """Raise ValueError unless low < high in float32, the dtype that programs are given."""
    number(f"{name}: low", low, -math.inf)
    number(f"{name}: high", high, -math.inf)
    ends = np.clip([low, high], -1e39, 1e39)
    with np.errstate(over="ignore"):
        first, last = ends.astype(np.float32)
    if not (np.isfinite(first) and np.isfinite(last) and first < last):
        raise ValueError(f"{name}: expected finite low < high, got {low} and {high}")


def _check_count(name: str, count: int) -> None:
    """Raise ValueError for more than `MOST` points."""
    if count > MOST:
        raise ValueError(f"{name}: expected at most {MOST:,} configurations, got {count:,}")


def _check_draw(base: Any, count: int, seed: int, ranges: Mapping[str, Quantile]) -> None:
    _check_count("count", integer("count", count, 1))
    integer("seed", seed, 0)
    if not ranges:
        raise ValueError("expected at least one range, such as gamma=uniform(0.9, 1.0), got none")
    for name, quantile in ranges.items():
        _check_field(base, name)
        if not callable(quantile):
            raise ValueError(
                f"{name}: expected uniform(...), log_uniform(...) or choice(...), got {quantile!r}"
            )


def _drawn(base: Any, unit: np.ndarray, ranges: Mapping[str, Quantile]) -> Points:
    values = {name: ranges[name](unit[:, i]).tolist() for i, name in enumerate(ranges)}
    return Points(base, values, {CONFIGURATION: range(len(unit))})
