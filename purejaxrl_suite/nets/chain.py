"""Parts in a row: how they are run, started and wired, and where their parameters are."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from purejaxrl_suite.core.types import Array, Edge, Key, Path, PyTree
from purejaxrl_suite.nets.layers import READERS, Part

Taps = Mapping[str, Array]
Chain = tuple[tuple[Path, Part], ...]


def run(chain: Chain, params: PyTree, x: Array, taps: Taps) -> tuple[Array, dict[str, Array]]:
    """Output f32[B, D] of the last part, and the features of all by their full names."""
    features = {}
    for path, part in chain:
        prefix = "/".join(path) + "/"
        local = {
            name.removeprefix(prefix): tap for name, tap in taps.items() if name.startswith(prefix)
        }
        x, found = part.module.apply({"params": at(params, path)}, x, local)
        features |= {prefix + name: feature for name, feature in found.items()}
    return x, features


def start(chain: Chain, keys: Mapping[Path, Key], params: dict[str, Any], x: Array) -> Array:
    """Put fresh parameters into `params`, and return the output for x[B, ...]."""
    for path, part in chain:
        (x, _), variables = part.module.init_with_output(keys[path], x, {})
        put(params, path, variables.get("params") or {})
    return x


def wire(chain: Chain, readers: tuple[Path, ...]) -> tuple[tuple[Edge, ...], tuple[Path, ...]]:
    """The edges of a chain whose output `readers` read, and the kernels that read its input."""
    edges: tuple[Edge, ...] = ()
    for path, part in reversed(chain):
        edges = tuple(_place(edge, path, readers) for edge in part.edges) + edges
        readers = tuple((*path, *leaf) for leaf in part.inputs) or readers
    return edges, readers


def _place(edge: Edge, path: Path, readers: tuple[Path, ...]) -> Edge:
    """The edge of a part, where the part stands."""
    outgoing: tuple[Path, ...] = ()
    for leaf in edge.outgoing:
        outgoing += readers if leaf == READERS else ((*path, *leaf),)
    return edge._replace(
        layer="/".join((*path, edge.layer)),
        incoming=tuple((*path, *leaf) for leaf in edge.incoming),
        outgoing=outgoing,
    )


def at(params: PyTree, path: Path) -> PyTree:
    """The subtree at `path`; {} where a part has no parameters."""
    for name in path:
        params = params.get(name, {})
    return params


def put(params: dict[str, Any], path: Path, subtree: Mapping[str, Any]) -> None:
    """Store a subtree at `path`, unless it is empty."""
    if not subtree:
        return
    for name in path[:-1]:
        params = params.setdefault(name, {})
    params[path[-1]] = {**params.get(path[-1], {}), **subtree}


def merge(tree: PyTree) -> PyTree:
    """[T, B, ...] -> [T * B, ...]."""
    return jax.tree.map(lambda x: jnp.reshape(x, (-1, *x.shape[2:])), tree)


def separate(tree: PyTree, steps: tuple[int, ...]) -> PyTree:
    """[T * B, ...] -> [T, B, ...]."""
    return jax.tree.map(lambda x: jnp.reshape(x, (*steps, *x.shape[1:])), tree)
