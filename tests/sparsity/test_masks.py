"""Masks by hand, and what holds of them for every updater: counts, nesting, members apart."""

from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from purejaxrl_suite import sparsity
from purejaxrl_suite.core import tree
from tests.sparsity.shapes import dense, drawn, struct

UPDATERS = {
    "static": sparsity.static(structure=sparsity.channel()),
    "magnitude": sparsity.magnitude(),
    "n_of_m": sparsity.saliency(
        structure=sparsity.n_of_m(2, 4), distribution=sparsity.per_leaf({"heads": 0.0})
    ),
    "global_saliency": sparsity.global_saliency(),
    "random_ste": sparsity.random_ste(),
    "set": sparsity.sparse_evolutionary(structure=sparsity.block(2, 1)),
    "rigl": sparsity.rigl(distribution=sparsity.uniform()),
}
SHAPES = {
    "trunk": dense(8, 16),
    "heads": {"q": {"kernel": struct((2, 16, 3)), "bias": struct((2, 3))}},
}
LANES = 3
TARGETS = np.float32([0.5, 0.8, 0.9])
DROPS = np.float32([0.0, 0.3, 0.5])


def seen(seed):
    """Numbers of one member: parameters, gradients, second moments."""
    params, grads, moments = (drawn(SHAPES, 3 * seed + i) for i in range(3))
    return sparsity.Seen(params, grads, jax.tree.map(jnp.square, moments))


@cache
def programs(name):
    """The first masks, and the next ones, of some members at once."""
    updater = UPDATERS[name]

    def begin(key, params, target):
        return sparsity.initial_masks(updater, key, params, target)

    def go_on(key, seen, masks, target, share, drop):
        return sparsity.next_masks(
            updater, key, seen, masks, target=target, share=share, drop_fraction=drop
        )

    return jax.jit(jax.vmap(begin)), jax.jit(jax.vmap(go_on, in_axes=(0, 0, 0, 0, None, 0)))


def life(name, shares=(0.5, 1.0)):
    """What members see and their masks at the beginning and after some updates of masks."""
    begin, go_on = programs(name)
    keys = jax.random.split(jax.random.key(1), LANES)
    each = tree.stack([seen(i) for i in range(LANES)])
    masks = [begin(keys, each.params, TARGETS)]
    for i, share in enumerate(shares):
        keys = jax.vmap(lambda key, i=i: jax.random.fold_in(key, i))(keys)
        masked = jax.tree.map(lambda w, mask: w * mask, each.params, masks[-1])
        now = each if UPDATERS[name].straight_through else each._replace(params=masked)
        masks.append(go_on(keys, now, masks[-1], TARGETS, jnp.float32(share), DROPS))
    return each, masks


def counts(masks):
    """{leaf: how many are kept, i[LANES]}."""
    return {n: np.asarray(x).reshape(LANES, -1).sum(axis=1) for n, x in tree.named(masks).items()}


@partial(jax.jit, static_argnums=0)
def updated(updater, params, grads, masks, now):
    """The next masks."""
    seen = sparsity.Seen(params, grads)
    return sparsity.next_masks(updater, jax.random.key(0), seen, masks, **now)


def single(updater, w, g, mask, **now):
    """The next mask of one dense kernel as a list of 0 and 1."""
    params, grads = {"kernel": np.float32([w])}, {"kernel": np.float32([g])}
    now = {name: np.float32(x) for name, x in now.items()}
    masks = updated(updater, params, grads, {"kernel": np.asarray([mask], bool)}, now)
    return masks["kernel"][0].astype(int).tolist()


W = [0.9, -0.1, 0.5, 0.2, -0.7, 0.0, 0.0, 0.0, 0.0, 0.0]
G = [9.0, 0.8, 9.0, 0.1, 9.0, 0.3, 0.9, 0.2, 0.5, 0.4]
MASK = [1, 1, 1, 1, 1, 0, 0, 0, 0, 0]


