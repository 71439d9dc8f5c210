"""Which leaves of the parameters may be pruned: kernels, told by their names.

The number of axes tells nothing: the heads of several tasks are stacked on a first axis, and then
their biases have two axes. Biases, scales of norms and of routers, and deviations of policies are
never pruned. A noisy layer's deviations have the mask of its means: a pruned weight has no noise.
The copy that an injectable network subtracts has the masks of the one that learns, from which it
does not differ at first.
"""

import math
from collections.abc import Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp

from purejaxrl_suite.core import tree
from purejaxrl_suite.core.types import Array, PyTree

KERNELS = frozenset({"kernel", "input", "recurrent", "action"})
"""Names of kernels: of dense layers and convolutions; of gates of a GRU; of the actions of a
transition model."""

NOISE = "_sigma"
"""Behind the name of a noisy layer's kernel, that of its deviations."""

LEARNING, SUBTRACTED = "aux.injection.new.", "aux.injection.anchor."
"""Before the names of an injectable network's copies."""


class Layer(NamedTuple):
    """A kernel that may be pruned.

    name: of its leaf, `trunk.dense_0.kernel`. shape: of one kernel: dense (inputs, outputs),
    convolution (height, width, inputs, outputs). entries: how many of them are stacked on a first
    axis of the leaf, as heads of tasks are; each has its own mask with its own count.
    """

    name: str
    shape: tuple[int, ...]
    entries: int = 1

    @property
    def size(self) -> int:
        """Weights of all entries."""
        return self.entries * math.prod(self.shape)

    def apart(self, leaf: Array) -> Array:
        """The leaf as [entries, *shape]."""
        return jnp.reshape(leaf, (self.entries, *self.shape))


def kernels(params: PyTree) -> tuple[Layer, ...]:
    """Every prunable kernel, in the order of the leaves; of `params` only shapes are read.

    A kernel with an odd number of axes is a stack over its first axis: dense kernels have two axes
    and convolutions of images four. Raises ValueError where there is no kernel.
    """
    found = [_layer(name, leaf.shape) for name, leaf in tree.named(params).items()]
    kept = tuple(layer for layer in found if layer is not None)
    if not kept:
        raise ValueError(f"params: expected leaves named {', '.join(sorted(KERNELS))}, got none")
    return kept


def prunable(params: PyTree) -> PyTree:
    """A tree of Python bools like the parameters: which leaves are kernels."""
    names = {layer.name for layer in kernels(params)}
    told = [name in names for name in tree.named(params)]
    return jax.tree.unflatten(jax.tree.structure(params), told)


def replaced(whole: PyTree, leaves: Mapping[str, Array]) -> PyTree:
    """The tree with other leaves in place of those of these names."""
    told = [leaves.get(name, leaf) for name, leaf in tree.named(whole).items()]
    return jax.tree.unflatten(jax.tree.structure(whole), told)


def shared(masks: Mapping[str, Array]) -> dict[str, Array]:
    """Add to the masks of layers those of leaves that have the same: deviations and copies."""
    copied = {
        SUBTRACTED + name.removeprefix(LEARNING): mask
        for name, mask in masks.items()
        if name.startswith(LEARNING)
    }
    kernels = {**masks, **copied}
    return kernels | {name + NOISE: mask for name, mask in kernels.items()}


def _layer(name: str, shape: tuple[int, ...]) -> Layer | None:
    if name.rsplit(".", 1)[-1] not in KERNELS or len(shape) < 2 or name.startswith(SUBTRACTED):
        return None
    return Layer(name, shape[1:], shape[0]) if len(shape) % 2 else Layer(name, shape)
