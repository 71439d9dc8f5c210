"""Problems of preferences: closed forms are learnt, and what a member is given."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import purejaxrl_suite as pjs
from purejaxrl_suite import problems
from purejaxrl_suite.core.types import Clock
from purejaxrl_suite.ops import preferences
from purejaxrl_suite.problems import items as sets

SMALL = partial(problems.tabular, (0.1, 0.2, 0.3, 0.4), ((0.4, 0.3, 0.2, 0.1),))
PEAKS = [np.exp(-s * np.abs(np.arange(12) - at)) for at, s in ((3, 1.0), (8, 0.7))]
TWO = partial(problems.tabular, (1 / 12,) * 12, [x / x.sum() for x in PEAKS], (0.4, 0.6))
EXACT = problems.PreferenceConfig(items=SMALL, pairs=0)
LEARNERS = {
    "reward_model": problems.RewardHypers(0.05),
    "likelihood": problems.RewardHypers(0.05),
    "dpo": problems.DirectHypers(0.05, beta=4.0),
    "geometric_average": problems.GeometricHypers(0.05, alpha=0.25),
    "ipo": problems.IdentityHypers(0.05, tau=0.5),
}


def last(result, name):
    return result.curves[name].values[..., -1]


@pytest.mark.parametrize("name", LEARNERS)
def test_all_pairs_give_the_closed_form(name):
    made = getattr(problems, name)(EXACT, LEARNERS[name])
    result = pjs.run(made, seeds=1, steps=600, progress=False)
    assert last(result, "tv").max() < 1e-3
    first = result.curves["tv"].values[..., 0].max()
    assert name == "ipo" or np.isnan(first) or first > 0.01  # it was not there at the start


def test_a_strength_is_swept_in_one_program():
    points = pjs.search.grid(problems.DirectHypers(0.05), beta=[1.0, 16.0])
    result = pjs.sweep(
        problems.dpo, config=EXACT, hypers=points, seeds=1, steps=600, progress=False
    )
    assert last(result, "tv").max() < 1e-3 and len(result.layout.groups) == 1
    weak, strong = (result.member({"beta": x}).learner.params["densities"] for x in (1.0, 16.0))
    prior = SMALL().log_prior
    far = [
        float(preferences.total_variation(preferences.normalised(x["logits"][0]), prior))
        for x in (weak, strong)
    ]
    assert far[1] < 0.1 * far[0]


def test_trajectories_of_a_gridworld():
    made = partial(problems.trajectories, size=2, horizon=2)
    one = made()
    log_p = preferences.normalised(one.log_weights({"logits": jnp.zeros((2, 4, 4))}))
    np.testing.assert_allclose(log_p, -np.log(16.0), rtol=1e-6)
    # Cells right, down and opposite are paid: only actions that stay in the corner are not.
    assert one.at.min() == 0 and one.at.max() == 2 and (one.at == 0).sum() == 4
    result = pjs.run(
        problems.reward_model(EXACT._replace(items=made), problems.RewardHypers(0.05)),
        seeds=1,
        steps=600,
        progress=False,
    )
    assert last(result, "tv").max() < 1e-3


def test_two_annotators_are_two_densities_and_not_one():
    config = EXACT._replace(items=TWO, annotator=problems.disagree)
    hypers = problems.RewardHypers(0.05)
    one = pjs.run(problems.likelihood(config, hypers), seeds=1, steps=1500, progress=False)
    assert last(one, "kl").max() > 0.1
    config = config._replace(components=2)
    two = pjs.run(problems.likelihood(config, hypers), seeds=4, steps=3000, progress=False)
    assert last(two, "tv_of_parts").max() < 1e-3 and last(two, "weight_error").max() < 1e-3


def started(made, seed=0):
    hypers = jax.tree.map(jnp.float32, made.hypers)
    return made.train.init(jax.random.key(seed), hypers, made.data), hypers


def test_pairs_are_drawn_from_the_prior_and_answered_by_the_annotator():
    run, _ = started(problems.dpo(EXACT._replace(pairs=2**18)))
    exact, _ = started(problems.dpo(EXACT))
    np.testing.assert_allclose(run.examples.wins, exact.examples.wins, atol=2e-3)
    np.testing.assert_allclose(run.examples.wins.sum(), 1.0, rtol=1e-5)
    other, _ = started(problems.dpo(EXACT._replace(pairs=2**18)), seed=1)
    assert np.any(other.examples.wins != run.examples.wins)


def test_a_pair_of_many_is_counted_as_if_alone():
    """The sum over N x N is the mean over pairs."""
    scores = jax.random.normal(jax.random.key(0), (4,))
    a, b = jax.random.randint(jax.random.key(1), (2, 100), 0, 4)
    wins = jnp.zeros((4, 4)).at[a, b].add(0.01)
    together = jnp.sum(wins * preferences.cross_entropy(preferences.margins(scores)))
    alone = jnp.mean(preferences.cross_entropy(scores[a] - scores[b]))
    np.testing.assert_allclose(together, alone, rtol=1e-5)


def gradients(made, run, hypers, shift=0.0):
    """The change of logits by one step of a member whose logits are shifted."""
    clock = Clock(jnp.int32(0), jnp.int32(2))
    moved = jax.tree.map(lambda x: x + shift, run.learner.params)
    run = run._replace(learner=run.learner._replace(params=moved))
    after, row = made.train.update(jax.random.key(0), hypers, made.data, run, clock)
    return after.learner.params["densities"]["logits"] - moved["densities"]["logits"], row


def test_rewards_are_shifted_for_nothing():
    made = problems.reward_model(EXACT, problems.RewardHypers(0.1))
    run, hypers = started(made)
    plain, row = gradients(made, run, hypers)
    shifted, other = gradients(made, run, hypers, shift=2.0)
    np.testing.assert_allclose(shifted, plain, atol=1e-5)
    np.testing.assert_allclose(row["loss"], other["loss"], rtol=1e-5)


def test_slic_draws_fresh_items_of_the_prior_in_each_update():
    config = problems.SupervisedConfig(items=SMALL, pairs=0, draws=2**16)
    made = problems.slic(config, problems.SupervisedHypers(0.0, delta=0.0))
    run, hypers = started(made)
    rows = [
        made.train.update(jax.random.key(0), hypers, (), run, Clock(jnp.int32(i), jnp.int32(9)))[1]
        for i in (0, 1)
    ]
    prior = SMALL().log_prior
    expected = np.sum(np.exp(prior) * prior)
    told = [float(row["supervised"]) for row in rows]
    assert told[0] != told[1]
    np.testing.assert_allclose(told, expected, atol=0.01)
    hinge = sum(float(row["loss"] + row["supervised"]) for row in rows) / 2
    wins = np.asarray(run.examples.wins)
    margins = prior[:, None] - prior[None, :]
    np.testing.assert_allclose(hinge, np.sum(wins * np.maximum(-margins, 0.0)), rtol=1e-4)


def test_a_network_learns_the_prior():
    one = sets.grid(64, pretraining=1000)
    params = jax.jit(one.start)(jax.random.key(0))
    log_p = sets.log_density(one, params)
    np.testing.assert_allclose(np.sum(np.exp(log_p + one.log_measure)), 1.0, rtol=1e-4)
    assert preferences.total_variation(one.log_prior, log_p, one.log_measure) < 0.05
    np.testing.assert_allclose(np.exp(one.log_target + one.log_measure).sum(), 1.0, rtol=1e-4)
    below = np.exp(one.log_target + one.log_measure)[one.at < 0].sum()
    np.testing.assert_allclose(below, 0.4 + 0.6 * 0.0062, atol=2e-3)  # Phi(-2.5)


MISTAKES = {
    r"config.pairs: .*-1": lambda: problems.dpo(EXACT._replace(pairs=-1)),
    r"config.components: expected 1, .* got 2": lambda: problems.ipo(EXACT._replace(components=2)),
    r"hypers: expected a DirectHypers": lambda: problems.dpo(EXACT, problems.RewardHypers()),
    r"config.items: expected a function": lambda: problems.dpo(EXACT._replace(items=3)),
    r"prior: expected probabilities": lambda: problems.tabular((0.5, 0.6), ((0.5, 0.5),)),
    r"weights: expected one for each of 1": lambda: problems.tabular((1.0,), ((1.0,),), (0.5, 0.5)),
    r"cells: .*at least 2": lambda: problems.grid(1),
    r"horizon: .*1 .. 5": lambda: problems.trajectories(horizon=9),
}


@pytest.mark.parametrize("message", MISTAKES)
def test_mistakes_are_named(message):
    with pytest.raises(ValueError, match=message):
        MISTAKES[message]()
