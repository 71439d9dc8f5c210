"""The forms of input and normalized scores."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray

import purejaxrl_suite as pjs
from purejaxrl_suite import stats
from purejaxrl_suite.core.types import Discrete
from purejaxrl_suite.envs import gymnax, navix
from purejaxrl_suite.stats.references import VERSION
from tests.counted import counted

nan = np.nan


def test_what_is_masked_is_missing_and_what_is_no_number_is_named():
    few = np.ma.array([1.0, 2.0, 100.0], mask=[False, False, True])
    np.testing.assert_array_equal(stats.matrix({"a": few}), [[1.0], [2.0], [np.nan]])
    for bad in (["x"], [[1.0, 2.0], [3.0]]):
        with pytest.raises(ValueError, match=r"^scores\['a'\]: expected an array of numbers"):
            stats.matrix({"a": bad})
        with pytest.raises(ValueError, match="^x: expected an array of numbers"):
            stats.difference(jax.random.key(0), bad, [1.0], paired=False)


def test_a_mapping_of_tasks_is_padded():
    found = stats.matrix({"Pong": [1.0, 2.0, 3.0], "Qbert": np.array([4]), "Asterix": [5.0, nan]})
    np.testing.assert_array_equal(found, [[1, 4, 5], [2, nan, nan], [3, nan, nan]])
    assert found.dtype == np.float32
    curves = stats.matrix({"a": np.ones((3, 7)), "b": np.ones((2, 7))})
    assert curves.shape == (3, 2, 7) and np.isnan(curves[2, 1]).all()


def test_arrays_stay_as_they_are():
    np.testing.assert_array_equal(stats.matrix([1.0, 2.0]), [[1], [2]])
    np.testing.assert_array_equal(stats.matrix([[1.0, 2.0]]), [[1, 2]])


def test_algorithms_get_the_same_tasks_in_the_same_order():
    found = stats.matrices(
        {
            "ppo": {"Pong": [1.0, 2.0], "Qbert": [3.0]},
            "pqn": {"Qbert": [4.0], "Pong": [5.0]},
            "dqn": np.zeros((4, 2)),
        }
    )
    np.testing.assert_array_equal(found["ppo"], [[1, 3], [2, nan]])
    np.testing.assert_array_equal(found["pqn"], [[5, 4]])
    assert found["dqn"].shape == (4, 2)


def dataset(seeds, steps=(10, 20, 30), axes=()):
    shape = (*(2 for _ in axes), seeds, len(steps))
    values = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    made = xarray.Dataset(
        {
            "episode_return": ((*axes, "seed", "step"), values),
            "rate": ("step", np.ones(len(steps))),
            "loss": ((*axes, "seed", "step"), -values),
        },
        {"seed": np.arange(seeds), "step": np.array(steps)},
    )
    return counted(made, 1.0 + np.arange(len(steps)), np.arange(len(steps)) / 2)


def test_curves_come_with_seeds_first_and_steps_last():
    data = dataset(3, axes=("learning_rate",))
    data = data.transpose("step", "seed", "learning_rate")
    steps, values, episodes = stats.curves(data)
    np.testing.assert_array_equal(steps, [10, 20, 30])
    assert values.shape == (3, 2, 3)
    np.testing.assert_array_equal(values[1, 0], data.episode_return[:, 1, 0])
    np.testing.assert_array_equal(episodes, np.broadcast_to([1, 2, 3], values.shape))
    complete = stats.curves(data, complete=True)
    np.testing.assert_array_equal(complete.episodes, np.broadcast_to([0, 0, 3], values.shape))
    assert stats.curves(data, "loss").episodes is None
    del data.episode_return.attrs["mean_over"]
    with pytest.raises(ValueError, match="metric: expected 'episode_return' to name its count"):
        stats.curves(data)


def test_curves_of_tasks_are_padded():
    _, values, episodes = stats.curves({"a": dataset(2), "b": dataset(3)})
    assert values.shape == (3, 2, 3)
    np.testing.assert_array_equal(values[:2, 0], dataset(2).episode_return)
    assert np.isnan(values[2, 0]).all()
    final = stats.final_score(values, episodes)
    np.testing.assert_array_equal(final, [[2, 2], [5, 5], [nan, 8]])


@pytest.mark.parametrize(
    ("call", "argument"),
    [
        (lambda: stats.matrix(3.0), "scores"),
        (lambda: stats.matrix({}), "scores"),
        (lambda: stats.matrix({"a": 3.0}), "scores"),
        (lambda: stats.matrix({"a": np.ones((2, 3)), "b": np.ones((2, 4))}), "scores"),
        (lambda: stats.matrices({}), "scores"),
        (lambda: stats.matrices({"x": {"a": [1.0]}, "y": {"b": [1.0]}}), "scores"),
        (lambda: stats.matrices({"x": {"a": [1.0]}, "y": np.ones((2, 2))}), "scores"),
        (lambda: stats.curves({}), "datasets"),
        (lambda: stats.curves(dataset(2), "entropy"), "metric"),
        (lambda: stats.curves(dataset(2), "rate"), "metric"),
        (lambda: stats.curves({"a": dataset(2), "b": dataset(2, (1, 2, 3))}), "datasets"),
        (lambda: stats.curves({"a": dataset(2), "b": dataset(2, axes=("c",))}), "datasets"),
        (lambda: stats.normalize(np.ones((3, 2)), [0.0, 1.0, 2.0], 1.0), "random"),
        (lambda: stats.normalize(np.ones((3, 2)), 0.0, np.ones((2, 2))), "reference"),
        (lambda: stats.normalize(np.ones((3, 2)), 1.0, [2.0, 1.0]), "reference"),
        (lambda: stats.normalize_tasks({"Breakout": [1.0]}), "scores"),
    ],
)
def test_bad_input_names_the_argument(call, argument):
    with pytest.raises(ValueError, match=f"^{argument}:"):
        call()


def test_random_is_zero_and_the_reference_is_one():
    scores = {
        task: [ends.random.value, ends.reference.value, nan]
        for task, ends in stats.REFERENCES.items()
    }
    for normalized in stats.normalize_tasks(scores).values():
        np.testing.assert_allclose(normalized, [0.0, 1.0, nan], atol=1e-6)
    found = stats.normalize(np.array([[1.0, 10.0], [3.0, 40.0]]), [1.0, 0.0], [5.0, 20.0])
    np.testing.assert_allclose(found, [[0.0, 0.5], [0.5, 2.0]])


def test_the_random_score_of_a_metric():
    known = stats.REFERENCES["Catch-bsuite"].random.value
    assert stats.random_score("Catch-bsuite") == known
    assert stats.random_score("A+B", "episode_return_Catch-bsuite") == known
    for nothing in (("Maze",), ("Catch-bsuite", "success"), ("A+B", "episode_return")):
        assert np.isnan(stats.random_score(*nothing)), nothing


def test_every_reference_says_where_it_comes_from():
    assert re.fullmatch(r"\d+", VERSION)
    for task, ends in stats.REFERENCES.items():
        assert ends.random.value < ends.reference.value, task
        assert ends.random.ours and not ends.reference.ours
        assert all(score.source and score.version for score in ends)
        assert task in {*gymnax.ids(), *navix.ids()}


def random_returns(env, episodes):
    """Returns of uniformly random actions, f32[episodes]."""

    def action(key):
        if isinstance(env.action, Discrete):
            return jax.random.randint(key, (), 0, env.action.n)
        low, high = jnp.asarray(env.action.low), jnp.asarray(env.action.high)
        return jax.random.uniform(key, env.action.shape, minval=low, maxval=high)

    def episode(key):
        def step(carry):
            key, state, total, _ = carry
            key, act, move = jax.random.split(key, 3)
            state, then = env.step(move, env.params, state, action(act))
            return key, state, total + then.reward, then.terminated | then.truncated

        start, key = jax.random.split(key)
        state, _ = env.init(start, env.params)
        carry = key, state, jnp.float32(0), jnp.bool_(False)
        return jax.lax.while_loop(lambda carry: ~carry[3], step, carry)[2]

    return jax.jit(jax.vmap(episode))(jax.random.split(jax.random.key(1), episodes))


@pytest.mark.slow
@pytest.mark.parametrize("task", stats.REFERENCES)
def test_random_scores_are_measured_again(task):
    returns = np.asarray(random_returns(pjs.make(task), 256), np.float64)
    written = stats.REFERENCES[task].random
    known = float(written.source.rsplit(" ", 1)[1])
    error = np.hypot(returns.std() / 16, known)
    assert abs(returns.mean() - written.value) <= 4 * error + 5e-3 * abs(written.value)
