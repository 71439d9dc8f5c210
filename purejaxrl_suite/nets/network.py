"""Assembly: parts in a chain, perhaps a recurrent cell, then heads; parameters in fixed namespaces.

The name of a layer is the path of its parameters: the feature `trunk/actor/dense_0` comes from
`params["trunk"]["actor"]["dense_0"]`.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn

from purejaxrl_suite.core.types import (
    Array,
    Box,
    Edge,
    Internals,
    Key,
    Memory,
    Network,
    Path,
    PyTree,
)
from purejaxrl_suite.nets import recurrent
from purejaxrl_suite.nets.layers import Part

GRU: Path = ("trunk", "gru")
GRU_LAYER = "/".join(GRU)
Taps = Mapping[str, Array]


class Body(NamedTuple):
    """parts: in order, each with its place in the parameters. heads: those that read the last."""

    parts: tuple[tuple[Path, Part], ...]
    heads: tuple[str, ...]


class Blueprint(NamedTuple):
    """All that is static about a network. A `gru` stands between one body and the heads."""

    observation: Box
    bodies: tuple[Body, ...]
    heads: Mapping[str, nn.Module]
    output: Callable[[Mapping[str, Any]], Any]
    gru: recurrent.Gru | None


def assemble(blueprint: Blueprint) -> Network:
    """Build the functions of a `Network`; see its docstring for their arguments."""
    gru = blueprint.gru

    def init(key: Key) -> PyTree:
        return _init(blueprint, key)

    def apply(
        params: PyTree, obs: Array, memory: Memory = (), taps: Taps | None = None
    ) -> tuple[Any, Internals]:
        taps = taps or {}
        x, features = _encode(blueprint, params, obs, taps)
        if gru is not None:
            joined = recurrent.join(gru, _at(params, GRU))
            memory = recurrent.step(joined, recurrent.project(joined, x[0]), memory)
            memory = memory + taps[GRU_LAYER] if GRU_LAYER in taps else memory
            features[GRU_LAYER] = memory
            x = (memory,)
        return _heads(blueprint, params, x), Internals(features, memory, {}, 0.0)

    def unroll(
        params: PyTree, obs: Array, memory: Memory, starts: Array, taps: Taps | None = None
    ) -> tuple[Any, Internals]:
        taps, steps = taps or {}, obs.shape[:2]
        x, features = _encode(blueprint, params, _merge(obs), _merge(taps))
        features = _separate(features, steps)
        if gru is not None:
            joined = recurrent.join(gru, _at(params, GRU))
            projected = _separate(recurrent.project(joined, x[0]), steps)
            memory = recurrent.unroll(joined, projected, memory, starts, taps.get(GRU_LAYER))
            features[GRU_LAYER] = memory
            x = (_merge(memory),)
        output = _separate(_heads(blueprint, params, x), steps)
        return output, Internals(features, memory, {}, 0.0)

    def memory(batch: int) -> Memory:
        return () if gru is None else jnp.zeros((batch, gru.units), jnp.float32)

    return Network(init, apply, unroll, _wiring(blueprint), memory)


def _encode(
    blueprint: Blueprint, params: PyTree, obs: Array, taps: Taps
) -> tuple[tuple[Array, ...], dict[str, Array]]:
    """Output of each body f32[B, D] and the features of all."""
    outputs, features = [], {}
    for body in blueprint.bodies:
        x = obs
        for path, part in body.parts:
            prefix = "/".join(path) + "/"
            local = {
                name.removeprefix(prefix): tap
                for name, tap in taps.items()
                if name.startswith(prefix)
            }
            x, found = part.module.apply({"params": _at(params, path)}, x, local)
            features |= {prefix + name: feature for name, feature in found.items()}
        outputs.append(x)
    return tuple(outputs), features


def _heads(blueprint: Blueprint, params: PyTree, inputs: tuple[Array, ...]) -> Any:
    outputs = {
        name: blueprint.heads[name].apply({"params": params["heads"][name]}, x)
        for body, x in zip(blueprint.bodies, inputs, strict=True)
        for name in body.heads
    }
    return blueprint.output(outputs)


def _init(blueprint: Blueprint, key: Key) -> PyTree:
    key_parts, key_gru, key_heads = jax.random.split(key, 3)
    params: dict[str, Any] = {}
    places = [place for body in blueprint.bodies for place in body.parts]
    keys = dict(
        zip([path for path, _ in places], jax.random.split(key_parts, len(places)), strict=True)
    )
    keys_heads = dict(
        zip(blueprint.heads, jax.random.split(key_heads, len(blueprint.heads)), strict=True)
    )
    obs = jnp.zeros((1, *blueprint.observation.shape), blueprint.observation.dtype)
    for body in blueprint.bodies:
        x = obs
        for path, part in body.parts:
            (x, _), variables = part.module.init_with_output(keys[path], x, {})
            _put(params, path, variables.get("params") or {})
        if blueprint.gru:
            _put(params, GRU, recurrent.init(blueprint.gru, key_gru, x.shape[-1]))
            x = jnp.zeros((1, blueprint.gru.units), jnp.float32)
        for name in body.heads:
            variables = blueprint.heads[name].init(keys_heads[name], x)
            _put(params, ("heads", name), variables["params"])
    return params


def _wiring(blueprint: Blueprint) -> tuple[Edge, ...]:
    edges = []
    for body in blueprint.bodies:
        readers = tuple(("heads", name, "kernel") for name in body.heads)
        found = []
        if blueprint.gru:
            found.append(recurrent.edge(blueprint.gru, GRU, readers))
            readers = recurrent.input_kernels(GRU)
        for path, part in reversed(body.parts):
            found = [_place(edge, path, readers) for edge in part.edges] + found
            readers = tuple((*path, *leaf) for leaf in part.inputs) or readers
        edges += found
    return tuple(edges)


def _place(edge: Edge, path: Path, readers: tuple[Path, ...]) -> Edge:
    """The edge of a part, where the part stands."""
    return edge._replace(
        layer="/".join((*path, edge.layer)),
        incoming=tuple((*path, *leaf) for leaf in edge.incoming),
        outgoing=tuple((*path, *leaf) for leaf in edge.outgoing) or readers,
    )


def _at(params: PyTree, path: Path) -> PyTree:
    """The subtree at `path`; {} where a part has no parameters."""
    for name in path:
        params = params.get(name, {})
    return params


def _put(params: dict[str, Any], path: Path, subtree: Mapping[str, Any]) -> None:
    """Store a subtree at `path`, unless it is empty."""
    if not subtree:
        return
    for name in path[:-1]:
        params = params.setdefault(name, {})
    params[path[-1]] = {**params.get(path[-1], {}), **subtree}


def _merge(tree: PyTree) -> PyTree:
    """[T, B, ...] -> [T * B, ...]."""
    return jax.tree.map(lambda x: jnp.reshape(x, (-1, *x.shape[2:])), tree)


def _separate(tree: PyTree, steps: tuple[int, ...]) -> PyTree:
    """[T * B, ...] -> [T, B, ...]."""
    return jax.tree.map(lambda x: jnp.reshape(x, (*steps, *x.shape[1:])), tree)
