"""Expectations of the traces of credit assignment, exactly: emphasis and expected eligibility."""

from functools import reduce

import jax.numpy as jnp

from purejaxrl_suite.core.argument import integer, wrong
from purejaxrl_suite.core.types import Array
from purejaxrl_suite.mdps.mdp import MDP
from purejaxrl_suite.mdps.solve import (
    discounted_chain,
    geometric_sum,
    product,
    stationary_distribution,
)


def emphasis(mdp: MDP, behaviour: Array, target: Array, n: int = 1) -> Array:
    """Compute the emphasis of states, d_mu(s) times the expectation of the follow-on trace.

    f = (I - (gamma P_pi)^n)^-T d_mu, with interest 1. n-step temporal differences weighted by it
    are stable off-policy. n = 1 is emphatic TD, Sutton et al. 2016, arXiv 1503.04269; n-step
    emphasis is NETD of Jiang et al. 2021, arXiv 2106.11779.

    Args:
        mdp: the MDP.
        behaviour: mu, f[S, A], whose stationary distribution is d_mu.
        target: pi, f[S, A].
        n: steps after which targets bootstrap, static.

    Returns:
        f[S].

    Raises:
        ValueError: n < 1.
    """
    integer("n", n, 1)
    kernel = reduce(product, [discounted_chain(mdp, target)] * n)
    return product(stationary_distribution(mdp, behaviour), geometric_sum(kernel))


def expected_trace(mdp: MDP, policy: Array, lambda_: Array | float, features: Array) -> Array:
    """Compute expected eligibility traces, z(s) = E[e_t | S_t = s] in the long run.

    Z = D^-1 (I - gamma lambda P^T)^-1 D X, D the stationary distribution, traces start anew with
    episodes. van Hasselt et al. 2021, arXiv 2007.01839.

    Args:
        mdp: the MDP.
        policy: f[S, A], of the data.
        lambda_: decay of the traces.
        features: X, f[S, K], the gradient of v(s) by K weights.

    Returns:
        f[S, K]; 0 in states that are never visited.

    Raises:
        ValueError: features of another number of states.
    """
    visits = stationary_distribution(mdp, policy)[:, None]
    features = jnp.asarray(features)
    if features.ndim != 2 or len(features) != len(visits):
        raise wrong("features", f"numbers [{len(visits)}, K]", list(features.shape))
    sums = geometric_sum(lambda_ * discounted_chain(mdp, policy))
    total = product(sums.T, visits * features)
    return jnp.where(visits > 0, total / jnp.where(visits > 0, visits, 1.0), 0.0)
