"""Deviations of BBF's released code from its paper, for comparisons with published numbers.

Read in two snapshots of google-research/bigger_better_faster; each deviation has its own switch.
"""

from typing import Any, NamedTuple

import jax.numpy as jnp

from purejaxrl_suite.buffers import Batch
from purejaxrl_suite.buffers.prioritised import Read
from purejaxrl_suite.core.types import Array


class AsReleased(NamedTuple):
    """Deviations of the released code to follow.

    Attributes:
        window: bootstrap returns a step early, see `window`.
        mask: mask self-prediction as in `ops.self_prediction.mask_as_released`.
        priorities: set only the first priority of each batch, to a mean, see `priorities`.
        resets: reset at the steps of the later snapshot, see `ops.schedules.reset_is_due`.
    """

    window: bool = False
    mask: bool = False
    priorities: bool = False
    resets: bool = False


def window(read: Read, longest: int) -> Read:
    """Change `Prioritised.read`, for n >= 2, to n rewards but the state after n - 1 steps.

    So a termination by the last of the n steps is missed, and its state is bootstrapped from.
    Windows of `longest` steps that meet a time limit have weight 0: the code does not sample them.
    """

    def released(state: Any, slot: Array, n: Array | int, gamma: Array | float) -> Batch:
        batch, early = read(state, slot, n, gamma), read(state, slot, jnp.maximum(n - 1, 1), gamma)
        whole = read(state, slot, longest, gamma)
        cut = ~whole.terminated & (whole.truncated | (whole.steps < longest))
        weight = jnp.where(cut, 0.0, batch.weight)
        return batch._replace(next_obs=early.next_obs, terminated=early.terminated, weight=weight)

    return released


def priorities(slot: Array, errors: Array) -> tuple[Array, Array]:
    """Set the priority of the first window of each batch [G, B] to the batch's mean error.

    The others keep theirs, so sampling stays close to uniform.
    """
    return slot[:, 0], jnp.mean(errors, axis=1)
