"""Dueling, distributional, noisy, residual, implicit and self-predictive networks."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from purejaxrl_suite import nets
from purejaxrl_suite.core.types import Box, Discrete
from purejaxrl_suite.nets import heads, self_prediction

VECTOR, ACTION = Box((3,)), Discrete(4)
BOARD = Box((6, 6, 2), "bool", 0, 1)
ATARI = Box((84, 84, 4), "uint8", 0, 255)


def build(network):
    """Its first parameters and its compiled function, both on the host."""
    params, apply = jax.jit(network.init)(jax.random.key(0)), jax.jit(network.apply)
    return jax.device_get(params), lambda *arguments: jax.device_get(apply(*arguments))


def shapes(network, obs):
    params = jax.eval_shape(network.init, jax.random.key(0))
    batch = jax.ShapeDtypeStruct((2, *obs.shape), obs.dtype)
    output, internals = jax.eval_shape(network.apply, params, batch)
    return params, output.shape, {k: v.shape[1:] for k, v in internals.features.items()}


@pytest.mark.parametrize("dueling", [False, True])
@pytest.mark.parametrize(("atoms", "shape"), [(0, (2, 4)), (1, (2, 4, 1)), (5, (2, 4, 5))])
def test_numbers_for_each_action(dueling, atoms, shape):
    network = nets.q_network(VECTOR, ACTION, hidden=(3,), atoms=atoms, dueling=dueling)
    assert shapes(network, VECTOR)[1] == shape


def test_dueling_by_hand():
    value, advantages = jnp.array([[10.0]]), jnp.array([[1.0, 2.0, 6.0]])
    np.testing.assert_allclose(heads.combine(value, advantages), [[8.0, 9.0, 13.0]])


def test_dueling_takes_the_mean_of_the_advantages_away():
    params, apply = build(nets.q_network(VECTOR, ACTION, hidden=(3,), atoms=2, dueling=True))
    obs = jnp.ones((1, 3))
    before = apply(params, obs)[0]
    moved = params["heads"]["advantage"]["bias"] + np.tile(np.float32([1.0, -2.0]), 4)
    params["heads"]["advantage"]["bias"] = moved
    np.testing.assert_allclose(apply(params, obs)[0], before, atol=1e-5)
    value = params["heads"]["value"]
    value["bias"] = value["bias"] + np.float32([1.0, -2.0])
    expected = before + np.float32([[[1.0, -2.0]]])
    np.testing.assert_allclose(apply(params, obs)[0], expected, atol=1e-5)


def test_kernels_start_as_asked():
    xavier = jax.nn.initializers.xavier_uniform()
    params, _ = build(nets.q_network(Box((30,)), ACTION, hidden=(90,), kernel_init=xavier))
    for place, fans in (("trunk", (30, 90)), ("heads", (90, 4))):
        kernel = next(iter(params[place].values()))["kernel"]
        assert kernel.shape == fans
        assert np.max(np.abs(kernel)) == pytest.approx(math.sqrt(6 / sum(fans)), rel=0.03)


NOISY = nets.q_network(VECTOR, ACTION, hidden=(5,), dueling=True, noisy=True, layer_norm=False)


def test_noise_moves_means_by_deviations():
    params, apply = build(NOISY)
    noise = jax.device_get(jax.jit(nets.draw_noise)(jax.random.key(1), params))
    assert set(noise) == {"trunk/dense_0", "heads/value", "heads/advantage"}
    drawn, layer = noise["trunk/dense_0"], params["trunk"]["dense_0"]
    found = nets.add_noise(params, noise)["trunk"]["dense_0"]
    expected = layer["kernel"] + layer["kernel_sigma"] * np.outer(drawn.inputs, drawn.outputs)
    np.testing.assert_allclose(found["kernel"], expected, rtol=1e-6)
    np.testing.assert_allclose(found["bias"], layer["bias"] + layer["bias_sigma"] * drawn.outputs)
    obs = jnp.ones((1, 3))
    quiet = jax.tree.map_with_path(
        lambda path, x: np.zeros_like(x) if path[-1].key.endswith("sigma") else x, params
    )
    plain = apply(params, obs)[0]
    np.testing.assert_array_equal(apply(nets.add_noise(quiet, noise), obs)[0], plain)
    assert np.all(apply(nets.add_noise(params, noise), obs)[0] != plain)


def test_noisy_layers_start_as_in_the_paper():
    layer = build(NOISY)[0]["trunk"]["dense_0"]
    bound = 1 / math.sqrt(3)
    assert np.max(np.abs(layer["kernel"])) <= bound < 2 * np.max(np.abs(layer["bias"]))
    np.testing.assert_allclose(layer["kernel_sigma"], 0.5 * bound, rtol=1e-6)


def test_noise_is_a_signed_root_of_normal_numbers():
    shapes = jax.eval_shape(NOISY.init, jax.random.key(0))
    draw = jax.jit(jax.vmap(lambda key: nets.draw_noise(key, shapes)["trunk/dense_0"]))
    found = draw(jax.random.split(jax.random.key(2), 20_000))
    x = np.concatenate([found.inputs, found.outputs], axis=1)
    np.testing.assert_allclose(np.mean(x, axis=0), 0.0, atol=0.02)
    np.testing.assert_allclose(np.mean(x**2, axis=0), math.sqrt(2 / math.pi), atol=0.02)
    np.testing.assert_allclose(np.mean(x**4, axis=0), 1.0, atol=0.05)
    np.testing.assert_allclose(np.corrcoef(x.T), np.eye(8), atol=0.03)


def test_the_loss_reaches_deviations_through_the_noise():
    params, _ = build(NOISY)
    noise = jax.jit(nets.draw_noise)(jax.random.key(1), params)

    def loss(params):
        return jnp.sum(NOISY.apply(nets.add_noise(params, noise), jnp.ones((1, 3)))[0])

    grads = jax.jit(jax.grad(loss))(params)["heads"]["value"]
    expected = grads["kernel"] * np.outer(*noise["heads/value"])
    np.testing.assert_allclose(grads["kernel_sigma"], expected, rtol=1e-5)


def test_residual_encoder_of_atari():
    network = nets.q_network(ATARI, ACTION, encoder=nets.impala(width=4))
    features = shapes(network, ATARI)[2]
    assert [features[f"encoder/stage_{i}"] for i in range(3)] == [
        (42, 42, 64), (21, 21, 128), (11, 11, 128),
    ]  # fmt: skip
    recyclable = {edge.layer: edge.recyclable for edge in network.wiring}
    assert {name for name, yes in recyclable.items() if not yes} == {
        "encoder/stage_0", "encoder/stage_1", "encoder/stage_2",
    }  # fmt: skip
    assert len(recyclable) == 3 + 6 + 2
    assert {edge.layer: edge.tile for edge in network.wiring}["encoder/stage_2"] == 121


def test_boards_are_pooled_once():
    network = nets.q_network(BOARD, ACTION, encoder=nets.impala((2, 3), blocks=1))
    features = shapes(network, BOARD)[2]
    assert features["encoder/stage_0"] == (3, 3, 2) and features["encoder/stage_1"] == (3, 3, 3)


def test_a_residual_block_adds_to_the_stream():
    network = nets.q_network(BOARD, ACTION, encoder=nets.impala((2,), blocks=1, pooled=0))
    params, apply = build(network)
    obs = np.random.default_rng(1).random((1, 6, 6, 2)) < 0.5
    encoder = params["encoder"]
    last = encoder["stage_0_block_0_conv_1"]
    last["kernel"] = np.zeros_like(last["kernel"])
    last["bias"] = np.float32([0.25, -0.5])
    found = apply(params, obs)[1].features["encoder/stage_0"]
    conv = jax.lax.conv_general_dilated(
        obs.astype(np.float32), encoder["stage_0"]["kernel"], (1, 1), "SAME",
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )  # fmt: skip
    expected = np.maximum(np.asarray(conv) + np.float32([0.25, -0.5]), 0.0)
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_bbf_has_as_many_parameters_as_released():
    for width, millions in ((1, 14.2), (2, 22.5), (4, 39.8), (8, 77.0)):
        both = nets.self_predictive(
            ATARI, Discrete(18), hidden=(2048,), encoder=nets.impala(width=width)
        )
        params, shape, _ = shapes(both.network, ATARI)
        assert shape == (2, 18, 51)
        assert round(sum(x.size for x in jax.tree.leaves(params)) / 1e6, 1) == millions


IMPLICIT = nets.implicit_quantile_network(
    VECTOR, ACTION, hidden=(5,), mixed=(6,), quantiles=4, cosines=3
)


def test_quantiles_are_at_the_fractions_that_are_asked_for():
    params, apply = build(IMPLICIT)
    obs = jnp.array([[1.0, 2.0, 3.0], [0.5, 0.0, -1.0]])
    plain = apply(params, obs)[0]
    assert plain.shape == (2, 4, 4)
    taus = jnp.array([[0.875, 0.1, 0.375], [0.125, 0.2, 0.3]])
    found = apply(params, obs, (), {}, taus)[0]
    assert found.shape == (2, 4, 3)
    np.testing.assert_allclose(found[0, :, [0, 2]], plain[0, :, [3, 1]], atol=1e-6)
    np.testing.assert_allclose(found[1, :, 0], plain[1, :, 0], atol=1e-6)
    assert np.max(np.abs(found[0, :, 1] - found[0, :, 0])) > 1e-3


def test_the_embedding_is_the_papers():
    params, apply = build(IMPLICIT)
    features = apply(params, jnp.ones((1, 3)), (), {}, jnp.array([[0.25]]))[1].features
    cosines = np.float32([1.0, math.cos(math.pi / 4), 0.0])
    phi = np.maximum(cosines @ params["bridge"]["dense_0"]["kernel"], 0.0)
    np.testing.assert_allclose(features["bridge/dense_0"][0, 0], phi, atol=1e-6)
    product = phi * features["trunk/state/dense_0"][0]
    mixed = np.maximum(product @ params["trunk"]["mixed"]["dense_0"]["kernel"], 0.0)
    np.testing.assert_allclose(features["trunk/mixed/dense_0"][0, 0], mixed, atol=1e-5)


def test_raw_observations_pass_a_layer_before_the_product():
    places = {}
    for box in (VECTOR, BOARD):
        network = nets.implicit_quantile_network(box, ACTION)
        places[box] = jax.eval_shape(network.init, jax.random.key(0))["trunk"]
    assert places[VECTOR]["state"]["dense_0"]["kernel"].shape == (3, 256)
    assert "state" not in places[BOARD]


PREDICTIVE = nets.self_predictive(
    BOARD, ACTION, hidden=(7,), encoder=nets.cnn((nets.ConvLayer(3),)), atoms=5
)


def test_scaling_is_for_each_observation():
    x = jnp.array([[[1.0, 3.0]], [[-5.0, 5.0]]])
    np.testing.assert_allclose(self_prediction.scaled(x), [[[0, 1]], [[0, 1]]], atol=1e-5)


def test_predictions_follow_the_actions():
    params, apply = build(PREDICTIVE.network)
    assert set(params) == {"encoder", "trunk", "heads", "aux"}
    obs = np.random.default_rng(1).random((2, 6, 6, 2)) < 0.5
    output, internals = apply(params, obs)
    assert output.shape == (2, 4, 5)
    predict, changed = jax.jit(PREDICTIVE.predict), ([0, 1, 2], [0, 2, 2])
    found, other = (
        np.asarray(predict(params, internals.features, np.array([actions, [3, 3, 3]])))
        for actions in changed
    )
    assert found.shape == (2, 3, 7)
    np.testing.assert_array_equal(other[1], found[1])
    np.testing.assert_array_equal(other[0, 0], found[0, 0])
    assert np.all(np.max(np.abs(other[0, 1:] - found[0, 1:]), axis=-1) > 1e-4)


def test_a_prediction_by_hand():
    """Both convolutions as XLA's on [latent, action planes], then projection and predictor."""
    params, apply = build(PREDICTIVE.network)
    params = jax.tree.map(
        lambda x: x + np.float32(0.01 * np.cos(np.arange(x.size)).reshape(x.shape)), params
    )
    obs = np.random.default_rng(1).random((1, 6, 6, 2)) < 0.5
    features = apply(params, obs)[1].features

    def conv(x, kernel, bias):
        numbers = ("NHWC", "HWIO", "NHWC")
        y = jax.lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=numbers)
        return jax.nn.relu(y + bias.reshape(1, 1, 1, -1))

    @jax.jit
    def by_hand(params, x):
        first, second = (params["aux"]["transition"][name] for name in ("conv_0", "conv_1"))
        x = self_prediction.scaled(x)
        planes = jnp.zeros((1, 4, 4, 4)).at[..., 2].set(1.0)
        kernel = jnp.concatenate([first["kernel"], first["action"]], axis=2)
        x = conv(jnp.concatenate([x, planes], axis=-1), kernel, first["bias"])
        x = self_prediction.scaled(conv(x, second["kernel"], second["bias"])).reshape(1, -1)
        dense, predictor = params["trunk"]["dense_0"], params["aux"]["predictor"]
        x = x @ dense["kernel"] + dense["bias"][None]
        return x @ predictor["kernel"] + predictor["bias"][None]

    found = np.asarray(jax.jit(PREDICTIVE.predict)(params, features, np.array([[2]])))
    np.testing.assert_allclose(found[0], by_hand(params, features["encoder/conv_0"]), atol=1e-5)


