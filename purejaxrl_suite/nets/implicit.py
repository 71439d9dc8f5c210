"""Implicit quantile networks (Dabney et al. 2018, arXiv 1806.06923, section 3 and equation 4).

Z(s, a, tau) = head(mixed(psi(s) * phi(tau))): psi is the encoder, with dense layers if any, phi
one dense layer on cos(pi * i * tau), i = 0 ... cosines - 1, and `mixed` are dense layers.
"""

import math
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from purejaxrl_suite.core import tree
from purejaxrl_suite.core.types import (
    Array,
    Box,
    Internals,
    Key,
    Memory,
    Network,
    Path,
    PyTree,
    Space,
)
from purejaxrl_suite.nets import chain
from purejaxrl_suite.nets.bridges import Bridge, Site, flatten
from purejaxrl_suite.nets.builders import check, check_discrete
from purejaxrl_suite.nets.chain import Chain, Taps
from purejaxrl_suite.nets.encoders import Encoder, default_encoder
from purejaxrl_suite.nets.heads import Linear
from purejaxrl_suite.nets.layers import (
    Activation,
    DenseLayer,
    Initializer,
    Part,
    Style,
    check_keeps_units,
    dense,
    stack,
)

HEAD: Path = ("heads", "quantile")


def implicit_quantile_network(
    observation: Box,
    action: Space,
    *,
    hidden: tuple[int, ...] | None = None,
    mixed: tuple[int, ...] = (512,),
    quantiles: int = 32,
    cosines: int = 64,
    activation: Activation = jax.nn.relu,
    encoder: Encoder | None = None,
    bridge: Bridge | None = None,
    layer_norm: bool = False,
    kernel_init: Initializer | None = None,
    dtype: Any = jnp.float32,
) -> Network:
    """Build an implicit quantile network; its output is f32[B, A, K].

    `apply` takes one more argument, (params, obs, memory, taps, taus): the fractions taus f32[B, K]
    in (0, 1). Without it they are the midpoints of `quantiles` equal intervals. Features of `mixed`
    layers and of phi are f32[B, K, H].

    Args:
        observation: space of the observations, without batch axes.
        action: Discrete.
        hidden: units of dense layers of psi behind the encoder. None is no layer if the encoder
            has layers and no bridge follows, as in the paper, and else one of 256 units, since a
            product with a few raw numbers would carry little of tau.
        mixed: units of the dense layers that read psi * phi.
        quantiles: K if `taus` is not given.
        cosines: inputs of phi.
        activation: of the dense layers; encoders have their own.
        encoder: (observation, style) -> Part; None takes `default_encoder(observation)`.
        bridge: from the encoder to the product, in psi; None is `flatten()`. Its parameters are
            under `bridge/state`. Bridges with experts behind the product (`final`, `everywhere`,
            `big`) are refused.
        layer_norm: before each hidden activation, but not in phi.
        kernel_init: of all kernels; None is He normal in hidden layers, LeCun normal in the head.
        dtype: of matrix products; parameters and outputs are float32.

    Returns:
        The network.

    Raises:
        ValueError: an argument is out of range, or the bridge does not fit.
    """
    check(observation, (*(hidden or ()), *mixed), 0)
    check_keeps_units(activation)
    if quantiles < 1 or cosines < 1:
        raise ValueError(f"quantiles={quantiles}, cosines={cosines}: expected at least 1")
    style = Style(kernel_init or nn.initializers.he_normal(), layer_norm, dtype)
    encoder = encoder or default_encoder(observation)
    site = Site(observation, encoder, style, hidden or (), activation=activation, stream=("state",))
    psi = _psi(bridge, site, free=hidden is None)
    units = next(math.prod(part.shape) for _, part in reversed(psi) if part.shape)
    phi: Chain = ((("bridge",), _embedding(units, cosines, activation, style)),)
    after: Chain = ((("trunk", "mixed"), dense(mixed, activation, style)),)
    head = Linear(check_discrete(action).n, kernel_init or nn.initializers.lecun_normal(), dtype)

    def init(key: Key) -> PyTree:
        paths: list[Path] = [path for path, _ in (*psi, *phi, *after)]
        *keys, key_head = jax.random.split(key, len(paths) + 1)
        places = dict(zip(paths, keys, strict=True))
        params: dict[str, Any] = {}
        obs = jnp.zeros((1, *observation.shape), observation.dtype)
        x = chain.init_chain(psi, places, params, obs)
        x = x * chain.init_chain(phi, places, params, jnp.zeros(1))
        x = chain.init_chain(after, places, params, x)
        chain.put(params, HEAD, head.init(key_head, x)["params"])
        return params

    def apply(
        params: PyTree,
        obs: Array,
        memory: Memory = (),
        taps: Taps | None = None,
        taus: Array | None = None,
    ) -> tuple[Array, Internals]:
        taps = taps or {}
        if taus is None:
            middle = (jnp.arange(quantiles, dtype=jnp.float32) + 0.5) / quantiles
            taus = jnp.broadcast_to(middle[None], (obs.shape[0], quantiles))
        state, seen = chain.run(psi, params, obs, taps)
        wide = {name: tree.merge(tap) for name, tap in taps.items() if name not in seen.features}
        embedded, of_phi = chain.run(phi, params, jnp.ravel(taus), wide)
        x = state[:, None] * jnp.reshape(embedded, (*taus.shape, -1))
        x, of_mixed = chain.run(after, params, tree.merge(x), wide)
        features = seen.features | chain.separate(of_phi.features | of_mixed.features, taus.shape)
        output = head.apply({"params": chain.at(params, HEAD)}, x)
        output = jnp.swapaxes(chain.separate(output, taus.shape), 1, 2)
        return output, Internals(features, memory, seen.router, seen.aux_loss)

    def unroll(
        params: PyTree, obs: Array, memory: Memory, starts: Array, taps: Taps | None = None
    ) -> tuple[Array, Internals]:
        taps = tree.merge(taps or {})
        output, internals = apply(params, tree.merge(obs), memory, taps)
        found = internals.features, internals.router, output
        features, router, output = chain.separate(found, obs.shape[:2])
        return output, internals._replace(features=features, router=router)

    edges, readers = chain.wire(after, chain.Readers(((*HEAD, "kernel"),)))
    before = chain.wire(psi, readers)[0]
    # A unit of phi multiplies one of psi: silencing one silences the other.
    gates = tuple(edge._replace(recyclable=False) for edge in chain.wire(phi, readers)[0])
    return Network(init=init, apply=apply, unroll=unroll, wiring=(*before, *gates, *edges))


def _psi(bridge: Bridge | None, site: Site, *, free: bool) -> Chain:
    """Build psi, from observations to the product.

    free: whether `hidden` is None, so that the units are chosen here.
    """
    if free and (bridge is not None or not site.encoded().edges):
        site = site._replace(hidden=(256,))
    span = (bridge or flatten())(site)
    if span.ensemble is not None:
        raise ValueError("bridge: experts of heads and whole networks cannot read psi * phi")
    return tuple((path[:1] if path[0] == "encoder" else path, part) for path, part in span.parts)


def _embedding(units: int, cosines: int, activation: Activation, style: Style) -> Part:
    def expand(taus: Array) -> Array:
        return jnp.cos(jnp.pi * taus[:, None] * jnp.arange(cosines, dtype=jnp.float32)[None])

    plain = style._replace(layer_norm=False)
    return stack(expand, (cosines,), (DenseLayer(units),), activation=activation, style=plain)
