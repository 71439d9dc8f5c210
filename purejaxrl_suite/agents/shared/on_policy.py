"""What agents that learn an actor and a critic from rollouts have in common: batches and rules."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp

from purejaxrl_suite.core.types import Array, Memory


class Batch(NamedTuple):
    """B sequences of L steps: leaves [L, B, ...], and the memory [B, ...] before their first.

    policy: the network's output that was acted on, if a rule keeps it; else None. reward ...
    next_obs: for an extra loss; None without one.
    """

    obs: Array
    starts: Array
    action: Array
    log_prob: Array
    value: Array
    advantage: Array
    target: Array
    task: Array | None
    memory: Memory
    policy: Any = None
    reward: Any = None
    terminated: Any = None
    truncated: Any = None
    next_obs: Any = None


class PolicyRule(NamedTuple):
    """The part of an actor-critic algorithm that is its own.

    loss: (hypers, policy, log_prob, batch, advantage) -> (the loss of the policy f32[L, B], other
        samples f32[L, B] to record by name). policy: the network's output; log_prob f32[L, B]: of
        the actions under it; advantage f32[L, B]: normalized, if so configured.
    keeps_policy: whether the loss reads `Batch.policy`.
    value_clip: hypers -> how far a value may move from the one acted with.
    """

    loss: Callable[[Any, Any, Array, Batch, Array], tuple[Array, dict[str, Array]]]
    keeps_policy: bool = False
    value_clip: Callable[[Any], Any] = lambda hypers: jnp.inf
