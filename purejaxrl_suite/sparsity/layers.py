"""Which leaves of the parameters may be pruned: kernels, told by their names.

The number of axes tells nothing: the heads of several tasks are stacked on a first axis, and then
their biases have two axes. Biases, scales of norms and of routers, and deviations of policies are
never pruned. A noisy layer's deviations have the mask of its means: a pruned weight has no noise.
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


def _layer(name: str, shape: tuple[int, ...]) -> Layer | None:
    if name.rsplit(".", 1)[-1] not in KERNELS or len(shape) < 2:
        return None
    return Layer(name, shape[1:], shape[0]) if len(shape) % 2 else Layer(name, shape)
