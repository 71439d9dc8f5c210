"""Exact values, occupancies and optimal policies of tabular MDPs.

Infinite sums are taken by repeated squaring, (I + K)(I + K^2)(I + K^4) ..., which needs nothing but
products of matrices. It can be differentiated and vmapped inside of a scan on every backend, where
batches of linear solves can block each other (XLA on two CPU cores). 2^32 steps are summed; what
has not ended by then, such as the undiscounted value of a policy that never ends an episode, is
NaN.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp

from purejaxrl_suite.core.argument import wrong
from purejaxrl_suite.core.types import Array
from purejaxrl_suite.mdps.mdp import MDP

DOUBLINGS = 32
LEFT = 1e-6
"""Weight of what comes after all doublings, above which a sum has not converged."""
SWEEPS = 100_000
"""Most sweeps of value iteration."""

product = partial(jnp.matmul, precision="highest")


class Optimal(NamedTuple):
    """An optimal solution. v: f[S]. q: f[S, A]. policy: f[S, A], greedy, first of equal actions."""

    v: Array
    q: Array
    policy: Array


def induced(mdp: MDP, policy: Array) -> tuple[Array, Array]:
    """Compute the Markov reward process of a policy.

    Args:
        mdp: the MDP.
        policy: f[S, A], action probabilities.

    Returns:
        Transition probabilities f[S, S], where terminal states lead to themselves, and expected
        rewards f[S].

    Raises:
        ValueError: the policy has another shape.
    """
    transition, policy = jnp.asarray(mdp.transition), jnp.asarray(policy)
    if policy.shape != transition.shape[:2]:
        raise wrong("policy", f"probabilities {list(transition.shape[:2])}", list(policy.shape))
    chain = jnp.einsum("sa,sat->st", policy, transition, precision="highest")
    return chain, jnp.einsum("sa,sa->s", policy, _expected_rewards(mdp), precision="highest")


def going_on(mdp: MDP, chain: Array) -> Array:
    """Remove transitions into terminal states from a chain f[S, S]."""
    return jnp.where(jnp.asarray(mdp.terminal)[None, :], 0.0, chain)


def discounted_chain(mdp: MDP, policy: Array) -> Array:
    """Compute gamma times the probability of going on from each state to each other, f[S, S]."""
    return mdp.gamma * going_on(mdp, induced(mdp, policy)[0])


def geometric_sum(kernel: Array, doublings: int = DOUBLINGS) -> Array:
    """Sum all powers of a non-negative matrix, (I - K)^-1 f[S, S]; NaN in rows that diverge.

    doublings: 2 to their power is how many powers are summed.
    """

    def double(carry: tuple[Array, Array], _: None) -> tuple[tuple[Array, Array], None]:
        total, power = carry
        return (total + product(power, total), product(power, power)), None

    start = jnp.eye(len(kernel), dtype=kernel.dtype), kernel
    (total, power), _ = jax.lax.scan(double, start, None, length=doublings)
    return jnp.where(jnp.sum(power, axis=1, keepdims=True) < LEFT, total, jnp.nan)


def successor_measure(mdp: MDP, policy: Array, doublings: int = DOUBLINGS) -> Array:
    """Compute the discounted expected number of visits to each state from each state.

    M = (I - gamma P)^-1 with P the transitions that do not end the episode; v = M r.
    Dayan 1993, Improving generalization for temporal difference learning.

    Args:
        mdp: the MDP.
        policy: f[S, A].
        doublings: 2 to their power is how many steps are summed, static. Fewer are faster where
            gamma is well below 1; NaN where too few are.

    Returns:
        f[S, S]; the column of a terminal state is 0 but for the state itself.
    """
    return geometric_sum(discounted_chain(mdp, policy), doublings)


def state_values(mdp: MDP, policy: Array) -> Array:
    """Compute the values of all states under a policy f[S, A], f[S]."""
    return product(successor_measure(mdp, policy), induced(mdp, policy)[1])


def action_values(mdp: MDP, policy: Array) -> Array:
    """Compute the values of all actions in all states under a policy f[S, A], f[S, A]."""
    return backup(mdp, state_values(mdp, policy))


def backup(mdp: MDP, v: Array) -> Array:
    """Look one step ahead: the expected reward and discounted value f[S] of successors, f[S, A]."""
    following = jnp.where(jnp.asarray(mdp.terminal), 0.0, v)
    ahead = product(jnp.asarray(mdp.transition), following)
    return _expected_rewards(mdp) + mdp.gamma * ahead


def greedy_policy(q: Array) -> Array:
    """Return the policy that takes the first of the best actions, f[S, A] of action values."""
    return jax.nn.one_hot(jnp.argmax(q, axis=-1), q.shape[-1], dtype=q.dtype)


def optimal(mdp: MDP) -> Optimal:
    """Compute an optimal policy and its values.

    Value iteration from 0 finds the policy, whose values are then exact. With gamma = 1 the best
    action must be clear: where to wait is as good as to go on, the policy may wait for ever, and
    its values are NaN.
    """
    rewards = _expected_rewards(mdp)
    precision = 8.0 * jnp.finfo(rewards.dtype).eps

    def improves(carry: tuple[Array, Array, Array]) -> Array:
        v, change, sweep = carry
        return (change > precision * jnp.max(jnp.abs(v))) & (sweep < SWEEPS)

    def sweep(carry: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        v, _, done = carry
        better = jnp.max(backup(mdp, v), axis=1)
        return better, jnp.max(jnp.abs(better - v)), done + 1

    start = jnp.zeros_like(rewards[:, 0]), jnp.asarray(jnp.inf, rewards.dtype), jnp.int32(0)
    v, _, _ = jax.lax.while_loop(improves, sweep, start)
    policy = greedy_policy(backup(mdp, v))
    v = state_values(mdp, policy)
    return Optimal(v, backup(mdp, v), policy)


def stationary_distribution(mdp: MDP, policy: Array) -> Array:
    """Compute how often each state is acted in, in the long run, d_mu of off-policy learning.

    Where an episode ends another one starts, at once: terminal states have probability 0. If the
    chain has several recurrent classes, it is the limit from `start`.

    Args:
        mdp: the MDP.
        policy: f[S, A].

    Returns:
        f[S], which sums to 1.
    """
    chain, _ = induced(mdp, policy)
    start, terminal = jnp.asarray(mdp.start), jnp.asarray(mdp.terminal)
    ends = jnp.sum(jnp.where(terminal[None, :], chain, 0.0), axis=1, keepdims=True)
    restarting = going_on(mdp, chain) + ends * start[None, :]
    # Waiting half of the time makes any chain aperiodic and changes no stationary distribution.
    lazy = (jnp.eye(len(chain), dtype=chain.dtype) + restarting) / 2.0

    def square(power: Array, _: None) -> tuple[Array, None]:
        power = product(power, power)
        return power / jnp.sum(power, axis=1, keepdims=True), None

    power, _ = jax.lax.scan(square, lazy, None, length=DOUBLINGS)
    return product(start, power)


def _expected_rewards(mdp: MDP) -> Array:
    transition, reward = jnp.asarray(mdp.transition), jnp.asarray(mdp.reward)
    return jnp.einsum("sat,sat->sa", transition, reward, precision="highest")
