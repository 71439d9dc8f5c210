"""Problems: training without an environment, from examples and a loss."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from purejaxrl_suite.core.types import Clock
from purejaxrl_suite.engine import Examples, collected, fitting, generated, minibatches, whole
from purejaxrl_suite.engine import problem as engine


class Rate(NamedTuple):
    learning_rate: float = 0.25


X = np.arange(1.0, 5.0, dtype=np.float32)


def squared(key, hypers, slope, batch):
    return 0.5 * jnp.mean(jnp.square(slope * batch - 3.0 * batch)), {"slope": slope}


def line(examples=None, **how):
    known = {
        "init": lambda key, hypers, data: jnp.float32(1.0),
        "examples": whole(X) if examples is None else examples,
        "loss": squared,
        "optimizer": lambda hypers: optax.sgd(hypers.learning_rate),
        "hypers": Rate(),
    }
    return fitting("line", **known | how)


def steps(made, count, updates=None, key=0, hypers=None):
    hypers = jax.tree.map(jnp.float32, made.hypers if hypers is None else hypers)
    run, rows = made.train.init(jax.random.key(key), hypers, made.data), []
    for i in range(count):
        clock = Clock(jnp.int32(i), jnp.int32(updates or count))
        run, row = made.train.update(jax.random.key(key), hypers, made.data, run, clock)
        rows.append(row)
    return run, {name: np.asarray([row[name] for row in rows]) for name in rows[0]}


def test_a_step_by_hand():
    """The mean of x^2 is 7.5: at slope 1 the loss is 15, the gradient -15, the step 3.75."""
    run, rows = steps(line(), 1)
    assert rows["loss"] == [15.0] and rows["gradient_norm"] == [15.0]
    assert run.learner.params == 4.75 and rows["slope"] == [1.0]


def test_the_clock_anneals():
    slower = line(anneal=lambda hypers, clock: Rate(hypers.learning_rate * (1.0 - clock.progress)))
    _, rows = steps(slower, 2)
    assert rows["slope"][1] == 4.75
    run, _ = steps(slower, 2)
    np.testing.assert_allclose(run.learner.params, 4.75 - 0.125 * 7.5 * 1.75, rtol=1e-6)


def test_a_look_is_on_the_clock_and_at_the_end():
    made = line(look=lambda hypers, data, carry, params: {"off": params - 3.0}, look_every=2)
    run, rows = steps(made, 5)
    np.testing.assert_array_equal(np.isfinite(rows["off"]), [False, True, False, True, True])
    assert rows["off"][-1] == run.learner.params - 3.0
    plain, _ = steps(line(), 5)
    assert plain.learner.params == run.learner.params


def test_notes_are_of_the_raw_gradient():
    _, rows = steps(line(notes=lambda gradient: {"signed": gradient}), 1)
    assert rows["signed"] == [-15.0]


def batches(examples, count=3):
    """What updates are given, as told by a loss."""

    def loss(key, hypers, slope, batch):
        return slope * 0.0, {f"x{i}": batch[i] for i in range(4)}

    rows = steps(line(examples, loss=loss), count)[1]
    return np.stack([rows[f"x{i}"] for i in range(4)], axis=1)


def test_sources_of_examples():
    drawn = batches(minibatches(X, 4))
    assert set(drawn.ravel()) <= set(X) and len({tuple(row) for row in drawn}) == 3

    def normal(key, hypers, data, *params):
        return data + jax.random.normal(key, (4,))

    own = batches(collected(normal, jnp.float32(100.0)))
    assert np.all(own == own[0]) and np.all(own > 90)
    fresh = batches(generated(normal, jnp.float32(100.0)))
    assert len({tuple(row) for row in fresh}) == 3 and np.all(fresh > 90)
    counted = Examples((), lambda *_: jnp.zeros(4), lambda k, h, d, c, t: (c + 1.0, c))
    np.testing.assert_array_equal(batches(counted)[:, 0], [0.0, 1.0, 2.0])


def test_random_numbers_are_of_the_member_and_the_clock_only():
    made = line(minibatches(X, 2))
    whole_run, rows = steps(made, 4)
    first = made.train.init(jax.random.key(0), Rate(jnp.float32(0.25)), made.data)
    late = Clock(jnp.int32(2), jnp.int32(4))
    _, row = made.train.update(jax.random.key(0), Rate(jnp.float32(0.25)), X, first, late)
    again, _ = steps(made, 4)
    assert again.learner.params == whole_run.learner.params
    assert row["loss"] / rows["loss"][0] != 1.0 or rows["loss"][0] == rows["loss"][2]


def test_gradients_reach_the_hypers():
    made = line()

    def final(rate):
        hypers = Rate(rate)
        run = made.train.init(jax.random.key(0), hypers, made.data)
        clock = Clock(jnp.int32(0), jnp.int32(1))
        return made.train.update(jax.random.key(0), hypers, made.data, run, clock)[0].learner.params

    np.testing.assert_allclose(jax.grad(final)(0.25), 15.0, rtol=1e-6)


MISTAKES = {
    r"size: expected an integer of at least 1": lambda: minibatches(X, 0),
    r"data: expected leaves with the examples": lambda: minibatches((X, X[:2]), 2),
    r"look_every: expected an integer": lambda: line(look_every=0),
    r"examples: expected an? Examples": lambda: line(X),
    r"loss: expected a function": lambda: line(loss=lambda params: 0.0),
}


@pytest.mark.parametrize("message", MISTAKES)
def test_mistakes_are_named(message):
    with pytest.raises(ValueError, match=message):
        MISTAKES[message]()


def test_metrics_have_one_owner():
    with pytest.raises(ValueError, match="loss"):
        steps(line(notes=lambda gradient: {"loss": gradient}), 1)


def test_parameters_are_those_of_the_learner():
    made = line()
    run = made.train.init(jax.random.key(0), Rate(jnp.float32(0.25)), made.data)
    assert made.train.params(run) == engine.learnt(run) == 1.0
