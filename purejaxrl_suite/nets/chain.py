"""Chains of parts: how they are applied, initialised and wired, and where their parameters are."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from purejaxrl_suite.core.types import Array, Edge, Key, Path, PyTree
from purejaxrl_suite.nets.layers import READERS, Part
from purejaxrl_suite.nets.routers import Routing

Taps = Mapping[str, Array]
Chain = tuple[tuple[Path, Part], ...]


class Seen(NamedTuple):
    """Intermediate results of a chain: `features`, `router` and `aux_loss` of `Internals`."""

    features: dict[str, Array]
    router: dict[str, Array]
    aux_loss: Array | float

    def also(self, other: "Seen") -> "Seen":
        """Merge two of them."""
        loss = self.aux_loss + other.aux_loss
        return Seen(self.features | other.features, self.router | other.router, loss)


NOTHING = Seen({}, {}, 0.0)


def run(chain: Chain, params: PyTree, obs: Array, taps: Taps) -> tuple[Array, Seen]:
    """Apply a chain to obs[B, ...]: the output f32[B, D] of the last part, and all that was seen.

    Args:
        chain: the parts with their paths.
        params: of the whole network.
        obs: observations.
        taps: by full feature name.

    Returns:
        The output; features by their full names, router tables and auxiliary loss.
    """
    x, seen = obs, NOTHING
    for path, part in chain:
        variables, local = {"params": at(params, path)}, within(taps, path)
        if part.routes:
            x, found, routing = part.module.apply(variables, x, local, obs)
            seen = seen.also(routed(path, routing))
        else:
            x, found = part.module.apply(variables, x, local)
        seen = seen.also(Seen(below(found, path), {}, 0.0))
    return x, seen


def routed(path: Path, routing: Routing) -> Seen:
    """Name the results of a router: probabilities f32[B, m, E], load f32[B, E], dropped f32[B].

    load: the share of the work of each expert.
    """
    work = jnp.sum(jnp.abs(routing.combine) > 0, axis=(1, 3)).astype(jnp.float32)
    load = work / jnp.maximum(jnp.sum(work, axis=1, keepdims=True), 1.0)
    kept = {"probabilities": routing.probabilities, "load": load, "dropped": routing.dropped}
    return Seen({}, below(kept, path), routing.loss)


def within(taps: Taps, path: Path) -> dict[str, Array]:
    """Select the taps below `path`, by their names relative to it."""
    prefix = "/".join(path) + "/"
    return {name.removeprefix(prefix): tap for name, tap in taps.items() if name.startswith(prefix)}


def below(found: Mapping[str, Array], path: Path) -> dict[str, Array]:
    """Undo `within`: give relative names their full ones."""
    return {"/".join((*path, name)): x for name, x in found.items()}


def init_chain(chain: Chain, keys: Mapping[Path, Key], params: dict[str, Any], obs: Array) -> Array:
    """Draw parameters of a chain into `params`, and return its output for obs[B, ...]."""
    x = obs
    for path, part in chain:
        given = (x, {}, obs) if part.routes else (x, {})
        (x, *_), variables = part.module.init_with_output(keys[path], *given)
        put(params, path, variables.get("params") or {})
    return x


class Readers(NamedTuple):
    """Kernels that read the output of a part.

    kernels: their paths. rows: how many they have; 0 means the whole flattened output.
    tied: whether the part's units also act through other parameters.
    """

    kernels: tuple[Path, ...]
    rows: int = 0
    tied: bool = False


def wire(chain: Chain, readers: Readers) -> tuple[tuple[Edge, ...], Readers]:
    """Return the edges of a chain whose output `readers` read, and the readers of its input."""
    edges: tuple[Edge, ...] = ()
    for path, part in reversed(chain):
        edges = tuple(_place(edge, path, readers) for edge in part.edges) + edges
        if part.inputs:
            kernels = tuple((*path, *leaf) for leaf in part.inputs)
            readers = Readers(kernels, part.rows, part.tied)
        else:
            rows, tied = part.rows or readers.rows, part.tied or readers.tied
            readers = readers._replace(rows=rows, tied=tied)
    return edges, readers


def _place(edge: Edge, path: Path, readers: Readers) -> Edge:
    """Make the paths of a part's edge absolute."""
    outgoing: tuple[Path, ...] = ()
    for leaf in edge.outgoing:
        outgoing += readers.kernels if leaf == READERS else ((*path, *leaf),)
    read = READERS in edge.outgoing
    return edge._replace(
        layer="/".join((*path, edge.layer)),
        incoming=tuple((*path, *leaf) for leaf in edge.incoming),
        outgoing=outgoing,
        tile=readers.rows // edge.units if read and readers.rows else edge.tile,
        recyclable=edge.recyclable and not (read and readers.tied),
    )


def at(params: PyTree, path: Path) -> PyTree:
    """Return the subtree at `path`; {} for a part without parameters."""
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


def separate(tree: PyTree, steps: tuple[int, ...]) -> PyTree:
    """Reshape [T * B, ...] to [T, B, ...]."""
    return jax.tree.map(lambda x: jnp.reshape(x, (*steps, *x.shape[1:])), tree)
