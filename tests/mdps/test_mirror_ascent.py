"""Functional mirror ascent: gradients by hand, limits, and what another program computed."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import special

from purejaxrl_suite import mdps
from purejaxrl_suite.mdps import mirror_ascent
from purejaxrl_suite.mdps.mirror_ascent import Iterate, MirrorHypers

SURROGATES = ("sppo", "mdpo", "trpo", "ppo")
HYPERS = MirrorHypers(eta=0.3, alpha=1.0, clip_range=0.2, delta=0.01)
CLIFF, TREASURE = mdps.cliff_world(), mdps.deep_sea_treasure()


@functools.cache
def slopes():
    """(iterate, logits, {surrogate: (its value, its gradient)}) at random logits of six states."""
    rng = np.random.default_rng(0)
    old, new, q = rng.normal(size=(3, 6, 4))
    policy = special.softmax(old, axis=1)
    advantage = q - np.sum(policy * q, axis=1, keepdims=True)
    at = Iterate(old, advantage, rng.dirichlet(np.ones(6)), np.float64(0.0))

    def all_of_them(at, logits):
        each = (getattr(mirror_ascent, name) for name in SURROGATES)
        return [jax.value_and_grad(one, argnums=2)(HYPERS, at, logits) for one in each]

    found = mdps.in_float64(all_of_them)
    both = zip(found(at, new), found(at, old), strict=True)
    return at, new, dict(zip(SURROGATES, both, strict=True))


def by_hand(name, at, logits):
    """The gradients in the notes of the paper's code."""
    p, old = special.softmax(logits, axis=1), special.softmax(at.logits, axis=1)
    d, a, eta = at.visits[:, None], at.advantage, HYPERS.eta

    def centred(x):
        return p * (x - np.sum(p * x, axis=1, keepdims=True))

    if name == "sppo":
        return d * (old * a - (p - old) / eta)
    if name == "mdpo":
        return d * centred(a - np.log(p / old) / eta)
    if name == "trpo":
        return d * (centred(a) - (p - old) / eta)
    ratio, clip = p / old, HYPERS.clip_range
    open_ = ((a > 0) & (ratio < 1 + clip)) | ((a < 0) & (ratio > 1 - clip))
    return d * centred(open_ * a)


@pytest.mark.parametrize("name", SURROGATES)
def test_gradients_are_those_by_hand(name):
    at, logits, found = slopes()
    (_, there), (_, here) = found[name]
    np.testing.assert_allclose(there, by_hand(name, at, logits), atol=1e-12)
    # The first inner step is that of the policy gradient, whatever the surrogate.
    plain = at.visits[:, None] * special.softmax(at.logits, axis=1) * at.advantage
    np.testing.assert_allclose(here, plain, atol=1e-15)


def test_the_values_are_those_by_hand():
    at, logits, found = slopes()
    p, old = special.softmax(logits, axis=1), special.softmax(at.logits, axis=1)
    gain = np.sum(p * at.advantage, axis=1)
    ratio, clip = p / old, HYPERS.clip_range
    clipped = np.minimum(ratio * at.advantage, np.clip(ratio, 1 - clip, 1 + clip) * at.advantage)
    expected = {
        "sppo": np.sum(old * (at.advantage + 1 / HYPERS.eta) * np.log(ratio), axis=1),
        "mdpo": gain - special.rel_entr(p, old).sum(1) / HYPERS.eta,
        "trpo": gain - special.rel_entr(old, p).sum(1) / HYPERS.eta,
        "ppo": np.sum(old * clipped, axis=1),
    }
    for name, values in expected.items():
        np.testing.assert_allclose(found[name][0][0], at.visits @ values, atol=1e-14)


