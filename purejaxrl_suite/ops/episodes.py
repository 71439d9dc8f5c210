"""What follows a step in its episode; for [T, N] use `jax.vmap(..., 1, 1)`.

Steps are in the order of time, episode after episode. An episode ends at a step that is terminated
or truncated, and with the last step of the arrays.
"""

from typing import NamedTuple

import jax.numpy as jnp

from purejaxrl_suite.core.types import Array, Transition
from purejaxrl_suite.ops.returns import lambda_returns


class NextActions(NamedTuple):
    """Actions [T, ...] that were taken at the successors.

    valid: bool[T], whether there is one: False in the last step of each episode, whose entry is
        finite and meaningless. A terminated step needs none, a truncated one has lost it.
    """

    action: Array
    valid: Array


class ReturnsToGo(NamedTuple):
    """Discounted returns f32[T] from each step to the end of its episode.

    valid: bool[T], False where that end was not seen: the episode was truncated, or the arrays
        ended. There it is the sum of the rewards that were seen.
    """

    value: Array
    valid: Array


def next_actions(steps: Transition) -> NextActions:
    """Pair each step with the action that was taken at its successor, as SARSA needs it.

    Rummery and Niranjan 1994; Sutton and Barto 2018, section 6.4. No pair spans the end of an
    episode. SARSA learns from steps that are `valid` and, without a value of the successor, from
    those that are `terminated`.

    Args:
        steps: leaves [T, ...].

    Returns:
        The actions, and which of them are valid.

    Example:
        >>> from purejaxrl_suite.ops.episodes import next_actions
        >>> no, end = jnp.zeros(3, bool), jnp.array([False, True, False])
        >>> steps = pjs.Transition(jnp.zeros(3), jnp.arange(3), jnp.ones(3), end, no, no, {})
        >>> next_actions(steps).valid
        Array([ True, False, False], dtype=bool)
    """
    action = jnp.asarray(steps.action)
    last = jnp.arange(action.shape[0]) == action.shape[0] - 1
    valid = ~(jnp.asarray(steps.terminated) | jnp.asarray(steps.truncated) | last)
    return NextActions(jnp.roll(action, -1, axis=0), valid)


def returns_to_go(steps: Transition, gamma: Array | float) -> ReturnsToGo:
    """Compute the discounted Monte-Carlo return from each step to the end of its episode.

    G[t] = r[t] + gamma * G[t + 1] within an episode. Sutton and Barto 2018, section 5.1.

    Args:
        steps: leaves [T, ...].
        gamma: discount, 1 for undiscounted returns.

    Returns:
        The returns, and which of them are of a whole episode.
    """
    terminated = jnp.asarray(steps.terminated)
    done, rewards = terminated | jnp.asarray(steps.truncated), jnp.asarray(steps.reward)

    def summed(x: Array, gamma: Array | float) -> Array:
        return lambda_returns(x, jnp.zeros_like(x), terminated, done, gamma, 1.0)

    ends = summed(terminated.astype(rewards.dtype), 1.0)  # 1 if a termination follows, else 0
    return ReturnsToGo(summed(rewards, gamma), ends > 0)