def test_rigl_by_hand():
    """Of 5 active weights 3 stay; of all others those with the gradients .9 and .8 grow.

    The latter, number 1, has just been dropped: 2 entries of the mask change and not 4.
    """
    rigl = sparsity.rigl()
    moved = dict(target=0.5, share=1.0, drop_fraction=0.4)
    assert single(rigl, W, G, MASK, **moved) == [1, 1, 1, 0, 1, 0, 1, 0, 0, 0]
    assert single(rigl, W, G, MASK, target=0.9, share=0.0, drop_fraction=0.0) == MASK
    # Half of 5 is 2 to even; at least one stays whatever is dropped.
    half = single(rigl, W, np.arange(10), MASK, **moved | {"drop_fraction": 0.5})
    assert half == [1, 0, 0, 0, 1, 0, 0, 1, 1, 1]
    gone = single(rigl, W, np.arange(10), MASK, **moved | {"drop_fraction": 1.0})
    assert gone == [1, 0, 0, 0, 0, 0, 1, 1, 1, 1]


@pytest.mark.parametrize("make", [sparsity.rigl, sparsity.sparse_evolutionary])
def test_a_layer_that_no_gradient_reaches_keeps_its_masks(make):
    """A frozen one would lose weights, and what grew there would stay zero."""
    moved = dict(target=0.5, share=1.0, drop_fraction=0.8)
    assert single(make(), W, [0.0] * 10, MASK, **moved) == MASK
    kernel, grads = np.float32([[W], [W]]), np.float32([[[0.0] * 10], [G]])
    masks = {"kernel": np.asarray([[MASK], [MASK]], bool)}
    now = {name: np.float32(x) for name, x in moved.items()}
    frozen, learns = updated(make(), {"kernel": kernel}, {"kernel": grads}, masks, now)["kernel"]
    assert frozen[0].astype(int).tolist() == MASK != learns[0].astype(int).tolist()


def test_pruning_by_hand():
    now = dict(target=0.8, share=1.0, drop_fraction=0.0)
    largest = sparsity.magnitude()
    assert single(largest, W, G, MASK, **now) == [1, 0, 0, 0, 1, 0, 0, 0, 0, 0]
    # What is pruned stays pruned, also beside active weights that are zero.
    assert single(largest, [0.0] * 10, G, [0, 1] * 5, **now | {"target": 0.5}) == [0, 1] * 5
    assert single(largest, W, G, MASK, **now | {"share": 0.0}) == [1] * 10
    ste = single(sparsity.magnitude_ste(), G, G, [0, 1] * 5, **now)
    assert ste == [1, 0, 1, 0, 0, 0, 0, 0, 0, 0]
    assert single(sparsity.no_prune(), W, G, MASK, **now) == MASK


def test_global_pruning_by_hand():
    """Layers of 4 and 2 weights relative to their norms 5 and 13; the best 3 of 6 stay."""
    a, b = np.float32([[3.0, 4.0, 0.0, 0.0]]), np.float32([[5.0], [12.0]])
    params = {"a": {"kernel": a}, "b": {"kernel": b}}
    ones = jax.tree.map(lambda x: np.ones(x.shape, bool), params)
    now = {"target": np.float32(0.5), "share": np.float32(1), "drop_fraction": np.float32(0)}
    masks = updated(sparsity.global_magnitude(), params, params, ones, now)
    assert masks["a"]["kernel"].tolist() == [[True, True, False, False]]
    assert masks["b"]["kernel"].tolist() == [[False], [True]]


