"""What --grid and --sample mean."""

import numpy as np
import pytest

from purejaxrl_suite.agents.ppo import PPOConfig, PPOHypers
from purejaxrl_suite.cli.axes import varied
from purejaxrl_suite.nets import actor_critic


def points(grid="", sample="", method="sobol", seed=0, config=None, params=None):
    params = {"gravity": 9.8, "limit": 500} if params is None else params
    bases = PPOHypers(gamma=0.5), config or PPOConfig(), params
    return varied(*bases, grid.split(), sample.split(), method=method, seed=seed)


def test_names_find_their_home():
    found = points("learning_rate=1e-4,3e-4 entropy-coefficient=0,0.01 num_envs=4,8 env.limit=9,10")
    assert found.hypers.dims == {
        "learning_rate": [1e-4, 3e-4],
        "entropy_coefficient": [0.0, 0.01],
    }
    assert found.hypers.base == PPOHypers(gamma=0.5)
    assert found.config.dims == {"num_envs": [4, 8]}
    assert all(type(x) is int for x in found.config.dims["num_envs"])
    assert found.env_params.dims == {"limit": [9, 10]}


def test_what_does_not_vary_stays_itself():
    params = {"gravity": 9.8}
    found = points("clip_value_loss=true,False", params=params)
    assert found.hypers == PPOHypers(gamma=0.5) and found.env_params is params
    assert found.config.dims == {"clip_value_loss": [True, False]}


@pytest.mark.parametrize("method", ["sobol", "random"])
def test_samples_lie_in_their_ranges(method):
    text = "32 learning_rate=1e-5:1e-2:log gamma=0.9:0.999 clip_range=0.1,0.2"
    found = points(sample=text, method=method).hypers
    assert found.count == 32 and list(found.dims) == ["configuration"]
    rate, gamma = (np.array(found.values[name]) for name in ("learning_rate", "gamma"))
    assert rate.min() >= 1e-5 and rate.max() <= 1e-2 and 4 <= np.sum(rate < 1e-4) <= 17
    assert gamma.min() >= 0.9 and gamma.max() <= 0.999
    assert set(found.values["clip_range"]) == {0.1, 0.2}
    other = points(sample=text, method=method, seed=1).hypers
    assert other.values["learning_rate"] != found.values["learning_rate"]


def test_a_grid_and_a_sample_of_different_things():
    found = points("num_envs=4,8", "4 env.gravity=5:15")
    assert found.config.count == 2 and found.env_params.count == 4


@pytest.mark.parametrize(
    ("grid", "sample", "message"),
    [
        ("learning_rat=1", "", "--grid: 'learning_rat' is nothing.*learning_rate.*num_envs"),
        ("gravity=1", "", "as env.NAME: gravity, limit"),
        ("env.mass=1", "", "--grid: 'env.mass'"),
        ("learning_rate", "", "--grid: expected NAME=VALUES, got 'learning_rate'"),
        ("gamma=0.9,high", "", "--grid: gamma: expected numbers, got 'high'"),
        ("gamma=0.9,0.9", "", "gamma: expected distinct values"),
        ("gamma=0.9 gamma=0.8", "", "--grid: gamma is given twice"),
        ("num_envs=4.5", "", "--grid: num_envs: expected integers, got '4.5'"),
        ("clip_value_loss=1", "", "--grid: clip_value_loss: expected true or false"),
        ("", "gamma=0.9:1", "--sample: expected COUNT NAME=LOW:HIGH"),
        ("", "8", "--sample: expected COUNT"),
        ("", "8 gamma=0.9:1:ln", "--sample: gamma: expected LOW:HIGH or LOW:HIGH:log"),
        ("", "8 gamma=1:0.9", "expected finite low < high"),
        ("", "8 num_envs=4:8", "belongs in --grid"),
        ("", "8 gamma=0.9:1 env.gravity=1:2", "--sample: expected Hypers only"),
        (
            "gamma=0.9,0.8",
            "8 learning_rate=1e-5:1e-2:log",
            "--grid .* and --sample both vary hypers",
        ),
    ],
)
def test_mistakes_name_the_flag(grid, sample, message):
    with pytest.raises(ValueError, match=message):
        points(grid, sample)


def test_what_cannot_be_typed():
    config = PPOConfig()._replace(epochs=actor_critic)  # pyright: ignore
    with pytest.raises(ValueError, match="epochs: cannot be typed"):
        points("epochs=4", config=config)
