"""Points: what a sweep varies, labelled settings of a NamedTuple's fields.

`search` makes `Points` from default values and the fields that vary. Points of Hypers or of
environment parameters become members of one program; points of a Config become groups, each with
its own program.
"""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

CONFIGURATION = "configuration"
"""The axis of points that do not form a grid."""


class Points(NamedTuple):
    """C settings of one NamedTuple, dataclass or mapping.

    base: the defaults. values: {field: C values} of the fields that vary. dims: {axis: its
    labels}; the product of their lengths is C, the last axis varies fastest. varied: for
    `one_at_a_time`, the field that each point changes.
    """

    base: Any
    values: Mapping[str, Sequence[Any]] = {}
    dims: Mapping[str, Sequence[Any]] = {}
    varied: Sequence[str] = ()

    @property
    def count(self) -> int:
        """Return C, the number of points."""
        return math.prod(len(labels) for labels in self.dims.values())

    def alternatives(self) -> dict[str, list[Any]]:
        """Return {field: values that are compared}, of which no two may be equal.

        The values of an axis, for `one_at_a_time` with the default; draws may repeat a value.
        """
        if self.varied:
            return {
                name: [
                    x for x, which in zip(values, self.varied, strict=True) if which in ("", name)
                ]
                for name, values in self.values.items()
            }
        return {name: list(labels) for name, labels in self.dims.items() if name in self.values}

    def settings(self) -> list[Any]:
        """Return the C settings: `base` with the fields of each point."""
        rows = [
            {name: values[i] for name, values in self.values.items()} for i in range(self.count)
        ]
        return [replace(self.base, row) for row in rows]


def fields(base: Any) -> dict[str, Any]:
    """Return the fields of a NamedTuple, dataclass or mapping with their values."""
    if hasattr(base, "_asdict"):
        return base._asdict()
    if dataclasses.is_dataclass(base):
        return {field.name: getattr(base, field.name) for field in dataclasses.fields(base)}
    return dict(base) if isinstance(base, Mapping) else {}


def replace(base: Any, changes: Mapping[str, Any]) -> Any:
    """Change some fields of `base`."""
    if hasattr(base, "_replace"):
        return base._replace(**changes)
    if dataclasses.is_dataclass(base):
        return dataclasses.replace(base, **changes)  # pyright: ignore[reportArgumentType]
    return {**base, **changes} if changes else base


def label(x: Any) -> Any:
    """Make the label of a value in a coordinate or a file; numbers and texts are kept."""
    if isinstance(x, np.generic):
        return x.item()
    if isinstance(x, bool | int | float | str) or x is None:
        return x
    return getattr(x, "__qualname__", None) or str(x)
