"""Edit a learner: replace parameters, and zero the optimizer's moments of them.

The wiring of the network says which entries belong to a unit. Moments are found in any optax state
by its structure (`core.tree.map_moments`) and become zero exactly where parameters were changed.
The optimizer's count of steps can be treated in three ways:
- kept, as in the papers: bias correction then takes the zeros for measured moments, so the first
  steps of fresh entries are 3 to 7 times too long;
- reset for the whole network: `reset_count=True`;
- counted for each entry: `per_entry_counts` around the optimizer, which needs nothing here, since
  its counts are shaped like the parameters and become zero with the moments.
"""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from purejaxrl_suite.core import tree
from purejaxrl_suite.core.argument import boolean, function
from purejaxrl_suite.core.types import Array, Edge, Key, Learner, Network, Path, PyTree

Masks = Mapping[Path, Array]
Draw = Callable[[Key, Network], PyTree]
Initializer = Callable[[Key, tuple[int, ...]], Array]


def check_draw(draw: Any, reset_count: Any = False) -> None:
    """Raise ValueError unless `draw` and `reset_count` are valid arguments of interventions."""
    function("draw", draw, 2, "(key, network) -> parameters")
    boolean("reset_count", reset_count)


def recycle(
    learner: Learner, fresh: PyTree, incoming: Masks, outgoing: Masks, *, reset_count: bool
) -> Learner:
    """Replace units: redraw their incoming parameters, zero their outgoing weights.

    Args:
        learner: to change.
        fresh: parameters of the same structure.
        incoming: {path of a leaf: bool[H]} over its last axis.
        outgoing: {path of a kernel: bool[rows]} over its second-to-last axis; entries of both
            become zero.
        reset_count: set the optimizer's count of steps to zero.

    Returns:
        The learner.
    """

    def masks(path: tuple, leaf: Array) -> tuple[Array, Array]:
        name, none = _name(path), jnp.zeros((1,) * leaf.ndim, bool)
        columns, rows = incoming.get(name), outgoing.get(name)
        into = none if columns is None else jnp.reshape(columns, none.shape[:-1] + columns.shape)
        out = none if rows is None else jnp.reshape(rows, (*none.shape[:-2], rows.shape[0], 1))
        return jnp.broadcast_to(into, leaf.shape), jnp.broadcast_to(out, leaf.shape)

    def edit(path: tuple, old: Array, new: Array) -> Array:
        into, out = masks(path, old)
        return jnp.where(out, 0.0, jnp.where(into, new, old)).astype(old.dtype)

    params = jax.tree.map_with_path(edit, learner.params, fresh)
    touched = jax.tree.map_with_path(lambda path, x: jnp.logical_or(*masks(path, x)), params)
    return tree.forget(learner._replace(params=params), touched, reset_count=reset_count)


def incoming(edge: Edge, units: Array) -> dict[Path, Array]:
    """Mask the incoming leaves of units bool[H]."""
    return dict.fromkeys(edge.incoming, units)


def outgoing(edges: Mapping[str, Edge], units: Mapping[str, Array], params: PyTree) -> Masks:
    """Mask the rows that units bool[H] of several layers feed, in all kernels.

    Row r belongs to unit r % H: channels are the last axis of a flattened feature map, so units are
    tiled over positions (a released implementation repeats them, which zeroes other units' rows).
    """
    found: dict[Path, Array] = {}
    for layer, mask in units.items():
        for path in edges[layer].outgoing:
            rows = jnp.tile(mask, tree.at(params, path).shape[-2] // mask.shape[0])
            found[path] = found[path] | rows if path in found else rows
    return found


def own_initializer(key: Key, network: Network) -> PyTree:
    """Draw fresh parameters by the network's own initializer."""
    return network.init(key)


def xavier(key: Key, network: Network) -> PyTree:
    """Draw Xavier uniform kernels and zero biases, as ReDo's code does."""
    kernel = jax.nn.initializers.xavier_uniform()
    return _redrawn(key, network, kernel, lambda key, shape, inputs: jnp.zeros(shape))


def zeros(key: Key, network: Network) -> PyTree:
    """Make parameters of zeros: `recycle_by` with this draw prunes units.

    If activations are zero at zero, pruning is permanent: incoming and outgoing weights of a pruned
    unit are zero, and then so are the gradients of both.
    """
    return jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), jax.eval_shape(network.init, key))


def he_uniform(key: Key, network: Network) -> PyTree:
    """Draw kernels within sqrt(6 / inputs), biases within 1 / sqrt(inputs), as in GraMa's code."""
    kernel = jax.nn.initializers.he_uniform()

    def bias(key: Key, shape: tuple[int, ...], inputs: int) -> Array:
        bound = inputs**-0.5
        return jax.random.uniform(key, shape, minval=-bound, maxval=bound)

    return _redrawn(key, network, kernel, bias)


def _redrawn(
    key: Key,
    network: Network,
    kernel: Initializer,
    bias: Callable[[Key, tuple[int, ...], int], Array],
) -> PyTree:
    """Draw the network's own fresh parameters, but kernels and their biases by these functions."""
    init_key, draw_key = jax.random.split(key)
    fresh = network.init(init_key)
    paths = [path for path, _ in jax.tree.leaves_with_path(fresh)]
    keys = dict(zip(map(_name, paths), jax.random.split(draw_key, len(paths)), strict=True))

    def visit(node: PyTree, path: Path) -> PyTree:
        if not isinstance(node, Mapping):
            return node
        node = {name: visit(child, (*path, name)) for name, child in node.items()}
        if "kernel" not in node:
            return node
        shape = node["kernel"].shape
        inputs = node["kernel"].size // shape[-1]
        node = node | {"kernel": kernel(keys[*path, "kernel"], shape)}
        if "bias" in node:
            node = node | {"bias": bias(keys[*path, "bias"], node["bias"].shape, inputs)}
        return node

    return visit(fresh, ())


def _name(path: tuple) -> Path:
    return tuple(part.key for part in path)
