"""Distances and kernels of states by their behaviour: MICo, reduced MICo, KSMe, exactly.

MICo: Castro et al. 2021, arXiv 2106.08229. KSMe: Castro et al. 2023, arXiv 2310.19804. All three
solve X = C + gamma P X P^T, where P is the chain of a policy and C compares expected rewards of its
states. Terminal states are absorbing, without reward, and gamma must be below 1 (else NaN).
"""

import jax
import jax.numpy as jnp

from purejaxrl_suite.core.types import Array, Key
from purejaxrl_suite.mdps.mdp import MDP
from purejaxrl_suite.mdps.solve import DOUBLINGS, LEFT, induced, product


def mico(mdp: MDP, policy: Array) -> Array:
    """Compute the MICo distance of all pairs of states, the fixed point of `mico_operator`.

    It is at least |v(x) - v(y)|, symmetric, obeys the triangle inequality, and the distance of a
    state to itself is 0 only if all that follows it is certain. It is the value of pairs that walk
    independently, paid |r(x) - r(y)|.

    Args:
        mdp: the MDP.
        policy: f[S, A].

    Returns:
        f[S, S].
    """
    chain, rewards = induced(mdp, policy)
    return _discounted_over_pairs(chain, _reward_distance(rewards), mdp.gamma)


def mico_operator(mdp: MDP, policy: Array, distance: Array) -> Array:
    """Apply MICo's operator once, (T U)(x, y) = |r(x) - r(y)| + gamma E U(x', y').

    x' and y' are independent. T is a gamma-contraction in the largest difference.

    Args:
        mdp: the MDP.
        policy: f[S, A].
        distance: U, f[S, S].

    Returns:
        f[S, S].
    """
    chain, rewards = induced(mdp, policy)
    return _reward_distance(rewards) + mdp.gamma * product(product(chain, distance), chain.T)


def reduced(distance: Array) -> Array:
    """Subtract self-distances, U(x, y) - (U(x, x) + U(y, y)) / 2, f[S, S].

    Of MICo it is the reduced MICo. That does not bound |v(x) - v(y)|, and may be negative only by
    rounding.
    """
    own = jnp.diagonal(distance) / 2.0
    return distance - own[:, None] - own[None, :]


def ksme(mdp: MDP, policy: Array) -> Array:
    """Compute the KSMe kernel, k(x, y) = 1 - |r(x) - r(y)| / 2 + gamma E k(x', y').

    Rewards are in [-1, 1]. k = 1 / (1 - gamma) - U / 2 with U of MICo, so the squared distance of
    its features is the reduced MICo: k(x, x) + k(y, y) - 2 k(x, y) = reduced(U)(x, y).

    Args:
        mdp: the MDP.
        policy: f[S, A].

    Returns:
        f[S, S], positive semi-definite.
    """
    chain, rewards = induced(mdp, policy)
    return _discounted_over_pairs(chain, 1.0 - _reward_distance(rewards) / 2.0, mdp.gamma)


def sampled_mico(key: Key, mdp: MDP, policy: Array, sweeps: int, power: float = 0.7) -> Array:
    """Learn MICo from sampled successors, by temporal differences on pairs of states.

    U(x, y) += a_k (|r(x) - r(y)| + gamma U(x', y') - U(x, y)), a_k = k^-power. Each sweep updates
    all S^2 pairs once; two successors of every state are drawn, x' and y', each shared by a row or
    column of pairs. Rewards are expected ones: of sampled actions |r - r'| would be biased.

    Args:
        key: for the draws.
        mdp: the MDP.
        policy: f[S, A].
        sweeps: how many.
        power: of the step sizes, in (0.5, 1].

    Returns:
        f[S, S].
    """
    chain, rewards = induced(mdp, policy)
    cumulative, paid = jnp.cumsum(chain, axis=1), _reward_distance(rewards)

    def successors(key: Key) -> Array:
        # Scaled by the last sum, which rounding may leave below 1.
        level = cumulative[:, -1:] * jax.random.uniform(key, (len(chain), 1), chain.dtype)
        return jnp.sum(cumulative <= level, axis=-1)

    def sweep(distance: Array, k: Array) -> tuple[Array, None]:
        x, y = (successors(one) for one in jax.random.split(jax.random.fold_in(key, k)))
        target = paid + mdp.gamma * distance[x[:, None], y[None, :]]
        rate = (1.0 + k.astype(chain.dtype)) ** -power
        return distance + rate * (target - distance), None

    return jax.lax.scan(sweep, jnp.zeros_like(chain), jnp.arange(sweeps))[0]


def _reward_distance(rewards: Array) -> Array:
    return jnp.abs(rewards[:, None] - rewards[None, :])


def _discounted_over_pairs(chain: Array, paid: Array, gamma: Array) -> Array:
    """Sum gamma^k P^k C P^kT over all k, by repeated squaring: no S^2 x S^2 system is solved."""

    def double(carry: tuple[Array, Array], _: None) -> tuple[tuple[Array, Array], None]:
        total, power = carry
        total = total + product(product(power, total), power.T)
        return (total, product(power, power)), None

    start = paid, jnp.sqrt(gamma).astype(chain.dtype) * chain
    (total, power), _ = jax.lax.scan(double, start, None, length=DOUBLINGS)
    return jnp.where(jnp.max(power) < LEFT, total, jnp.nan)
