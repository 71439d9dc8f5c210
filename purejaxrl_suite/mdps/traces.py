"""Traces of credit assignment, one step each: follow-on traces, corrected errors, mixtures.

A trace is carried from step to step after its decay: what a step hands on is multiplied by the
discount of its transition, 0 at the end of an episode, so that nothing crosses episodes and no step
has to know the one before. All functions are linear in what is carried, given the actions: their
expectations follow by applying them to expectations.
"""

import jax.numpy as jnp

from purejaxrl_suite.core.types import Array


def follow_on(carried: Array, interest: Array | float) -> Array:
    """Compute the n-step follow-on trace, F_t = i_t + (prod of n decays) F_{t-n}.

    Sutton et al. 2016, arXiv 1503.04269, for n = 1; Jiang et al. 2021, arXiv 2106.11779 (NETD).

    Args:
        carried: f[n], decayed traces of the last n steps, the latest first; zeros at first.
        interest: f[], i_t.

    Returns:
        f[].
    """
    return interest + carried[-1]


def carry_follow_on(carried: Array, trace: Array, decay: Array) -> Array:
    """Hand the follow-on trace on to the next step.

    Args:
        carried: f[n], of this step.
        trace: f[], F_t.
        decay: f[], gamma_{t+1} rho_t: the discount of the transition, which is 0 at the end of an
            episode, times the ratio of this step's action.

    Returns:
        f[n], for `follow_on` of the next step.
    """
    return decay * jnp.concatenate([trace[None], carried[:-1]])


def corrected_error(
    error: Array,
    following: Array,
    discount: Array,
    ratio: Array,
    rho_clip: Array | float,
    c_clip: Array | float,
) -> Array:
    """Add the error of one step in front of the corrected error of those that follow.

    D_t = min(rho_clip, rho_t) delta_t + gamma_{t+1} min(c_clip, rho_t) D_{t+1}. Without clips it is
    the n-step error with importance sampling per decision, with both of 1 that of V-trace, Espeholt
    et al. 2018, arXiv 1802.01561.

    Args:
        error: delta_t, of one step.
        following: D_{t+1}; 0 where the target bootstraps.
        discount: gamma_{t+1}, 0 at the end of an episode.
        ratio: rho_t = pi(a|s) / mu(a|s).
        rho_clip: upper bound of the ratio of the error.
        c_clip: of that of what follows.

    Returns:
        D_t.
    """
    own = jnp.minimum(rho_clip, ratio) * error
    return own + discount * jnp.minimum(c_clip, ratio) * following


def mixed_trace(carried: Array, expected: Array, gradient: Array, eta: Array | float) -> Array:
    """Mix expected and instantaneous traces, y_t = (1 - eta) z(S_t) + eta (carried + gradient).

    eta = 1 is the trace of TD(lambda), eta = 0 the expected one alone. With exact z the expectation
    of y_t in a state is z for every eta. van Hasselt et al. 2021, arXiv 2007.01839.

    Args:
        carried: f[K], gamma_t lambda y_{t-1}.
        expected: f[K], z(S_t).
        gradient: f[K], of v(S_t).
        eta: how much of the past of this episode is kept.

    Returns:
        f[K], y_t.
    """
    return (1.0 - eta) * expected + eta * (carried + gradient)
