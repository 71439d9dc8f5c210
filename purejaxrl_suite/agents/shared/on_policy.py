"""What agents that learn an actor and a critic from rollouts have in common."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from purejaxrl_suite.agents.shared import extra_losses
from purejaxrl_suite.core.types import Array, ExtraLoss, Memory, Network, PyTree, Transition
from purejaxrl_suite.ops import losses, returns, successors


class Batch(NamedTuple):
    """B sequences of L steps: leaves [L, B, ...], and the memory [B, ...] before their first.

    task: i32, of tasks with advantages of their own; else None. policy: the network's output that
    was acted on, if a rule keeps it; else None. reward ... next_obs: for an extra loss; None
    without one.
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

    loss: (hypers, params, policy, log_prob, batch, advantage) -> (the loss of the policy f32[L, B],
        other samples f32[L, B] to record by name). params: what is learnt; policy: the network's
        output; log_prob f32[L, B]: of the actions under it; advantage f32[L, B]: normalized, if so
        configured.
    keeps_policy: whether the loss reads `Batch.policy`.
    value_clip: hypers -> how far a value may move from the one acted with.
    """

    loss: Callable[[Any, PyTree, Any, Array, Batch, Array], tuple[Array, dict[str, Array]]]
    keeps_policy: bool = False
    value_clip: Callable[[Any], Any] = lambda hypers: jnp.inf


def prepared(
    network: Network,
    hypers: Any,
    params: PyTree,
    transition: Transition,
    memory: Memory,
    extra_loss: ExtraLoss | None,
) -> Batch:
    """Compute advantages and targets of a rollout, outside the loss.

    memory: before its first step.

    Returns:
        Leaves [T, N, ...], with the policies that the parameters have now.
    """
    obs, action, reward, terminated, truncated, next_obs, extras, *_ = transition
    done, starts = transition.done, transition.starts
    output, internals = network.unroll(params, obs, memory, starts, {})
    values, following = output.value, (next_obs, internals.memory)

    def value(params: PyTree, successor: tuple[Array, Memory]) -> Array:
        return network.apply(params, *successor, {})[0].value

    after = successors.next_values(value, params, values, following, terminated, truncated)
    gamma = transition.discounts(hypers.gamma)
    of_steps = None if transition.discount is None else 1
    gae = jax.vmap(returns.gae, (1, 1, 1, 1, 1, of_steps, None), 1)
    advantage = gae(reward, values, after, terminated, done, gamma, hypers.gae_lambda)
    return Batch(
        obs=obs,
        starts=starts,
        action=action,
        log_prob=extras["log_prob"],
        value=values,
        advantage=advantage,
        target=advantage + values,
        task=None,
        memory=memory,
        policy=output.policy,
        **extra_losses.seen(extra_loss, transition),
    )


def clipped_surrogate(
    hypers: Any, params: PyTree, policy: Any, log_prob: Array, batch: Batch, advantage: Array
) -> tuple[Array, dict[str, Array]]:
    """Compute PPO's clipped loss of the policy; it is the `PolicyRule.loss` of PPO."""
    del params, policy  # the log-probabilities say all
    log_ratio = log_prob - batch.log_prob
    kl = losses.approximate_kl(log_ratio)
    clipped = losses.clipped(log_ratio, hypers.clip_range)
    surrogate = losses.ppo_surrogate(log_prob, batch.log_prob, advantage, hypers.clip_range)
    return surrogate, {"approximate_kl": kl, "clip_fraction": clipped}
