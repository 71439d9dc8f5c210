"""Transitions of a silicon atom, as images show them: from trajectories to what rates learn from.

An image gives atoms and says which are silicon; between images the beam rests somewhere for some
time (a control). Transitions are filtered to those that one hop, or none, explains, turned so that
the neighbour nearest to the beam lies on the x axis, and labelled: 0 for no hop, and 1, 2, 3 for
the neighbours, counter-clockwise from that one. Filters, frame and augmentation are those of the
released pipeline of arXiv 2311.17894 (github.com/google/putting-dune).
"""

import math
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp

from purejaxrl_suite.core import argument
from purejaxrl_suite.core.types import Array, Key
from purejaxrl_suite.envs import honeycomb, silicon_rates
from purejaxrl_suite.envs.honeycomb import Sheet, Site
from purejaxrl_suite.envs.silicon_rates import Rates

CLOSE = 10
"""Atoms around the silicon that are looked at."""
WITHIN = 2.0
"""Angstrom in which the three neighbours are, and no other atom."""
DRIFT = 0.71
"""Angstrom that the neighbours may move on average from image to image."""
PATCH = 5.0
"""Angstrom around the silicon that simulated images show."""


class Image(NamedTuple):
    """What an image shows. atoms: f32[..., M, 2], angstrom. silicon: bool[..., M], which are."""

    atoms: Array
    silicon: Array


class Control(NamedTuple):
    """What the beam did. beam: f32[..., 2]. seconds: f32[...]. count: i32[...], of controls."""

    beam: Array
    seconds: Array
    count: Array


class Trajectory(NamedTuple):
    """T records of a microscope or a simulator: leaves [T, ...]."""

    image: Image
    control: Control


class Step(NamedTuple):
    """What happened between two images."""

    before: Image
    control: Control
    after: Image


class Transitions(NamedTuple):
    """Transitions in the canonical frame, leaves [n, ...].

    beam: f32[n, 2], relative to the silicon. seconds: f32[n]. moved: i32[n], 0 for no hop, else 1,
    2 or 3. conditions: f32[n, c], what else rates depend on, such as current and voltage.
    """

    beam: Array
    seconds: Array
    moved: Array
    conditions: Array


def pairs(trajectory: Trajectory, *, control_before: bool) -> Step:
    """Pair consecutive images with the control between them, leaves [T - 1, ...].

    Args:
        trajectory: leaves [T, ...].
        control_before: whether a record has its image and the control that led to it, (s[t], a[t -
            1]), as a microscope writes them; or the control that followed, (s[t], a[t]), as a
            simulator does.

    Returns:
        The steps from s[t] by a[t] to s[t + 1].
    """
    argument.boolean("control_before", control_before)
    first, last = (jax.tree.map(lambda x, at=at: x[at], trajectory) for at in (_HEAD, _TAIL))
    control = last.control if control_before else first.control
    return Step(first.image, control, last.image)


_HEAD, _TAIL = slice(None, -1), slice(1, None)


class Near(NamedTuple):
    """Atoms around the silicon of an image. place: f32[2], of it. others: f32[CLOSE - 1, 2], the
    nearest first, relative to it. count: i32[], silicon atoms."""

    place: Array
    others: Array
    count: Array


def _near(image: Image) -> Near:
    """Look at the atoms around the first silicon atom of an image."""
    place = image.atoms[jnp.argmax(image.silicon)]
    ways = image.atoms - place[None]
    order = jnp.argsort(jnp.sum(jnp.square(ways), axis=-1))[1:CLOSE]
    return Near(place, ways[order], jnp.sum(image.silicon).astype(jnp.int32))


def _length(ways: Array) -> Array:
    return jnp.sqrt(jnp.sum(jnp.square(ways), axis=-1))


def accepted(step: Step) -> Array:
    """Tell whether a transition passes all filters, bool[].

    There is one control, and one silicon atom before and after; it has three neighbours, no more
    and no fewer; after the control it is where it was or where one of them was; and these have not
    drifted away.
    """
    before, after = _near(step.before), _near(step.after)
    threefold = jnp.sum(_length(before.others) < WITHIN) == 3
    single = (step.control.count == 1) & (before.count == 1) & (after.count == 1)
    reached = jnp.min(_length(_places(before) - after.place[None])) < DRIFT
    gaps = step.after.atoms[None] - _places(before)[1:, None]
    drift = jnp.mean(jnp.min(_length(gaps), axis=1))
    return single & threefold & reached & (drift <= DRIFT)


def _places(near: Near) -> Array:
    """Return where the silicon and its three neighbours are, f32[4, 2]."""
    zero = jnp.zeros((1, 2))
    return near.place[None] + jnp.concatenate([zero, near.others[:3]])


def canonical(beam: Array, bonds: Array) -> tuple[Array, Array]:
    """Turn the beam to the frame in which the neighbour nearest to it lies on the x axis.

    Args:
        beam: f32[2], relative to the silicon.
        bonds: f32[3, 2], to its neighbours.

    Returns:
        The beam f32[2] there, and the order of the neighbours i32[3]: counter-clockwise from that
        one.
    """
    angles = jnp.arctan2(bonds[:, 1], bonds[:, 0])
    own = angles[jnp.argmin(_length(bonds - beam[None]))]
    around = jnp.mod(angles - own + 0.5 * math.pi, 2.0 * math.pi)
    return honeycomb.turned(beam, -own), jnp.argsort(around)


