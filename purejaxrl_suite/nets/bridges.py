"""Bridges: how the output of an encoder becomes what heads read.

A bridge is a function Site -> Span, chosen by the one argument `bridge` of a network. All of them
take the units of dense layers from `hidden`: of `flatten` and pooling these read the encoder's
output, tokens share the first of them, and a mixture of experts stands in its place, so that
changing the bridge changes nothing else. `Scale` widens and deepens any of them.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp

from purejaxrl_suite.core.types import Array, Box
from purejaxrl_suite.nets import encoders, moe
from purejaxrl_suite.nets.chain import Chain
from purejaxrl_suite.nets.encoders import Encoder
from purejaxrl_suite.nets.ensemble import Ensemble
from purejaxrl_suite.nets.layers import Activation, Part, Style, dense, stack
from purejaxrl_suite.nets.routers import Router
from purejaxrl_suite.nets.tokens import Tokens, per_conv


class Scale(NamedTuple):
    """Factors on the size of a network.

    encoder: on channels. encoder_depth: on residual blocks; behind each convolution of another
        encoder stand so many less one, 3x3, that keep its size.
    bottleneck: on the units of the first layer behind the encoder (of experts, if it is a mixture),
        and of no other.
    trunk: on the units of all dense layers, the first among them. trunk_depth: on their number.

    Widths are rounded. Raises ValueError where a factor is not positive.
    """

    encoder: float = 1.0
    encoder_depth: int = 1
    bottleneck: float = 1.0
    trunk: float = 1.0
    trunk_depth: int = 1

    def units(self, hidden: tuple[int, ...]) -> tuple[int, ...]:
        """The units of the dense layers of a trunk."""
        if min(self) <= 0 or min(self.encoder_depth, self.trunk_depth) < 1:
            raise ValueError(f"{self}: expected positive factors")
        widths = [self.trunk * n for n in hidden for _ in range(self.trunk_depth)]
        widths[:1] = [self.bottleneck * n for n in widths[:1]]
        return tuple(max(1, round(n)) for n in widths)


class Site(NamedTuple):
    """What a bridge has to work with.

    hidden: units of dense layers. stream: the place within each namespace, such as ("actor",).
    """

    observation: Box
    encoder: Encoder
    style: Style
    hidden: tuple[int, ...]
    activation: Activation
    stream: tuple[str, ...] = ()

    def scaled(self, scale: Scale) -> "Site":
        """The same, with all sizes changed."""
        style = self.style._replace(width=scale.encoder, depth=scale.encoder_depth)
        return self._replace(style=style, hidden=scale.units(self.hidden))

    def place(self, namespace: str, *layer: str) -> tuple[str, ...]:
        """Where a part has its parameters."""
        return (namespace, *self.stream, *layer)

    def encoded(self) -> Part:
        """The encoder."""
        return self.encoder(self.observation, self.style)

    def dense(self, hidden: tuple[int, ...]) -> Part:
        """Dense layers."""
        return dense(hidden, self.activation, self.style)


class Span(NamedTuple):
    """What stands between observation and heads; `ensemble`: what there is once for each expert."""

    parts: Chain
    ensemble: Ensemble | None = None


Bridge = Callable[[Site], Span]
"""What the argument `bridge` of a network is."""


def flatten() -> Bridge:
    """All numbers of the encoder's output side by side."""

    def build(site: Site) -> Span:
        first = site.place("encoder"), site.encoded()
        return Span((first, (site.place("trunk"), site.dense(site.hidden))))

    return build


def pool(size: int = 1) -> Bridge:
    """Averages over size x size parts of the feature map; 1 is global average pooling.

    Sokar and Castro 2025, arXiv 2505.17749 (GAP); Trumpp et al. 2025, arXiv 2503.05546 (Impoola).
    An encoder that does not see the whole board loses by it where things are.
    """

    def build(site: Site) -> Span:
        encoder = site.encoded()
        middle = site.place("bridge"), moe.pooled(encoder.shape, size)
        trunk = site.place("trunk"), site.dense(site.hidden)
        return Span(((site.place("encoder"), encoder), middle, trunk))

    return build


def tokenised(reduce: Callable[..., Array] = jnp.sum, tokens: Tokens | None = None) -> Bridge:
    """The first dense layer on each token, with the same weights; then their sum, or `jnp.mean`.

    Sokar et al. 2024, arXiv 2410.01930.
    """

    def build(site: Site) -> Span:
        first, rest = _first_of(site)
        parts, shape, cut = _embedded(site, tokens)
        layer = moe.shared(shape, first, cut, reduce, site.activation, site.style)
        middle = site.place("bridge"), layer
        return Span((*parts, middle, (site.place("trunk"), site.dense(rest))))

    return build


