"""Bridges: layers between the output of an encoder and the heads.

A bridge is a function Site -> Span, given to a network as the argument `bridge`. All bridges take
the units of dense layers from `hidden`. With `flatten` and `pool` the dense layers read the
encoder's output; `tokenised` applies the first of them to every token; a mixture of experts
replaces it. So changing the bridge changes nothing else. `Scale` widens and deepens any of them.
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
    """Factors on the size of a network; they must be positive, and widths are rounded.

    encoder: on the channels of the encoder.
    encoder_depth: on its residual blocks. An encoder without blocks gets encoder_depth - 1 extra
        3x3 convolutions behind each convolution, which keep height and width.
    bottleneck: on the units of the first layer behind the encoder (of each expert, if that is a
        mixture), and of no other layer.
    trunk: on the units of all dense layers, including the first.
    trunk_depth: on the number of dense layers.
    """

    encoder: float = 1.0
    encoder_depth: int = 1
    bottleneck: float = 1.0
    trunk: float = 1.0
    trunk_depth: int = 1

    def units(self, hidden: tuple[int, ...]) -> tuple[int, ...]:
        """Return the units of the dense layers of a scaled trunk."""
        if min(self) <= 0 or min(self.encoder_depth, self.trunk_depth) < 1:
            raise ValueError(f"{self}: expected positive factors")
        widths = [self.trunk * n for n in hidden for _ in range(self.trunk_depth)]
        widths[:1] = [self.bottleneck * n for n in widths[:1]]
        return tuple(max(1, round(n)) for n in widths)


class Site(NamedTuple):
    """Arguments of a bridge.

    hidden: units of dense layers. stream: the path within each namespace, such as ("actor",).
    """

    observation: Box
    encoder: Encoder
    style: Style
    hidden: tuple[int, ...]
    activation: Activation
    stream: tuple[str, ...] = ()

    def scaled(self, scale: Scale) -> "Site":
        """Return the site with all sizes scaled."""
        style = self.style._replace(width=scale.encoder, depth=scale.encoder_depth)
        return self._replace(style=style, hidden=scale.units(self.hidden))

    def place(self, namespace: str, *layer: str) -> tuple[str, ...]:
        """Return the path of the parameters of a part."""
        return (namespace, *self.stream, *layer)

    def encoded(self) -> Part:
        """Build the encoder."""
        return self.encoder(self.observation, self.style)

    def dense(self, hidden: tuple[int, ...]) -> Part:
        """Build dense layers."""
        return dense(hidden, self.activation, self.style)


class Span(NamedTuple):
    """The parts between observation and heads; `ensemble` has those that each expert has."""

    parts: Chain
    ensemble: Ensemble | None = None


Bridge = Callable[[Site], Span]
"""Type of the argument `bridge` of a network."""


def flatten() -> Bridge:
    """Flatten the encoder's output to a vector."""

    def build(site: Site) -> Span:
        first = site.place("encoder"), site.encoded()
        return Span((first, (site.place("trunk"), site.dense(site.hidden))))

    return build


def pool(size: int = 1) -> Bridge:
    """Average over size x size parts of the feature map; size 1 is global average pooling.

    Sokar and Castro 2025, arXiv 2505.17749 (GAP); Trumpp et al. 2025, arXiv 2503.05546 (Impoola).
    Pooling loses the positions of things, unless the encoder's receptive field is the whole board.
    """

    def build(site: Site) -> Span:
        encoder = site.encoded()
        middle = site.place("bridge"), moe.pooled(encoder.shape, size)
        trunk = site.place("trunk"), site.dense(site.hidden)
        return Span(((site.place("encoder"), encoder), middle, trunk))

    return build


def tokenised(reduce: moe.Reduce = jnp.sum, tokens: Tokens | None = None) -> Bridge:
    """Apply the first dense layer to each token, with shared weights, then sum over tokens.

    Sokar et al. 2024, arXiv 2410.01930. reduce: `jnp.sum` or `jnp.mean` over tokens. tokens: None
    is `per_conv()`.
    """

    def build(site: Site) -> Span:
        first, rest = _first_of(site)
        parts, shape, cut = _embedded(site, tokens)
        layer = moe.shared(
            shape, first, tokens=cut, reduce=reduce, activation=site.activation, style=site.style
        )
        middle = site.place("bridge"), layer
        return Span((*parts, middle, (site.place("trunk"), site.dense(rest))))

    return build


