"""Checks of arguments, made before anything is traced: a ValueError names what is wrong."""

from typing import Any


def positive(config: Any, *names: str) -> None:
    """Raise ValueError unless these fields of `config` are integers of at least 1."""
    for name in names:
        value = getattr(config, name)
        if not isinstance(value, int) or value < 1:
            raise ValueError(f"{name} must be an integer of at least 1, got {value!r}")


def divides(name: str, parts: int, whole: int, what: str) -> None:
    """Raise ValueError unless `parts` divides `whole`, of which `what` says what it counts."""
    if parts < 1 or whole % parts:
        raise ValueError(f"{name}={parts} must divide the {whole} {what}")
