"""Layers on tokens: mixtures of experts, one layer for all tokens, average pooling.

A mixture replaces a dense layer (Obando-Ceron et al. 2024, arXiv 2402.08609): expert i is two dense
layers, from a token to units and back to the size of a token. Its parameters are under `expert_i`,
so interventions on layers and units apply to each expert. Kernels are stacked when they are used:
one batched matrix product computes a layer of all experts.
"""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from purejaxrl_suite.core import tree
from purejaxrl_suite.core.types import Array, Edge, Key, PyTree
from purejaxrl_suite.nets.layers import (
    READERS,
    Activation,
    DenseLayer,
    Part,
    Style,
    check_keeps_units,
    stack,
)
from purejaxrl_suite.nets.lean_gradients import relu
from purejaxrl_suite.nets.routers import Router, Routing
from purejaxrl_suite.nets.tokens import Shape, Tokens

Features = dict[str, Array]
Taps = Mapping[str, Array]
ROUTER = "router"


class Mixture(NamedTuple):
    """The module of `mixture`, with the functions of a flax module that a Part needs.

    shape: of the input, before it was flattened. expert: one expert, f32[n, d] -> f32[n, d].
    """

    shape: Shape
    tokens: Tokens
    router: Router
    experts: int
    expert: Part
    dtype: Any

    @property
    def slots(self) -> int:
        """Return the slots of each expert."""
        return self.router.slots(self.tokens.size(self.shape)[0], self.experts)

    def init_with_output(self, key: Key, x: Array, taps: Taps, obs: Array) -> tuple[Any, PyTree]:
        """Draw parameters; return the output for x, and them."""
        key_router, key_experts = jax.random.split(key)
        size = self.tokens.size(self.shape)[1]

        def draw(key: Key) -> PyTree:
            return self.expert.module.init(key, jnp.zeros((1, size)), {})["params"]

        many = jax.vmap(draw)(jax.random.split(key_experts, self.experts))
        params = {f"expert_{i}": tree.index(many, i) for i in range(self.experts)}
        learnt = self.router.init(key_router, size, self.experts, self.slots)
        params |= {ROUTER: learnt} if learnt else {}
        return self.apply({"params": params}, x, taps, obs), {"params": params}

    def apply(
        self, variables: PyTree, x: Array, taps: Taps, obs: Array
    ) -> tuple[Array, Features, Routing]:
        """Apply the mixture, f32[B, D] -> f32[B, m * d]; features are f32[B, slots, H]."""
        params, batch, slots = variables["params"], x.shape[0], self.slots
        tokens = self.tokens.cut(jnp.reshape(x, (batch, *self.shape)))
        learnt = params.get(ROUTER, {})
        logits = self.router.logits(learnt, tokens, self.dtype)
        routing = self.router.route(learnt, logits, obs, self.experts, slots)
        seen = self._sum("bmn,bmd->bnd", routing.dispatch, tokens)
        seen = jnp.reshape(seen, (batch, self.experts, slots, -1))
        rows = jnp.reshape(jnp.swapaxes(seen, 0, 1), (self.experts, batch * slots, -1))
        many = tree.stack([params[f"expert_{i}"] for i in range(self.experts)])

        def one(params: PyTree, x: Array, taps: Taps) -> tuple[Array, Features]:
            flat = {name: jnp.reshape(tap, (batch * slots, -1)) for name, tap in taps.items()}
            y, found = self.expert.module.apply({"params": params}, x, flat)
            shape = batch, slots, -1
            return jnp.reshape(y, shape), {n: jnp.reshape(h, shape) for n, h in found.items()}

        made, features = jax.vmap(one)(many, rows, self._of_experts(taps))
        made = jnp.reshape(jnp.swapaxes(made, 0, 1), (batch, self.experts * slots, -1))
        out = self._sum("bmn,bnd->bmd", routing.combine, made)
        named = {
            f"expert_{i}/{name}": h[i] for name, h in features.items() for i in range(self.experts)
        }
        return jnp.reshape(out, (batch, -1)), named, routing

    def _sum(self, rule: str, table: Array, x: Array) -> Array:
        """Contract a table [B, m, E, p] with x over tokens m, or over slots n = E * p.

        Experts are moved to the front in a separate step, on the small x: a product that also moves
        them would make the compiler transpose the large tables in its gradient.
        """
        weights = jnp.reshape(table, (*table.shape[:2], -1)).astype(self.dtype)
        return jnp.einsum(rule, weights, x.astype(self.dtype)).astype(jnp.float32)

    def _of_experts(self, taps: Taps) -> Features:
        """Stack the taps of each layer, [E, B, slots, H]; zeros where an expert has none."""
        told: dict[str, dict[int, Array]] = {}
        for name, tap in taps.items():
            if name.startswith("expert_"):  # others belong to earlier parts in this namespace
                expert, layer = name.split("/", 1)
                told.setdefault(layer, {})[int(expert.removeprefix("expert_"))] = tap
        stacked = {}
        for layer, known in told.items():
            zeros = jnp.zeros_like(next(iter(known.values())))
            stacked[layer] = jnp.stack([known.get(i, zeros) for i in range(self.experts)])
        return stacked


