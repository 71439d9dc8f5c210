"""Metrics on made-up probes with known answers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from purejaxrl_suite import plasticity
from purejaxrl_suite.core.types import Edge, Inspection, Internals, Learner, Network, Probe
from purejaxrl_suite.plasticity import names, scores

# Two units that are equally active, one at a tenth of them, one dead, one constant.
H = np.array([[2.0, -2.0, 0.2, 0.0, 1.0], [-2.0, 2.0, -0.2, 0.0, 1.0]], np.float32)
MEAN = (2 + 2 + 0.2 + 0 + 1) / 5
# Of the second layer, [B, height, width, channels], one channel of two is dead.
MAP = np.zeros((2, 3, 1, 2), np.float32)
MAP[1, 2, 0, 0] = 3.0
GRADS = {
    "trunk": {
        "dense_0": {"kernel": np.array([[1.0, -3.0, 0, 0, 0]] * 2), "bias": np.ones(5)},
        "dense_0_norm": {"scale": np.array([4.0, 0, 0, 0, 1.0]), "bias": np.ones(5)},
    },
    "encoder": {"conv_0": {"kernel": np.zeros((1, 1, 3, 2)), "bias": np.ones(2)}},
}
LEAVES = tuple(
    ("trunk", module, leaf) for module, leaves in GRADS["trunk"].items() for leaf in leaves
)
WIRING = (
    Edge("encoder/conv_0", 2, (("encoder", "conv_0", "kernel"), ("encoder", "conv_0", "bias")), ()),
    Edge("trunk/dense_0", 5, LEAVES, ()),
)
PROBE = Probe(
    {"trunk/dense_0": jnp.asarray(H), "encoder/conv_0": jnp.asarray(MAP)},
    {"trunk/dense_0": jnp.asarray(3e-9 * H), "encoder/conv_0": jnp.zeros_like(MAP)},
    GRADS,
)
LEARNER = Learner(jax.tree.map(lambda x: 2.0 * x, GRADS), ())


def network(params, obs, memory, taps):
    return params["w"][None] * obs, Internals({}, (), {}, 0.0)


INSPECTION = Inspection(
    Network(lambda key: GRADS, network, network, WIRING),
    lambda learner: PROBE,
    lambda: jnp.eye(4),
    lambda: (jnp.array([0, 1, 1, 0]), jnp.array([0, 1, 0, 0])),
    lambda learner, i: GRADS,
    4,
)


def measure(metric):
    found = metric(LEARNER, PROBE, INSPECTION)
    assert all(x.shape == () and x.dtype == jnp.float32 for x in found.values()), found
    return {name: float(x) for name, x in found.items()}


def test_scores_by_hand():
    found = scores.activation(LEARNER, PROBE, INSPECTION)["trunk/dense_0"]
    np.testing.assert_allclose(found, np.array([2, 2, 0.2, 0, 1]) / MEAN, rtol=1e-6)
    np.testing.assert_allclose(np.mean(found), 1.0, rtol=1e-6)
    share = scores.activation_share(LEARNER, PROBE, INSPECTION)["trunk/dense_0"]
    np.testing.assert_allclose(np.sum(share), 1.0, rtol=1e-6)
    variance = scores.variance(LEARNER, PROBE, INSPECTION)["trunk/dense_0"]
    np.testing.assert_allclose(variance, [4, 4, 0.04, 0, 0], rtol=1e-5)
    weights = scores.weight_gradient(LEARNER, PROBE, INSPECTION)
    np.testing.assert_allclose(weights["trunk/dense_0"], np.array([1, 3, 0, 0, 0]) / 0.8)
    np.testing.assert_allclose(weights["trunk/dense_0_norm"], [4, 0, 0, 0, 1])


def test_scores_do_not_depend_on_the_scale_of_the_loss():
    found = scores.feature_gradient(LEARNER, PROBE, INSPECTION)["trunk/dense_0"]
    np.testing.assert_allclose(found, np.array([2, 2, 0.2, 0, 1]) / MEAN, rtol=1e-5)


@pytest.mark.parametrize(
    ("metric", "name", "dense", "conv"),
    [
        (plasticity.dormant(0.0), "dormant_0", 1, 1),
        (plasticity.dormant(0.25), "dormant_0.25", 2, 1),
        (plasticity.dormant(-1.0), "dormant_-1", 0, 0),
        (plasticity.dormant_of_sum(0.05), "dormant_of_sum_0.05", 2, 1),
        (plasticity.low_variance(0.0), "low_variance_0", 2, 1),
        (plasticity.low_variance(0.1), "low_variance_0.1", 3, 1),
        (plasticity.inactive(0.0), "inactive_0", 1, 2),
        (plasticity.dead, "dead", 1, 1),
    ],
)
def test_shares_of_units(metric, name, dense, conv):
    found = measure(metric)
    assert metric.__name__ == name
    np.testing.assert_allclose(found[f"{name}.trunk.dense_0"], dense / 5)
    np.testing.assert_allclose(found[f"{name}.encoder.conv_0"], conv / 2)
    np.testing.assert_allclose(found[name], (dense + conv) / 7, rtol=1e-6)


@pytest.mark.parametrize("wrong", [np.zeros((2, 5), bool), np.zeros(5), np.bool_(True)])
def test_what_is_not_one_number_of_each_unit_is_refused(wrong):
    with pytest.raises(ValueError, match=r"mine: expected bool\[H\], one of each unit of b, got"):
        names.fractions("mine", {"a": np.zeros(3, bool), "b": wrong})
    with pytest.raises(ValueError, match=r"mine: expected one number, f32\[\], of a, got f.*\[3\]"):
        names.sums("mine", {"a": jnp.zeros(3)})


def test_modules_of_the_released_definition():
    found = measure(plasticity.inactive_as_released(0.0))
    np.testing.assert_allclose(found["inactive_as_released_0.trunk.dense_0"], 3 / 5)
    np.testing.assert_allclose(found["inactive_as_released_0.trunk.dense_0_norm"], 3 / 5)
    np.testing.assert_allclose(found["inactive_as_released_0"], (3 + 3 + 2) / 12)


def test_ranks_and_norms():
    found = measure(plasticity.ranks)
    values = np.linalg.svd(H, compute_uv=False)
    np.testing.assert_allclose(
        found["stable_rank.trunk.dense_0"], np.sum(values**2) / values[0] ** 2, rtol=1e-5
    )
    assert found["srank.encoder.conv_0"] == 1 and found["srank"] == 3
    norms = measure(plasticity.feature_norm)
    np.testing.assert_allclose(norms["feature_norm.trunk.dense_0"], np.sqrt(9.04), rtol=1e-6)
    np.testing.assert_allclose(norms["feature_norm.encoder.conv_0"], 3 / 6)
    leaves = jax.tree.leaves(GRADS)
    whole = np.sqrt(sum(np.sum(np.square(x)) for x in leaves))
    np.testing.assert_allclose(measure(plasticity.raw_gradient_norm)["raw_gradient_norm"], whole)
    weights = measure(plasticity.weight_norm)
    np.testing.assert_allclose(weights["weight_norm"], 2 * whole)
    np.testing.assert_allclose(weights["weight_norm.encoder.conv_0"], 2 * np.sqrt(2))


def test_gradients_of_samples():
    found = measure(plasticity.gradient_covariance)
    # Both samples have length sqrt(9.04); all but the last unit point the other way.
    np.testing.assert_allclose(found["gradient_cosine.trunk.dense_0"], -7.04 / 9.04, rtol=1e-5)
    assert 1 < found["gradient_rank.trunk.dense_0"] < 2
    assert found["gradient_rank.encoder.conv_0"] == 0
    snr = measure(plasticity.gradient_snr)
    # Units 0 to 3 cancel or have none; the last one is the same in both samples: no noise at all.
    np.testing.assert_allclose(snr["gradient_snr.trunk.dense_0"], 0.0, atol=1e-6)


def test_many_samples():
    probe = PROBE._replace(feature_grads={"a": jnp.ones((70_000, 2))})
    found = plasticity.gradient_covariance(LEARNER, probe, INSPECTION)
    np.testing.assert_allclose(found["gradient_cosine"], 1.0, rtol=1e-4)


def test_signal_to_noise_by_hand():
    gradients = {"a": jnp.array([[3.0, 0.0], [1.0, 0.0]])}
    probe = PROBE._replace(feature_grads=gradients)
    np.testing.assert_allclose(
        plasticity.gradient_snr(LEARNER, probe, INSPECTION)["gradient_snr"], 1.0
    )


def test_churn():
    assert measure(plasticity.policy_churn) == {"policy_churn": 0.25}
    moved = INSPECTION._replace(
        actions=lambda: (jnp.zeros((2, 2)), jnp.array([[3.0, 4.0], [0, 0]]))
    )
    assert plasticity.policy_churn(LEARNER, PROBE, moved)["policy_churn"] == 2.5


def test_tangent_kernel_and_nullspace_by_hand():
    # f(x) = mean of w * x: gradients are x / 4, so the four unit vectors are orthogonal.
    edge = Edge("a", 4, (("w",),), ())
    inspection = INSPECTION._replace(network=INSPECTION.network._replace(wiring=(edge,)))
    learner = Learner({"w": jnp.ones(4)}, ())
    found = plasticity.tangent_kernel()(learner, PROBE, inspection)
    np.testing.assert_allclose(found["entk_rank"], 4)
    np.testing.assert_allclose(found["entk_effective_rank"], 4, rtol=1e-5)
    assert plasticity.nullspace_ratio()(learner, PROBE, inspection)["nullspace_ratio"] == 0
    twice = inspection._replace(obs=lambda: jnp.eye(4)[jnp.array([0, 1, 0, 1])])
    assert plasticity.nullspace_ratio()(learner, PROBE, twice)["nullspace_ratio.a"] == 0.5
    np.testing.assert_allclose(plasticity.tangent_kernel()(learner, PROBE, twice)["entk_rank"], 2)


def test_a_network_without_hidden_layers():
    empty = Probe({}, {}, {"w": jnp.ones(4)})
    inspection = INSPECTION._replace(network=INSPECTION.network._replace(wiring=()))
    for metric in plasticity.CHEAP:
        found = metric(Learner({"w": jnp.ones(4)}, ()), empty, inspection)
        assert all("." not in name.replace("0.", "") for name in found), found


def test_overlap_by_hand():
    observer = plasticity.overlap(0.25)
    state = observer.init(INSPECTION.network, LEARNER)
    key, clock = jax.random.key(0), None
    _, state, first = observer.apply(key, clock, state, LEARNER, INSPECTION)
    assert np.isnan(first["overlap_last"]) and np.isnan(first["overlap_ever"])
    # Units 2 and 3 were dormant; now 2 alone, then all the others.
    for scale, last, ever in (([1, 1, 0, 1, 1], 1, 1), ([0, 0, 1, 0, 0], 0, 0.5)):
        h = jnp.array([[1.0, 1.0, 1.0, 1.0, 5.0]]) * jnp.array([scale], jnp.float32)
        features = {"trunk/dense_0": h, "encoder/conv_0": jnp.ones((1, 2))}
        inspection = INSPECTION._replace(
            probe=lambda learner, f=features: PROBE._replace(features=f)
        )
        learner, state, found = observer.apply(key, clock, state, LEARNER, inspection)
        np.testing.assert_allclose(found["overlap_last.trunk.dense_0"], last)
        np.testing.assert_allclose(found["overlap_ever.trunk.dense_0"], ever)
        assert learner is LEARNER


def test_of_a_network_that_diverged_nothing_is_known():
    """Comparisons with NaN are false: shares of 0 would say that all units are well."""

    def lost(x):
        return jnp.asarray(x).at[(0,) * jnp.ndim(x)].set(jnp.nan)

    params, *rest = jax.tree.map(lost, (LEARNER.params, *PROBE[:3]))
    learner, probe = Learner(params, ()), Probe(*rest)
    there = INSPECTION._replace(probe=lambda learner: probe)
    for metric in plasticity.metrics.CHEAP:
        if metric in (plasticity.metrics.policy_churn, plasticity.metrics.routing):
            continue  # of actions, and of networks with experts
        found = metric(learner, probe, there)
        assert all(np.isnan(x) for x in found.values()), found
    watch = plasticity.overlap(0.1)
    state = watch.init(INSPECTION.network, LEARNER)
    for _ in range(2):
        _, state, found = watch.apply(jax.random.key(0), None, state, learner, there)
    assert all(np.isnan(x) for x in found.values()), found
