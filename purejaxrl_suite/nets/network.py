"""Assemble networks: a chain of parts, an optional recurrent cell, heads; in fixed namespaces.

The name of a layer is the path of its parameters: the feature `trunk/actor/dense_0` comes from
`params["trunk"]["actor"]["dense_0"]`.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn

from purejaxrl_suite.core import tree
from purejaxrl_suite.core.types import (
    Array,
    Box,
    Edge,
    Internals,
    Key,
    Memory,
    Network,
    PyTree,
)
from purejaxrl_suite.nets import chain, ensemble, noisy
from purejaxrl_suite.nets.chain import Chain, Readers, Seen, Taps
from purejaxrl_suite.nets.ensemble import Ensemble
from purejaxrl_suite.nets.recurrent import Cell


class Body(NamedTuple):
    """One chain of a network and its heads.

    parts: in order, each with its path in the parameters. heads: names of those that read the last
    part. ensemble: the parts that each expert has of its own, at least the heads; None without.
    """

    parts: Chain
    heads: tuple[str, ...]
    ensemble: Ensemble | None = None


class Blueprint(NamedTuple):
    """Static description of a network. A `cell` stands between a single body and the heads."""

    observation: Box
    bodies: tuple[Body, ...]
    heads: Mapping[str, nn.Module]
    output: Callable[[Mapping[str, Any]], Any]
    cell: Cell | None


def assemble(blueprint: Blueprint) -> Network:
    """Build the functions of a `Network`, whose docstring describes their arguments."""
    cell = blueprint.cell
    layer = "" if cell is None else "/".join(cell.path)

    def init(key: Key) -> PyTree:
        return _init(blueprint, key)

    def apply(
        params: PyTree, obs: Array, memory: Memory = (), taps: Taps | None = None
    ) -> tuple[Any, Internals]:
        taps = taps or {}
        x, seen = _encode(blueprint, params, obs, taps)
        if cell is not None:
            memory = cell.step(chain.at(params, cell.path), x[0], memory)
            memory = cell.with_tap(memory, taps[layer]) if layer in taps else memory
            seen.features[layer] = cell.shown(memory)
            x = (cell.shown(memory),)
        output, of_heads = _heads(blueprint, params, x, obs=obs, taps=taps)
        seen = seen.also(of_heads)
        return output, Internals(seen.features, memory, seen.router, seen.aux_loss)

    def unroll(
        params: PyTree, obs: Array, memory: Memory, starts: Array, taps: Taps | None = None
    ) -> tuple[Any, Internals]:
        taps, steps = taps or {}, obs.shape[:2]
        obs, flat = tree.merge(obs), tree.merge(taps)
        x, seen = _encode(blueprint, params, obs, flat)
        memories = {}
        if cell is not None:
            own = chain.at(params, cell.path)
            memory = cell.unroll(own, x[0], memory, starts, taps.get(layer))
            memories[layer] = cell.shown(memory)
            x = (tree.merge(memories[layer]),)
        output, of_heads = _heads(blueprint, params, x, obs=obs, taps=flat)
        seen = seen.also(of_heads)
        features, router, output = chain.separate((seen.features, seen.router, output), steps)
        return output, Internals(features | memories, memory, router, seen.aux_loss)

    def memory(batch: int) -> Memory:
        return () if cell is None else cell.memory(batch)

    wiring = _wiring(blueprint)
    return Network(init=init, apply=apply, unroll=unroll, wiring=wiring, memory=memory)


def _encode(
    blueprint: Blueprint, params: PyTree, obs: Array, taps: Taps
) -> tuple[tuple[Array, ...], Seen]:
    """Apply each body: outputs f32[B, D] (obs without parts) and intermediate results of all."""
    outputs, seen = [], chain.NOTHING
    for body in blueprint.bodies:
        x, found = chain.run(body.parts, params, obs, taps)
        outputs.append(x)
        seen = seen.also(found)
    return tuple(outputs), seen


def _heads(
    blueprint: Blueprint, params: PyTree, inputs: tuple[Array, ...], obs: Array, taps: Taps
) -> tuple[Any, Seen]:
    outputs, seen = {}, chain.NOTHING
    for body, x in zip(blueprint.bodies, inputs, strict=True):
        heads = {name: blueprint.heads[name] for name in body.heads}
        if body.ensemble is None:
            outputs |= ensemble.read(heads, params, x)
            continue
        found, of_body = ensemble.run(body.ensemble, heads, params, x=x, obs=obs, taps=taps)
        outputs, seen = outputs | found, seen.also(of_body)
    return blueprint.output(outputs), seen


def _init(blueprint: Blueprint, key: Key) -> PyTree:
    key_parts, key_cell, key_heads, key_experts = jax.random.split(key, 4)
    params: dict[str, Any] = {}
    paths = [path for body in blueprint.bodies for path, _ in body.parts]
    keys = dict(zip(paths, jax.random.split(key_parts, len(paths)), strict=True))
    split = jax.random.split(key_heads, len(blueprint.heads))
    keys_heads = dict(zip(blueprint.heads, split, strict=True))
    keys_bodies = jax.random.split(key_experts, len(blueprint.bodies))
    obs = jnp.zeros((1, *blueprint.observation.shape), blueprint.observation.dtype)
    for key_body, body in zip(keys_bodies, blueprint.bodies, strict=True):
        x = chain.init_chain(body.parts, keys, params, obs)
        if blueprint.cell:
            chain.put(params, blueprint.cell.path, blueprint.cell.init(key_cell, x.shape[-1]))
            x = jnp.zeros((1, blueprint.cell.units), jnp.float32)
        heads = {name: blueprint.heads[name] for name in body.heads}
        if body.ensemble is None:
            ensemble.init_heads(heads, {name: keys_heads[name] for name in heads}, params, x)
        else:
            ensemble.start_all(body.ensemble, heads, key=key_body, params=params, x=x)
    return params


def _wiring(blueprint: Blueprint) -> tuple[Edge, ...]:
    edges: tuple[Edge, ...] = ()
    for body in blueprint.bodies:
        kernels = tuple(
            ("heads", name, leaf)
            for name in body.heads
            for leaf in noisy.kernels(blueprint.heads[name])
        )
        readers, last = Readers(kernels), ()
        if body.ensemble is not None:
            last, readers = ensemble.wire(body.ensemble, readers)
        if blueprint.cell:
            last = (blueprint.cell.edge(readers.kernels), *last)
            readers = Readers(blueprint.cell.inputs)
        edges += chain.wire(body.parts, readers)[0] + last
    return edges
