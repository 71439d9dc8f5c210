"""The study of LPG: scores are shares of the best returns, tasks depend on the seed alone."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from purejaxrl_suite.studies import lpg
from purejaxrl_suite.studies.computation import Computed
from purejaxrl_suite.studies.study_result import Cost

KEY = jax.random.key(0)
COST = Cost("lpg", ("grids",), 8, 8, 1.0, 0.0, 1.0, 8.0)
TINY = lpg.FAMILIES["small chains"]._replace(
    make=lpg._chains(lengths=[2, 3]),
    larger=lpg._chains(lengths=[4, 5]),
    config=lpg.SMALL._replace(lifetimes=2, num_envs=2, rollout_length=4, units=3, bins=3),
    updates=4,
    rates=(1.0, 8.0),
)


def made(**values):
    return Computed({name: np.asarray(x) for name, x in values.items()}, COST)


def test_gains_are_paired_by_rule():
    """Rules far apart, of which each is better than its partner by a half."""
    scores = np.arange(8.0)
    effect = lpg.gain("grids")(KEY, made(grids=scores + 0.5), made(grids=scores))
    np.testing.assert_allclose(effect[:3], 0.5, atol=1e-5)
    assert int(effect.seeds) == 8


def test_all_arms_of_all_budgets_are_built():
    for budget in lpg.STUDY.budgets.values():
        assert {*lpg.arms(budget)} == {*lpg.RULES, lpg.RANDOM, lpg.BY_HAND}
        assert all(name in lpg.FAMILIES for name in budget.environments)


@pytest.mark.slow
def test_scores_of_fresh_agents(monkeypatch):
    """A seed's numbers do not depend on its neighbours; a rate of 0 gets what chance gets."""
    monkeypatch.setattr(lpg, "LIFETIMES", 4)
    monkeypatch.setitem(lpg.FAMILIES, "small chains", TINY)
    found = lpg.compute(lpg.RANDOM, ("small chains",), 1.0, [3, 4])
    assert set(found) == {"chains", "chains curve", "larger chains", "larger chains curve"}
    assert found["chains"].shape == (2,) and found["larger chains curve"].shape == (2, 4)
    alone = lpg.compute(lpg.RANDOM, ("small chains",), 1.0, [4])
    np.testing.assert_allclose(found["chains"][1], alone["chains"][0], rtol=1e-5)
    assert np.all(np.abs(found["chains"]) <= 1.0)
    assert lpg.chosen_rate(TINY) in TINY.rates


@pytest.mark.slow
def test_rules_are_learnt_for_each_seed(monkeypatch):
    monkeypatch.setattr(lpg, "LIFETIMES", 4)
    monkeypatch.setitem(lpg.FAMILIES, "small chains", TINY)
    steps = 2 * 4 * 2 * 5 * 2.0
    rules = lpg.learnt_rules(TINY, 3, steps, [0, 1])
    assert rules["target"]["bias"].shape == (2, 3)
    assert np.all(rules["weight"]["kernel"][0] != rules["weight"]["kernel"][1])
    found = lpg.compute("learned, no prediction", ("small chains",), steps, [0, 1])
    assert np.all(np.isfinite(found["chains"]))


@pytest.mark.slow
def test_scores_of_grids_are_shares_of_what_can_be_got(monkeypatch):
    """Of agents that collect all they can, 1: in a room of four cells everything is near."""
    monkeypatch.setattr(lpg, "LIFETIMES", 8)
    env = lpg._grids(sides=[2, 2], walls=0, objects=[1, 1], time_limits=[8, 8])()
    family = lpg.FAMILIES["small grids"]._replace(rates=(16.0,), updates=60)
    got = lpg._by_hand(family, 16.0, env, [0, 1])
    assert got.curve.shape == (2, 60) and jnp.all(got.score > 0.8) and jnp.all(got.score < 1.1)
