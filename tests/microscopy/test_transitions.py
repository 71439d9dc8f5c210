"""Filters, labels and symmetries of transitions, by hand."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from purejaxrl_suite.envs import honeycomb, silicon_rates
from purejaxrl_suite.envs.honeycomb import BOND, Sheet, Site
from purejaxrl_suite.microscopy import transitions as t

SHEET = Sheet(jnp.float32(0.7), jnp.array([0.2, -0.1]))
ORIGIN = Site(jnp.zeros(2, jnp.int32), jnp.int32(0))


def image(site, extra=None):
    shown = t._image(SHEET, site)
    if extra is None:
        return shown
    atoms = shown.atoms.at[-1].set(honeycomb.position(SHEET, site) + jnp.asarray(extra))
    return shown._replace(atoms=atoms)


def step(which=None, beam=(1.0, 0.0), after=None, **changes):
    """A dwell with the beam turned with the sheet, and a hop to a neighbour, or none."""
    end = ORIGIN if which is None else honeycomb.neighbour(ORIGIN, jnp.int32(which))
    end = after or end
    way = honeycomb.turned(jnp.asarray(beam), SHEET.angle)
    control = t.Control(honeycomb.position(SHEET, ORIGIN) + way, jnp.float32(3.0), jnp.int32(1))
    return t.Step(image(ORIGIN), control, image(end))._replace(**changes)


labelled, accepted = jax.jit(t.labelled), jax.jit(t.accepted)


def test_a_hop_is_labelled_counter_clockwise_from_the_neighbour_nearest_to_the_beam():
    """Bonds of sublattice 0 are at 90, 210 and 330 degrees."""
    for degrees, expected in ((85.0, (1, 2, 3)), (200.0, (3, 1, 2)), (300.0, (2, 3, 1))):
        angle = math.radians(degrees)
        beam = 1.2 * math.cos(angle), 1.2 * math.sin(angle)
        own = math.radians((90.0, 210.0, 330.0)[expected.index(1)])
        for which, label in enumerate(expected):
            found = labelled(step(which, beam), jnp.zeros(0))
            assert int(found.moved) == label
            frame = 1.2 * math.cos(angle - own), 1.2 * math.sin(angle - own)
            np.testing.assert_allclose(found.beam, frame, atol=1e-4)
        assert int(labelled(step(None, beam), jnp.zeros(0)).moved) == 0
    assert float(found.seconds) == 3.0


def test_filters():
    good = step(1)
    assert bool(accepted(good)) and bool(accepted(step()))
    twice = honeycomb.neighbour(honeycomb.neighbour(ORIGIN, jnp.int32(0)), jnp.int32(1))
    assert not bool(accepted(step(after=twice)))  # further than a neighbour
    for count in (0, 2):
        control = good.control._replace(count=jnp.int32(count))
        assert not bool(accepted(good._replace(control=control)))
    lone, pair = (good.before.silicon.at[:].set(False), good.before.silicon.at[3].set(True))
    for mask in (lone, pair):
        assert not bool(accepted(good._replace(before=good.before._replace(silicon=mask))))
    fourth = image(ORIGIN, extra=(0.0, -1.3))
    assert not bool(accepted(good._replace(before=fourth)))
    small, large = (good.after._replace(atoms=good.after.atoms + s) for s in (0.2, 0.55))
    assert bool(accepted(good._replace(after=small)))  # drifts of 0.28 and 0.78 angstrom
    assert not bool(accepted(good._replace(after=large)))


def test_the_convention_of_records_on_three_of_them():
    """Images 0, 1, 2: a microscope notes the control that led to each, a simulator the next."""
    atoms = jnp.arange(3.0)[:, None, None] * jnp.ones((3, 2, 2))
    images = t.Image(atoms, jnp.zeros((3, 2), bool))
    control = t.Control(jnp.zeros((3, 2)), jnp.array([10.0, 20.0, 30.0]), jnp.ones(3, jnp.int32))
    record = t.Trajectory(images, control)
    simulated = t.pairs(record, control_before=False)
    written = t.pairs(record, control_before=True)
    np.testing.assert_array_equal(simulated.control.seconds, [10.0, 20.0])
    np.testing.assert_array_equal(written.control.seconds, [20.0, 30.0])
    for found in (simulated, written):
        np.testing.assert_array_equal(found.before.atoms[:, 0, 0], [0.0, 1.0])
        np.testing.assert_array_equal(found.after.atoms[:, 0, 0], [1.0, 2.0])
    with pytest.raises(ValueError, match="control_before: expected True or False, got 1"):
        t.pairs(record, control_before=1)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("turns", [0, 1, 2])
@pytest.mark.parametrize("flip", [False, True])
def test_a_symmetry_maps_beam_and_neighbour_alike(turns, flip):
    """A beam on a neighbour stays on it; no hop stays none."""
    bonds = BOND * np.array([[math.cos(a), math.sin(a)] for a in np.radians([0.0, 120.0, 240.0])])
    seen = set()
    for j in range(3):
        one = t.Transitions(jnp.float32(bonds[j]), jnp.float32(1.0), jnp.int32(j + 1), jnp.zeros(0))
        found = t.symmetric(one, jnp.int32(turns), jnp.bool_(flip))
        np.testing.assert_allclose(found.beam, bonds[int(found.moved) - 1], atol=1e-5)
        seen.add(int(found.moved))
        still = t.symmetric(one._replace(moved=jnp.int32(0)), jnp.int32(turns), jnp.bool_(flip))
        assert int(still.moved) == 0
    assert seen == {1, 2, 3}


def test_simulated_transitions_follow_the_rates():
    """Nearly all pass; of short dwells with one hop, neighbours are in proportion to the rates."""
    rates = silicon_rates.simple()
    seen = t.simulate(jax.random.key(0), rates, 60, experiments=40, reach=1.5, seconds=0.5)
    pairs = jax.vmap(lambda one: t.pairs(one, control_before=False))(seen)
    steps = jax.tree.map(lambda x: jnp.reshape(x, (-1, *x.shape[2:])), pairs)
    found = t.transitions(steps)
    count = len(found.seconds)
    assert 0.9 * 2400 < count <= 2400 and found.conditions.shape == (count, 0)
    angle = np.arctan2(found.beam[:, 1], found.beam[:, 0])
    assert np.max(np.abs(angle)) <= math.pi / 3 + 1e-3  # the nearest lies on the x axis
    bonds = BOND * jnp.array([[math.cos(a), math.sin(a)] for a in np.radians([0.0, 120.0, 240.0])])
    each = jax.vmap(lambda beam: rates.rate(rates.params, beam, bonds))(found.beam)
    expected = np.sum(1.0 - np.exp(-0.5 * np.sum(each, axis=1)))
    moved = np.asarray(found.moved) > 0
    assert abs(moved.sum() - expected) < 4.0 * math.sqrt(expected) + 0.03 * expected
    share = np.mean(each / np.sum(each, axis=1, keepdims=True), axis=0, where=moved[:, None])
    to = np.bincount(np.asarray(found.moved)[moved] - 1, minlength=3) / moved.sum()
    np.testing.assert_allclose(to, share, atol=0.06)


def test_nothing_that_passes_is_named():
    steps = jax.tree.map(lambda x: x[None], step())
    steps = steps._replace(control=steps.control._replace(count=jnp.zeros(1, jnp.int32)))
    with pytest.raises(ValueError, match="steps: expected some that pass the filters, none of 1"):
        t.transitions(steps)
    with pytest.raises(ValueError, match="reach: expected a finite number above 0.0, got 0.0"):
        t.simulate(jax.random.key(0), silicon_rates.prior(), 4, reach=0.0, seconds=1.0)
