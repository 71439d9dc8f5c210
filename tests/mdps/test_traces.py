"""What traces are, step by step: linear, forgetful where they must be, and the same in parts."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from purejaxrl_suite import mdps
from purejaxrl_suite.mdps.traces import carry_follow_on, follow_on, mixed_trace

COLLISION, JOINED = mdps.collision(), mdps.multi_chain(3, 4)


def stream_of(one, steps=60):
    return mdps.experience(jax.random.key(0), one.mdp, one.behaviour, one.target, steps)


@partial(jax.jit, static_argnames="predictor")
def learnt(predictor, hypers, features, weights, stream, state=None):
    return mdps.learn(predictor, hypers, features, weights, stream, state=state)[0]


def of(one):
    return tuple(jnp.asarray(x, jnp.float32) for x in (one.features, one.weights))


def follow_ons(interest, decays, n):
    def step(carried, now):
        trace = follow_on(carried, now[0])
        return carry_follow_on(carried, trace, now[1]), trace

    return jax.lax.scan(step, jnp.zeros(n), (interest, decays))[1]


@pytest.mark.parametrize("n", [1, 3])
def test_follow_on_traces_are_linear_and_forget_with_a_ratio_of_0(n):
    interest = jax.random.uniform(jax.random.key(0), (20,))
    decays = jax.random.uniform(jax.random.key(1), (20,)).at[11].set(0.0)
    trace = follow_ons(interest, decays, n)
    np.testing.assert_array_equal(follow_ons(4.0 * interest, decays, n), 4.0 * trace)
    np.testing.assert_array_equal(trace[12 : 12 + n], interest[12 : 12 + n])


@pytest.mark.parametrize("n, windowed", [(1, False), (3, False), (3, True)])
def test_unrolls_of_any_length_learn_the_same(n, windowed):
    """What is carried over the end of an unroll is all that the next one needs, to the bit."""
    rule, hypers = mdps.n_step_td(n, True, windowed), mdps.NStepHypers(jnp.float32(0.05))
    stream, ends = stream_of(COLLISION), (0, 7, 20, 61 - n)
    whole, state = learnt(rule, hypers, *of(COLLISION), stream), None
    for first, end in zip(ends, ends[1:], strict=False):
        part = jax.tree.map(lambda leaf, a=first, b=end: leaf[a : b + n - 1], stream)
        state = learnt(rule, hypers, *of(COLLISION), part, state)
    assert np.ptp(whole.weights) > 0
    jax.tree.map(np.testing.assert_array_equal, whole, state)


def test_clips_that_nothing_reaches_change_nothing():
    """With ratios up to 1 V-trace is n-step TD and NEVtrace NETD, bit for bit."""
    stream = stream_of(COLLISION)
    below = stream._replace(ratio=jnp.minimum(stream.ratio, 1.0))
    assert np.ptp(below.ratio) > 0
    for emphatic in (False, True):
        rule, step_size = mdps.n_step_td(3, emphatic), jnp.float32(0.05)
        plain = learnt(rule, mdps.NStepHypers(step_size), *of(COLLISION), below)
        clipped = learnt(rule, mdps.NStepHypers(step_size, 1.0, 1.0, 1.0), *of(COLLISION), below)
        np.testing.assert_array_equal(plain.weights, clipped.weights)


def test_the_past_fades_in_a_mixture():
    """The present and k steps ago have the weights eta (eta gamma lambda)^k in an instant trace."""
    eta, decay, carried, found = 0.6, 0.8, jnp.zeros(4), []
    for k in range(4):
        carried = mixed_trace(carried, jnp.zeros(4), jnp.eye(4)[0] * (k == 0), eta)
        found.append(carried[0])
        carried = decay * carried
    np.testing.assert_allclose(found, eta * (eta * decay) ** np.arange(4), rtol=1e-6)


def test_traces_end_with_episodes_and_expectations_do_not():
    hypers = jax.tree.map(jnp.float32, mdps.TraceHypers(eta=0.5))
    stream = stream_of(JOINED, 60)  # twelve episodes of five steps
    state = learnt(mdps.expected_trace_td(), hypers, *of(JOINED), stream)
    np.testing.assert_array_equal(state.carried, 0.0)
    np.testing.assert_array_equal(state.carried_target, 0.0)
    seen = state.visits > 0
    assert np.all(np.diagonal(state.z)[seen[:13]] >= 1.0) and np.all(state.z[~seen] == 0)
    assert state.episode == 13


def test_many_settings_in_one_program_learn_what_each_learns_alone():
    eta, decay = jnp.array([0.0, 0.3, 1.0]), jnp.array([0.9, 0.5, 0.2])
    hypers = mdps.TraceHypers(step_size=jnp.float32(0.2), lambda_=decay, eta=eta)
    axes = mdps.TraceHypers(None, None, 0, 0, None, None)
    rule, stream = mdps.expected_trace_td(), stream_of(JOINED)
    together = jax.vmap(partial(learnt, rule), (axes, None, None, None))
    found = together(hypers, *of(JOINED), stream).weights
    for i in range(3):
        one = hypers._replace(eta=eta[i], lambda_=decay[i])
        alone = learnt(rule, one, *of(JOINED), stream).weights
        np.testing.assert_allclose(found[i], alone, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "rule",
    [mdps.td(True), mdps.n_step_td(3, True), mdps.true_online_td(), mdps.expected_trace_td()],
)
def test_a_diagonal_stands_for_one_hot_features(rule):
    full = jnp.asarray(JOINED.mdp.terminal == 0, jnp.float32)
    hypers = jax.tree.map(jnp.float32, rule.hypers._replace(step_size=0.2))
    zeros, stream = jnp.zeros(len(full)), stream_of(JOINED)
    found = learnt(rule, hypers, full, zeros, stream).weights
    known = learnt(rule, hypers, jnp.diag(full), zeros, stream).weights
    assert np.ptp(known) > 0
    np.testing.assert_allclose(found, known, rtol=1e-5, atol=1e-6)
