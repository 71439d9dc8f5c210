"""Acting and learning step by step: equal to learning from a stream, resumable, and optimal."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from purejaxrl_suite import mdps
from purejaxrl_suite.mdps.experience import cumulative, pick
from purejaxrl_suite.mdps.live import drawn

LINE = mdps.chain(3, gamma=0.9)
BEST = mdps.in_float64(mdps.optimal)(LINE)
RULE = mdps.expected_trace_q(2)


def q(rule):
    return rule.weights.reshape(4, 2)


def lived(key, hypers, steps, every, life=None, predictor=RULE, epsilon=0.5, **options):
    greedy = options.pop("behaviour", mdps.epsilon_greedy(q, lambda rule: epsilon))
    features, weights = options.pop("features", jnp.eye(8)), options.pop("weights", jnp.zeros(8))
    return mdps.play(
        predictor, hypers, features, weights, key, LINE, greedy,
        steps=steps, every=every, life=life, **options,
    )  # fmt: skip


@pytest.mark.parametrize("watkins", [False, True])
def test_q_lambda_and_qet_find_the_best_actions(watkins):
    """A thousand members at once: half with instantaneous traces, half with expected ones."""
    hypers = mdps.TraceHypers(step_size=0.2, lambda_=0.9, eta=jnp.tile(jnp.array([0.0, 1.0]), 500))
    axes = mdps.TraceHypers(None, None, None, 0, None, None)
    rule = mdps.expected_trace_q(2, watkins=watkins)
    run = partial(lived, steps=600, every=300, predictor=rule, measure=lambda rule: rule.weights)
    keys = jax.random.split(jax.random.key(0), 1000)
    life, rows = jax.jit(jax.vmap(run, (0, axes)))(keys, hypers)
    greedy = np.argmax(life.rule.weights.reshape(1000, 4, 2)[:, :3], axis=2)
    assert np.mean(np.all(greedy == 1, axis=1)) > 0.99
    assert rows.measure.shape == (1000, 2, 8)
    np.testing.assert_array_equal(rows.total["reward"], rows.total["episodes"])  # paid at ends
    assert rows.total["reward"].mean() > 30
    if watkins:
        q_of_each = np.asarray(life.rule.weights).reshape(500, 2, 4, 2).mean(0)
        known = np.tile(BEST.q[:3], (2, 1, 1))
        np.testing.assert_allclose(q_of_each[:, :3], known, atol=0.05)


def test_two_calls_are_one():
    """The same key goes on with the same life, whatever it is cut into."""
    hypers = jax.tree.map(jnp.float32, mdps.TraceHypers(step_size=0.2))
    key = jax.random.key(3)
    whole, rows = jax.jit(partial(lived, steps=60, every=20))(key, hypers)
    half, first = jax.jit(partial(lived, steps=20, every=20))(key, hypers)
    again = jax.jit(partial(lived, steps=40, every=20))
    end, second = again(key, hypers, life=half)
    jax.tree.map(np.testing.assert_array_equal, whole, end)
    both = jax.tree.map(lambda *parts: np.concatenate(parts), first, second)
    jax.tree.map(np.testing.assert_array_equal, rows, both)


def test_a_fixed_policy_has_the_long_run_of_the_solver():
    """Visits are the stationary distribution, and ratios have the mean 1."""
    one = mdps.collision()
    features = jnp.asarray(one.features, jnp.float32)

    def count(rule, step):
        return {"visits": jax.nn.one_hot(step.state, 9), "ratio": step.ratio}

    def member(key):
        return mdps.play(
            mdps.td(),
            mdps.TDHypers(0.0),
            features,
            jnp.zeros(6),
            key,
            one.mdp,
            mdps.fixed(one.behaviour.astype(np.float32)),
            mdps.fixed(one.target.astype(np.float32)),
            steps=200,
            every=100,
            total=count,
        )[1].total

    found = jax.jit(jax.vmap(member))(jax.random.split(jax.random.key(0), 200))
    visits = np.asarray(found["visits"]).mean((0, 1)) / 100
    np.testing.assert_allclose(visits, one.d_mu, atol=0.01)
    assert abs(np.mean(found["ratio"]) / 100 - 1.0) < 0.03


def test_cut_episodes_bootstrap_and_leave_no_trace():
    """With a limit of one step nothing is carried on, but values go beyond the cut."""
    hypers = mdps.TraceHypers(step_size=0.5, lambda_=0.9, eta=1.0)
    weights = jnp.array([0.0, 0.0, 0.0, 2.0, 0.0, 0.0, 0.0, 0.0])
    run = partial(lived, steps=300, every=300, time_limit=1, epsilon=1.0, weights=weights)
    life, rows = jax.jit(run)(jax.random.key(0), jax.tree.map(jnp.float32, hypers))
    assert rows.total["episodes"][0] == 300 and life.rule.episode == 301
    np.testing.assert_array_equal(life.rule.carried, 0.0)
    # One is always cut in state 0, and unpaid: its values come from max q = 2 of state 1.
    np.testing.assert_allclose(life.rule.weights[:2], [0.9 * 0.9 * 2.0, 0.9 * 2.0], 1e-3)
    np.testing.assert_array_equal(life.rule.weights[2:], weights[2:])
    assert life.place == 0 and life.age == 0


def test_draws_have_their_probabilities_and_never_others():
    for p in ([0.5, 0.0, 0.3, 0.2], [0.0, 1.0, 0.0], [0.0, 0.25, 0.75, 0.0], [1 / 3] * 3):
        p = np.asarray(p, np.float32)
        u = (jnp.arange(1000) + jnp.float32(0.5)) / 1000
        for draw in (partial(pick, cumulative(p)), partial(drawn, jnp.asarray(p))):
            found = np.bincount(jax.vmap(draw)(u), minlength=len(p))
            np.testing.assert_allclose(found / 1000, p, atol=1.1e-3)
        ends = jnp.array([0.0, 1.0 - 2.0**-24], jnp.float32)
        for draw in (partial(pick, cumulative(p)), partial(drawn, jnp.asarray(p))):
            assert np.all(p[np.asarray(jax.vmap(draw)(ends))] > 0)


def test_ties_are_broken_at_random():
    policy = mdps.epsilon_greedy(lambda rule: rule, lambda rule: 0.2)
    table = jnp.array([[1.0, 1.0, 0.0, 1.0], [0.0, 2.0, 0.0, 1.0]])
    np.testing.assert_allclose(policy(table, 0), [0.8 / 3 + 0.05] * 2 + [0.05, 0.8 / 3 + 0.05])
    np.testing.assert_allclose(policy(table, 1), [0.05, 0.85, 0.05, 0.05])


@pytest.mark.parametrize(
    "wrong, says",
    [
        ({"predictor": mdps.n_step_td(2)}, "predictor: expected a rule that looks 1 step ahead"),
        ({"every": 7}, "every: expected a divisor of 60 steps, got 7"),
        ({"time_limit": 0}, "time_limit: expected an integer of at least 1"),
        ({"features": jnp.eye(3, 8)}, "features: expected 4 rows, or 8 of pairs, got 3"),
        (
            {"behaviour": mdps.fixed(jnp.ones((4, 3)))},
            r"behaviour: expected probabilities .2., got",
        ),
        ({"target": mdps.fixed(jnp.ones((4, 1)))}, "target: expected probabilities .2."),
    ],
)
def test_bad_arguments_are_refused(wrong, says):
    with pytest.raises(ValueError, match=says):
        lived(jax.random.key(0), mdps.TraceHypers(), **({"steps": 60, "every": 20} | wrong))
