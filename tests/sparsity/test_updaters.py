"""Methods as values: what they are called, what they refuse; which leaves and scores they read."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import purejaxrl_suite as pjs
from purejaxrl_suite import nets, plasticity, sparsity
from purejaxrl_suite.core import tree
from purejaxrl_suite.nets import tasks
from purejaxrl_suite.sparsity import scores
from purejaxrl_suite.sparsity.layers import SUBTRACTED
from tests.sparsity.shapes import struct

NAMES = [
    (sparsity.no_prune(), "no_prune(constant, erk, unstructured)"),
    (sparsity.magnitude(), "magnitude(cubic, erk, unstructured)"),
    (
        sparsity.magnitude(
            schedule=sparsity.one_shot(),
            distribution=sparsity.per_leaf({"heads": 0.0}, sparsity.erk()),
            structure=sparsity.n_of_m(2, 4),
        ),
        "magnitude(one_shot, per_leaf(heads=0, erk), 2_of_4)",
    ),
    (sparsity.global_saliency(), "global_saliency(cubic)"),
    (sparsity.ac_dc(3), "ac_dc(cycles(3, 0.5), erk, unstructured)"),
    (sparsity.sparse_evolutionary(), "set(constant, erk, unstructured)"),
    (
        sparsity.rigl(distribution=sparsity.uniform(), structure=sparsity.block(4, 4)),
        "rigl(cosine, uniform, block(4, 4))",
    ),
]


@pytest.mark.parametrize(("updater", "name"), NAMES)
def test_names_tell_the_settings(updater, name):
    assert updater.name == name


def test_what_methods_are():
    assert sparsity.static().sparse_from_start and sparsity.static().score is None
    assert sparsity.rigl().sparse_from_start and sparsity.sparse_evolutionary().sparse_from_start
    assert sparsity.random_ste().straight_through and sparsity.magnitude_ste().straight_through
    assert not sparsity.ac_dc().sparse_from_start


def test_refusals():
    with pytest.raises(ValueError, match="structure: expected one whose weights can be replaced"):
        sparsity.rigl(structure=sparsity.n_of_m(2, 4))
    with pytest.raises(ValueError, match="schedule: expected a Schedule, got the function cubic"):
        sparsity.magnitude(schedule=sparsity.cubic)
    own = sparsity.per_leaf({"trunk": 0.3, "heads": 0.0})
    with pytest.raises(ValueError, match="distribution: expected one that tells of dense layers"):
        sparsity.magnitude(distribution=own, structure=sparsity.n_of_m(2, 4))
    with pytest.raises(ValueError, match="drop: expected a Drop, got a Schedule"):
        sparsity.sparse_evolutionary(drop=sparsity.constant())
    with pytest.raises(ValueError, match="params: expected leaves named action, input, kernel"):
        sparsity.kernels({"a": {"bias": struct((3, 3))}})


def test_scores_by_hand():
    seen = sparsity.Seen(
        {"kernel": jnp.asarray([[1.0, -2.0]])}, {"kernel": jnp.asarray([[-3.0, 0.5]])}
    )
    key = jax.random.key(0)
    assert scores.magnitude(key, seen)["kernel"].tolist() == [[1.0, 2.0]]
    assert scores.saliency(key, seen)["kernel"].tolist() == [[3.0, 1.0]]
    assert scores.gradient(key, seen)["kernel"].tolist() == [[3.0, 0.5]]
    with pytest.raises(ValueError, match="optimizer: expected one with second moments"):
        scores.adam_fisher(key, seen)
    moments = seen._replace(second_moments={"kernel": jnp.asarray([[4.0, 0.25]])})
    assert scores.adam_fisher(key, moments)["kernel"].tolist() == [[4.0, 1.0]]
    unit = sparsity.globally(scores.magnitude)(key, seen)["kernel"]
    np.testing.assert_allclose(unit, np.asarray([[1.0, 2.0]]) / 5**0.5, rtol=1e-6)
    nothing = seen._replace(grads={"kernel": jnp.zeros((1, 2))})
    assert sparsity.globally(scores.saliency)(key, nothing)["kernel"].tolist() == [[0.0, 0.0]]


OBSERVATION, ACTION = pjs.Box((8, 8, 4), "uint8", 0, 255), pjs.Discrete(3)
TOLD = pjs.Box((6,), tasks=2)
MOTORS = pjs.Box((2,), low=-1.0, high=1.0)
NETWORKS = {
    "convolutions": lambda: nets.q_network(OBSERVATION, ACTION, layer_norm=True),
    "noisy": lambda: nets.q_network(OBSERVATION, ACTION, noisy=True),
    "mixture": lambda: nets.q_network(
        OBSERVATION, ACTION, bridge=nets.mixture(nets.soft(normalized=True), 2)
    ),
    "gru": lambda: nets.actor_critic(pjs.Box((4,)), ACTION, memory_units=8),
    "gaussian": lambda: nets.actor_critic(pjs.Box((4,)), MOTORS),
    "twin critics": lambda: nets.actor_critics(pjs.Box((4,)), MOTORS),
    "bro": lambda: nets.actor_critics(pjs.Box((4,)), MOTORS, hidden=(8,), blocks=1),
    "heads of tasks": lambda: tasks.multi_head(nets.actor_critic(TOLD, MOTORS), TOLD),
    "self-predictive": lambda: nets.self_predictive(OBSERVATION, ACTION).network,
    "implicit quantiles": lambda: nets.implicit_quantile_network(OBSERVATION, ACTION),
    "injectable": lambda: plasticity.injectable(nets.q_network(pjs.Box((4,)), ACTION)),
}
OTHERS = {"bias", "scale", "log_std", "kernel_sigma", "bias_sigma", "recurrent_bias", "on"}
"""Leaves that are never pruned. One of another name belongs here or among `KERNELS`."""


@pytest.mark.parametrize("name", NETWORKS)
def test_kernels_of_every_network(name):
    params = jax.eval_shape(NETWORKS[name]().init, jax.random.key(0))
    told = tree.named(sparsity.prunable(params)).items()
    pruned = {name.rsplit(".", 1)[1] for name, prunable in told if prunable}
    others = {
        name.rsplit(".", 1)[1]
        for name, prunable in told
        if not prunable and not name.startswith(SUBTRACTED)
    }
    assert others <= OTHERS and not pruned & OTHERS
    stacked = [layer for layer in sparsity.kernels(params) if layer.entries > 1]
    assert bool(stacked) == (name == "heads of tasks")
    for layer in stacked:
        assert layer.name.startswith("heads.") and layer.entries == 2
