"""Users' agents on the command line."""

import types
import typing
from collections.abc import Callable
from typing import Any

from purejaxrl_suite.core.argument import shown, wrong


def builder(flag: str, build: Any) -> tuple[Callable[..., Any], Any, Any]:
    """Return a builder of agents with the defaults of its Config and Hypers.

    The types are read from its annotations: `def sarsa(env, config: SarsaConfig | None = None,
    network=None, hypers: SarsaHypers | None = None) -> Agent`.

    Raises:
        ValueError: they are not NamedTuples with defaults for all fields.
    """
    if not callable(build):
        raise wrong(flag, "a function (env, config, network, hypers) -> Agent", build)
    try:
        hints = typing.get_type_hints(build)
    except (NameError, TypeError) as error:
        raise ValueError(
            f"{flag}: the annotations of {shown(build)} mean nothing: {error}"
        ) from None
    return build, *(_defaults(flag, name, hints.get(name)) for name in ("config", "hypers"))


def _defaults(flag: str, name: str, hint: Any) -> Any:
    union = typing.get_origin(hint) in (typing.Union, types.UnionType)
    kinds = [
        kind for kind in (typing.get_args(hint) if union else [hint]) if kind is not type(None)
    ]
    if len(kinds) != 1 or not hasattr(kinds[0], "_fields"):
        raise ValueError(
            f"{flag}: expected its argument `{name}` to be annotated with a NamedTuple, from which "
            f"flags are made, got {hint}"
        )
    try:
        return kinds[0]()
    except TypeError:
        raise ValueError(
            f"{flag}: expected a default for every field of {kinds[0].__name__}"
        ) from None
