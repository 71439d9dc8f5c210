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
from purejaxrl_suite.nets import chain, noisy, recurrent
from purejaxrl_suite.nets.chain import Chain, Taps

GRU: Path = ("trunk", "gru")
GRU_LAYER = "/".join(GRU)


class Body(NamedTuple):
    """parts: in order, each with its place in the parameters. heads: those that read the last."""

    parts: Chain
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
            joined = recurrent.join(gru, chain.at(params, GRU))
            memory = recurrent.step(joined, recurrent.project(joined, x[0]), memory)
            memory = memory + taps[GRU_LAYER] if GRU_LAYER in taps else memory
            features[GRU_LAYER] = memory
            x = (memory,)
        return _heads(blueprint, params, x), Internals(features, memory, {}, 0.0)

    def unroll(
        params: PyTree, obs: Array, memory: Memory, starts: Array, taps: Taps | None = None
    ) -> tuple[Any, Internals]:
        taps, steps = taps or {}, obs.shape[:2]
        x, features = _encode(blueprint, params, chain.merge(obs), chain.merge(taps))
        features = chain.separate(features, steps)
        if gru is not None:
            joined = recurrent.join(gru, chain.at(params, GRU))
            projected = chain.separate(recurrent.project(joined, x[0]), steps)
            memory = recurrent.unroll(joined, projected, memory, starts, taps.get(GRU_LAYER))
            features[GRU_LAYER] = memory
            x = (chain.merge(memory),)
        output = chain.separate(_heads(blueprint, params, x), steps)
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
        x, found = chain.run(body.parts, params, obs, taps)
        outputs.append(x)
        features |= found
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
    paths = [path for body in blueprint.bodies for path, _ in body.parts]
    keys = dict(zip(paths, jax.random.split(key_parts, len(paths)), strict=True))
    keys_heads = dict(
        zip(blueprint.heads, jax.random.split(key_heads, len(blueprint.heads)), strict=True)
    )
    obs = jnp.zeros((1, *blueprint.observation.shape), blueprint.observation.dtype)
    for body in blueprint.bodies:
        x = chain.start(body.parts, keys, params, obs)
        if blueprint.gru:
            chain.put(params, GRU, recurrent.init(blueprint.gru, key_gru, x.shape[-1]))
            x = jnp.zeros((1, blueprint.gru.units), jnp.float32)
        for name in body.heads:
            variables = blueprint.heads[name].init(keys_heads[name], x)
            chain.put(params, ("heads", name), variables["params"])
    return params


def _wiring(blueprint: Blueprint) -> tuple[Edge, ...]:
    edges: tuple[Edge, ...] = ()
    for body in blueprint.bodies:
        readers = tuple(
            ("heads", name, leaf)
            for name in body.heads
            for leaf in noisy.kernels(blueprint.heads[name])
        )
        last: tuple[Edge, ...] = ()
        if blueprint.gru:
            last = (recurrent.edge(blueprint.gru, GRU, readers),)
            readers = recurrent.input_kernels(GRU)
        edges += chain.wire(body.parts, readers)[0] + last
    return edges