@pytest.mark.parametrize("name", UPDATERS)
def test_masks_of_every_updater(name):
    updater = UPDATERS[name]
    each, (first, *later) = life(name)
    for masks in (first, *later):
        assert jax.tree.structure(masks) == jax.tree.structure(SHAPES)
        for leaf, mask in tree.named(masks).items():
            assert mask.dtype == bool
            assert mask.all() or leaf.endswith("kernel")
    if not updater.sparse_from_start:
        assert all(x.all() for x in jax.tree.leaves(first))
    if updater.sparse_from_start:
        for masks in later:
            jax.tree.map(np.testing.assert_array_equal, counts(masks), counts(first))
    elif not updater.straight_through:
        for old, new in zip([first, *later], later, strict=False):
            assert all(jax.tree.leaves(jax.tree.map(lambda o, n: bool(jnp.all(o | ~n)), old, new)))
    if name == "n_of_m":
        kernel = np.asarray(later[-1]["trunk"]["dense_0"]["kernel"])
        np.testing.assert_array_equal(kernel.reshape(LANES, 2, 4, 16).sum(axis=2), 2)
        assert np.all(later[-1]["heads"]["q"]["kernel"])


@pytest.mark.parametrize("name", ["magnitude", "random_ste"])
def test_counts_are_those_of_the_distribution(name):
    updater = UPDATERS[name]
    masks = life(name)[1][-1]
    for lane, target in enumerate(TARGETS):
        allocated = updater.distribution.allocate(sparsity.kernels(SHAPES), jnp.float32(target))
        for layer, sparse in zip(sparsity.kernels(SHAPES), np.asarray(allocated), strict=True):
            kept = np.asarray(tree.named(masks)[layer.name])[lane].reshape(layer.entries, -1)
            expected = max(1, round(float((np.float32(1) - sparse) * np.float32(kept.shape[1]))))
            np.testing.assert_array_equal(kept.sum(axis=1), expected)


def test_global_counts_are_exact():
    kept = counts(life("global_saliency")[1][-1])
    total = sum(n for leaf, n in kept.items() if leaf.endswith("kernel"))
    np.testing.assert_array_equal(total, np.round(224 * (1 - TARGETS)))


def test_weights_move_as_the_drop_fraction_says():
    """Of every kernel n - round((1 - drop) n) weights are dropped, of which some grow again."""
    each, (first, second, _) = life("rigl")
    old, new = (tree.named(x) for x in (first, second))
    for layer in sparsity.kernels(SHAPES)[1:]:
        before, after = (np.asarray(x[layer.name]).reshape(LANES, -1) for x in (old, new))
        count = before.sum(axis=1)
        dropped = count - np.round(count * (1 - DROPS))
        changed = (before != after).sum(axis=1)
        assert np.all(changed <= 2 * dropped) and np.all(changed % 2 == 0)
        assert changed[0] == 0 and np.all(changed[1:] > 0)


def test_random_masks_differ_between_members_and_times():
    masks = life("random_ste", shares=(1.0, 1.0))[1]
    one, two = (np.asarray(x["trunk"]["dense_0"]["kernel"]) for x in masks[1:])
    assert not np.array_equal(one[1], one[2]) and not np.array_equal(one, two)
    static = np.asarray(life("static")[1][0]["trunk"]["dense_0"]["kernel"])
    assert not np.array_equal(static[0] & static[1], static[1])


@pytest.mark.parametrize("name", ["magnitude", "rigl"])
def test_members_are_what_they_are_alone(name):
    """Masks, targets and drop fractions differ between members of one program."""
    each, (first, second, _) = life(name)
    keys = jax.vmap(lambda key: jax.random.fold_in(key, 0))(
        jax.random.split(jax.random.key(1), LANES)
    )
    alone = jax.jit(
        lambda key, seen, masks, target, drop: sparsity.next_masks(
            UPDATERS[name],
            key,
            seen,
            masks,
            target=target,
            share=jnp.float32(0.5),
            drop_fraction=drop,
        )
    )
    masked = each._replace(params=jax.tree.map(jnp.multiply, each.params, first))
    for lane in range(LANES):
        own = tree.index((keys, masked, first, TARGETS, DROPS), lane)
        jax.tree.map(np.testing.assert_array_equal, alone(*own), tree.index(second, lane))


def test_a_stack_has_a_mask_for_each_entry():
    kernel = np.asarray(life("magnitude")[1][-1]["heads"]["q"]["kernel"])[2]
    assert kernel[0].sum() == kernel[1].sum() and not np.array_equal(kernel[0], kernel[1])
