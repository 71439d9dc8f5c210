"""Hyper-parameters of a sparse agent: those of the agent inside, and those of its masks."""

from collections import namedtuple
from functools import cache
from typing import Annotated, Any, get_type_hints

from purejaxrl_suite.core.validate import Range
from purejaxrl_suite.sparsity.updaters import Updater

FIELDS: dict[str, tuple[Any, float]] = {
    "sparsity": (Annotated[float, Range(0, below=1)], 0.9),
    "sparsity_start": (Annotated[float, Range(0, "sparsity_end")], 0.2),
    "sparsity_end": (Annotated[float, Range(above=0, high=1)], 0.8),
    "drop_fraction": (Annotated[float, Range(0, 1)], 0.3),
}
"""{field: (its type, its default)}.

sparsity: share of all prunable weights that are zero, in the end. sparsity_start, sparsity_end: the
fractions of training between which masks become sparser; after the end, those that drop and grow
stay as they are. drop_fraction: share of the weights in masks that are dropped, and grown
elsewhere, at first; it falls to 0 as a cosine.
"""


def fields_of(updater: Updater) -> tuple[str, ...]:
    """Name the hyper-parameters that an updater reads."""
    if updater.drop is not None:
        return "sparsity", "sparsity_start", "sparsity_end", "drop_fraction"
    if updater.sparse_from_start:
        return ("sparsity",)
    return () if updater.score is None else ("sparsity", "sparsity_start", "sparsity_end")


@cache
def joined_type(inner: type, names: tuple[str, ...]) -> Any:
    """Make the Hypers that have the fields of `inner` and these of `FIELDS`.

    Raises ValueError where `inner` has one of them already.
    """
    known: dict[str, Any] = {**get_type_hints(inner, include_extras=True)}
    defaults: dict[str, Any] = {**getattr(inner, "_field_defaults", {})}
    twice = [name for name in names if name in known]
    if twice:
        raise ValueError(f"{inner.__name__} has {', '.join(twice)} already: is it sparse already?")
    for name in names:
        known[name], defaults[name] = FIELDS[name]
    kind: Any = namedtuple(f"Sparse{inner.__name__}", known, defaults=defaults.values())
    kind.__annotations__, kind.inner = known, inner
    # The class has no place in a module, so what is pickled are its parts.
    kind.__reduce__ = lambda self: (_unpickled, (inner, names, tuple(self)))
    return kind


def joined(inner: Any, names: tuple[str, ...], given: Any = None) -> Any:
    """Join the Hypers of the agent inside with those of its masks, by default or as `given`."""
    kind = joined_type(type(inner), names)
    own = {name: getattr(given, name, FIELDS[name][1]) for name in names}
    return kind(**inner._asdict(), **own)


def split(given: Any) -> Any:
    """Give the agent inside its part of joined Hypers; others, and None, are what they are."""
    inner = getattr(type(given), "inner", None)
    return given if inner is None else inner(*given[: len(inner._fields)])


def _unpickled(inner: type, names: tuple[str, ...], values: tuple[Any, ...]) -> Any:
    return joined_type(inner, names)(*values)
