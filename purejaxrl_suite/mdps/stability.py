"""Expected updates of the emphatic family, by the same code as their sampled ones.

The functions of `traces` are linear in what a step hands on, so applied to expectations they give
expectations. With rewards of 0 the expected update of weights w is -alpha A w: a method is stable
where all eigenvalues of its matrix A have positive real parts. Jiang et al. 2021, arXiv 2106.11779.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from purejaxrl_suite.core.argument import integer
from purejaxrl_suite.core.types import Array
from purejaxrl_suite.mdps.diagnostic import Diagnostic
from purejaxrl_suite.mdps.traces import carry_follow_on, corrected_error, follow_on

LONG = 6000
"""Steps after which a follow-on trace has forgotten its start: 0.99^6000 = 6e-27."""
INF = float("inf")


class ExpectedUpdates(NamedTuple):
    """Matrices A of expected updates, f[K, K] each.

    td: TD(n). windows: TD whose targets end with windows of n steps. netd, wetd: with emphasis.
    v_trace: TD(n) with ratios clipped at 1. nev_trace: that with emphasis of clipped ratios.
    """

    td: Array
    windows: Array
    netd: Array
    wetd: Array
    v_trace: Array
    nev_trace: Array


def expected_updates(one: Diagnostic, n: int) -> ExpectedUpdates:
    """Compute the matrices of expected updates of n-step methods on a continuing MDP.

    Args:
        one: an MDP with its policies, distribution and features; rewards play no part.
        n: steps of a target, static.

    Returns:
        The matrices, in JAX's precision; `in_float64` makes them exact.

    Raises:
        ValueError: n < 1, or the MDP has terminal states.
    """
    integer("n", n, 1)
    if np.any(one.mdp.terminal):
        raise ValueError(f"one: expected no terminal state, got {int(np.sum(one.mdp.terminal))}")
    d, x = jnp.asarray(one.d_mu)[:, None], jnp.asarray(one.features)
    plain, clipped = expected_errors(one, n, INF), expected_errors(one, n, 1.0)
    first = expected_follow_on(one, 1, INF)[:, None]

    def matrix(emphasis: Array | float, error: Array) -> Array:
        return -x.T @ (d * emphasis * error)

    def windows(emphasis: Array | float) -> Array:
        within = [matrix(1.0, error) for error in plain[:-1]]
        return sum(within, start=matrix(emphasis, plain[-1])) / n

    return ExpectedUpdates(
        td=matrix(1.0, plain[-1]),
        windows=windows(1.0),
        netd=matrix(expected_follow_on(one, n, INF)[:, None], plain[-1]),
        wetd=windows(first),
        v_trace=matrix(1.0, clipped[-1]),
        nev_trace=matrix(expected_follow_on(one, n, 1.0)[:, None], clipped[-1]),
    )


def expected_follow_on(one: Diagnostic, n: int, clip: float, steps: int = LONG) -> Array:
    """Compute E[F | s] of the n-step follow-on trace with ratios up to `clip`, f[S]."""
    mdp, mu = one.mdp, one.behaviour
    came = jnp.einsum("s,sa,sat,t->sat", one.d_mu, mu, mdp.transition, 1.0 / one.d_mu)
    decay = jnp.asarray(mdp.gamma * jnp.minimum(clip, one.target / mu))

    def step(carried: Array, _: None) -> tuple[Array, Array]:
        trace = jax.vmap(follow_on)(carried, jnp.ones(len(carried)))
        carry = jax.vmap(jax.vmap(carry_follow_on, (None, None, 0)))(carried, trace, decay)
        return jnp.einsum("sat,san->tn", came, carry), trace

    carried, _ = jax.lax.scan(step, jnp.zeros((len(mu), n)), None, length=steps - 1)
    return step(carried, None)[1]


def expected_errors(one: Diagnostic, n: int, clip: float) -> list[Array]:
    """Compute E[corrected error of 1 .. n steps | s] of each unit weight, n of f[S, K]."""
    mdp, mu, x = one.mdp, jnp.asarray(one.behaviour), jnp.asarray(one.features)
    error = (mdp.gamma * x[None] - x[:, None])[:, None]  # [S, 1, S', K]
    ratio = jnp.asarray(one.target / one.behaviour)[..., None, None]
    chance = mu[..., None] * mdp.transition
    found = [jnp.zeros_like(x)]
    for _ in range(n):
        one_more = corrected_error(
            error, found[-1][None, None], mdp.gamma, ratio, rho_clip=clip, c_clip=clip
        )
        found.append(jnp.einsum("sat,satk->sk", chance, one_more))
    return found[1:]
