"""Hyper-parameters of an agent that is made of another: those of the one inside, and its own."""

from collections import namedtuple
from functools import cache
from typing import Annotated, Any, get_type_hints

from purejaxrl_suite.core.argument import declared

Defaults = tuple[tuple[str, float], ...]
"""((field, default), ...)."""


@cache
def joined_type(inner: type, more: type, own: Defaults, prefix: str) -> Any:
    """Make the type of Hypers with the fields of `inner`, and some of those of `more`.

    Args:
        inner: Hypers of the agent inside.
        more: a NamedTuple, whose annotations have the ranges of its fields.
        own: which of them, with their defaults.
        prefix: of the name of the type, an adjective.

    Raises:
        ValueError: `inner` has one of them already.
    """
    hints = get_type_hints(more, include_extras=True)
    known: dict[str, Any] = {**get_type_hints(inner, include_extras=True)}
    defaults: dict[str, Any] = {**getattr(inner, "_field_defaults", {})}
    twice = [name for name, _ in own if name in known]
    if twice:
        said = f"agents of this one are {prefix.lower()} already"
        raise ValueError(f"builder: {', '.join(twice)}: {said}")
    for name, value in own:
        known[name] = Annotated[float, *hints[name].__metadata__]
        defaults[name] = value
    kind: Any = namedtuple(f"{prefix}{inner.__name__}", known, defaults=defaults.values())
    kind.__annotations__, kind.inner, kind.more = known, inner, more
    # The class has no place in a module, so what is pickled are its parts.
    kind.__reduce__ = lambda self: (_unpickled, (inner, more, own, prefix, tuple(self)))
    return kind


def joined(inner: Any, more: type, own: Defaults, prefix: str, given: Any = None) -> Any:
    """Join Hypers with others: these have their defaults, or the values that `given` has."""
    values = {name: getattr(given, name, value) for name, value in own}
    return joined_type(type(inner), more, own, prefix)(**inner._asdict(), **values)


def of_agent(given: Any, more: type) -> Any:
    """Select the Hypers inside from some that `more` was joined to; give others, and None, back."""
    if getattr(type(given), "more", None) is not more:
        return given
    inner: Any = type(given).inner
    return inner(*given[: len(inner._fields)])


def annotations(builder: Any, more: type, own: Defaults, prefix: str) -> dict[str, Any]:
    """Return the annotations of a builder that is made of another, as far as that one has its own.

    builder: the one inside, (env, config, network, hypers) -> Agent. Others: of `joined_type`.
    """
    known = {n: x for n, x in declared(builder).items() if n in ("config", "network", "hypers")}
    if hasattr(known.get("hypers"), "_fields"):
        known["hypers"] = joined_type(known["hypers"], more, own, prefix)
    return {name: x | None for name, x in known.items()}


def _unpickled(inner: type, more: type, own: Defaults, prefix: str, values: tuple[Any, ...]) -> Any:
    return joined_type(inner, more, own, prefix)(*values)