def test_divergences_have_their_direction():
    """p_t = (.5, .5), p = (.9, .1): KL(p || p_t) = .368, KL(p_t || p) = .511."""
    at = Iterate(np.zeros((1, 2)), np.zeros((1, 2)), np.ones(1), np.float64(0.0))
    logits, unit = np.log([[0.9, 0.1]]), HYPERS._replace(eta=1.0)

    def both(logits):
        return mirror_ascent.mdpo(unit, at, logits), mirror_ascent.sppo(unit, at, logits)

    np.testing.assert_allclose(mdps.in_float64(both)(logits), [-0.368, -0.511], atol=5e-4)


def test_the_gradient_at_the_policy_is_that_of_its_value():
    """Up to 1 - gamma; by another way: differentiating the exact value."""
    logits = np.random.default_rng(1).normal(size=(25, 2))

    def both(logits):
        at = mirror_ascent.evaluate(TREASURE, logits)
        value = jax.grad(lambda z: mirror_ascent.evaluate(TREASURE, z).value)(logits)
        return value, jax.grad(mirror_ascent.expected_advantage, argnums=1)(at, logits)

    value, surrogate = mdps.in_float64(both)(logits)
    np.testing.assert_allclose(surrogate, 0.1 * value, atol=1e-15)
    assert np.abs(value).max() > 1e-3


def test_exact_updates_are_the_limits_of_inner_steps():
    """And an eta of almost 0 changes nothing."""
    at, _, _ = slopes()
    even = at._replace(visits=np.ones(6))

    def policies(eta):
        hypers = HYPERS._replace(eta=eta, alpha=0.5 * eta)
        made = [mirror_ascent.exact_sppo(hypers, even), mirror_ascent.exact_mdpo(hypers, even)]
        for surrogate in (mirror_ascent.sppo, mirror_ascent.mdpo):
            made.append(mirror_ascent.gradient_steps(surrogate, 2000)(hypers, even))
        return [jax.nn.softmax(z) for z in made]

    found = mdps.in_float64(jax.vmap(policies))(np.array([0.3, 1e-9]))
    old = special.softmax(at.logits, axis=1)
    sppo, mdpo = old * np.maximum(1.0 + 0.3 * at.advantage, 0.0), old * np.exp(0.3 * at.advantage)
    for numbers, steps, exact in zip((sppo, mdpo), found[2:], found[:2], strict=True):
        expected = numbers / numbers.sum(1, keepdims=True)
        np.testing.assert_allclose(exact[0], expected, atol=1e-12)
        np.testing.assert_allclose(steps[0], expected, atol=1e-8)
    for one in found:
        np.testing.assert_allclose(one[1], old, atol=1e-8)


def test_the_trust_region_is_a_natural_gradient_of_the_allowed_length():
    """The direction is that of the pseudo-inverse of the Hessian, which is singular."""
    at, _, _ = slopes()
    policy, step = special.softmax(at.logits, axis=1), mdps.in_float64(mirror_ascent.trust_region)
    after = step(HYPERS, at)
    blocks = [d * (np.diag(p) - np.outer(p, p)) for d, p in zip(at.visits, policy, strict=True)]
    slope = at.visits[:, None] * policy * at.advantage
    natural = np.stack([np.linalg.pinv(b) @ g for b, g in zip(blocks, slope, strict=True)])
    moved = after - at.logits
    moved -= moved.mean(axis=1, keepdims=True)
    size = np.sum(moved * natural) / np.sum(natural**2)
    np.testing.assert_allclose(moved, size * natural, rtol=1e-8)
    longest = np.sqrt(2 * HYPERS.delta / np.sum(natural * slope))
    assert 0.9**2 * longest <= size <= longest * (1 + 1e-9)
    new = special.softmax(after, axis=1)
    divergence = at.visits @ special.rel_entr(policy, new).sum(1)
    assert 0.5 * HYPERS.delta < divergence <= HYPERS.delta
    still = step(HYPERS, at._replace(advantage=np.zeros((6, 4))))
    np.testing.assert_array_equal(still, at.logits)


