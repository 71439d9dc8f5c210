"""Recipes: how an environment was made, as text to read and to compare environments by.

`Environment.recipe` has one line for its maker and one for each wrapper around it, with all
arguments, defaults included. Arrays are written as shape, dtype and checksum, functions as their
names. The recipe of a user's own environment is empty.
"""

import functools
import inspect
import zlib
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

from purejaxrl_suite.core.host import refuse_host
from purejaxrl_suite.core.types import Environment


def recorded[**P](maker: Callable[P, Environment]) -> Callable[P, Environment]:
    """Decorate a maker or wrapper of environments: its call becomes the last line of the recipe.

    The recipe of an argument `env`, the wrapped Environment, comes first.
    """
    signature = inspect.signature(maker)

    @functools.wraps(maker)
    def made(*args: P.args, **kwargs: P.kwargs) -> Environment:
        for value in (*args, *kwargs.values()):
            _refuse_hosts(maker.__name__, value)
        env = maker(*args, **kwargs)
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
        wrapped = bound.arguments.pop("env", None)
        before = () if wrapped is None else wrapped.recipe
        return env._replace(recipe=(*before, called(maker.__name__, **bound.arguments)))

    return made


def _refuse_hosts(maker: str, value: Any) -> None:
    """Raise ValueError for an environment on the host, whose steps nothing here would change."""
    several = isinstance(value, list | tuple) and not isinstance(value, Environment)
    for one in value if several else (value,):
        if isinstance(one, Environment):
            refuse_host(one, f"`{maker}`; wrap the Gymnasium environments themselves")


def called(maker: str, *values: Any, **options: Any) -> str:
    """Write a call as text: `make('CartPole-v1', length=2.0)`."""
    named = [f"{name}={told(value)}" for name, value in options.items()]
    return f"{maker}({', '.join([*map(told, values), *named])})"


def made_by(
    makers: Mapping[str, Callable[..., Environment]], id: str, options: Mapping[str, Any]
) -> Environment:
    """Make the environment of an id, named so and with its recipe.

    Args:
        makers: functions that make environments, by id.
        id: one of these.
        options: arguments of its function.

    Returns:
        The environment.

    Raises:
        ValueError: the id or an option is unknown, or an option is out of range.
    """
    if id not in makers:
        raise ValueError(f"id: expected one of {sorted(makers)}, got {id!r}")
    known = inspect.signature(makers[id])
    unknown = sorted(set(options) - set(known.parameters))
    if unknown:
        raise ValueError(f"{id} has no option {', '.join(unknown)}; it has {[*known.parameters]}")
    given = known.bind(**options)
    given.apply_defaults()
    env = makers[id](**given.arguments)
    return env._replace(name=id, recipe=(called("make", id, **given.arguments),))


def told(value: Any) -> str:
    """Write an argument as text, equal in every process."""
    if isinstance(value, Environment):
        return " > ".join(value.recipe) or f"own({value.name!r})"
    if isinstance(value, np.ndarray | np.generic | jax.Array):
        return _array(np.asarray(value))
    if value is None or isinstance(value, str | int | float):
        return repr(value)
    if hasattr(value, "_asdict"):
        return called(type(value).__name__, **value._asdict())
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{told(k)}: {told(x)}" for k, x in value.items()) + "}"
    if isinstance(value, list | tuple | range):
        return f"[{', '.join(map(told, value))}]"
    if isinstance(value, functools.partial):
        return called(told(value.func), *value.args, **value.keywords)
    return getattr(value, "__qualname__", type(value).__qualname__)


def _array(value: np.ndarray) -> str:
    if value.ndim == 0:
        return repr(value.item())
    checksum = zlib.crc32(np.ascontiguousarray(value).tobytes())
    return f"{value.dtype}{list(value.shape)}#{checksum:08x}"
