"""What BBF's released code does otherwise than its paper, for numbers that are to be compared.

Read in two snapshots of google-research/bigger_better_faster; each is a switch of its own.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp

from purejaxrl_suite.buffers import Batch
from purejaxrl_suite.core.types import Array


class AsReleased(NamedTuple):
    """Which of them are wanted.

    Attributes:
        window: returns are bootstrapped a step early: `window`.
        mask: of self-prediction: `ops.self_prediction.mask_as_released`.
        priorities: two of each group are set, to means: `priorities`.
        resets: at the steps of the later snapshot: `ops.schedules.reset_is_due`.
    """

    window: bool = False
    mask: bool = False
    priorities: bool = False
    resets: bool = False


def window(read: Callable[..., Batch], longest: int) -> Callable[..., Batch]:
    """`Prioritised.read` for n >= 2 with the rewards of n steps and the state after n - 1.

    So a termination by the last of n steps is missed, and its state bootstrapped from. Windows of
    `longest` steps that meet a time limit weigh nothing: the code does not sample them.
    """

    def released(state: Any, slot: Array, n: Array, gamma: Array) -> Batch:
        batch, early = read(state, slot, n, gamma), read(state, slot, jnp.maximum(n - 1, 1), gamma)
        whole = read(state, slot, longest, gamma)
        cut = ~whole.terminated & (whole.truncated | (whole.steps < longest))
        weight = jnp.where(cut, 0.0, batch.weight)
        return batch._replace(next_obs=early.next_obs, terminated=early.terminated, weight=weight)

    return released


def priorities(slot: Array, errors: Array) -> tuple[Array, Array]:
    """The first window of each batch [G, B] gets the mean error of the batch; the others keep
    theirs, so that sampling stays close to uniform.
    """
    return slot[:, 0], jnp.mean(errors, axis=1)
