"""Users' agents on the command line."""

import types
import typing
from typing import Any

from purejaxrl_suite.core.argument import shown, wrong


def defaults(flag: str, build: Any) -> tuple[Any, Any]:
    """Return the defaults of the Config and the Hypers of a builder of agents.

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
    return _default(flag, "config", hints), _default(flag, "hypers", hints)


def _default(flag: str, name: str, hints: dict[str, Any]) -> Any:
    hint: Any = hints.get(name)
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
