"""Check settings before anything is traced: a ValueError says what is wrong.

The annotation of each field of a Config and of Hypers has a `Range` of valid values.
"""

import math
import operator
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, get_type_hints

import numpy as np

from purejaxrl_suite.core.argument import boolean, instance, shown, wrong
from purejaxrl_suite.core.types import Environment


class Range(NamedTuple):
    """Valid values of a field: `gamma: Annotated[float, Range(0, 1)] = 0.99`.

    low, high: inclusive bounds. above, below: exclusive bounds. Each is a number, or the name of
    another field of the same type; in Hypers also of a field of the Config, a switch being 0 or 1.
    integer: whole numbers only; Hypers hold them as floats.
    """

    low: float | str = -math.inf
    high: float | str = math.inf
    above: float | str = -math.inf
    below: float | str = math.inf
    integer: bool = False

    def describe(self, known: Mapping[str, Any] | None = None) -> str:
        """Describe the range in words; `known` has values of the fields that it names."""

        def end(x: float | str) -> str:
            value = (known or {}).get(x) if isinstance(x, str) else None
            return f"{x:g}" if not isinstance(x, str) else x if value is None else f"{x}={value:g}"

        kind = "an integer" if self.integer else "a number"
        start = f"({end(self.above)}" if self.low == -math.inf else f"[{end(self.low)}"
        stop = f"{end(self.below)})" if self.high == math.inf else f"{end(self.high)}]"
        least, most = start[1:] != "-inf", stop[:-1] != "inf"
        if least and most:
            return f"{kind} in {start}, {stop}"
        if least:
            return f"{kind} {'of at least' if start[0] == '[' else 'above'} {start[1:]}"
        if most:
            return f"{kind} {'of at most' if stop[-1] == ']' else 'below'} {stop[:-1]}"
        return "an integer" if self.integer else "a finite number"

    def holds(self, x: np.ndarray, known: Mapping[str, Any]) -> np.ndarray:
        """Tell which of the numbers are in range, bool like x; `known` as in `describe`."""
        low, high, above, below = (known[e] if isinstance(e, str) else e for e in self[:4])
        return np.isfinite(x) & (low <= x) & (x <= high) & (above < x) & (x < below)


def parts(env: Any, network: Any, kind: type) -> None:
    """Raise ValueError unless a builder was given an environment, and a network or None."""
    instance("env", env, Environment)
    if network is not None:
        instance("network", network, kind)


def settings[C, H](config: C | None, hypers: H | None, defaults: tuple[C, H]) -> tuple[C, H]:
    """Fill in a builder's defaults and check its Config; its numbers become Python's own.

    Ranges of Hypers are checked later, for every member, when the members are known.

    Args:
        config: the Config; None is the default.
        hypers: the Hypers; None is the default.
        defaults: of both.

    Returns:
        The Config and the Hypers.

    Raises:
        ValueError: one is of another type, or a field of the Config is out of its Range.
    """
    config = defaults[0] if config is None else config
    hypers = defaults[1] if hypers is None else hypers
    instance("config", config, type(defaults[0]))
    instance("hypers", hypers, type(defaults[1]))
    return fields("config", config), hypers


def ranges(kind: type) -> dict[str, tuple[Any, Range]]:
    """Return {field: (its type, its Range)} of a NamedTuple; `Range()` where it has none."""
    found = {}
    for name, hint in get_type_hints(kind, include_extras=True).items():
        marks = [mark for mark in getattr(hint, "__metadata__", ()) if isinstance(mark, Range)]
        found[name] = getattr(hint, "__origin__", hint) if marks else hint, (*marks, Range())[0]
    return found