def mixture(router: Router, experts: int, tokens: Tokens | None = None) -> Bridge:
    """Replace the first dense layer, which reads the encoder, by a mixture of experts.

    With one dense layer the mixture is the last layer before the heads, as in arXiv 2402.08609.

    Args:
        router: such as `soft()`.
        experts: how many; each has the units of the layer.
        tokens: how the encoder's output is cut; None is `per_conv()`.

    Returns:
        The bridge.

    Raises:
        ValueError: there is less than one expert.

    Example:
        >>> env = pjs.make("Breakout-MinAtar")
        >>> bridge = pjs.nets.mixture(pjs.nets.soft(), experts=4)
        >>> network = pjs.nets.q_network(env.observation, env.action, bridge=bridge)
        >>> sorted(pjs.nets.parameter_count(network))
        ['', 'bridge', 'encoder', 'heads', 'trunk']
    """

    def build(site: Site) -> Span:
        first, rest = _first_of(site)
        parts, shape, cut = _embedded(site, tokens)
        part = _mixture(site, shape, units=first, tokens=cut, router=router, experts=experts)
        trunk = ((site.place("trunk"), site.dense(rest)),) if rest else ()
        return Span((*parts, (site.place("bridge"), part), *trunk))

    return build


def penultimate(router: Router, experts: int) -> Bridge:
    """Replace the last dense layer before the heads by a mixture of experts."""

    def build(site: Site) -> Span:
        if len(site.hidden) < 2:
            return mixture(router, experts)(site)
        before = site.dense(site.hidden[:-1])
        part = _mixture(
            site,
            before.shape,
            units=site.hidden[-1],
            tokens=per_conv(),
            router=router,
            experts=experts,
        )
        first = (site.place("encoder"), site.encoded()), (site.place("trunk"), before)
        return Span((*first, (site.place("bridge"), part)))

    return build


def final(router: Router, experts: int) -> Bridge:
    """Replace the heads by a mixture of linear experts, which see one token."""

    def build(site: Site) -> Span:
        return flatten()(site)._replace(ensemble=_of_heads(site, router, experts))

    return build


def everywhere(router: Router, experts: int, tokens: Tokens | None = None) -> Bridge:
    """Replace every dense layer and the heads by mixtures of experts.

    Convolutions stay as they are.

    Args:
        router: of every mixture.
        experts: of every mixture.
        tokens: of the first mixture, which reads the encoder; None is `per_conv()`.

    Returns:
        The bridge.
    """

    def build(site: Site) -> Span:
        _first_of(site)
        parts, shape, cut = _embedded(site, tokens)
        for i, units in enumerate(site.hidden):
            part = _mixture(site, shape, units=units, tokens=cut, router=router, experts=experts)
            place = site.place("trunk", f"mixture_{i}") if i else site.place("bridge")
            parts, shape, cut = (*parts, (place, part)), part.shape, per_conv()
        return Span(parts, _of_heads(site, router, experts))

    return build


def big(router: Router, experts: int) -> Bridge:
    """Make every expert a whole network with its own heads; the router sees the observation.

    y = sum over experts of C_e(o) f_e(o). With `by_task` only the optimizer is shared.
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
    """Split the units of dense layers into those of the first and of the others."""
    if not site.hidden:
        raise ValueError("hidden=(): expected a dense layer, in whose place the bridge stands")
    return site.hidden[0], site.hidden[1:]


def _embedded(site: Site, tokens: Tokens | None) -> tuple[Chain, tuple[int, ...], Tokens]:
    """Build the encoder and the tokens' embedding; return them, the output shape, the tokens."""
    encoder, tokens = site.encoded(), tokens or per_conv()
    parts: Chain = ((site.place("encoder"), encoder),)
    if tokens.embed is None:
        return parts, encoder.shape, tokens
    shape = encoder.shape

    def unflatten(x: Array) -> Array:
        return jnp.reshape(x, (x.shape[0], *shape))

    patches = stack(unflatten, shape, (tokens.embed,), activation=site.activation, style=site.style)
    patches = patches._replace(rows=shape[-1])
    return (*parts, (site.place("bridge", "patches"), patches)), patches.shape, tokens


def _mixture(
    site: Site, shape: tuple[int, ...], units: int, tokens: Tokens, router: Router, experts: int
) -> Part:
    return moe.mixture(
        shape,
        units,
        tokens=tokens,
        router=router,
        experts=experts,
        activation=site.activation,
        style=site.style,
    )


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
