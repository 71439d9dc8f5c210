"""Silicon in graphene: the lattice by search, hops by their law, time by the second."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from purejaxrl_suite.envs import honeycomb, make, silicon, silicon_rates
from purejaxrl_suite.envs.honeycomb import BOND, Sheet, Site
from purejaxrl_suite.envs.silicon_rates import Mixture

SHEET = Sheet(jnp.float32(0.4), jnp.array([0.3, -0.5]))
ORIGIN = Site(jnp.zeros(2, jnp.int32), jnp.int32(0))
RATES = {
    "simple": silicon_rates.simple(),
    "prior": silicon_rates.prior(),
    "mixtures": silicon_rates.mixtures(),
}


# --- The lattice ---


def test_every_site_has_three_neighbours_one_bond_away_on_the_other_sublattice():
    sites = honeycomb.around(ORIGIN, 4.0)

    @jax.jit
    @jax.vmap
    def all_three(site):
        others = jax.vmap(lambda k: honeycomb.neighbour(site, k))(jnp.arange(3))
        here = honeycomb.position(SHEET, site)
        back = jax.vmap(honeycomb.neighbour)(others, jnp.arange(3))
        there = honeycomb.position(SHEET, others)
        return others, there - here[None], honeycomb.bonds(SHEET, site.sublattice), back

    others, ways, bonds, back = all_three(sites)
    np.testing.assert_allclose(ways, bonds, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(ways, axis=-1), BOND, rtol=1e-5)
    np.testing.assert_allclose(np.sum(ways, axis=1), 0.0, atol=1e-5)
    assert np.all(others.sublattice == 1 - sites.sublattice[:, None])
    np.testing.assert_array_equal(back.place, np.repeat(sites.place[:, None], 3, axis=1))


def test_the_nearest_site_is_that_of_a_search():
    points = np.random.default_rng(0).uniform(-9.0, 9.0, (500, 2)).astype(np.float32)
    sites = honeycomb.around(ORIGIN, 14.0)
    places = np.asarray(honeycomb.position(SHEET, sites))
    found = jax.jit(jax.vmap(lambda point: honeycomb.nearest(SHEET, point)))(points)
    gaps = np.linalg.norm(np.asarray(honeycomb.position(SHEET, found)) - points, axis=-1)
    least = np.linalg.norm(points[:, None] - places[None], axis=-1).min(1)
    np.testing.assert_allclose(gaps, least, atol=2e-5)
    assert np.max(gaps) <= BOND + 1e-5


def test_around_lists_every_site_once():
    """As many within a radius as its area has, and none twice."""
    places = np.asarray(honeycomb.position(SHEET, honeycomb.around(ORIGIN, 21.3)))
    here = np.asarray(honeycomb.position(SHEET, ORIGIN))
    assert len(np.unique(np.round(places, 2), axis=0)) == len(places)
    within = np.sum(np.linalg.norm(places - here, axis=-1) < 21.2)
    density = 4.0 / (3.0 * math.sqrt(3.0) * BOND**2)
    assert within == pytest.approx(density * math.pi * 21.2**2, rel=0.01)


# --- Rates ---


def canonical():
    return honeycomb.bonds(Sheet(jnp.float32(-math.pi / 2), jnp.zeros(2)), jnp.int32(0))


def test_rates_by_hand():
    bonds = canonical()
    np.testing.assert_allclose(bonds[0], [BOND, 0.0], atol=1e-6)
    simple, prior = RATES["simple"], RATES["prior"]
    near = simple.rate(simple.params, bonds[0], bonds)
    # The others are sqrt(3) bonds away: 1 / (16 * 3 + 1).
    np.testing.assert_allclose(near, [1.0, 1.0 / 49.0, 1.0 / 49.0], rtol=1e-5)
    at_peak = prior.rate(prior.params, 0.85 * bonds[0], bonds)
    # 3 * .85^2 square bonds away from the other two means, over twice the variance.
    aside = math.log(2.0) / 3.0 * math.exp(-3.0 * 0.85**2 / 0.2)
    np.testing.assert_allclose(at_peak, [math.log(2.0) / 3.0, aside, aside], rtol=1e-4)
    one = Mixture(*(jnp.array([x, 0.0]) for x in (1.0, 1.5, 0.5)), jnp.array([2.0, 1.0]), 0.3)
    one = one._replace(along=jnp.array([0.5, 1.0]), weight=jnp.array([1.0, 0.0]))
    beam = 1.5 * bonds[0] + jnp.array([0.4, -0.7])
    expected = 0.3 * math.exp(-0.5 * (0.4**2 / 0.5 + 0.7**2 / 2.0))
    found = silicon_rates.mixture_rate(one, beam, bonds)[0]
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_a_mixture_has_a_peak_and_no_component_without_weight():
    draw = jax.jit(jax.vmap(silicon_rates.draw_mixture))
    drawn = draw(jax.random.split(jax.random.key(0), 4000))
    count = np.sum(np.asarray(drawn.weight) > 0, axis=1)
    assert np.mean(count) == pytest.approx(3.0, abs=0.1) and count.min() == 1
    assert np.var(count) == pytest.approx(2.0, abs=0.2)  # of a Poisson distribution
    np.testing.assert_allclose(np.sum(drawn.weight, axis=1), 1.0, rtol=1e-5)
    assert np.min(drawn.peak) >= 0.01 and np.max(drawn.peak) <= 1.0


@pytest.mark.parametrize("name", RATES)
def test_rates_turn_and_reflect_with_the_lattice(name):
    rates, rng = RATES[name], np.random.default_rng(1)
    params, rate = rates.draw(jax.random.key(2), rates.params), jax.jit(rates.rate)
    flip = jnp.array([[1.0, 0.0], [0.0, -1.0]])
    for angle, beam in zip(rng.uniform(0.0, 6.0, 8), rng.uniform(-3.0, 3.0, (8, 2)), strict=True):
        beam, bonds = jnp.float32(beam), canonical()
        plain = rate(params, beam, bonds)
        turned = honeycomb.turned(beam, angle), honeycomb.turned(bonds, angle)
        np.testing.assert_allclose(rate(params, *turned), plain, rtol=1e-3, atol=1e-6)
        mirrored = rate(params, flip @ beam, bonds @ flip)
        np.testing.assert_allclose(mirrored, plain, rtol=1e-3, atol=1e-6)
        by_place = rate(params, beam, bonds[jnp.array([2, 0, 1])])
        np.testing.assert_allclose(by_place, plain[jnp.array([2, 0, 1])], rtol=1e-5)


# --- Hops ---

COUNT = 20_000


def hops(rate, seconds, beam=(0.9, -0.3), site=ORIGIN, count=COUNT):
    """Dwells from the same site, leaves [COUNT], of f32[COUNT] seconds; the beam relative to it."""
    place = honeycomb.position(SHEET, site) + jnp.array(beam)

    def one(key, seconds):
        return silicon_rates.dwell(key, rate, SHEET, site, place, seconds)

    keys = jax.random.split(jax.random.key(3), count)
    return jax.jit(jax.vmap(one))(keys, jnp.broadcast_to(jnp.float32(seconds), (count,)))


def prior(beam, bonds):
    return RATES["prior"].rate(RATES["prior"].params, beam, bonds)


def constant(beam, bonds):
    return jnp.array([0.5, 0.3, 0.2])


def test_waiting_times_are_exponential():
    """P(no hop in t) = exp(-k t), for times of 0 to 12 seconds: 12 bins, by chi-square."""
    k = np.sum(prior(jnp.array([0.9, -0.3]), honeycomb.bonds(SHEET, ORIGIN.sublattice)))
    seconds = np.linspace(0.0, 12.0, COUNT + 1, dtype=np.float32)[1:]
    stayed = np.asarray(hops(prior, seconds).hops) == 0
    law = np.exp(-k * seconds)
    bins = np.array_split(np.arange(COUNT), 12)
    z = [(stayed[i] - law[i]).sum() / math.sqrt((law[i] * (1 - law[i])).sum()) for i in bins]
    assert stats.chi2(len(bins)).sf(np.sum(np.square(z))) > 1e-3


def test_neighbours_are_chosen_in_proportion_to_their_rates():
    """With rates that end with the first hop."""
    start = jnp.array([0.9, -0.3])

    def once(beam, bonds):
        still = jnp.sum(jnp.square(beam - start)) < 1e-4
        return jnp.where(still, prior(beam, bonds), 0.0)

    k = np.asarray(prior(start, honeycomb.bonds(SHEET, ORIGIN.sublattice)))
    found = hops(once, 8.0)
    moved = np.asarray(found.hops) > 0
    assert np.max(found.hops) == 1
    places = np.asarray(found.site.place)[moved]
    counts = [np.sum(np.all(places == move, axis=1)) for move in honeycomb.MOVES]
    assert sum(counts) == moved.sum()
    assert stats.chisquare(counts, moved.sum() * k / k.sum()).pvalue > 1e-3


def test_a_hop_ends_on_the_other_sublattice_and_hops_with_constant_rates_are_poisson():
    number = np.asarray((found := hops(constant, 3.0)).hops)
    assert np.all(np.asarray(found.site.sublattice) == number % 2)
    there = np.asarray(found.site.place)[number == 1]
    assert np.all(np.any(np.all(there[:, None] == honeycomb.MOVES[None], axis=2), axis=1))
    observed = np.bincount(np.minimum(number, 9), minlength=10)
    law = stats.poisson(3.0).pmf(np.arange(10))
    law[9] = 1.0 - law[:9].sum()
    assert stats.chisquare(observed, COUNT * law).pvalue > 1e-3


def test_the_beam_stays_so_rates_change_with_a_hop():
    """Beside the first neighbour the silicon, once there, is not pushed on: fewer than Poisson."""
    beam = 0.85 * honeycomb.bonds(SHEET, ORIGIN.sublattice)[0]
    number = np.asarray(hops(prior, 60.0, beam).hops)
    assert np.mean(number > 0) > 0.999 and np.mean(number) < 0.5 * 60.0 * math.log(2.0) / 3.0


def test_without_time_or_rates_nothing_moves():
    for rate, seconds in ((constant, 0.0), (lambda *_: jnp.zeros(3), 50.0)):
        found = hops(rate, seconds, count=64)
        assert not np.any(found.hops) and not np.any(found.site.place)


# --- The environment ---


@pytest.fixture(scope="module")
def choosing():
    env = make("STEM-Silicon-v0", dwell=(1.0, 10.0), distance=2.0)
    return env._replace(init=jax.jit(env.init), step=jax.jit(env.step))


def stepped(env, actions, key=0):
    """The start and what follows each action, leaves [T]."""
    start, state = jax.random.key(key), None
    state, obs = env.init(start, env.params)

    def step(state, inputs):
        action, key = inputs
        state, now = env.step(key, env.params, state, action)
        return state, (state, now)

    keys = jax.random.split(jax.random.key(key + 1), len(actions))
    return (state, obs), jax.jit(lambda s: jax.lax.scan(step, s, (jnp.asarray(actions), keys))[1])(
        state
    )


def test_a_discount_is_of_seconds(choosing):
    """The longer the dwell, the smaller; a second image where the view is centred anew."""
    dwells = np.linspace(-1.0, 1.0, 12, dtype=np.float32)
    actions = np.stack([0.3 * np.ones(12), np.zeros(12), dwells], axis=1).astype(np.float32)
    (start, _), (states, now) = stepped(choosing, actions)
    elapsed = np.concatenate([[2.0], states.elapsed])
    duration = np.diff(elapsed)
    images = (duration - (1.0 + 4.5 * (dwells + 1.0))) / 2.0
    moved = np.any(np.diff(np.vstack([start.centre[None], states.centre]), axis=0) != 0, axis=1)
    np.testing.assert_allclose(images, 1.0 + moved, atol=1e-4)
    np.testing.assert_allclose(now.discount, 0.9967**duration, rtol=1e-5)
    np.testing.assert_allclose(np.prod(now.discount), 0.9967 ** (elapsed[-1] - 2.0), rtol=1e-4)
    assert np.all(np.diff(now.discount[~moved]) < 0)
    np.testing.assert_allclose(now.info["seconds"], states.elapsed)


def test_a_discount_has_a_derivative_hops_have_none(choosing):
    """So an update through the environment can be differentiated."""
    state, _ = choosing.init(jax.random.key(2), choosing.params)

    def discount(action):
        return choosing.step(jax.random.key(0), choosing.params, state, action)[1].discount

    found, slope = jax.value_and_grad(discount)(jnp.array([0.2, 0.0, 0.1]))
    np.testing.assert_allclose(slope, [0.0, 0.0, 4.5 * math.log(0.9967) * found], rtol=1e-4)


def test_the_step_that_reaches_the_goal_pays_its_discount(choosing):
    state, _ = choosing.init(jax.random.key(5), choosing.params)
    here = honeycomb.position(state.sheet, state.silicon)
    still = jnp.array([0.0, 0.0, -1.0])
    for goal, reached in ((here + jnp.array([0.5, 0.5]), True), (here + 0.72, False)):
        placed = state._replace(goal=goal, beam=here)
        far = choosing.params._replace(rates=state.rates)
        _, now = choosing.step(jax.random.key(0), far, placed, still)
        # Where the beam is on the silicon all rates are e^(-3.6) of the peak: it stays.
        assert bool(now.terminated) == reached and not now.truncated
        expected = 0.9967**3.0 if reached else 0.0
        assert float(now.reward) == pytest.approx(expected, rel=1e-5)
        assert float(now.info["success"]) == reached


def test_episodes_end_after_so_many_seconds():
    env = make("STEM-Silicon-v0", dwell=5.0, timeout=30.0)
    assert env.time_limit == 5 == env.limit(env.params)  # 2 + 4 * 7 = 30
    _, (states, now) = stepped(env, np.full((5, 2), 0.0, np.float32), key=3)
    first = np.flatnonzero(now.truncated)[0]
    assert states.elapsed[first] >= 30.0 and np.all(states.elapsed[:first] < 30.0)
    quick = env.params._replace(shortest=np.float32(1.0))
    assert env.limit(quick) == 10


def test_observations_show_neighbours_from_the_nearest_to_the_goal(choosing):
    start = jax.jit(jax.vmap(lambda key: choosing.init(key, choosing.params)))
    states, obs = start(jax.random.split(jax.random.key(0), 400))
    bonds, way = np.reshape(obs[:, 2:8], (-1, 3, 2)), np.asarray(obs[:, 8:])
    np.testing.assert_allclose(np.linalg.norm(bonds, axis=-1), 1.0, rtol=1e-5)
    gaps = np.linalg.norm(BOND * bonds - way[:, None], axis=-1)
    assert np.all(np.diff(gaps, axis=1) >= -1e-4)
    here = jax.vmap(honeycomb.position)(states.sheet, states.silicon)
    np.testing.assert_allclose(way, states.goal - here, atol=1e-5)
    np.testing.assert_allclose(obs[:, :2], 0.5, atol=1e-5)
    assert np.all(np.abs(way) < 0.5 * np.asarray(states.side)[:, None])
    assert np.all(np.linalg.norm(way, axis=-1) > 1.4)
    assert np.all(np.linalg.norm(here, axis=-1) <= BOND)  # near the origin


def test_goals_are_all_sites_of_the_view_equally_often():
    here, side, count = honeycomb.position(SHEET, ORIGIN), jnp.float32(12.0), 20_000
    keys = jax.random.split(jax.random.key(8), count)
    goals = jax.jit(jax.vmap(lambda key: silicon.draw_goal(key, SHEET, here, side)))(keys)
    places = np.asarray(honeycomb.position(SHEET, honeycomb.around(ORIGIN, 9.0)))
    away = np.max(np.abs(places - np.asarray(here)), axis=1)
    sites = places[(away < 6.0) & (away > 0.1)]
    gaps = np.linalg.norm(np.asarray(goals)[:, None] - sites[None], axis=-1)
    assert np.max(np.min(gaps, axis=1)) < 1e-3
    assert stats.chisquare(np.bincount(np.argmin(gaps, axis=1), minlength=len(sites))).pvalue > 1e-3


def test_actions_are_where_the_beam_rests(choosing):
    state, obs = choosing.init(jax.random.key(1), choosing.params)
    beams = {}
    for scale in (0.5, 1.0, 3.0):
        action = jnp.array([scale, 0.0, -1.0])
        after, _ = choosing.step(jax.random.key(0), choosing.params, state, action)
        beams[scale] = np.asarray(after.beam - honeycomb.position(state.sheet, state.silicon))
    np.testing.assert_allclose(beams[0.5], [BOND, 0.0], atol=1e-5)
    np.testing.assert_allclose(beams[1.0], [2.0 * BOND, 0.0], atol=1e-5)
    np.testing.assert_array_equal(beams[3.0], beams[1.0])  # clipped


def test_an_episode_has_rates_of_its_own():
    env = make("STEM-SiliconMixtures-v0")
    first, other = (env.init(jax.random.key(k), env.params)[0].rates for k in (0, 1))
    assert float(first.peak) != float(other.peak) and first.weight.shape == (16,)
    fixed = make("STEM-SiliconSimple-v0")
    given = fixed.params._replace(rates=fixed.params.rates._replace(peak=0.25))
    assert float(fixed.init(jax.random.key(0), given)[0].rates.peak) == 0.25


def test_the_picture_shows_silicon_goal_and_beam(choosing):
    state, _ = choosing.init(jax.random.key(0), choosing.params)
    state = state._replace(beam=state.centre + 2.0)
    image = np.asarray(jax.jit(choosing.render)(choosing.params, state))
    colours = {tuple(x) for x in image.reshape(-1, 3).tolist()}
    from purejaxrl_suite.envs import silicon_picture as drawn

    shown = drawn.BACKGROUND, drawn.BONDS, drawn.CARBON, drawn.SILICON, drawn.GOAL, drawn.BEAM
    assert colours == {*shown}
    middle = image.shape[0] // 2
    assert tuple(image[middle, middle].tolist()) == drawn.SILICON


WRONG = {
    "dwell: expected a finite number": {"dwell": 0.0},
    "dwell: expected seconds, or the shortest and the longest, got": {"dwell": (1.0, 2.0, 3.0)},
    r"dwell: .* of at least 2.0 .the longest., got 1.0": {"dwell": (2.0, 1.0)},
    "distance: expected a finite number above 0.0": {"distance": -1.0},
    "image_seconds: expected a finite number of at least 0.0": {"image_seconds": -2.0},
    "timeout: expected a finite number above": {"timeout": 0.0},
    "STEM-Silicon-v0 has no option colour": {"colour": 1},
}


@pytest.mark.parametrize("message", WRONG)
def test_what_is_out_of_range_is_named(message):
    with pytest.raises(ValueError, match=message):
        make("STEM-Silicon-v0", **WRONG[message])


def test_it_needs_rates():
    with pytest.raises(ValueError, match="rates: expected a Rates, got 'prior'"):
        silicon.silicon("prior")
