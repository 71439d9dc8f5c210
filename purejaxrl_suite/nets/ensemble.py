"""Mixtures whose experts are heads or whole networks.

The outputs of all experts are computed, as one batch over experts, and weighted by a router that
sees a single token of each observation. Expert 2 of the layer `trunk/dense_0` is
`trunk/expert_2/dense_0`. The placements final, all and big have their names from Obando-Ceron et
al. 2024, arXiv 2402.08609, and Willi et al. 2024, arXiv 2406.18420.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn

from purejaxrl_suite.core import tree
from purejaxrl_suite.core.types import Array, Edge, Key, Path, PyTree
from purejaxrl_suite.nets import chain
from purejaxrl_suite.nets.chain import Chain, Readers, Seen, Taps
from purejaxrl_suite.nets.routers import Router

Heads = Mapping[str, nn.Module]


class Ensemble(NamedTuple):
    """Static description of a mixture of heads or networks.

    parts: the parts of each expert before its heads; () for none.
    router, experts: the router, and the number of experts.
    path: the router's parameters are at (*path, "router").
    token: input of the ensemble -> f32[B, d], the router's input.
    dtype: of the router's product.
    """

    parts: Chain
    router: Router
    experts: int
    path: Path
    token: Callable[[Array], Array]
    dtype: Any


def read(heads: Heads, params: PyTree, x: Array) -> dict[str, Any]:
    """Apply heads to f32[B, D]."""
    return {name: head.apply({"params": params["heads"][name]}, x) for name, head in heads.items()}


def init_heads(heads: Heads, keys: Mapping[str, Key], params: dict[str, Any], x: Array) -> None:
    """Draw parameters of heads into `params`."""
    for name, head in heads.items():
        chain.put(params, ("heads", name), head.init(keys[name], x)["params"])


def run(
    ensemble: Ensemble, heads: Heads, params: PyTree, x: Array, obs: Array, taps: Taps
) -> tuple[dict[str, Any], Seen]:
    """Compute the mixed outputs of heads, and the intermediate results of experts and router."""
    places = _places(ensemble, heads)
    token = ensemble.token(x)[:, None]
    router, count = ensemble.router, ensemble.experts
    learnt = chain.at(params, (*ensemble.path, "router"))
    logits = router.logits(learnt, token, ensemble.dtype)
    routing = router.route(learnt, logits, obs, count, router.slots(1, count))
    weights = jnp.sum(routing.combine, axis=3)[:, 0].T  # [E, B]

    def one(params: PyTree, taps: Taps) -> tuple[Any, dict[str, Array]]:
        y, seen = chain.run(ensemble.parts, params, x, taps)
        return read(heads, params, y), seen.features

    own = [_expert(params, places, i) for i in range(count)]
    told = [_told(taps, ensemble.parts, i) for i in range(count)]
    if count == 1:  # a single expert is computed without a batch axis, like a plain network
        outputs, features = jax.tree.map(lambda y: y[None], one(own[0], told[0]))
    else:
        outputs, features = jax.vmap(one)(tree.stack(own), tree.stack(_filled(told)))
    mixed = jax.tree.map(lambda y: _weighted(weights, y), outputs)
    apart = {
        name: x[i]
        for path, _ in ensemble.parts
        for layer, x in chain.within(features, path).items()
        for i, name in enumerate(_names(path, layer, count))
    }
    return mixed, chain.routed(ensemble.path, routing).also(Seen(apart, {}, 0.0))


def start_all(ensemble: Ensemble, heads: Heads, key: Key, params: dict[str, Any], x: Array) -> None:
    """Draw parameters of all experts and of their router into `params`."""
    key_router, key_experts = jax.random.split(key)
    names = [path for path, _ in ensemble.parts]

    def draw(key: Key) -> PyTree:
        keys = jax.random.split(key, len(names) + len(heads))
        drawn: dict[str, Any] = {}
        y = chain.init_chain(ensemble.parts, dict(zip(names, keys, strict=False)), drawn, x)
        init_heads(heads, dict(zip(heads, keys[len(names) :], strict=True)), drawn, y)
        return drawn

    count = ensemble.experts
    many = jax.vmap(draw)(jax.random.split(key_experts, count))
    for path in _places(ensemble, heads):
        for i in range(count):
            chain.put(params, (*path, f"expert_{i}"), tree.index(chain.at(many, path), i))
    size = ensemble.token(x).shape[-1]
    made = ensemble.router.init(key_router, size, count, ensemble.router.slots(1, count))
    chain.put(params, (*ensemble.path, "router"), made)


def wire(ensemble: Ensemble, readers: Readers) -> tuple[tuple[Edge, ...], Readers]:
    """Return the edges of all experts, read by their heads `readers`, and who reads their input."""
    inner, first = chain.wire(ensemble.parts, readers)
    places = [path for path, _ in ensemble.parts] + [path[:2] for path in readers.kernels]

    def placed(path: Path, i: int) -> Path:
        place = max((p for p in places if path[: len(p)] == p), key=len)
        return (*place, f"expert_{i}", *path[len(place) :])

    edges, kernels = [], []
    for i in range(ensemble.experts):
        kernels += [placed(path, i) for path in first.kernels]
        for edge in inner:
            ends = (tuple(placed(p, i) for p in paths) for paths in (edge.incoming, edge.outgoing))
            incoming, outgoing = ends
            layer = "/".join(placed(tuple(edge.layer.split("/")), i))
            edges.append(edge._replace(layer=layer, incoming=incoming, outgoing=outgoing))
    if ensemble.router.reads:
        kernels.append((*ensemble.path, "router", "kernel"))
    tied = first.tied or ensemble.router.tied
    return tuple(edges), Readers(tuple(kernels), first.rows, tied)


def _places(ensemble: Ensemble, heads: Heads) -> list[Path]:
    return [path for path, _ in ensemble.parts] + [("heads", name) for name in heads]


def _expert(params: PyTree, places: list[Path], i: int) -> PyTree:
    """Return the parameters of one expert at the paths of a network without experts."""
    own: dict[str, Any] = {}
    for path in places:
        chain.put(own, path, chain.at(params, (*path, f"expert_{i}")))
    return own


def _told(taps: Taps, parts: Chain, i: int) -> dict[str, Array]:
    """Return the taps of one expert by the names of a network without experts."""
    return {
        name: tap
        for path, _ in parts
        for name, tap in chain.below(chain.within(taps, (*path, f"expert_{i}")), path).items()
    }


def _filled(taps: list[dict[str, Array]]) -> list[dict[str, Array]]:
    """Add zeros where another expert has a tap."""
    shapes = {name: tap for each in taps for name, tap in each.items()}
    return [{n: each.get(n, jnp.zeros_like(x)) for n, x in shapes.items()} for each in taps]


def _names(path: Path, layer: str, count: int) -> list[str]:
    return ["/".join((*path, f"expert_{i}", layer)) for i in range(count)]


def _weighted(weights: Array, outputs: Array) -> Array:
    """Sum f32[E, B] * f32[E, B, ...] over experts."""
    shape = (*weights.shape, *(1,) * (outputs.ndim - 2))
    return jnp.sum(jnp.reshape(weights, shape) * outputs, axis=0)
