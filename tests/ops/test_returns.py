"""Returns against hand-computed tables, rlax, and the definitions written as loops."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import rlax

from purejaxrl_suite.ops import returns

GAMMA, LAMBDA, LENGTH = 0.9, 0.7, 24


@pytest.fixture
def rollout():
    """Episodes that terminate, that are cut, that do both at once, and one that goes on."""
    rng = np.random.default_rng(0)
    data = {
        name: rng.normal(size=LENGTH).astype(np.float32)
        for name in ("rewards", "values", "next_values", "log_ratios")
    }
    terminated, truncated = np.zeros((2, LENGTH), bool)
    terminated[[4, 15, 16]] = True
    truncated[[9, 15, 20]] = True
    done = terminated | truncated
    inner = np.flatnonzero(~done[:-1])
    data["next_values"][inner] = data["values"][inner + 1]
    return data | {"terminated": terminated, "done": done}


def horizon(done, t):
    """Steps from t to the end of its episode or of the data."""
    return next((k + 1 for k in range(LENGTH - t) if done[t + k]), LENGTH - t)


def n_step(r, t, k):
    """k rewards and a bootstrap, k within the episode."""
    end = t + k - 1
    tail = 0.0 if r["terminated"][end] else GAMMA**k * r["next_values"][end]
    return sum(GAMMA**i * r["rewards"][t + i] for i in range(k)) + tail


def lambda_return(r, t):
    """The mixture of n-step returns that defines it."""
    steps = horizon(r["done"], t)
    mixture = sum((1 - LAMBDA) * LAMBDA ** (k - 1) * n_step(r, t, k) for k in range(1, steps))
    return mixture + LAMBDA ** (steps - 1) * n_step(r, t, steps)


def off_policy_sum(r, t, errors, traces):
    """Sum over the episode of discounted errors, each times the traces from t to it."""
    products = [np.prod(traces[t][:k]) for k in range(horizon(r["done"], t))]
    return sum(GAMMA**k * product * errors[t + k] for k, product in enumerate(products))


def one_step(r):
    return r["rewards"] + GAMMA * np.where(r["terminated"], 0.0, r["next_values"])


def pick(r, *names):
    return [jnp.asarray(r[name]) for name in (*names, "next_values", "terminated", "done")]


def test_lambda_returns_are_the_mixture_of_n_step_returns(rollout):
    expected = [lambda_return(rollout, t) for t in range(LENGTH)]
    arguments = (*pick(rollout, "rewards"), GAMMA, LAMBDA)
    np.testing.assert_allclose(returns.lambda_returns(*arguments), expected, rtol=1e-5, atol=1e-5)


def test_gae_is_lambda_return_minus_value(rollout):
    expected = [lambda_return(rollout, t) - rollout["values"][t] for t in range(LENGTH)]
    arguments = (*pick(rollout, "rewards", "values"), GAMMA, LAMBDA)
    np.testing.assert_allclose(returns.gae(*arguments), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("n", [1, 3, LENGTH + 5])
def test_n_step_returns_stop_at_ends(rollout, n):
    expected = [n_step(rollout, t, min(n, horizon(rollout["done"], t))) for t in range(LENGTH)]
    arguments = (*pick(rollout, "rewards"), GAMMA, n)
    np.testing.assert_allclose(returns.n_step_returns(*arguments), expected, rtol=1e-5, atol=1e-5)


def test_vtrace_is_its_definition(rollout):
    ratios = np.exp(rollout["log_ratios"])
    rho, traces = np.minimum(1.2, ratios), LAMBDA * np.minimum(0.8, ratios)
    errors = rho * (one_step(rollout) - rollout["values"])
    shifted = [traces[t:] for t in range(LENGTH)]
    corrections = [off_policy_sum(rollout, t, errors, shifted) for t in range(LENGTH)]
    arguments = (*pick(rollout, "rewards", "values"), jnp.asarray(rollout["log_ratios"]))
    found = returns.vtrace(*arguments, GAMMA, LAMBDA, rho_clip=1.2, c_clip=0.8)
    np.testing.assert_allclose(found.targets, rollout["values"] + corrections, rtol=1e-5, atol=1e-5)
    # The policy gradient looks at the next target within an episode, at a value at its end.
    inside = np.append(~rollout["done"][:-1], False)
    following = rollout["next_values"] + LAMBDA * inside * np.append(corrections[1:], 0.0)
    expected = one_step(rollout | {"next_values": following}) - rollout["values"]
    np.testing.assert_allclose(
        found.advantages, np.minimum(1.0, ratios) * expected, rtol=1e-5, atol=1e-5
    )


@pytest.mark.parametrize("n", [1, 3, LENGTH])
def test_n_step_vtrace_is_its_definition(rollout, n):
    ratios = np.exp(rollout["log_ratios"])
    rho, traces = np.minimum(1.2, ratios), np.minimum(0.8, ratios)
    errors = rho * (one_step(rollout) - rollout["values"])

    def correction(t, n):
        steps = min(n, horizon(rollout["done"], t)) if t < LENGTH else 0
        return sum(GAMMA**k * np.prod(traces[t : t + k]) * errors[t + k] for k in range(steps))

    corrections = [correction(t, n) for t in range(LENGTH)]
    arguments = (*pick(rollout, "rewards", "values"), jnp.asarray(rollout["log_ratios"]))
    found = returns.n_step_vtrace(*arguments, GAMMA, n, rho_clip=1.2, c_clip=0.8)
    np.testing.assert_allclose(found.targets, rollout["values"] + corrections, rtol=1e-5, atol=1e-5)
    shorter = [0.0 if rollout["done"][t] else correction(t + 1, n - 1) for t in range(LENGTH)]
    ahead = rollout | {"next_values": rollout["next_values"] + np.asarray(shorter)}
    expected = rho * (one_step(ahead) - rollout["values"])
    np.testing.assert_allclose(found.advantages, expected, rtol=1e-5, atol=1e-5)
    if n == LENGTH:
        clips = {"rho_clip": 1.2, "c_clip": 0.8, "advantage_clip": 1.2}
        same = returns.vtrace(*arguments, GAMMA, **clips)
        for one, other in zip(found, same, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5)


def test_what_follows_an_end_changes_nothing_before_it(rollout):
    end = 4
    assert rollout["done"][end]
    later = np.arange(LENGTH) > end
    other = {
        name: x if x.dtype == bool else np.where(later, 7.0 - x, x) for name, x in rollout.items()
    }
    for function in (
        lambda *x: returns.vtrace(*x, GAMMA, LAMBDA),
        lambda *x: returns.n_step_vtrace(*x, GAMMA, 3),
    ):
        found = [
            function(*pick(r, "rewards", "values"), jnp.asarray(r["log_ratios"]))
            for r in (rollout, other)
        ]
        for one, two in zip(*found, strict=True):
            np.testing.assert_array_equal(one[: end + 1], two[: end + 1])
            assert np.all(one[end + 1 :] != two[end + 1 :])


def test_retrace_is_its_definition(rollout):
    traces = LAMBDA * np.minimum(1.0, np.exp(rollout["log_ratios"]))
    errors = one_step(rollout) - rollout["values"]
    shifted = [traces[t + 1 :] for t in range(LENGTH)]
    corrections = [off_policy_sum(rollout, t, errors, shifted) for t in range(LENGTH)]
    found = returns.retrace(
        *pick(rollout, "rewards", "values"), jnp.asarray(rollout["log_ratios"]), GAMMA, LAMBDA
    )
    np.testing.assert_allclose(found, rollout["values"] + corrections, rtol=1e-5, atol=1e-5)


def test_rlax_agrees_where_nothing_is_truncated(rollout):
    terminated = jnp.asarray(rollout["terminated"])
    rewards, values = jnp.asarray(rollout["rewards"]), jnp.asarray(rollout["values"])
    following = jnp.append(values[1:], rollout["next_values"][-1])
    discounts = jnp.where(terminated, 0.0, GAMMA)
    ratios = jnp.asarray(np.exp(rollout["log_ratios"]))
    flags = (terminated, terminated)
    advantages = rlax.truncated_generalized_advantage_estimation(
        rewards, discounts, LAMBDA, jnp.append(values, following[-1])
    )
    pairs = [
        (returns.gae(rewards, values, following, *flags, GAMMA, LAMBDA), advantages),
        (
            returns.lambda_returns(rewards, following, *flags, GAMMA, LAMBDA),
            rlax.lambda_returns(rewards, discounts, following, LAMBDA),
        ),
        (
            returns.n_step_returns(rewards, following, *flags, GAMMA, 5),
            rlax.n_step_bootstrapped_returns(rewards, discounts, following, 5),
        ),
    ]
    vtrace = returns.vtrace(rewards, values, following, *flags, jnp.log(ratios), GAMMA, LAMBDA)
    oracle = rlax.vtrace_td_error_and_advantage(
        values, following, rewards, discounts, ratios, LAMBDA
    )
    pairs += [(vtrace.targets, oracle.errors + values), (vtrace.advantages, oracle.pg_advantage)]
    for found, expected in pairs:
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_rlax_agrees_on_retrace():
    rng = np.random.default_rng(1)
    length, actions = 6, 3
    q = jnp.asarray(rng.normal(size=(length + 1, actions)), jnp.float32)
    action = jnp.asarray(rng.integers(actions, size=length + 1))
    target = jax.nn.softmax(jnp.asarray(rng.normal(size=(length + 1, actions)), jnp.float32))
    behaviour = jnp.asarray(rng.uniform(0.2, 1.0, size=length + 1), jnp.float32)
    rewards = jnp.asarray(rng.normal(size=length), jnp.float32)
    terminated = jnp.arange(length) == 3
    expected = rlax.retrace(
        q[:-1], q[1:], action[:-1], action[1:], rewards, jnp.where(terminated, 0.0, GAMMA),
        target[1:], behaviour[1:], LAMBDA,
    )  # fmt: skip
    taken = jnp.take_along_axis(q, action[:, None], 1)[:-1, 0]
    ratios = jnp.take_along_axis(target, action[:, None], 1)[:, 0] / behaviour
    found = returns.retrace(
        rewards, taken, jnp.sum(target * q, 1)[1:], terminated, terminated,
        jnp.log(ratios[:-1]), GAMMA, LAMBDA,
    )  # fmt: skip
    np.testing.assert_allclose(found - taken, expected, rtol=1e-5, atol=1e-5)
    whole = returns.retrace_from_action_values(
        rewards, q[:-1], action[:-1], q[1:], target[1:], terminated, terminated,
        jnp.log(ratios[:-1]), GAMMA, LAMBDA,
    )  # fmt: skip
    np.testing.assert_array_equal(whole, found)
    # rlax gives no target to its first step, whose action it does not need.
    traces = LAMBDA * jnp.minimum(1.0, ratios)
    general = rlax.general_off_policy_returns_from_action_values(
        q[1:], action[1:], rewards, jnp.where(terminated, 0.0, GAMMA), traces[1:], target[1:]
    )
    np.testing.assert_allclose(whole, general, rtol=1e-5, atol=1e-5)


def test_hand_computed_table():
    """gamma = lambda = 1/2; step 0 is cut (successor worth 8), step 2 terminates."""
    rewards, values = jnp.array([1.0, 2.0, 4.0, 1.0]), jnp.array([1.0, 1.0, 2.0, 2.0])
    following = jnp.array([8.0, 2.0, 64.0, 4.0])
    terminated = jnp.array([False, False, True, False])
    done = jnp.array([True, False, True, False])
    advantages = returns.gae(rewards, values, following, terminated, done, 0.5, 0.5)
    # deltas 1 + 4 - 1, 2 + 1 - 1, 4 - 2, 1 + 2 - 2; only step 1 looks at the next one.
    np.testing.assert_array_equal(advantages, [4.0, 2.5, 2.0, 1.0])
    mixed = returns.lambda_returns(rewards, following, terminated, done, 0.5, 0.5)
    np.testing.assert_array_equal(mixed, [5.0, 3.5, 4.0, 3.0])
    two = returns.n_step_returns(rewards, following, terminated, done, 0.5, 2)
    np.testing.assert_array_equal(two, [5.0, 4.0, 4.0, 3.0])


def test_value_of_a_terminal_state_never_leaks(rollout):
    rollout["next_values"][rollout["terminated"]] = np.inf
    arguments = (*pick(rollout, "rewards", "values"), GAMMA, LAMBDA)
    assert np.all(np.isfinite(returns.gae(*arguments)))


def test_batched_and_with_traced_coefficients(rollout):
    columns = [jnp.stack([x, x[::-1]], 1) for x in pick(rollout, "rewards", "values")]
    batched = jax.vmap(returns.gae, in_axes=(1, 1, 1, 1, 1, None, None), out_axes=1)
    found = jax.jit(batched)(*columns, GAMMA, LAMBDA)
    for i in (0, 1):
        alone = returns.gae(*(x[:, i] for x in columns), GAMMA, LAMBDA)
        np.testing.assert_allclose(found[:, i], alone, rtol=1e-6, atol=1e-6)


def test_n_must_be_positive(rollout):
    with pytest.raises(ValueError, match="n=0"):
        returns.n_step_returns(*pick(rollout, "rewards"), GAMMA, 0)
