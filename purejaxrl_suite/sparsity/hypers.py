"""Hyper-parameters of a sparse agent: those of the agent inside, and those of its masks."""

from collections import namedtuple
from functools import cache
from typing import Annotated, Any, NamedTuple, get_type_hints

import jax.numpy as jnp

from purejaxrl_suite.core.types import Array
from purejaxrl_suite.core.validate import Range
from purejaxrl_suite.sparsity.updaters import Updater

Defaults = tuple[tuple[str, float], ...]
"""((field, default), ...)."""


class MaskHypers(NamedTuple):
    """Hyper-parameters of masks, f32[] each; a sparse agent has those that its updater reads.

    sparsity: share of all prunable weights that are zero in the end.
    sparsity_start, sparsity_end: fractions of training between which weights are pruned, or moved.
    drop_fraction: share of the weights in masks that are dropped at first, and grown elsewhere.
    """

    sparsity: Annotated[Any, Range(0, below=1)] = 0.0
    sparsity_start: Annotated[Any, Range(0, 1)] = 0.0
    sparsity_end: Annotated[Any, Range("sparsity_start", 1)] = 1.0
    drop_fraction: Annotated[Any, Range(0, 1)] = 0.0


def read_by(updater: Updater) -> Defaults:
    """Name the hyper-parameters that an updater reads, with defaults of arXiv 2206.10369."""
    if updater.score is None and not updater.sparse_from_start:
        return ()
    evolves = updater.drop is not None
    window = updater.schedule.reads if updater.drop is None else updater.drop.reads
    ends = {"sparsity_start": 0.0 if evolves else 0.2, "sparsity_end": 0.75 if evolves else 0.8}
    drop = (("drop_fraction", 0.3),) if evolves else ()
    target = () if updater.structure.sparsity is not None else (("sparsity", 0.9),)
    return *target, *((name, ends[name]) for name in window), *drop


def mask_hypers(updater: Updater, hypers: Any) -> MaskHypers:
    """Read the hyper-parameters of masks; those that a sparse agent lacks have no effect."""
    known = MaskHypers(sparsity=updater.structure.sparsity or 0.0)
    told: dict[str, Array] = {
        name: jnp.asarray(getattr(hypers, name, value), jnp.float32)
        for name, value in known._asdict().items()
    }
    return MaskHypers(**told)


@cache
def joined_type(inner: type, own: Defaults) -> Any:
    """Make the type of Hypers with the fields of `inner` and these fields of `MaskHypers`.

    Raises ValueError where `inner` has one of them already.
    """
    hints = get_type_hints(MaskHypers, include_extras=True)
    known: dict[str, Any] = {**get_type_hints(inner, include_extras=True)}
    defaults: dict[str, Any] = {**getattr(inner, "_field_defaults", {})}
    twice = [name for name, _ in own if name in known]
    if twice:
        raise ValueError(f"builder: {', '.join(twice)}: agents of this one are sparse already")
    for name, value in own:
        known[name] = Annotated[float, *hints[name].__metadata__]
        defaults[name] = value
    kind: Any = namedtuple(f"Sparse{inner.__name__}", known, defaults=defaults.values())
    kind.__annotations__, kind.inner = known, inner
    # The class has no place in a module, so what is pickled are its parts.
    kind.__reduce__ = lambda self: (_unpickled, (inner, own, tuple(self)))
    return kind


def joined(inner: Any, own: Defaults, given: Any = None) -> Any:
    """Join the Hypers of the agent inside with those of masks: defaults, or those of `given`."""
    values = {name: getattr(given, name, value) for name, value in own}
    return joined_type(type(inner), own)(**inner._asdict(), **values)


def of_agent(given: Any) -> Any:
    """Select the Hypers of the agent inside from joined ones; give others, and None, back."""
    inner = getattr(type(given), "inner", None)
    return given if inner is None else inner(*given[: len(inner._fields)])


def _unpickled(inner: type, own: Defaults, values: tuple[Any, ...]) -> Any:
    return joined_type(inner, own)(*values)