def test_the_worlds_have_the_published_values():
    optimal, values = mdps.in_float64(mdps.optimal), mdps.in_float64(mdps.state_values)
    for world, best, uniform in ((CLIFF, 0.9**6, -112.1215), (TREASURE, 0.72358, 0.0387756)):
        np.testing.assert_allclose(world.start @ optimal(world).v, best, atol=1e-9)
        even = values(world, mdps.uniform_policy(world))
        np.testing.assert_allclose(world.start @ even, uniform, rtol=1e-5)


def climb(world, update, iterations, **hypers):
    """Values f64[configurations, iterations + 1] from the uniform policy."""
    rows = np.broadcast_arrays(*(hypers.get(name, 1.0) for name in MirrorHypers._fields))
    logits = np.zeros(world.transition.shape[:2])

    def each(hypers):
        return mdps.ascend(world, update, hypers, logits, iterations)[1]

    return mdps.in_float64(jax.vmap(each))(MirrorHypers(*map(np.atleast_1d, rows)))


def until(values, best):
    return np.argmax(values >= 0.99 * best, axis=1).tolist()


FAST = [
    (TREASURE, "exact_sppo", 100, [1.0, 0.125], [8, 71]),
    (TREASURE, "exact_mdpo", 100, [1.0, 0.125], [10, 74]),
    (CLIFF, "exact_sppo", 250, [1.0], [200]),
]
SLOW = [
    (CLIFF, "exact_sppo", 2000, [1.0, 0.125], [200, 1528]),
    (CLIFF, "exact_mdpo", 2000, [1.0, 0.125], [630, 717]),
]


@pytest.mark.parametrize(
    ("world", "update", "iterations", "eta", "expected"),
    [*FAST, *(pytest.param(*case, marks=pytest.mark.slow) for case in SLOW)],
)
def test_exact_updates_never_lower_the_value_and_take_as_long_as_published(
    world, update, iterations, eta, expected
):
    """Outer iterations until 99 % of the optimal value."""
    values = climb(world, getattr(mirror_ascent, update), iterations, eta=np.array(eta))
    best = 0.9**6 if world is CLIFF else 0.72358
    assert np.diff(values, axis=1).min() > -1e-14
    assert until(values, best) == expected
    if iterations == 2000:
        np.testing.assert_allclose(values[:, -1], best, atol=2e-5)


def test_the_trust_region_finds_the_best_path_along_the_cliff_and_stays():
    """Within 200 outer iterations; finite when the policy is certain."""
    values = climb(CLIFF, mirror_ascent.trust_region, 250, delta=np.array([1 / 256, 1 / 64, 1 / 4]))
    assert max(until(values, 0.9**6)) < 200 and np.all(np.diff(values, axis=1) > -1e-12)
    np.testing.assert_allclose(values[:, -1], 0.9**6, atol=1e-5)


def test_ten_inner_steps_at_the_published_settings():
    """The treasure, 200 outer iterations, alpha = 1/4; of one step all are the same."""
    few, many = (
        {
            name: climb(
                TREASURE,
                mirror_ascent.gradient_steps(getattr(mirror_ascent, name), steps),
                200,
                alpha=0.25,
                eta=0.5,
                clip_range=0.5,
            )[0, -1]
            for name in names
        }
        for steps, names in ((1, ("sppo", "ppo")), (10, ("sppo",)))
    )
    np.testing.assert_allclose([*few.values()], 0.0692, atol=1e-4)
    np.testing.assert_allclose(many["sppo"], 0.6498, atol=1e-3)


def test_a_policy_in_float32_is_improved_inside_of_a_program():
    line = mdps.chain(2, gamma=0.9)
    step = mirror_ascent.gradient_steps(mirror_ascent.mdpo, jnp.int32(5))
    _, values = jax.jit(lambda z: mdps.ascend(line, step, MirrorHypers(), z, 20))(jnp.zeros((3, 2)))
    assert values.dtype == jnp.float32 and values[-1] > values[0]
    with pytest.raises(ValueError, match="iterations: expected"):
        mdps.ascend(line, step, MirrorHypers(), jnp.zeros((3, 2)), 0)
