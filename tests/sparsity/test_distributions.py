"""How a target is spread over layers: published numbers, totals, and a loop in float64."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from purejaxrl_suite import sparsity
from tests.sparsity.shapes import MINATAR, dense, struct

ERK = sparsity.erk()
BY_HAND = [
    # conv(3, 3, 4, 16) - dense(1600, 512) - out(512, 3), at .9, .95, .99
    (MINATAR, 0.9, [0.0, 0.0, 0.9023]),
    (MINATAR, 0.95, [0.1654, 0.0, 0.9523]),
    (MINATAR, 0.99, [0.8590, 0.0, 0.9919]),
    (dense(4, 64, 64, 2), 0.8, [0.0, 0.875, 0.0]),
    (dense(4, 64, 64, 2), 0.9, [0.5458, 0.9466, 0.1183]),
    # JaxPruner's numbers: it rounds zeros down in every layer, so 898 and 449 of 4480 are left.
    (dense(4, 64, 64, 2), 1 - 898 / 4480, [0.0, 0.8745, 0.0]),
    (dense(4, 64, 64, 2), 1 - 449 / 4480, [0.5448, 0.9464, 0.1164]),
]


def loop(layers, target):
    """The rule in float64, round by round: what would be more than dense is, then once more."""
    size = {x: float(x.size) for x in layers}
    raw = {x: sum(x.shape) / np.prod(x.shape) for x in layers}
    full = set()
    while True:
        left = [x for x in layers if x not in full]
        budget = (1 - target) * sum(size.values()) - sum(size[x] for x in full)
        factor = budget / sum(raw[x] * size[x] for x in left)
        most = max(raw[x] for x in left)
        if factor * most <= 1 + 1e-12:
            return [0.0 if x in full else 1 - factor * raw[x] for x in layers]
        full |= {x for x in left if raw[x] == most}


@partial(jax.jit, static_argnums=(0, 1))
def allocated(distribution, layers, targets):
    """f32[T, L] for targets f32[T]."""
    return jax.vmap(lambda target: distribution.allocate(layers, target))(targets)


@pytest.mark.parametrize("shapes", [MINATAR, dense(4, 64, 64, 2)], ids=["MinAtar", "4-64-64-2"])
def test_erk_by_hand(shapes):
    targets, expected = zip(*[row[1:] for row in BY_HAND if row[0] == shapes], strict=True)
    found = allocated(ERK, sparsity.kernels(shapes), jnp.asarray(targets))
    np.testing.assert_allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize("shapes", [MINATAR, dense(38, 233)], ids=["MinAtar", "one layer"])
def test_totals_are_the_target_and_erk_is_its_loop(shapes):
    layers = sparsity.kernels(shapes)
    targets = np.float32([0, 0.1, 0.5, 0.8, 0.9, 0.95, 0.98, 0.99, 0.999])
    share = np.array([x.size for x in layers], float) / sum(x.size for x in layers)
    for distribution in (ERK, sparsity.uniform()):
        found = allocated(distribution, layers, targets)
        np.testing.assert_allclose(np.asarray(found, float) @ share, targets, atol=1e-6)
        assert np.all((found >= 0) & (found < 1)) and np.all(found[0] == 0)
        if distribution is ERK:
            np.testing.assert_allclose(found, [loop(layers, float(t)) for t in targets], atol=1e-4)
        else:
            np.testing.assert_array_equal(found, np.tile(targets, (len(layers), 1)).T)


def test_a_stack_counts_as_layers_of_one_entry():
    stack = {"heads": {"q": {"kernel": struct((3, 64, 2)), "bias": struct((3, 2))}}}
    apart = {"heads": {f"q_{i}": {"kernel": struct((64, 2))} for i in range(3)}}
    found = [
        allocated(ERK, sparsity.kernels(dense(4, 64) | heads), jnp.float32([0.8]))[0]
        for heads in (stack, apart)
    ]
    np.testing.assert_allclose(found[0], found[1][:2], atol=1e-6)


def test_sparsities_of_ones_own():
    params = {"trunk": {"actor": dense(4, 64, 2), "critic_0": dense(4, 64, 64, 2)}}
    layers = sparsity.kernels(params)
    own = {"trunk.actor": 0.5, "trunk.actor.dense_1.kernel": 0.25}
    found = allocated(sparsity.per_leaf(own, ERK), layers, jnp.float32([0.9]))[0]
    np.testing.assert_allclose(found, [0.5, 0.25, 0.5458, 0.9466, 0.1183], atol=1e-4)
    dense_first = sparsity.per_leaf({"trunk.actor.dense_0": 0.0})
    assert dense_first.dense("trunk.actor.dense_0.kernel")
    assert not dense_first.dense("trunk.actor.dense_1.kernel")
    # Of a target for nothing a member would have no use.
    everything = sparsity.per_leaf({"trunk": 0.5, "trunk.actor": 0.25})
    with pytest.raises(ValueError, match="sparsities: expected a layer without one, which the tar"):
        everything.allocate(layers, np.float32(0.9))


def test_refusals():
    with pytest.raises(ValueError, match=r"sparsities\['a'\]: expected a finite number of at le"):
        sparsity.per_leaf({"a": 1.0})
    with pytest.raises(ValueError, match="sparsities: expected one layer or more, got {}"):
        sparsity.per_leaf({})
    wrong = sparsity.magnitude(distribution=sparsity.per_leaf({"dense_0.kernal": 0.5}))
    with pytest.raises(ValueError, match="did you mean dense_0.kernel, dense_1.kernel"):
        sparsity.check(wrong, dense(4, 64, 2))
    for target in (-0.1, 1.0, float("nan"), True):
        with pytest.raises(ValueError, match="target: expected a finite number of at least 0 and"):
            sparsity.check_target("target", target)
    assert sparsity.check_target("target", 0.5) == 0.5