def mixture(router: Router, experts: int, tokens: Tokens | None = None) -> Bridge:
    """A mixture of experts in the place of the first dense layer, which reads the encoder.

    With one dense layer it is the last before the heads, as in arXiv 2402.08609. router: such as
    `soft()`. experts: how many; each has the units of the layer. tokens: None is `per_conv()`.
    """

    def build(site: Site) -> Span:
        first, rest = _first_of(site)
        parts, shape, cut = _embedded(site, tokens)
        part = _mixture(site, shape, first, cut, router, experts)
        trunk = ((site.place("trunk"), site.dense(rest)),) if rest else ()
        return Span((*parts, (site.place("bridge"), part), *trunk))

    return build


def penultimate(router: Router, experts: int) -> Bridge:
    """A mixture of experts in the place of the last dense layer before the heads."""

    def build(site: Site) -> Span:
        if len(site.hidden) < 2:
            return mixture(router, experts)(site)
        before = site.dense(site.hidden[:-1])
        part = _mixture(site, before.shape, site.hidden[-1], per_conv(), router, experts)
        first = (site.place("encoder"), site.encoded()), (site.place("trunk"), before)
        return Span((*first, (site.place("bridge"), part)))

    return build


def final(router: Router, experts: int) -> Bridge:
    """A mixture of experts in the place of the heads; experts are linear, and see one token."""

    def build(site: Site) -> Span:
        return flatten()(site)._replace(ensemble=_of_heads(site, router, experts))

    return build


def everywhere(router: Router, experts: int, tokens: Tokens | None = None) -> Bridge:
    """A mixture of experts in the place of every dense layer and of the heads.

    Convolutions stay as they are.
    """

    def build(site: Site) -> Span:
        _first_of(site)
        parts, shape, cut = _embedded(site, tokens)
        for i, units in enumerate(site.hidden):
            part = _mixture(site, shape, units, cut, router, experts)
            place = site.place("trunk", f"mixture_{i}") if i else site.place("bridge")
            parts, shape, cut = (*parts, (place, part)), part.shape, per_conv()
        return Span(parts, _of_heads(site, router, experts))

    return build


def big(router: Router, experts: int) -> Bridge:
    """Every expert is a whole network, heads included; the router sees the observation.

    y = sum over experts of C_e(o) f_e(o). With `by_task` nothing is shared but the optimizer.
    """

    def build(site: Site) -> Span:
        preprocess, _ = encoders.expansion(site.observation)

        def token(obs: Array) -> Array:
            return jnp.reshape(preprocess(obs), (obs.shape[0], -1))

        path, dtype = site.place("bridge"), site.style.dtype
        parts = flatten()(site).parts
        return Span(
            (),
            Ensemble(
                parts=parts,
                router=_check(router, experts),
                experts=experts,
                path=path,
                token=token,
                dtype=dtype,
            ),
        )

    return build


def _first_of(site: Site) -> tuple[int, tuple[int, ...]]:
    """Units of the first dense layer, and of the others."""
    if not site.hidden:
        raise ValueError("hidden=(): expected a dense layer, in whose place the bridge stands")
    return site.hidden[0], site.hidden[1:]


def _embedded(site: Site, tokens: Tokens | None) -> tuple[Chain, tuple[int, ...], Tokens]:
    """The encoder with what tokens put behind it, the shape of its output, and the tokens."""
    encoder, tokens = site.encoded(), tokens or per_conv()
    parts: Chain = ((site.place("encoder"), encoder),)
    if tokens.embed is None:
        return parts, encoder.shape, tokens
    shape = encoder.shape

    def unflatten(x: Array) -> Array:
        return jnp.reshape(x, (x.shape[0], *shape))

    patches = stack(unflatten, shape, (tokens.embed,), site.activation, site.style)
    patches = patches._replace(rows=shape[-1])
    return (*parts, (site.place("bridge", "patches"), patches)), patches.shape, tokens


def _mixture(
    site: Site, shape: tuple[int, ...], units: int, tokens: Tokens, router: Router, experts: int
) -> Part:
    return moe.mixture(shape, units, tokens, router, experts, site.activation, site.style)


def _of_heads(site: Site, router: Router, experts: int) -> Ensemble:
    path = site.place("heads", "mixed")
    token = lambda x: jnp.reshape(x, (x.shape[0], -1))  # noqa: E731
    return Ensemble(
        parts=(),
        router=_check(router, experts),
        experts=experts,
        path=path,
        token=token,
        dtype=site.style.dtype,
    )


def _check(router: Router, experts: int) -> Router:
    if experts < 1:
        raise ValueError(f"experts={experts}: expected at least 1")
    router.slots(1, experts)
    return router
