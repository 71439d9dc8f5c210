"""Points of a sweep."""

from typing import NamedTuple

import numpy as np
import pytest

import purejaxrl_suite as pjs
from purejaxrl_suite.envs import probes
from purejaxrl_suite.sweeps import axes, check

BASE = pjs.PPOHypers()


def test_a_grid_is_every_combination_with_the_last_axis_fastest():
    points = pjs.search.grid(BASE, gamma=[0.9, 0.99], learning_rate=[1.0, 2.0, 3.0])
    settings = points.settings()
    assert points.count == 6
    assert [(s.gamma, s.learning_rate) for s in settings[:4]] == [
        (0.9, 1.0),
        (0.9, 2.0),
        (0.9, 3.0),
        (0.99, 1.0),
    ]
    assert settings[0].gae_lambda == BASE.gae_lambda


def test_no_axis_is_one_point():
    assert pjs.search.grid(BASE).settings() == [BASE]


def test_one_at_a_time_starts_with_the_defaults_and_does_not_repeat_them():
    points = pjs.search.one_at_a_time(BASE, gamma=[0.9, BASE.gamma], clip_range=[0.1, 0.3])
    assert points.settings() == [
        BASE,
        BASE._replace(gamma=0.9),
        BASE._replace(clip_range=0.1),
        BASE._replace(clip_range=0.3),
    ]
    assert list(points.varied) == ["", "gamma", "clip_range", "clip_range"]


def test_draws_lie_in_their_ranges_and_follow_the_seed():
    ranges = {
        "learning_rate": pjs.search.log_uniform(1e-5, 1e-2),
        "gamma": pjs.search.uniform(0.9, 1.0),
        "clip_range": pjs.search.choice([0.1, 0.2]),
    }
    for draw in (pjs.search.random, pjs.search.sobol):
        points = draw(BASE, 256, seed=1, **ranges)
        rate, gamma = np.array(points.values["learning_rate"]), np.array(points.values["gamma"])
        assert points.count == 256 and 1e-5 <= rate.min() < rate.max() <= 1e-2
        # Half of a log-uniform draw lies below the geometric mean of its ends.
        assert abs(np.mean(rate < 10**-3.5) - 0.5) < 0.1
        assert abs(gamma.mean() - 0.95) < 0.01
        assert abs(np.mean(np.array(points.values["clip_range"]) == 0.1) - 0.5) < 0.1
        assert points.values == draw(BASE, 256, seed=1, **ranges).values
        assert points.values != draw(BASE, 256, seed=2, **ranges).values


def test_sobol_is_more_even_than_random():
    # Each of 64 equal cells holds exactly one of 64 points of a Sobol sequence.
    gamma = np.array(pjs.search.sobol(BASE, 64, gamma=pjs.search.uniform(0.0, 1.0)).values["gamma"])
    assert sorted((gamma * 64).astype(int)) == list(range(64))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: pjs.search.grid(BASE, gama=[1]),
            "'gama' is not a field of PPOHypers, which has: learn",
        ),
        (lambda: pjs.search.grid(BASE, gamma=[]), "gamma: expected distinct values, at least one"),
        (lambda: pjs.search.grid(BASE, gamma=[1.0, 1.0]), "gamma: expected distinct values"),
        (
            lambda: pjs.search.random(BASE, 0, gamma=pjs.search.uniform(0, 1)),
            "count: expected an integer",
        ),
        (lambda: pjs.search.random(BASE, 4, gamma=[0.1, 0.2]), "gamma: expected uniform"),
        (lambda: pjs.search.log_uniform(0.0, 1.0), "expected 0 < low < high"),
        (lambda: pjs.search.uniform(1.0, 1.0), "expected finite low < high"),
        (lambda: pjs.search.uniform(1.0, 1.0 + 1e-9), "expected finite low < high"),
        (lambda: pjs.search.log_uniform(1.0, 1e39), "expected finite low < high"),
        (lambda: pjs.search.choice([]), "choice: expected a list of options"),
    ],
)
def test_bad_axes_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    ("points", "message"),
    [
        (
            pjs.search.grid(BASE, gamma=[0.9, 0.9 + 1e-9]),
            "differ as float32, got 0.9 and 0.900000001",
        ),
        (pjs.search.one_at_a_time(BASE, gamma=[BASE.gamma + 1e-9]), "got 0.99 and 0.990000001"),
        (
            pjs.search.grid(BASE, gamma=[0.9, 1.1]),
            r"hypers.gamma: expected a number in \[0, 1\], got 1.1",
        ),
        (pjs.search.grid(BASE, gamma=["0.9"]), "hypers.gamma: expected .*, got '0.9'"),
        (
            pjs.search.grid(BASE._replace(clip_range=0.0)),
            "hypers.clip_range: expected a number above 0",
        ),
        (
            pjs.search.random(BASE, 64, gamma=pjs.search.uniform(0.5, 1.5)),
            r"gamma: expected .* 1\], got 1.",
        ),
    ],
)
def test_points_are_checked_as_the_program_will_see_them(points, message):
    agent = pjs.ppo(probes.delayed_reward())
    with pytest.raises(ValueError, match=message):
        check.hypers(agent, points)


def test_draws_may_repeat_a_value():
    agent = pjs.ppo(probes.delayed_reward())
    points = pjs.search.random(BASE, 16, gamma=pjs.search.choice([0.9, 0.99]))
    assert set(check.hypers(agent, points)["gamma"]) == set(np.float32([0.9, 0.99]))


def test_hypers_without_ranges_need_to_be_finite_only():
    class Own(NamedTuple):
        speed: float = -3.0

    agent = pjs.ppo(probes.delayed_reward())._replace(hypers=Own(), config=())
    assert check.hypers(agent, pjs.search.grid(Own(), speed=[1e9]))["speed"] == np.float32(1e9)
    with pytest.raises(ValueError, match="hypers.speed: expected a finite number, got nan"):
        check.hypers(agent, pjs.search.grid(Own(float("nan"))))


def test_fields_of_every_kind_of_base():
    env = pjs.make("CartPole-v1")
    assert float(axes.fields(env.params)["gravity"]) == pytest.approx(9.8)
    assert axes.replace({"a": 1, "b": 2}, {"a": 3}) == {"a": 3, "b": 2}
    assert axes.fields(()) == {}
