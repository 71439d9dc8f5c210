"""Returns and advantages of one trajectory; for [T, N] use `jax.vmap(..., 1, 1)`.

All functions share one convention. `next_values[t]` is the value of the true successor of step t,
also where the episode was cut and obs[t + 1] is a start observation. `terminated` removes that
value, `done = terminated | truncated` ends the recursion, and the end of the arrays is treated
like a truncation. Discounts and lambdas may be traced scalars.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from purejaxrl_suite.core.types import Array

UNROLL = 8


def _bootstrap(next_values: Array, terminated: Array, gamma: Array | float) -> Array:
    # A select, not a product: an infinite value would make 0 * inf = NaN.
    return jnp.where(terminated, 0.0, gamma * next_values)


def _reverse_linear(additive: Array, decay: Array) -> Array:
    """Solve x[t] = additive[t] + decay[t] * x[t + 1] with x[T] = 0."""

    def step(following: Array, inputs: tuple[Array, Array]) -> tuple[Array, Array]:
        constant, factor = inputs
        current = constant + factor * following
        return current, current

    start = jnp.zeros_like(additive[0])
    return jax.lax.scan(step, start, (additive, decay), reverse=True, unroll=UNROLL)[1]


def _shift(x: Array, last: Array) -> Array:
    return jnp.concatenate([x[1:], last[None]])


def gae(
    rewards: Array,
    values: Array,
    next_values: Array,
    terminated: Array,
    done: Array,
    gamma: Array | float,
    lambda_: Array | float,
) -> Array:
    """Compute generalised advantage estimates (GAE).

    A[t] = delta[t] + gamma * lambda * A[t + 1] within an episode,
    delta[t] = r[t] + gamma * v'[t] - v[t].
    Schulman et al. 2016, arXiv 1506.02438, equation 16.

    Args:
        rewards: f32[T].
        values: f32[T], of the observations acted on.
        next_values: f32[T], of the true successors.
        terminated: bool[T], the successor has no value.
        done: bool[T], terminated or truncated.
        gamma: discount.
        lambda_: 0 is the one-step error, 1 the Monte-Carlo advantage.

    Returns:
        f32[T], the advantages.

    Example:
        >>> from purejaxrl_suite.ops.returns import gae
        >>> no, end = jnp.zeros(2, bool), jnp.array([False, True])
        >>> gae(jnp.ones(2), jnp.zeros(2), jnp.zeros(2), no, end, gamma=0.5, lambda_=1.0)
        Array([1.5, 1. ], dtype=float32)
    """
    errors = rewards + _bootstrap(next_values, terminated, gamma) - values
    return _reverse_linear(errors, jnp.where(done, 0.0, gamma * lambda_))


def lambda_returns(
    rewards: Array,
    next_values: Array,
    terminated: Array,
    done: Array,
    gamma: Array | float,
    lambda_: Array | float,
) -> Array:
    """Compute TD(lambda) returns.

    G[t] = r[t] + gamma * ((1 - lambda) * v'[t] + lambda * G[t + 1]) within an episode,
    G[t] = r[t] + gamma * v'[t] at its truncation or at t = T - 1, G[t] = r[t] at its termination.
    Sutton and Barto 2018, section 12.1. With v' = max over actions of Q(s') it is Peng's Q(lambda)
    of PQN (arXiv 2407.04811).

    Args:
        rewards: f32[T].
        next_values: f32[T], of the true successors.
        terminated: bool[T], the successor has no value.
        done: bool[T], terminated or truncated.
        gamma: discount.
        lambda_: 0 bootstraps after one step, 1 only where the episode or the data end.

    Returns:
        f32[T], the returns.
    """
    last = jnp.arange(rewards.shape[0]) == rewards.shape[0] - 1
    decay = jnp.where(done | last, 0.0, lambda_)
    one_step = (1.0 - decay) * _bootstrap(next_values, terminated, gamma)
    return _reverse_linear(rewards + one_step, gamma * decay)


def n_step_returns(
    rewards: Array,
    next_values: Array,
    terminated: Array,
    done: Array,
    gamma: Array | float,
    n: int,
) -> Array:
    """Compute n-step returns: n rewards and a bootstrap, fewer where the episode or data end.

    Sutton and Barto 2018, section 7.1.

    Args:
        rewards: f32[T].
        next_values: f32[T], of the true successors.
        terminated: bool[T], the successor has no value.
        done: bool[T], terminated or truncated.
        gamma: discount.
        n: rewards in a return, static.

    Returns:
        f32[T], the returns.

    Raises:
        ValueError: n < 1.
    """
    if n < 1:
        raise ValueError(f"n={n}: expected at least one step")
    bootstrap = _bootstrap(next_values, terminated, gamma)

    def longer(_: Array, returns: Array) -> Array:
        return rewards + jnp.where(done, bootstrap, gamma * _shift(returns, next_values[-1]))

    return jax.lax.fori_loop(1, n, longer, rewards + bootstrap)


class VTrace(NamedTuple):
    """Targets f32[T] of the value function, and importance-weighted advantages f32[T]."""

    targets: Array
    advantages: Array


def vtrace(
    rewards: Array,
    values: Array,
    next_values: Array,
    terminated: Array,
    done: Array,
    log_ratios: Array,
    gamma: Array | float,
    lambda_: Array | float = 1.0,
    rho_clip: Array | float = 1.0,
    c_clip: Array | float = 1.0,
    advantage_clip: Array | float = 1.0,
) -> VTrace:
    """Compute V-trace targets and advantages.

    Espeholt et al. 2018, arXiv 1802.01561, equation 1 and remark 2.

    Args:
        rewards: f32[T].
        values: f32[T], of the observations acted on.
        next_values: f32[T], of the true successors.
        terminated: bool[T], the successor has no value.
        done: bool[T], terminated or truncated.
        log_ratios: f32[T], log pi(a|s) - log mu(a|s) of target and behaviour policy.
        gamma: discount.
        lambda_: decay of the traces.
        rho_clip: upper bound of the importance weights of the errors.
        c_clip: of those of the traces.
        advantage_clip: of those of the policy gradient.

    Returns:
        The targets and the advantages.
    """
    ratios = jnp.exp(log_ratios)
    rho = jnp.minimum(rho_clip, ratios)
    traces = lambda_ * jnp.minimum(c_clip, ratios)
    errors = rho * (rewards + _bootstrap(next_values, terminated, gamma) - values)
    corrections = _reverse_linear(errors, jnp.where(done, 0.0, gamma * traces))
    # Mixed by lambda, like the critic's target; the paper's remark 2 has lambda = 1.
    following = next_values + jnp.where(
        done, 0.0, lambda_ * _shift(corrections, jnp.zeros_like(corrections[0]))
    )
    successor = _bootstrap(following, terminated, gamma)
    weights = jnp.minimum(advantage_clip, ratios)
    return VTrace(values + corrections, weights * (rewards + successor - values))


def n_step_vtrace(
    rewards: Array,
    values: Array,
    next_values: Array,
    terminated: Array,
    done: Array,
    log_ratios: Array,
    gamma: Array | float,
    n: int,
    rho_clip: Array | float = 1.0,
    c_clip: Array | float = 1.0,
) -> VTrace:
    """Compute V-trace targets that bootstrap after n steps, and their advantages.

    The corrected error of a step is D[t] = rho[t] delta[t] + gamma c[t] D[t + 1], of no more than n
    steps; targets are v + D, and the advantage of an action bootstraps after n steps, too. With n =
    T it is `vtrace`. Without clips it is n-step TD with importance sampling per decision. Espeholt
    et al. 2018, arXiv 1802.01561, equation 1.

    Args:
        rewards: f32[T].
        values: f32[T], of the observations acted on.
        next_values: f32[T], of the true successors.
        terminated: bool[T], the successor has no value.
        done: bool[T], terminated or truncated.
        log_ratios: f32[T], log pi(a|s) - log mu(a|s) of target and behaviour policy.
        gamma: discount.
        n: steps of a target, fewer where the episode or the data end; static.
        rho_clip: upper bound of the importance weights of errors and of the policy gradient.
        c_clip: of those of the traces.

    Returns:
        The targets and the advantages.

    Raises:
        ValueError: n < 1.
    """
    if n < 1:
        raise ValueError(f"n={n}: expected at least one step")
    ratios, zero = jnp.exp(log_ratios), jnp.zeros_like(rewards[0])
    weights = jnp.minimum(rho_clip, ratios)
    decay = jnp.where(done, 0.0, gamma * jnp.minimum(c_clip, ratios))
    errors = weights * (rewards + _bootstrap(next_values, terminated, gamma) - values)

    def longer(_: Array, corrections: tuple[Array, Array]) -> tuple[Array, Array]:
        return corrections[1], errors + decay * _shift(corrections[1], zero)

    shorter, whole = jax.lax.fori_loop(1, n, longer, (jnp.zeros_like(errors), errors))
    following = next_values + jnp.where(done, 0.0, _shift(shorter, zero))
    successor = _bootstrap(following, terminated, gamma)
    return VTrace(values + whole, weights * (rewards + successor - values))


def retrace(
    rewards: Array,
    q_values: Array,
    next_values: Array,
    terminated: Array,
    done: Array,
    log_ratios: Array,
    gamma: Array | float,
    lambda_: Array | float,
) -> Array:
    """Compute Retrace(lambda) targets of Q(s[t], a[t]).

    Munos et al. 2016, arXiv 1606.02647, equations 3 and 4.

    Args:
        rewards: f32[T].
        q_values: f32[T], Q(s[t], a[t]).
        next_values: f32[T], the expectation of Q(s', .) under the target policy.
        terminated: bool[T], the successor has no value.
        done: bool[T], terminated or truncated.
        log_ratios: f32[T], log pi(a|s) - log mu(a|s) of target and behaviour policy.
        gamma: discount.
        lambda_: decay of the traces.

    Returns:
        f32[T], the targets.
    """
    traces = lambda_ * jnp.minimum(1.0, jnp.exp(log_ratios))
    errors = rewards + _bootstrap(next_values, terminated, gamma) - q_values
    decay = jnp.where(done, 0.0, gamma * _shift(traces, jnp.zeros_like(traces[0])))
    return q_values + _reverse_linear(errors, decay)


def retrace_from_action_values(
    rewards: Array,
    q_values: Array,
    actions: Array,
    next_q_values: Array,
    next_policy: Array,
    terminated: Array,
    done: Array,
    log_ratios: Array,
    gamma: Array | float,
    lambda_: Array | float,
) -> Array:
    """Compute Retrace(lambda) targets of the taken actions' values, from values of all actions.

    As `retrace`, with the expectation of Q(s', .) under the target policy. Munos et al. 2016, arXiv
    1606.02647; so are the returns of Muesli, arXiv 2104.06159.

    Args:
        rewards: f32[T].
        q_values: f32[T, A], of the observations acted on.
        actions: i32[T], taken there.
        next_q_values: f32[T, A], of the true successors.
        next_policy: f32[T, A], probabilities of the target policy there.
        terminated: bool[T], the successor has no value.
        done: bool[T], terminated or truncated.
        log_ratios: f32[T], log pi(a|s) - log mu(a|s) of target and behaviour policy.
        gamma: discount.
        lambda_: decay of the traces.

    Returns:
        f32[T], the targets.
    """
    taken = jnp.take_along_axis(q_values, actions[:, None], axis=1)[:, 0]
    following = jnp.sum(next_policy * next_q_values, axis=1)
    steps = rewards, taken, following, terminated, done, log_ratios
    return retrace(*steps, gamma, lambda_)
