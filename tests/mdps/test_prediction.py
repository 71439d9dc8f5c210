"""Traces and predictors: reductions, closed forms of expectations, and published stability."""

import functools
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from purejaxrl_suite import mdps
from purejaxrl_suite.mdps.stability import INF, expected_follow_on
from purejaxrl_suite.mdps.traces import carry_follow_on, follow_on, mixed_trace

TD, ET = mdps.td(), mdps.expected_trace_td()
JOINED = mdps.multi_chain(4, 4)
drawn = jax.jit(mdps.experience, static_argnames="steps")


def stream_of(one, steps):
    return drawn(jax.random.key(0), one.mdp, one.behaviour, one.target, steps=steps)


@functools.cache
def compiled(predictor):
    return jax.jit(partial(mdps.learn, predictor, measure=lambda state: state.weights))


def learnt(predictor, hypers, one, stream):
    """Weights after every update."""
    features, weights = (jnp.asarray(x, jnp.float32) for x in (one.features, one.weights))
    hypers = jax.tree.map(jnp.float32, hypers)
    return np.asarray(compiled(predictor)(hypers, features, weights, stream)[1])


# --- Emphasis ---


TABLE = [
    (mdps.two_state, 0.9, 1, (-0.2000, -0.2000, 3.4000, 3.4000, -0.1000, 0.0636)),
    (mdps.two_state, 0.9, 2, (0.0700, -0.0650, 3.3100, 3.3550, -0.0325, 0.0411)),
    (mdps.two_state, 0.9, 3, (0.3130, 0.0610, 3.2290, 3.3130, -0.0021, 0.0310)),
    (mdps.two_state, 0.9, 5, (0.7285, 0.2887, 3.0905, 3.2371, 0.0177, 0.0244)),
    (mdps.two_state, 0.9, 10, (1.4540, 0.7414, 2.8487, 3.0862, 0.0226, 0.0228)),
    (mdps.two_state, 0.99, 1, (-0.4700, -0.4700, 3.4900, 3.4900, -0.2350, -0.2154)),
    (mdps.two_state, 0.99, 5, (-0.3530, -0.4112, 3.4510, 3.4704, -0.2212, -0.2200)),
    (mdps.two_state, 0.99, 20, (0.0463, -0.2041, 3.3179, 3.4014, -0.2203, -0.2203)),
    (mdps.baird, 0.99, 1, (-0.2393, -0.2393, 0, 0, -0.0342, -0.0278)),
    (mdps.baird, 0.99, 5, (-0.0834, -0.1069, 0, 0, -0.0330, -0.0330)),
    (mdps.baird, 0.99, 20, (0, -0.0231, 0, 0, -0.0330, -0.0330)),
]
QUICK = (mdps.two_state, 0.9, 3)


@pytest.mark.parametrize(
    "make, gamma, n, expected",
    [row if row[:3] == QUICK else pytest.param(*row, marks=pytest.mark.slow) for row in TABLE],
)
def test_stability_of_expected_updates(make, gamma, n, expected):
    found = mdps.in_float64(lambda: mdps.expected_updates(make(gamma), n))()
    least = [np.linalg.eigvals(one).real.min() for one in found]
    np.testing.assert_allclose(least, expected, atol=1e-3)


def test_one_step_is_emphatic_td_bit_for_bit():
    """NETD, WETD and ETD(0); without emphasis TD(1) and TD(0)."""
    one = mdps.collision()
    stream = stream_of(one, 300)
    for emphatic in (True, False):
        same = [
            learnt(mdps.td(emphatic), mdps.TDHypers(0.05), one, stream),
            learnt(mdps.n_step_td(1, emphatic), mdps.NStepHypers(0.05), one, stream),
            learnt(mdps.n_step_td(1, emphatic, windowed=True), mdps.NStepHypers(0.05), one, stream),
        ]
        assert np.ptp(same[0][-1]) > 0
        np.testing.assert_array_equal(same[0], same[1])
        np.testing.assert_array_equal(same[0], same[2])


