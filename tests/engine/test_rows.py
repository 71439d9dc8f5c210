"""Rows over blocks of updates: what they say, against the rows of single updates."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from purejaxrl_suite import plasticity, stats
from purejaxrl_suite.core.types import Clock, Intervention
from purejaxrl_suite.engine import rows
from purejaxrl_suite.engine.rows import Kinds
from purejaxrl_suite.engine.train import training
from purejaxrl_suite.envs import probes
from purejaxrl_suite.envs.continual import label_shuffle

NAN, INF = np.nan, np.inf
KINDS = Kinds({"episode_return": "episodes"}, frozenset({"episodes", "cut"}), frozenset({"once"}))


def told(table, updates_per_row, finite=lambda update: True):
    """The history of a training whose updates tell the columns of a table {name: f32[updates]}."""
    count = len(next(iter(table.values())))

    def update(key, hypers, data, run, clock):
        row = {name: jnp.asarray(x, jnp.float32)[clock.update] for name, x in table.items()}
        return jnp.where(finite(clock.update), run, jnp.nan), row

    whole = updates_per_row * -(-count // updates_per_row)
    how = whole, lambda run: run, lambda: KINDS, updates_per_row
    train = training(lambda *_: jnp.zeros(()), update, *how).train
    _, found = jax.jit(train)((), (), (), jnp.zeros(()), Clock(jnp.int32(0), jnp.int32(count)))
    return {name: np.asarray(x) for name, x in found.items()}


def test_rows_of_each_kind_by_hand():
    table = {
        "episode_return": [1, NAN, 4, NAN, NAN, 7, 2],
        "episodes": [3, 0, 1, 0, 0, 2, 1],
        "once": [0, 0.5, 0.75, 1, 1, 0, 0.25],
        "loss": [NAN, 2, 4, 1, INF, 3, 5],
        "cut": [NAN, 2, 3, NAN, NAN, NAN, 1],
        "cut.trunk": [NAN, 1, 3, NAN, NAN, NAN, 1],
        "rank": [NAN, NAN, 6, NAN, NAN, NAN, NAN],
    }
    expected = {
        "episode_return": [7 / 4, 7, 2],
        "episodes": [4, 2, 1],
        "once": [0.75, 0, 0.25],
        "loss": [3, INF, 5],
        "cut": [5, NAN, 1],
        "cut.trunk": [4, NAN, 1],
        "rank": [6, NAN, NAN],
    }
    found = told(table, 3)
    assert found.keys() == expected.keys()
    for name, x in expected.items():
        np.testing.assert_allclose(found[name], x, 1e-6, err_msg=name)
    single = told(table, 1)
    for name, x in table.items():
        np.testing.assert_array_equal(single[name], np.float32(x))


def test_what_was_lost_in_a_block_is_not_averaged_away():
    """Parameters are not finite after the fifth update: its block has no losses, but episodes."""
    table = {"loss": np.arange(9.0), "episode_return": np.ones(9), "episodes": np.ones(9)}
    found = told(table, 3, lambda update: update < 4)
    np.testing.assert_array_equal(found["loss"], [1.0, NAN, NAN])
    np.testing.assert_array_equal(found["episode_return"], 1.0)
    np.testing.assert_array_equal(found["episodes"], 3.0)


def test_scores_of_blocks_are_those_of_single_updates():
    """Made-up episodes of 4,000 updates: scores and windows of whole blocks, and totals."""
    draw = np.random.default_rng(0)
    episodes = draw.poisson(0.3, 4000)
    means = np.where(episodes > 0, draw.normal(np.arange(4000) / 100, 5.0), NAN)
    cut = np.where(np.arange(4000) % 10 == 9, draw.poisson(4, 4000), NAN)
    table = {"episode_return": means, "episodes": episodes, "cut": cut, "loss": means}
    single, blocks = told(table, 1), told(table, 4)
    assert len(blocks["loss"]) == rows.ROWS
    for share in (0.05, 0.5, 1.0):
        scores = [
            stats.final_score(one["episode_return"], one["episodes"], share)
            for one in (single, blocks)
        ]
        np.testing.assert_allclose(*scores, 1e-5)
    windows = [
        stats.window_means(one["episode_return"], one["episodes"], 20) for one in (single, blocks)
    ]
    np.testing.assert_allclose(*windows, 1e-5)
    assert blocks["episodes"].sum() == episodes.sum()
    assert np.nansum(blocks["cut"]) == np.nansum(cut)


def test_as_many_updates_in_a_row_as_leave_a_thousand_of_them():
    each = functools.partial(rows.updates_per_row, probes.delayed_reward())
    assert [*map(each, (1, 1000, 1001, 2000, 10**6, 2**31 - 1))] == [1, 1, 2, 2, 1000, 2147484]
    # Of 6,000 updates at least 6: of 1,500, 6 divide; of 13, all; of 2, three phases are a row.
    streams = [label_shuffle(n) for n in (1500, 1000, 13, 2, 9000)]
    assert [rows.updates_per_row(one, 6000) for one in streams] == [6, 8, 13, 6, 6]


def test_counters_are_told_by_who_counts():
    redo = plasticity.every(5, plasticity.redo(0.1))
    both = plasticity.chain(redo, plasticity.continual_backprop(), plasticity.inject())
    assert both.counters == ("redo_recycled", "continual_backprop_recycled")
    assert Intervention("own", lambda *_: (), lambda *_: ()).counters == ()


def test_calls_are_whole_rows():
    with pytest.raises(ValueError, match="updates_per_row=2 must divide the 3 updates of a call"):
        training(lambda *_: (), lambda *_: ((), {}), 3, updates_per_row=2)
