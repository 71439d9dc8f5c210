"""Wiring and taps of every architecture, audited by surgery on the network itself."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from purejaxrl_suite import nets, plasticity
from purejaxrl_suite.core.types import Box, Discrete
from purejaxrl_suite.ops.probe import probe

VECTOR = Box((3,))
IMAGE = Box((6, 5, 2), "uint8", 0, 1)
CODES = Box((4, 5, 2), "uint8", 0, 3, (4, 3))
TWO_CONVS = nets.cnn((nets.ConvLayer(3), nets.ConvLayer(4, (2, 2), (1, 2), "SAME")), jnp.tanh)
EMBEDDED = nets.symbolic((3, 4), embedding=2, activation=jnp.tanh)
DOUBLED = nets.cnn((nets.ConvLayer(3), nets.ConvLayer(4, (2, 2), (1, 2), "SAME")), nets.crelu)
ACTION, FORCE = Discrete(3), Box((2,), "float32", -1, 1)
SMALL = {"hidden": (5, 4), "activation": jnp.tanh}
RESIDUAL = nets.impala((3, 4), blocks=1, activation=jnp.tanh)
BRIDGED = {"encoder": nets.minatar_cnn(3, jnp.tanh), "hidden": (5,), "activation": jnp.tanh}
IMPLICIT = {"quantiles": 2, "cosines": 3, "activation": jnp.tanh}

NETWORKS = {
    "separate": (VECTOR, nets.actor_critic(VECTOR, ACTION, **SMALL)),
    "gaussian": (IMAGE, nets.actor_critic(IMAGE, FORCE, encoder=TWO_CONVS, **SMALL)),
    "shared": (CODES, nets.actor_critic(CODES, ACTION, encoder=EMBEDDED, shared=True, **SMALL)),
    "recurrent": (
        IMAGE,
        nets.actor_critic(
            IMAGE, ACTION, encoder=nets.minatar_cnn(3, jnp.tanh), memory_units=4, **SMALL
        ),
    ),
    "q": (IMAGE, nets.q_network(IMAGE, ACTION, encoder=TWO_CONVS, **SMALL)),
    "no trunk": (IMAGE, nets.q_network(IMAGE, ACTION, encoder=TWO_CONVS, hidden=())),
    "no trunk, recurrent": (
        IMAGE, nets.q_network(IMAGE, ACTION, encoder=TWO_CONVS, hidden=(), memory_units=3),
    ),
    "linear": (VECTOR, nets.q_network(VECTOR, ACTION, hidden=())),
    "dueling": (VECTOR, nets.q_network(VECTOR, ACTION, atoms=2, dueling=True, **SMALL)),
    "noisy": (
        IMAGE, nets.q_network(IMAGE, ACTION, encoder=TWO_CONVS, dueling=True, noisy=True, **SMALL)
    ),
    "residual": (IMAGE, nets.q_network(IMAGE, ACTION, encoder=RESIDUAL, **SMALL)),
    "pooled": (IMAGE, nets.q_network(IMAGE, ACTION, bridge=nets.pool(2), **BRIDGED)),
    "tokens": (IMAGE, nets.q_network(IMAGE, ACTION, bridge=nets.tokenised(), **BRIDGED)),
    "mixture": (
        IMAGE, nets.q_network(
            IMAGE, ACTION, bridge=nets.mixture(nets.soft(), 2), noisy=True, **BRIDGED
        ),
    ),
    "mixtures everywhere": (
        IMAGE, nets.actor_critic(
            IMAGE, ACTION, bridge=nets.everywhere(nets.top_k(2), 2), shared=True, **BRIDGED
        ),
    ),
    "networks as experts": (
        IMAGE, nets.actor_critic(
            IMAGE, ACTION, bridge=nets.big(nets.soft(), 2), critic_bridge=nets.flatten(), **BRIDGED
        ),
    ),
    "implicit": (
        IMAGE, nets.implicit_quantile_network(
            IMAGE, ACTION, encoder=TWO_CONVS, mixed=(5, 4), layer_norm=True, **IMPLICIT
        ),
    ),
    "implicit, no layer after the product": (
        VECTOR, nets.implicit_quantile_network(VECTOR, ACTION, hidden=(4,), mixed=(), **IMPLICIT),
    ),
    "implicit, mixture": (
        IMAGE, nets.implicit_quantile_network(
            IMAGE, ACTION, mixed=(4,), bridge=nets.mixture(nets.soft(), 2), **BRIDGED | IMPLICIT
        ),
    ),
    "self-predictive, tokens": (
        IMAGE, nets.self_predictive(
            IMAGE, ACTION, encoder=TWO_CONVS, bridge=nets.tokenised(jnp.mean), atoms=2, **SMALL
        ).network,
    ),
    "self-predictive": (
        IMAGE, nets.self_predictive(IMAGE, ACTION, encoder=TWO_CONVS, atoms=2, **SMALL).network,
    ),
    "policy with a model": (
        VECTOR, nets.latent_model(VECTOR, ACTION, model_units=3, atoms=3, **SMALL).network,
    ),
    "crelu": (
        IMAGE, nets.q_network(
            IMAGE, ACTION, encoder=DOUBLED, hidden=(5, 4), activation=nets.crelu, layer_norm=False
        ),
    ),
    "policy and critics": (
        VECTOR, nets.actor_critics(VECTOR, FORCE, critic_hidden=(4,), critics=1, **SMALL)
    ),
    "policy and residual critics": (
        VECTOR, nets.actor_critics(
            VECTOR, FORCE, hidden=(4,), blocks=1, critic_blocks=2, critics=1, activation=jnp.tanh
        ),
    ),
    "spectrally normalised": (
        VECTOR, plasticity.spectral_normalization(nets.actor_critic(VECTOR, ACTION, **SMALL))
    ),
    "injectable": (
        IMAGE, plasticity.injectable(nets.q_network(IMAGE, ACTION, encoder=TWO_CONVS, **SMALL))
    ),
}  # fmt: skip
# Layers whose units are tied together behind them, so that one cannot be silenced alone.
TIED = {
    "self-predictive": {"encoder/conv_1"},
    "self-predictive, tokens": {"encoder/conv_1"},
    "spectrally normalised": {"trunk/actor/dense_1", "trunk/critic/dense_1"},
}


# Made of parts that are all in another one, too: for `make test-all`.
COMPOSED = (
    "separate",
    "q",
    "no trunk",
    "no trunk, recurrent",
    "pooled",
    "policy and critics",
    "mixtures everywhere",
    "linear",
    "dueling",
    "implicit, mixture",
    "self-predictive, tokens",
)


@pytest.fixture(
    scope="module",
    params=[pytest.param(n, marks=pytest.mark.slow) if n in COMPOSED else n for n in NETWORKS],
)
def case(request):
    """A network with dense parameters, its unroll with noise, the same, compiled, with taps of 0
    but for those that are given, and the layers that are tied."""
    observation, network = NETWORKS[request.param]
    # Values do not matter here, so `init` is not compiled.
    leaves, structure = jax.tree.flatten(jax.eval_shape(network.init, jax.random.key(0)))
    rng = np.random.default_rng(0)
    dense = [np.asarray(rng.normal(size=leaf.shape, scale=0.4), "f") for leaf in leaves]
    high = 2 if observation.dtype == "uint8" else 1.0
    obs = rng.integers(0, high, (3, 2, *observation.shape)) if high == 2 else None
    obs = rng.normal(size=(3, 2, 3)) if obs is None else obs
    obs = np.asarray(obs, observation.dtype)
    starts = rng.random((3, 2)) < 0.3
    params = jax.tree.unflatten(structure, dense)
    noise = jax.jit(nets.draw_noise)(jax.random.key(1), params)

    def unroll(params, taps):
        params = nets.add_noise(params, noise)
        output, internals = network.unroll(params, obs, network.memory(2), starts, taps)
        return jnp.concatenate([x.ravel() for x in jax.tree.leaves(output)]), internals

    features = jax.eval_shape(unroll, params, {})[1].features
    zeros = jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), features)
    compiled = jax.jit(unroll)

    def run(params, taps):
        return jax.device_get(compiled(params, zeros | taps))

    return network, params, unroll, run, TIED.get(request.param, set())


def at(params, path):
    for name in path:
        params = params[name]
    return np.asarray(params)


def put(params, path, value):
    if not path:
        return value
    return params | {path[0]: put(params[path[0]], path[1:], value)}


def silenced(params, edge, unit):
    """Zero what the unit sends out."""
    for path in edge.outgoing:
        kernel = at(params, path).copy()
        # A stream may feed a convolution too, which reads each unit once.
        tiles = (edge.tile,) if edge.recyclable else (edge.tile, 1)
        assert kernel.shape[-2] in [edge.units * tile for tile in tiles]
        kernel[..., unit :: edge.units, :] = 0.0
        params = put(params, path, kernel)
    return params


def perturbed(params, edge, unit, paths):
    """Change what comes into the unit."""
    for path in paths:
        leaf = at(params, path).copy()
        assert leaf.shape[-1] == edge.units
        leaf[..., unit] += 0.7
        params = put(params, path, leaf)
    return params


def test_a_unit_acts_through_its_outgoing_rows_only(case):
    network, params, _, run, tied = case
    expected = run(params, {})[0]
    assert not any(edge.recyclable for edge in network.wiring if edge.layer in tied)
    for edge in network.wiring:
        if edge.layer in tied:
            continue
        # A unit's kernel reaches other units through the statistics of a LayerNorm behind it.
        norm = tuple(path for path in edge.incoming if path[-2].endswith("_norm"))
        for unit in (0, edge.units - 1):
            mute = silenced(params, edge, unit)
            before, after = (
                run(p, {})[0] for p in (mute, perturbed(mute, edge, unit, norm or edge.incoming))
            )
            np.testing.assert_allclose(before, after, atol=1e-6, err_msg=edge.layer)
            for path in edge.incoming:
                changed = run(perturbed(params, edge, unit, (path,)), {})[0]
                assert np.max(np.abs(changed - expected)) > 1e-5, path


def test_every_leaf_is_wired_once(case):
    network, params, *_ = case
    paths = [tuple(k.key for k in path) for path, _ in jax.tree.leaves_with_path(params)]
    # What a router makes of a token are choices, no units.
    hidden = sorted(p for p in paths if p[0] not in ("heads", "aux") and "router" not in p)
    assert sorted(path for edge in network.wiring for path in edge.incoming) == hidden
    fed = {path for edge in network.wiring for path in edge.outgoing}
    assert fed <= set(paths)
    names = ("kernel", "kernel_sigma", "input", "recurrent")
    kernels = {path for path in paths if path[-1] in names and path[0] != "aux"}
    # Only kernels that read the observation itself, or a fraction, are fed by nobody.
    unfed = [path[0] for path in kernels - fed if path[0] != "bridge"]
    assert len(set(unfed)) == 1 and len(unfed) <= 3


def test_features_are_named_by_the_wiring(case):
    network, params, unroll, *_ = case
    features = jax.eval_shape(unroll, params, {})[1].features
    assert set(features) == {edge.layer for edge in network.wiring}
    for edge in network.wiring:
        feature = features[edge.layer]
        assert feature.shape[:2] == (3, 2) and feature.shape[-1] == edge.units
        assert feature.dtype == jnp.float32


def test_a_tap_shows_the_gradient_of_its_feature(case):
    network, params, unroll, run, _ = case
    if not network.wiring:
        pytest.skip("no hidden layer")

    def loss(params, taps):
        output, internals = unroll(params, taps)
        return jnp.mean(jnp.sin(3.0 * output)), internals.features

    @jax.jit
    def both(params):
        return probe(loss, params), unroll(params, {})[1].features

    look, plain = jax.device_get(both(params))
    for edge in network.wiring:
        grad = look.feature_grads[edge.layer]
        assert look.features[edge.layer].shape == grad.shape == plain[edge.layer].shape
        np.testing.assert_allclose(look.features[edge.layer], plain[edge.layer], atol=1e-6)
        norm = np.linalg.norm(grad)
        assert norm > 1e-4, edge.layer
        step = np.float32(1e-2 / norm) * grad
        outputs = (run(params, {edge.layer: sign * step})[0] for sign in (1, -1))
        ahead, behind = (np.mean(np.sin(3.0 * np.float64(output))) for output in outputs)
        np.testing.assert_allclose((ahead - behind) / 2e-2, norm, rtol=2e-2)