def mixture(
    shape: Shape,
    units: int,
    tokens: Tokens,
    router: Router,
    experts: int,
    activation: Activation,
    style: Style,
) -> Part:
    """Make a mixture of experts (dense, activation, dense) on tokens.

    Args:
        shape: of the input, before it was flattened.
        units: of the hidden layer of an expert.
        tokens: how the input is cut.
        router: which token goes to which expert.
        experts: how many.
        activation: of the hidden layer.
        style: of the network.

    Returns:
        The part; its output has the number and size of the tokens.

    Raises:
        ValueError: the router does not fit the number of experts, or the shape is unknown.
    """
    if experts < 1:
        raise ValueError(f"experts={experts}: expected at least 1")
    if shape == ():
        raise ValueError("a mixture cannot stand behind a part that does not know its shape")
    count, size = tokens.size(shape)
    layers = (DenseLayer(units), DenseLayer(size, linear=True))
    kept = relu if activation is jax.nn.relu else activation
    expert = stack(lambda x: x, (size,), layers, activation=kept, style=style)
    module = Mixture(
        shape=shape, tokens=tokens, router=router, experts=experts, expert=expert, dtype=style.dtype
    )
    router.slots(count, experts)
    inputs = tuple((f"expert_{i}", *leaf) for i in range(experts) for leaf in expert.inputs)
    inputs += ((ROUTER, "kernel"),) if router.reads else ()
    edges = tuple(_of_expert(edge, i, count) for i in range(experts) for edge in expert.edges)
    tied = tokens.tied or router.tied
    rows = _rows(shape, tokens)
    return Part(
        module=module,
        edges=edges,
        inputs=inputs,
        shape=(1, count, size),
        rows=rows,
        tied=tied,
        routes=True,
    )


def _rows(shape: Shape, tokens: Tokens) -> int:
    """Return `Part.rows`: a single token is the whole input."""
    count, size = tokens.size(shape)
    return 0 if count == 1 or tokens.tied else size


def _of_expert(edge: Edge, i: int, tokens: int) -> Edge:
    """Make the edge of an expert's layer; each of its outputs is read in every token."""
    own = f"expert_{i}"
    return edge._replace(
        layer=f"{own}/{edge.layer}",
        incoming=tuple((own, *leaf) for leaf in edge.incoming),
        outgoing=tuple(leaf if leaf == READERS else (own, *leaf) for leaf in edge.outgoing),
        tile=tokens if READERS in edge.outgoing else edge.tile,
    )


class Reduce(Protocol):
    """Reduce tokens to one, as `jnp.sum` and `jnp.mean` do."""

    def __call__(self, a: Array, /, *, axis: int) -> Array:
        """Return the array without this axis."""
        ...


