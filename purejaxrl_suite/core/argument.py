"""Check single arguments; an error says in one sentence `NAME: expected X, got Y`."""

import inspect
import math
import operator
import os
import reprlib
import types
import typing
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np


class _Repr(reprlib.Repr):
    def repr_int(self, x: int, level: int) -> str:
        """Shorten long integers: Python refuses to print more than 4300 digits."""
        return super().repr_int(x, level) if abs(x) < 10**100 else "an integer of over 100 digits"


_SHORT = _Repr()
_SHORT.maxstring = _SHORT.maxother = 60
_TOLD = str | bytes | int | float | complex | list | dict | set | range | np.generic | None


def wrong(name: str, expected: str, got: Any) -> ValueError:
    """Make the ValueError to raise for an argument."""
    return ValueError(f"{name}: expected {expected}, got {shown(got)}")


def shown(value: Any) -> str:
    """Describe a value on one line: its repr if that is short, else its kind."""
    if isinstance(value, type):
        return f"the class {value.__name__}"
    if isinstance(value, _TOLD) or type(value) is tuple:
        return " ".join(_SHORT.repr(value).split())
    if hasattr(value, "dtype") and hasattr(value, "shape"):
        text = f"an array {value.dtype}{list(value.shape)}"
        return text if value.shape else f"{text} = {value}"
    if callable(value) and hasattr(value, "__qualname__"):
        return f"the function {value.__qualname__}"
    if hasattr(value, "__fspath__"):
        return repr(str(value))
    return a(type(value))


def a(kind: type) -> str:
    """Write a type's name with its article: `a Network`, `an Agent`."""
    return f"a{'n' if kind.__name__[0] in 'AEIOaeio' else ''} {kind.__name__}"


def integer(name: str, value: Any, low: int, high: int | None = None) -> int:
    """Return the integer if it is in low .. high; a bool is not an integer here."""
    try:
        found = None if isinstance(value, bool) else operator.index(value)
    except TypeError:
        found = None
    if found is None or found < low or (high is not None and found > high):
        span = f"of at least {low}" if high is None else f"in {low} .. {high}"
        raise wrong(name, f"an integer {span}", value)
    return found


def number(
    name: str,
    value: Any,
    low: float = -math.inf,
    what: str = "",
    high: float = math.inf,
    *,
    above: float = -math.inf,
    below: float = math.inf,
) -> Any:
    """Return the number if it is finite, in low .. high (inclusive), above `above`, below `below`.

    what: says what it is of.
    """
    whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
    finite = whole or (isinstance(value, float | np.floating) and math.isfinite(value))
    if not finite or not (low <= value <= high and above < value < below):
        least = "" if low == -math.inf else f" of at least {low}"
        span = least if high == math.inf else f" in {low} .. {high}"
        span += f" above {above}" * (above > -math.inf) + f" and below {below}" * (below < math.inf)
        raise wrong(name, f"a finite number{span}{what}", value)
    return value


def boolean(name: str, value: Any) -> bool:
    """Return the value if it is True or False; numbers and text are refused."""
    if not isinstance(value, bool | np.bool_):
        raise wrong(name, "True or False", value)
    return bool(value)


def instance(name: str, value: Any, kind: type) -> Any:
    """Return the value if it is of that type."""
    if not isinstance(value, kind):
        raise wrong(name, a(kind), value)
    return value


def instances(name: str, values: Any, kind: type, least: int = 1) -> tuple[Any, ...]:
    """Return a list or tuple of at least `least` values of one type, as a tuple."""
    if not isinstance(values, list | tuple) or hasattr(values, "_fields") or len(values) < least:
        raise wrong(name, f"a list of {least} or more, each {a(kind)}", values)
    return tuple(instance(f"{name}[{i}]", one, kind) for i, one in enumerate(values))


def function(name: str, value: Any, arguments: int, form: str) -> Any:
    """Return the function if it takes so many arguments; `form` is `(argument, ...) -> result`."""
    try:
        fits = callable(value)
        if fits:
            inspect.signature(value).bind(*[None] * arguments)
    except TypeError:
        fits = False
    except ValueError:  # a built-in, whose signature is not known
        fits = True
    if not fits:
        raise wrong(name, f"a function {form}", value)
    return value


def declared(value: Callable[..., Any]) -> dict[str, type]:
    """Read {argument: its type} of a function, where it is annotated with one class (or None)."""
    try:
        hints = typing.get_type_hints(value)
    except (NameError, TypeError):  # not annotated, or with names that are not at hand
        return {}
    found = {}
    for name, hint in hints.items():
        union = typing.get_origin(hint) in (typing.Union, types.UnionType)
        kinds = [x for x in (typing.get_args(hint) if union else (hint,)) if x is not type(None)]
        if len(kinds) == 1 and isinstance(kinds[0], type) and kinds[0] is not Any:
            found[name] = kinds[0]
    return found


def functions(name: str, values: Any, arguments: int, form: str) -> tuple[Any, ...]:
    """Return a list or tuple of functions as a tuple; `function` checks each."""
    if not isinstance(values, list | tuple) or hasattr(values, "_fields"):
        raise wrong(name, f"a list of functions {form}", values)
    return tuple(function(f"{name}[{i}]", one, arguments, form) for i, one in enumerate(values))


def integers(name: str, values: Any, low: int, high: int, expected: str) -> Sequence[int]:
    """Return distinct integers in low .. high, at least one; a set is refused: it has no order."""
    listed = isinstance(values, list | tuple | range) or getattr(values, "ndim", 0) == 1
    if not listed or not len(values):
        raise wrong(name, expected, values)
    if isinstance(values, range) and all(low <= x <= high for x in (values[0], values[-1])):
        return values  # however long it is
    found = [integer(f"{name}[{i}]", value, low, high) for i, value in enumerate(values)]
    if len(set(found)) < len(found):
        seen: set[int] = set()
        twice = next(x for x in found if x in seen or seen.add(x))
        raise ValueError(f"{name}: expected distinct integers, got {twice} twice")
    return found


def path(name: str, value: Any, what: str) -> str | None:
    """Return a path as text with `~` expanded, None for None; `what` says of what: "a folder"."""
    text = value.__fspath__() if hasattr(value, "__fspath__") else value
    if text is None:
        return None
    if not isinstance(text, str) or not text.strip() or "\0" in text:
        raise wrong(name, f"the path of {what}", value)
    return os.path.expanduser(text)


def place(name: str, value: Any, what: str) -> str:
    """Return a path as text; None is refused."""
    if value is None:
        raise wrong(name, f"the path of {what}", value)
    return path(name, value, what) or ""


def one_of(name: str, value: Any, known: Iterable[str]) -> str:
    """Return the text if it is one of `known`; the error suggests the nearest ones."""
    import difflib

    names = list(known)
    if isinstance(value, str) and value in names:
        return value
    lower = {one.lower(): one for one in names}
    nearest = difflib.get_close_matches(str(value).lower(), lower, n=3, cutoff=0.5)
    hint = f"; did you mean {', '.join(lower[x] for x in nearest)}?" if nearest else ""
    raise ValueError(f"{name}: expected one of {', '.join(names)}, got {shown(value)}{hint}")