def labelled(step: Step, conditions: Array) -> Transitions:
    """Make the canonical transition of an accepted step, without an axis of transitions."""
    before, after = _near(step.before), _near(step.after)
    bonds = before.others[:3]
    beam, order = canonical(step.control.beam - before.place, bonds)
    stayed = jnp.zeros((1, 2))
    gaps = _length(jnp.concatenate([stayed, bonds[order]]) - (after.place - before.place)[None])
    moved = jnp.argmin(gaps).astype(jnp.int32)
    return Transitions(beam, step.control.seconds, moved, conditions)


def transitions(steps: Step, conditions: Array | None = None) -> Transitions:
    """Filter and label steps; runs on the host, as the number that passes is not known before.

    Args:
        steps: leaves [n, ...].
        conditions: f32[n, c]; None for none.

    Returns:
        Those that pass.

    Raises:
        ValueError: none passes.
    """
    count = len(steps.control.seconds)
    known = jnp.zeros((count, 0)) if conditions is None else conditions
    kept, found = jax.jit(jax.vmap(lambda s, c: (accepted(s), labelled(s, c))))(steps, known)
    if not jnp.any(kept):
        raise ValueError(f"steps: expected some that pass the filters, none of {count} does")
    return jax.tree.map(lambda x: x[kept], found)


def augmented(key: Key, batch: Transitions) -> Transitions:
    """Turn each transition by a third of a circle or two, or not, and reflect it or not.

    Leaves [n, ...]: one of the six symmetries of the three neighbours, drawn for each.
    """
    n = len(batch.seconds)
    turn_key, flip_key = jax.random.split(key)
    turns = jax.random.randint(turn_key, (n,), 0, 3)
    flips = jax.random.bernoulli(flip_key, 0.5, (n,))
    return jax.vmap(symmetric)(batch, turns, flips)


def symmetric(one: Transitions, turns: Array, flip: Array) -> Transitions:
    """Turn a transition by `turns` thirds of a circle, after a reflection at the x axis if `flip`.

    one: without an axis of transitions. turns: i32[]. flip: bool[].
    """
    x, y = one.beam
    beam = jnp.stack([x, jnp.where(flip, -y, y)])
    beam = honeycomb.turned(beam, turns * (2.0 * math.pi / 3.0))
    # Neighbours 0, 1, 2 counter-clockwise; a reflection changes 1 and 2.
    which = one.moved - 1
    which = jnp.mod(jnp.where(flip, -which, which) + turns, 3)
    return one._replace(beam=beam, moved=jnp.where(one.moved > 0, which + 1, 0))


def simulate(
    key: Key, rates: Rates, steps: int, *, experiments: int = 8, reach: float, seconds: float
) -> Trajectory:
    """Simulate microscopes whose beam rests at random places around the silicon.

    Args:
        key: of all that is drawn.
        rates: of hops; each experiment draws its own, if they differ by episode.
        steps: T, controls of each experiment.
        experiments: B.
        reach: angstrom; the beam is drawn uniformly from the disc of this radius.
        seconds: of each dwell.

    Returns:
        Leaves [B, T + 1, ...]: image t and the control that followed (`control_before=False`).

    Raises:
        ValueError: a number is out of range.
    """
    argument.integer("steps", steps, 1)
    argument.integer("experiments", experiments, 1)
    argument.number("reach", reach, above=0.0)
    argument.number("seconds", seconds, above=0.0)
    one = partial(_experiment, rates=rates, steps=steps, reach=reach, seconds=seconds)
    return jax.jit(jax.vmap(one))(jax.random.split(key, experiments))


def _experiment(key: Key, *, rates: Rates, steps: int, reach: float, seconds: float) -> Trajectory:
    keys = jax.random.split(key, 4)
    angle = jax.random.uniform(keys[0], (), maxval=2.0 * math.pi)
    sheet = Sheet(angle, jax.random.uniform(keys[1], (2,), minval=-DRIFT, maxval=DRIFT))
    params = rates.draw(keys[2], rates.params)
    start = honeycomb.nearest(sheet, jnp.zeros(2))

    def step(site: Site, key: Key) -> tuple[Site, tuple[Site, Control]]:
        beam_key, hop_key = jax.random.split(key)
        radius, turn = jax.random.uniform(beam_key, (2,))
        turn, radius = 2.0 * math.pi * turn, reach * jnp.sqrt(radius)
        way = radius * jnp.stack([jnp.cos(turn), jnp.sin(turn)])
        beam = honeycomb.position(sheet, site) + way
        rate = partial(rates.rate, params)
        hopped = silicon_rates.dwell(hop_key, rate, sheet, site, beam, jnp.float32(seconds))
        return hopped.site, (site, Control(beam, jnp.float32(seconds), jnp.int32(1)))

    last, (sites, controls) = jax.lax.scan(step, start, jax.random.split(keys[3], steps))
    sites = jax.tree.map(lambda xs, x: jnp.concatenate([xs, x[None]]), sites, last)
    nothing = jax.tree.map(lambda x: jnp.zeros_like(x[:1]), controls)
    controls = jax.tree.map(lambda *xs: jnp.concatenate(xs), controls, nothing)
    return Trajectory(jax.vmap(partial(_image, sheet))(sites), controls)


def _image(sheet: Sheet, site: Site) -> Image:
    """Show the atoms around a silicon atom."""
    sites = honeycomb.around(site, PATCH)
    same = jnp.all(sites.place == site.place[None], axis=-1)
    return Image(honeycomb.position(sheet, sites), same & (sites.sublattice == site.sublattice))