@pytest.mark.parametrize("n, limit", [(1, 10), (5, 2.442), (20, 1.138)])
def test_follow_on_trace_on_policy(n, limit):
    """(1 - gamma^(n (t // n + 1))) / (1 - gamma^n); an end of an episode starts it anew."""

    def step(carried, decay):
        trace = follow_on(carried, 1.0)
        return carry_follow_on(carried, trace, decay), trace

    decays = jnp.full(200, 0.9).at[150].set(0.0)
    trace = jax.lax.scan(step, jnp.zeros(n), decays)[1]
    t = np.arange(151)
    known = (1 - 0.9 ** (n * (t // n + 1))) / (1 - 0.9**n)
    np.testing.assert_allclose(trace[:151], known, rtol=1e-5)
    np.testing.assert_allclose(trace[151:], trace[:49], rtol=1e-6)
    np.testing.assert_allclose(trace[150], limit, rtol=1e-3)


def test_expectation_of_the_trace_is_emphasis():
    one = mdps.two_state()
    found = mdps.in_float64(partial(expected_follow_on, one, 3, INF, 1000))()
    assert one.emphasis is not None
    np.testing.assert_allclose(one.d_mu * found, one.emphasis(3), rtol=1e-10)


def test_targets_of_windows_and_of_clips_by_hand():
    """Updates of one step from weights 0: rewards 1, 10, 100, ratios 2, 3, 0.5, gamma 0.5."""
    stream = mdps.Step(
        state=jnp.arange(3),
        action=jnp.zeros(3, jnp.int32),
        reward=jnp.array([1.0, 10.0, 100.0]),
        discount=jnp.full(3, 0.5),
        next_state=jnp.array([1, 2, 0]),
        ratio=jnp.array([2.0, 3.0, 0.5]),
        interest=jnp.ones(3),
        noise=jnp.zeros(3),
        last=jnp.zeros(3, bool),
    )

    def moved(hypers, position=0, **flags):
        predictor = mdps.n_step_td(3, **flags)
        state = predictor.init(jnp.eye(3), jnp.zeros(3))._replace(position=jnp.int32(position))
        hypers = hypers._replace(step_size=1.0)
        return jax.jit(predictor.update)(hypers, jnp.eye(3), state, stream).weights

    # 2 (1 + 0.5 * 3 (10 + 0.5 * 0.5 * 100)) and 1 (1 + 0.5 * 1 (10 + 0.5 * 0.5 * 100))
    np.testing.assert_allclose(moved(mdps.NStepHypers()), [107, 0, 0])
    np.testing.assert_allclose(moved(mdps.NStepHypers(rho_clip=1.0, c_clip=1.0)), [18.5, 0, 0])
    for position, target in ((0, 107), (1, 32), (2, 2)):
        found = moved(mdps.NStepHypers(), position, emphatic=True, windowed=True)
        np.testing.assert_allclose(found, [target, 0, 0])


def test_no_interest_no_update():
    one = mdps.baird()
    stream = stream_of(one, 50)
    stream = stream._replace(interest=jnp.zeros(50))
    found = learnt(mdps.n_step_td(2, emphatic=True), mdps.NStepHypers(0.1), one, stream)
    np.testing.assert_array_equal(found, np.broadcast_to(one.weights, found.shape))


@pytest.mark.slow
def test_divergence_on_two_states():
    """TD and V-trace leave ten times the first error in every stream, NETD and NEVtrace in none."""
    one = mdps.two_state()
    features, weights = (jnp.asarray(x, jnp.float32) for x in (one.features, one.weights))
    draw = jax.vmap(partial(mdps.experience, steps=5000), in_axes=(0, None, None, None))
    streams = jax.jit(draw)(*(jax.random.split(jax.random.key(0), 256), *one[:3]))
    clipped, plain = mdps.NStepHypers(0.01, 1.0, 1.0, 1.0), mdps.NStepHypers()
    expected = {False: (True, True), True: (False, False)}
    for emphatic, diverges in expected.items():
        rule = mdps.n_step_td(1, emphatic)
        learn = jax.jit(jax.vmap(partial(mdps.learn, rule), in_axes=(None, None, None, 0)))
        for hypers, all_of_them in zip((plain, clipped), diverges, strict=True):
            state, _ = learn(jax.tree.map(jnp.float32, hypers), features, weights, streams)
            errors = np.sqrt(2.5) * np.abs(state.weights[:, 0])  # values w and 2 w of 0
            share = np.mean(~(errors <= 10.0 * np.sqrt(2.5)))
            assert share >= 0.99 if all_of_them else share <= 0.01, (emphatic, hypers, share)


# --- Eligibility traces ---


def test_with_eta_1_expected_traces_are_td_lambda_bit_for_bit():
    one = JOINED
    stream = stream_of(one, 300)
    hypers = mdps.TraceHypers(step_size=0.1, lambda_=0.9, eta=1.0)
    found = learnt(ET, hypers, one, stream)
    known = learnt(TD, mdps.TDHypers(0.1, 0.9), one, stream)
    assert np.ptp(found[-1]) > 0
    np.testing.assert_array_equal(found, known)


def test_without_decay_every_eta_is_td():
    one = JOINED
    stream = stream_of(one, 300)
    known = learnt(TD, mdps.TDHypers(0.1, 0.0), one, stream)
    for eta in (0.0, 0.5):
        hypers = mdps.TraceHypers(step_size=0.1, lambda_=0.0, eta=eta)
        found = learnt(ET, hypers, one, stream)
        np.testing.assert_allclose(found, known, atol=1e-6)


def test_of_one_history_all_traces_are_alike():
    """On a chain z = e after the first visit, and the learnt z is the closed form."""
    one = mdps.multi_chain(1, 16, 0.5)
    stream = stream_of(one, 300)
    known = learnt(TD, mdps.TDHypers(0.1, 0.9), one, stream)
    for eta, z_eta in ((0.0, 1.0), (0.5, 0.0)):
        hypers = mdps.TraceHypers(step_size=0.1, lambda_=0.9, eta=eta, z_eta=z_eta)
        found = learnt(ET, hypers, one, stream)
        np.testing.assert_allclose(found, known, atol=1e-5)


@pytest.mark.slow
def test_learnt_traces_converge_to_the_closed_form():
    """Monte-Carlo and bootstrapped, on merging paths; many members in one program."""
    walk = mdps.random_walk()
    features, weights = (jnp.asarray(x, jnp.float32) for x in (walk.features, walk.weights))
    expected = mdps.in_float64(mdps.expected_trace)(walk.mdp, walk.target, 0.8, features)
    hypers = mdps.TraceHypers(lambda_=0.8, z_eta=jnp.array([0.0, 1.0]), z_step_size=0.05)

    def member(key, hypers):
        stream = mdps.experience(key, walk.mdp, walk.behaviour, walk.target, 1500)
        return mdps.learn(ET, hypers, features, weights, stream)[0].z

    axes = mdps.TraceHypers(None, None, None, None, 0, None)
    both = jax.vmap(member, in_axes=(None, axes))
    keys = jax.random.split(jax.random.key(0), 64)
    z = jax.jit(jax.vmap(both, in_axes=(0, None)))(keys, hypers)
    for z_eta in range(2):
        np.testing.assert_allclose(z[:, z_eta].mean(0), expected, atol=0.05)


def test_with_exact_z_every_mixture_has_the_same_expectation():
    walk = mdps.random_walk()
    features = jnp.asarray(walk.features, jnp.float32)
    z = mdps.in_float64(mdps.expected_trace)(walk.mdp, walk.target, 0.8, features)
    table = jnp.asarray(z, jnp.float32)

    def member(key):
        stream = mdps.experience(key, walk.mdp, walk.behaviour, walk.target, 300)

        def step(carried, now):
            y = mixed_trace(carried, table[now.state], features[now.state], 0.5)
            return 0.8 * now.discount * y, y

        return stream.state, jax.lax.scan(step, jnp.zeros(5), stream)[1]

    states, traces = jax.jit(jax.vmap(member))(jax.random.split(jax.random.key(0), 48))
    for state in range(5):
        seen = np.asarray(traces)[np.asarray(states) == state]
        np.testing.assert_allclose(seen.mean(0), z[state], atol=0.08)


def test_true_online_td_is_the_online_forward_view():
    """Weights at every horizon h are those of online lambda-returns truncated at h, by loops."""
    rng = np.random.default_rng(0)
    features = rng.normal(size=(7, 3))
    features[5:] = 0.0
    walk = mdps.random_walk()._replace(features=features, weights=np.full(3, 0.5))
    stream = stream_of(walk, 12)
    alpha, lambda_ = 0.1, 0.7
    found = learnt(mdps.true_online_td(), mdps.TDHypers(alpha, lambda_), walk, stream)
    s, r, g, after = (np.asarray(x, float) for x in stream[:1] + stream[2:5])
    x, x_after = features[s.astype(int)], features[after.astype(int)]
    online = [walk.weights]  # online[h]: the weights with which step h is evaluated

    def truncated(k, h):
        """The lambda-return of step k with experience up to h."""
        total = r[h - 1] + g[h - 1] * x_after[h - 1] @ online[h - 1]
        for i in reversed(range(k, h - 1)):
            total = r[i] + g[i] * ((1 - lambda_) * x_after[i] @ online[i] + lambda_ * total)
        return total

    for h in range(1, 13):
        weights = walk.weights
        for k in range(h):
            weights = weights + alpha * (truncated(k, h) - x[k] @ weights) * x[k]
        online.append(weights)
    np.testing.assert_allclose(found, online[1:], rtol=1e-4)


def test_watkins_learns_optimal_values_from_random_actions():
    """Traces are cut where the random policy leaves the greedy one."""
    line = mdps.chain(3, gamma=0.9)
    policy, best = mdps.uniform_policy(line), mdps.in_float64(mdps.optimal)(line)
    stream = drawn(jax.random.key(0), line, policy, policy, steps=3000)
    learn = jax.jit(partial(mdps.learn, mdps.expected_trace_q(2, watkins=True)))
    for eta in (1.0, 0.5):
        hypers = mdps.TraceHypers(step_size=0.1, lambda_=0.9, eta=jnp.float32(eta))
        state, _ = learn(hypers, jnp.eye(8), jnp.zeros(8), stream)
        np.testing.assert_allclose(state.weights.reshape(4, 2)[:3], best.q[:3], atol=0.02)


def test_watkins_cuts_by_hand():
    """From state 0 to 1: the past is kept at a greedy action and forgotten at another."""
    stream = mdps.Step(
        state=jnp.array([0, 1]),
        action=jnp.array([1, 0]),
        reward=jnp.array([0.0, 1.0]),
        discount=jnp.array([0.5, 0.0]),
        next_state=jnp.array([1, 2]),
        ratio=jnp.ones(2),
        interest=jnp.ones(2),
        noise=jnp.zeros(2),
        last=jnp.array([False, True]),
    )
    hypers = mdps.TraceHypers(step_size=1.0, lambda_=0.5, eta=1.0)
    for watkins, better, kept in ((True, 0.5, 0.0), (True, 0.0, 0.25), (False, 0.5, 0.125)):
        weights = jnp.zeros(6).at[3].set(better)  # of the action that is not taken in state 1
        rule = mdps.expected_trace_q(2, watkins=watkins)
        state, _ = jax.jit(partial(mdps.learn, rule))(hypers, jnp.eye(6), weights, stream)
        bootstrapped = 0.5 * better
        np.testing.assert_allclose(state.weights[2], 1.0)
        np.testing.assert_allclose(state.weights[1], bootstrapped + (0.25 if kept else 0.0))


@pytest.mark.slow
def test_expected_traces_on_chains_that_join():
    """Errors over 512 episodes of 4 chains of 4 states, 64 seeds, within 3 standard errors."""
    features, weights = (jnp.asarray(x, jnp.float32) for x in (JOINED.features, JOINED.weights))
    draw = jax.vmap(partial(mdps.experience, steps=512 * 5), in_axes=(0, None, None, None))
    streams = jax.jit(draw)(*(jax.random.split(jax.random.key(0), 64), *JOINED[:3]))
    v, visits = (jnp.asarray(x, jnp.float32) for x in (JOINED.v, (JOINED.d_mu > 0) / 17))

    def error(hypers, stream):
        """Of all states alike, after every episode."""
        measure = partial(mdps.value_error, features, v=v, visits=visits)
        learnt = mdps.learn(ET, hypers, features, weights, stream, lambda state: state.weights)[1]
        return jnp.mean(jax.vmap(measure)(learnt[4::5]))

    found, run = {}, jax.jit(jax.vmap(error, in_axes=(None, 0)))
    for lambda_, eta in REFERENCE:
        hypers = mdps.TraceHypers(step_size=1.0, power=0.5, lambda_=lambda_, eta=eta)
        found[lambda_, eta] = np.asarray(run(jax.tree.map(jnp.float32, hypers), streams))
    for name, expected in REFERENCE.items():
        of_both = np.sqrt(2) * found[name].std(ddof=1) / 8
        assert abs(found[name].mean() - expected) <= 3 * of_both
    gain = found[0.9, 1.0] - found[0.9, 0.0]
    assert gain.mean() > 1.96 * gain.std(ddof=1) / 8


REFERENCE = {(0.0, 1.0): 0.1246, (0.9, 1.0): 0.1069, (0.9, 0.0): 0.0671, (0.9, 0.5): 0.0797}
"""Mean errors of TD(0), TD(lambda), ET(lambda) and a mixture: (lambda, eta) -> 64 seeds of another
program."""


@pytest.mark.parametrize(
    "wrong, says",
    [
        (lambda: mdps.n_step_td(0), "n: expected an integer of at least 1, got 0"),
        (lambda: mdps.td(emphatic=1), "emphatic: expected True or False"),
        (lambda: mdps.expected_trace_q(0), "actions: expected an integer of at least 1"),
    ],
)
def test_bad_arguments_are_refused(wrong, says):
    with pytest.raises(ValueError, match=says):
        wrong()
