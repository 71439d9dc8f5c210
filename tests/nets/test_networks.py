"""What the built networks put out, how they start, and that unrolling is stepping."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from purejaxrl_suite import nets
from purejaxrl_suite.core.types import Box, Discrete
from purejaxrl_suite.nets import lstm

VECTOR = Box((3,))
MINATAR = Box((10, 10, 4), "bool", 0, 1)
FORCE = Box((2,), "float32", -1, 1)


def observations(box, *batch):
    high = 2.0 if box.dtype == "bool" else 10.0
    x = np.random.default_rng(5).uniform(0.0, high, (*batch, *box.shape))
    return x.astype(np.int32).astype(box.dtype)


def start(network):
    return jax.device_get(jax.jit(network.init)(jax.random.key(0)))


def with_lstm():
    return nets.latent_model(VECTOR, Discrete(2), hidden=(5,), memory_units=4).network


@pytest.mark.parametrize("kind", ["none", "gru", "lstm"])
def test_unroll_is_stepping_with_resets(kind):
    units = 4 if kind == "gru" else 0
    network = nets.actor_critic(VECTOR, FORCE, hidden=(5,), memory_units=units)
    network = with_lstm() if kind == "lstm" else network
    params, obs = start(network), observations(VECTOR, 6, 3)
    starts = np.zeros((6, 3), bool)
    starts[2, 0] = starts[4] = starts[0, 1] = True
    memory = jax.tree.map(lambda x: np.asarray(x) + np.float32(0.5), network.memory(3))
    shapes = jax.eval_shape(network.unroll, params, obs, memory, starts, {})[1].features
    taps = jax.tree.map(
        lambda x: np.float32(0.1 * np.cos(np.arange(x.size)).reshape(x.shape)), shapes
    )
    output, internals = jax.device_get(jax.jit(network.unroll)(params, obs, memory, starts, taps))
    step = jax.jit(network.apply)
    for t in range(6):
        memory = jax.tree.map(
            lambda x, t=t: np.where(starts[t][:, None], np.float32(0.0), x), memory
        )
        expected, look = jax.device_get(
            step(params, obs[t], memory, {k: v[t] for k, v in taps.items()})
        )
        memory = look.memory
        found = jax.tree.map(lambda x, t=t: x[t], (output, internals.features, internals.memory))
        jax.tree.map(
            lambda x, y: np.testing.assert_allclose(x, y, atol=1e-6),
            found,
            (expected, look.features, look.memory),
        )


def test_one_unroll_of_an_lstm_is_two_halves():
    network = with_lstm()
    params, obs, starts = start(network), observations(VECTOR, 6, 3), np.zeros((6, 3), bool)
    starts[4, 1] = True
    unroll = jax.jit(network.unroll)
    whole, seen = unroll(params, obs, network.memory(3), starts, {})
    early, first = unroll(params, obs[:3], network.memory(3), starts[:3], {})
    middle = jax.tree.map(lambda x: x[-1], first.memory)
    late, second = unroll(params, obs[3:], middle, starts[3:], {})
    np.testing.assert_allclose(whole, np.concatenate([early, late]), rtol=1e-6, atol=1e-7)
    jax.tree.map(
        lambda x, y: np.testing.assert_allclose(x[3:], y, rtol=1e-6, atol=1e-7),
        seen.memory,
        second.memory,
    )


def test_an_lstm_of_gates_is_the_one_of_joined_leaves():
    """The same draws, in other leaves, and the same numbers."""
    cell = lstm.cell(4, jnp.float32)
    own, joined = cell.init(jax.random.key(1), 3), lstm.init(jax.random.key(1), 3, 4)
    x, never = np.random.default_rng(0).normal(size=(6, 2, 3)), np.zeros((6, 2), bool)
    x = x.astype(np.float32)
    found = cell.unroll(own, x.reshape(12, 3), cell.memory(2), never, None)
    _, hidden = lstm.unroll(joined, x, lstm.empty(joined, 2))
    np.testing.assert_allclose(found.hidden, hidden, rtol=1e-6, atol=1e-7)


def test_bfloat16_is_for_products_only():
    kinds = {"memory_units": 4, "layer_norm": True, "hidden": (16,)}
    network = nets.q_network(MINATAR, Discrete(3), dtype=jnp.bfloat16, **kinds)
    params, obs = start(network), observations(MINATAR, 2)
    output, internals = jax.jit(network.apply)(params, obs, network.memory(2), {})
    for leaf in jax.tree.leaves((params, output, internals.features, internals.memory)):
        assert leaf.dtype == jnp.float32
    exact = nets.q_network(MINATAR, Discrete(3), **kinds)
    expected = jax.jit(exact.apply)(params, obs, network.memory(2), {})[0]
    assert np.any(output != expected)
    np.testing.assert_allclose(output, expected, atol=0.05)


def test_actor_critic_starts_as_purejaxrl_does():
    network = nets.actor_critic(MINATAR, Discrete(3), hidden=(8, 8), encoder=nets.flat())
    params = start(network)
    assert set(params) == {"trunk", "heads"}
    first = np.asarray(params["trunk"]["actor"]["dense_0"]["kernel"])
    assert first.shape == (400, 8)
    np.testing.assert_allclose(first.T @ first, 2 * np.eye(8), atol=1e-5)
    for name, gain in (("policy", 0.01), ("value", 1.0)):
        kernel = np.asarray(params["heads"][name]["kernel"])
        width = kernel.shape[1]
        np.testing.assert_allclose(kernel.T @ kernel, gain**2 * np.eye(width), atol=1e-6)
    for path, leaf in jax.tree.leaves_with_path(params):
        if path[-1].key == "bias":
            assert not np.any(leaf)
    assert not np.allclose(first, params["trunk"]["critic"]["dense_0"]["kernel"])


def test_q_network_starts_as_purejaxql_does():
    params = start(nets.q_network(Box((400,)), Discrete(64)))
    assert set(params["trunk"]) == {"dense_0", "dense_0_norm", "dense_1", "dense_1_norm"}
    kernel = np.asarray(params["trunk"]["dense_0"]["kernel"])
    assert np.std(kernel) == pytest.approx(np.sqrt(2 / 400), rel=0.02)
    assert np.std(params["heads"]["q"]["kernel"]) == pytest.approx(np.sqrt(1 / 256), rel=0.02)


def test_actor_does_not_touch_the_critic():
    network = nets.actor_critic(VECTOR, Discrete(2), hidden=(4,))
    params, obs = start(network), observations(VECTOR, 2)
    broken = jax.tree.map(lambda x: x, params)
    broken["trunk"]["critic"] = jax.tree.map(lambda x: x * np.nan, params["trunk"]["critic"])
    output = jax.jit(network.apply)(broken, obs)[0]
    assert np.all(np.isfinite(output.policy)) and np.all(np.isnan(output.value))


def test_shapes_of_outputs():
    obs = observations(MINATAR, 2)
    for action, shapes in ((Discrete(5), [(2, 5), (2,)]), (FORCE, [(2, 2), (2, 2), (2,)])):
        network = nets.actor_critic(MINATAR, action, shared=True)
        output = jax.eval_shape(network.apply, jax.eval_shape(network.init, jax.random.key(0)), obs)
        assert [x.shape for x in jax.tree.leaves(output[0])] == shapes
        assert network.memory(3) == ()


@pytest.mark.parametrize(
    ("action", "policy", "greedy"),
    [
        (Discrete(2), jnp.log(jnp.array([[0.25, 0.75]])), 1),
        (FORCE, nets.Gaussian(jnp.array([[1.0, -1.0]]), jnp.array([[0.0, 1.0]])), [1.0, -1.0]),
    ],
)
def test_distribution(action, policy, greedy):
    found = nets.distribution(action)(policy)
    sampler = nets.sampler(action)
    sample = sampler.sample(sampler.noise(jax.random.key(0), 1), policy)
    assert found.log_prob(sample).shape == found.entropy().shape == (1,)
    np.testing.assert_allclose(found.mode()[0], greedy)
    if isinstance(action, Discrete):
        assert found.log_prob(jnp.array([0]))[0] == pytest.approx(np.log(0.25))
        assert found.entropy()[0] == pytest.approx(0.562335, rel=1e-5)
    else:
        assert found.log_prob(jnp.array([[1.0, -1.0]]))[0] == pytest.approx(-np.log(2 * np.pi) - 1)
        assert found.entropy()[0] == pytest.approx(np.log(2 * np.pi) + 2, rel=1e-5)


def test_bad_arguments_are_named():
    with pytest.raises(ValueError, match=r"hidden=\(0,\)"):
        nets.actor_critic(VECTOR, Discrete(2), hidden=(0,))
    with pytest.raises(ValueError, match="memory_units=-1"):
        nets.q_network(VECTOR, Discrete(2), memory_units=-1)
    with pytest.raises(ValueError, match="expected Discrete"):
        nets.q_network(VECTOR, FORCE)
    with pytest.raises(ValueError, match="action=Box"):
        nets.actor_critic(VECTOR, Box((2, 2)))
    with pytest.raises(ValueError, match="action=Box"):
        nets.distribution(Box((2, 2)))
    with pytest.raises(ValueError, match="does not fit"):
        nets.actor_critic(MINATAR, Discrete(2), encoder=nets.nature_cnn())
    with pytest.raises(ValueError, match=r"categories=\(3,\)"):
        nets.actor_critic(Box((4, 4, 2), "uint8", 0, 2, (3,)), Discrete(2))