def test_the_projection_is_the_trunk_before_its_activation():
    params, apply = build(PREDICTIVE.network)
    obs = np.random.default_rng(1).random((2, 6, 6, 2)) < 0.5
    features = apply(params, obs)[1].features
    projected = np.asarray(jax.jit(PREDICTIVE.project)(params, features))
    assert np.min(projected) < 0.0
    np.testing.assert_allclose(np.maximum(projected, 0.0), features["trunk/dense_0"], atol=1e-5)


def test_self_prediction_is_in_the_wiring():
    wiring = {edge.layer: edge for edge in PREDICTIVE.network.wiring}
    assert wiring["encoder/conv_0"].tile == 16
    assert ("aux", "predictor", "kernel") in wiring["trunk/dense_0"].outgoing
    assert ("aux", "transition", "conv_0", "kernel") in wiring["encoder/conv_0"].outgoing
    assert wiring["trunk/dense_0"].recyclable and not wiring["encoder/conv_0"].recyclable


def test_nature_scales_in_width():
    network = nets.q_network(ATARI, ACTION, encoder=nets.nature_cnn(width=2))
    features = shapes(network, ATARI)[2]
    assert [features[f"encoder/conv_{i}"] for i in range(3)] == [
        (20, 20, 64), (9, 9, 128), (7, 7, 128),
    ]  # fmt: skip


def test_bad_arguments_are_named():
    with pytest.raises(ValueError, match="atoms=-1"):
        nets.q_network(VECTOR, ACTION, atoms=-1)
    with pytest.raises(ValueError, match=r"channels=\(\)"):
        nets.impala(())
    with pytest.raises(ValueError, match="impala: input shape"):
        nets.q_network(VECTOR, ACTION, encoder=nets.impala())
    with pytest.raises(ValueError, match="quantiles=0"):
        nets.implicit_quantile_network(VECTOR, ACTION, quantiles=0)
    with pytest.raises(ValueError, match="expected Discrete"):
        nets.implicit_quantile_network(VECTOR, VECTOR)
    with pytest.raises(ValueError, match="encoder: output shape"):
        nets.self_predictive(VECTOR, ACTION, encoder=nets.flat())
    with pytest.raises(ValueError, match=r"hidden=\(\)"):
        nets.self_predictive(BOARD, ACTION, hidden=())
