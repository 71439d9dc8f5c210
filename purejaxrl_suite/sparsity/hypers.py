"""Hyper-parameters of a sparse agent: those of the agent inside, and those of its masks."""

from typing import Annotated, Any, NamedTuple

import jax.numpy as jnp

from purejaxrl_suite.core import joined as core
from purejaxrl_suite.core.joined import Defaults
from purejaxrl_suite.core.types import Array
from purejaxrl_suite.core.validate import Range
from purejaxrl_suite.sparsity.updaters import Updater


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


def annotations(builder: Any, own: Defaults) -> dict[str, Any]:
    """Return the annotations of a sparse builder, with these fields of `MaskHypers`."""
    return core.annotations(builder, MaskHypers, own, "Sparse")


def joined(inner: Any, own: Defaults, given: Any = None) -> Any:
    """Join the Hypers of the agent inside with those of masks: defaults, or those of `given`."""
    return core.joined(inner, MaskHypers, own, "Sparse", given)


def of_agent(given: Any) -> Any:
    """Select the Hypers of the agent inside from joined ones; give others, and None, back."""
    return core.of_agent(given, MaskHypers)
