"""What representations of a whole rollout encode: returns, levels, actions, what follows.

The measurement of Garcin et al. 2025, arXiv 2503.06343, after training: 65,536 steps of 64
environments, of which 4,096 are compared. It takes what an agent does not know: the identity of the
level that an episode is played in, and the returns that followed.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from purejaxrl_suite.core import tree
from purejaxrl_suite.core.argument import boolean, integer
from purejaxrl_suite.core.types import Array, Key
from purejaxrl_suite.ops import dependence
from purejaxrl_suite.representations.metrics import encoded

Both = tuple[Array, Array]


class Encoded(NamedTuple):
    """A rollout of T steps in N environments, as seen by a representation.

    features: f32[T, N, D]. action: [T, N, ...]. reward: f32[T, N]. done: bool[T, N], the episode
    ends with this step. level: i32[T, N], of the episode.
    """

    features: Array
    action: Array
    reward: Array
    done: Array
    level: Array


def information_of_rollout(
    key: Key,
    rollout: Encoded,
    gamma: Array | float,
    *,
    samples: int = 4096,
    neighbours: int = 3,
    as_released: bool = False,
) -> dict[str, Array]:
    """Estimate what a representation Z says of a rollout, in nats.

    `action` is I(Z; A), `value` I(Z; V) of the discounted return that followed, `level` I(Z; L),
    `next` I(Z; Z') of the next step's representation, `transition` I((Z, Z'); A), `total` their
    sum. Steps whose episode does not end within the rollout have no return, and last steps of
    episodes and of the rollout no next one; they are left out.

    Args:
        key: of the samples, drawn without replacement.
        rollout: T * N steps.
        gamma: of the returns.
        samples: that are compared, at most T * N.
        neighbours: k of the estimators.
        as_released: pair a step with the one that follows it in memory, which is that of the next
            environment and not of the next time, and leave out pairs by whether the step *before*
            ended an episode; as the paper's released code does.

    Returns:
        {name: f32[]}.

    Raises:
        ValueError: there are fewer steps than samples, or a number is not positive.
    """
    count, k = rollout.reward.size, integer("neighbours", neighbours, 1)
    integer("samples", samples, 1, count)
    released = boolean("as_released", as_released)
    rows = jax.random.permutation(key, count)[:samples]
    following, goes_on = _next(rollout.done, as_released=released)
    returns, known = _returns(rollout.reward, rollout.done, gamma)
    features = dependence.unit_variance(tree.merge(rollout.features).astype(jnp.float32))
    z, after = features[rows], features[following[rows]]
    action, level = encoded(tree.merge(rollout.action)[rows]), tree.merge(rollout.level)[rows]
    value, pairs = tree.merge(returns)[rows][:, None], goes_on[rows]
    labels = dependence.mutual_information_with_labels
    of_action = labels if action.ndim == 1 else dependence.mutual_information
    found = {
        "action": of_action(z, action, k),
        "value": dependence.mutual_information(
            z, dependence.unit_variance(value), k, tree.merge(known)[rows]
        ),
        "level": labels(z, level, k),
        "next": dependence.mutual_information(z, after, k, pairs),
        "transition": of_action(jnp.concatenate([z, after], axis=1), action, k, pairs),
    }
    return found | {"total": sum(found.values(), jnp.zeros(()))}


def _next(done: Array, *, as_released: bool) -> tuple[Array, Array]:
    """The row of the next step of each, i32[T * N], and whether there is one in its episode."""
    length, n = done.shape
    rows, ended = jnp.arange(length * n), jnp.ravel(done)
    if as_released:
        earlier = jnp.concatenate([jnp.zeros_like(done[:1]), done[:-1]])
        return jnp.minimum(rows + 1, length * n - 1), ~jnp.ravel(earlier) & (rows + 1 < length * n)
    last = rows >= (length - 1) * n
    return jnp.minimum(rows + n, length * n - 1), ~ended & ~last


def _returns(reward: Array, done: Array, gamma: Array | float) -> tuple[Array, Array]:
    """Discounted returns f32[T, N], and whether the episode ends within the rollout."""

    def step(carry: Both, now: Both) -> tuple[Both, Both]:
        (following, known), (paid, ended) = carry, now
        total = paid + gamma * jnp.where(ended, 0.0, following)
        both = total, ended | known
        return both, both

    start = jnp.zeros_like(reward[0]), jnp.zeros_like(done[0])
    return jax.lax.scan(step, start, (reward, done), reverse=True)[1]