class Shared(NamedTuple):
    """Module of `shared`: one dense layer on every token, then a sum or mean over tokens."""

    shape: Shape
    tokens: Tokens
    layer: Part
    reduce: Reduce

    def init_with_output(self, key: Key, x: Array, taps: Taps) -> tuple[Any, PyTree]:
        """Draw parameters; return the output for x, and them."""
        size = self.tokens.size(self.shape)[1]
        variables = self.layer.module.init(key, jnp.zeros((1, size)), {})
        return self.apply(variables, x, taps), variables

    def apply(self, variables: PyTree, x: Array, taps: Taps) -> tuple[Array, Features]:
        """Apply the layer, f32[B, D] -> f32[B, units]; its feature is f32[B, m, units]."""
        tokens = self.tokens.cut(jnp.reshape(x, (x.shape[0], *self.shape)))
        flat = {name: jnp.reshape(tap, (-1, tap.shape[-1])) for name, tap in taps.items()}
        rows = jnp.reshape(tokens, (-1, tokens.shape[-1]))
        y, found = self.layer.module.apply(variables, rows, flat)
        shape = *tokens.shape[:2], -1
        features = {name: jnp.reshape(h, shape) for name, h in found.items()}
        return self.reduce(jnp.reshape(y, shape), axis=1), features


def shared(
    shape: Shape,
    units: int,
    tokens: Tokens,
    reduce: Reduce,
    activation: Activation,
    style: Style,
) -> Part:
    """Make one dense layer with activation for all tokens; `reduce` is `jnp.sum` or `jnp.mean`."""
    check_keeps_units(activation)
    if shape == ():
        raise ValueError("tokens cannot stand behind a part that does not know its shape")
    size = tokens.size(shape)[1]
    layer = stack(lambda x: x, (size,), (DenseLayer(units),), activation=activation, style=style)
    module = Shared(shape, tokens, layer, reduce)
    rows = _rows(shape, tokens)
    return Part(
        module=module,
        edges=layer.edges,
        inputs=layer.inputs,
        shape=(units,),
        rows=rows,
        tied=tokens.tied,
    )


class Pool(NamedTuple):
    """Module of `pooled`, without parameters."""

    shape: Shape
    size: int

    def init_with_output(self, key: Key, x: Array, taps: Taps) -> tuple[Any, PyTree]:
        """Return the output, and no parameters."""
        return self.apply({}, x, taps), {}

    def apply(self, variables: PyTree, x: Array, taps: Taps) -> tuple[Array, Features]:
        """Average over size x size parts of the feature map: f32[B, size * size * channels]."""
        x = jnp.reshape(x, (x.shape[0], *self.shape))
        rows, columns = (_means(n, self.size) for n in self.shape[:2])
        means = jnp.einsum("ih,bhwc,jw->bijc", rows, x, columns)
        return jnp.reshape(means, (x.shape[0], -1)), {}


def pooled(shape: Shape, size: int) -> Part:
    """Make the average over size x size parts of a feature map (height, width, channels).

    If its sides are not multiples of `size`, parts overlap, as in PyTorch's adaptive pooling.
    """
    if len(shape) != 3:
        raise ValueError(f"pool: input shape {shape}, expected (height, width, channels)")
    if not 1 <= size <= min(shape[:2]):
        raise ValueError(f"size={size}: expected 1 to {min(shape[:2])}, of a map of {shape}")
    after = size, size, shape[2]
    return Part(Pool(shape, size), (), (), after, rows=math.prod(after))


def _means(entries: int, parts: int) -> np.ndarray:
    """Make the averaging matrix f32[parts, entries]; row i has the weights of part i."""
    table = np.zeros((parts, entries), np.float32)
    for i in range(parts):
        begin, end = i * entries // parts, -(-(i + 1) * entries // parts)
        table[i, begin:end] = 1.0 / (end - begin)
    return table