def columns(kind: type, values: Mapping[str, Sequence[Any]], config: Any) -> dict[str, np.ndarray]:
    """Convert values of Hypers, by field, to the float32 numbers that programs are given.

    Args:
        kind: the type of the Hypers.
        values: by field one value, or one for each member.
        config: the Config, whose fields a Range may name.

    Returns:
        {field: f32 [1] or [members]}.

    Raises:
        ValueError: a value is out of its range, or must be whole and float32 cannot hold it; the
            message names field, range and value.
    """
    exact = {name: np.asarray([_number(x) for x in xs]) for name, xs in values.items()}
    seen = {name: _as_float32(x) for name, x in exact.items()}
    known = (config._asdict() if hasattr(config, "_asdict") else {}) | seen
    for name, (_, allowed) in ranges(kind).items():
        inside = allowed.holds(seen[name], known)
        if allowed.integer:
            inside &= (np.round(exact[name]) == exact[name]) & (seen[name] == exact[name])
        if not np.all(inside):
            raise _outside(
                name, allowed, at=int(np.argmin(inside)), values=values, exact=exact, known=known
            )
    return seen


def divides(name: str, parts: int, whole: int, what: str) -> None:
    """Raise ValueError unless `parts` divides `whole`; `what` says what `whole` counts."""
    if parts < 1 or whole % parts:
        raise ValueError(f"{name}={parts} must divide the {whole} {what}")


def _outside(
    name: str,
    allowed: Range,
    at: int,
    values: Mapping[str, Sequence[Any]],
    exact: Mapping[str, np.ndarray],
    known: Mapping[str, Any],
) -> ValueError:
    """Make the ValueError for the value of member `at` in the field `name`."""
    here = {n: x.flat[min(at, np.size(x) - 1)] for n, x in _numeric(known).items()}
    own = min(at, len(values[name]) - 1)
    given, value = exact[name][own], values[name][own]
    text = shown(value.item() if isinstance(value, np.generic) else value)
    if allowed.holds(given, here) and not (allowed.integer and given % 1):
        text += f", which is {here[name]:.9g} in float32"
    return ValueError(f"hypers.{name}: expected {allowed.describe(here)}, got {text}")


def fields(name: str, config: Any) -> Any:
    """Check the fields of a Config by their ranges; their numbers become Python's own.

    name: of the argument, for messages.

    Raises:
        ValueError: a field is out of its Range, or of another type.
    """
    checked = {}
    for field, (kind, allowed) in ranges(type(config)).items():
        value = getattr(config, field)
        checked[field] = _setting(
            f"{name}.{field}", value, kind=kind, allowed=allowed, known=config._asdict()
        )
    return config._replace(**checked)


def _setting(name: str, value: Any, kind: Any, allowed: Range, known: Mapping[str, Any]) -> Any:
    """Return the value of a Config's field in Python's own type."""
    if kind is bool:
        return boolean(name, value)
    if hasattr(kind, "_fields"):
        return fields(name, instance(name, value, kind))
    if kind not in (int, float):
        return value
    number = np.asarray(_number(value))
    whole = isinstance(value, int | np.integer)
    if not (allowed.holds(number, _numeric(known)) and (whole or kind is float)):
        text = allowed._replace(integer=kind is int).describe(_numeric(known))
        raise wrong(name, text, value)
    return operator.index(value) if whole else float(value)


def _number(x: Any) -> float:
    """Convert to float; NaN for anything that is not a number: a bool, text, an array with axes."""
    plain = isinstance(x, int | float | np.integer | np.floating) and not isinstance(x, bool)
    scalar = getattr(x, "shape", None) == () and getattr(x, "dtype", np.dtype("O")).kind in "iuf"
    if not (plain or scalar):
        return math.nan
    try:
        return float(x)
    except OverflowError:  # an integer beyond floats
        return math.inf


def _as_float32(x: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore", under="ignore"):
        single = x.astype(np.float32)
    # Programs flush subnormal numbers to 0.
    return np.where(np.abs(single) < np.finfo(np.float32).tiny, np.float32(0), single)


def _numeric(known: Mapping[str, Any]) -> dict[str, np.ndarray]:
    found = {name: np.asarray(x) for name, x in known.items()}
    return {name: 1 * x for name, x in found.items() if x.dtype.kind in "biuf"}
