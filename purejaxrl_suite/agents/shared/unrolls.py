"""Unrolls: what agents learn from that correct for the policy that acted, fresh or stale.

Stale rollouts come back in the order in which they were made, at fixed ages: each of these streams
is the experience of the environments in one piece, only later, so that traces can be carried along
it from rollout to rollout, with the ratios of the present policy.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from purejaxrl_suite.core import spaces, tree
from purejaxrl_suite.core.types import Agent, Array, Memory, Network, Transition
from purejaxrl_suite.mdps.traces import carry_follow_on, follow_on


class Unrolls(NamedTuple):
    """B sequences of T steps: leaves [T, B, ...], and the memory [B, ...] before their first.

    log_prob: f32, of the action under the policy that acted. mask: f32, 0 for steps that are not
    learnt from. value_weight, policy_weight: f32, emphasis of the losses. target, advantage: f32;
    () until they are computed.
    """

    obs: Array
    starts: Array
    action: Array
    log_prob: Array
    reward: Array
    terminated: Array
    truncated: Array
    next_obs: Array
    memory: Memory
    mask: Array
    value_weight: Array
    policy_weight: Array
    target: Any = ()
    advantage: Any = ()

    @property
    def done(self) -> Array:
        """Tell where returns end, bool[T, B]."""
        return self.terminated | self.truncated


class Stale(NamedTuple):
    """The last C rollouts. unrolls: leaves [C, T, N, ...]. count: i32[], rollouts so far."""

    unrolls: Unrolls
    count: Array


def unrolls_of(transition: Transition) -> Unrolls:
    """Take what is learnt from of a rollout; all steps count, and none is emphasised."""
    ones = jnp.ones_like(transition.reward)
    return Unrolls(
        obs=transition.obs,
        starts=transition.starts,
        action=transition.action,
        log_prob=transition.extras["log_prob"],
        reward=transition.reward,
        terminated=transition.terminated,
        truncated=transition.truncated,
        next_obs=transition.next_obs,
        memory=tree.index(transition.extras["memory"], 0),
        mask=ones,
        value_weight=ones,
        policy_weight=ones,
    )


def empty(agent: Agent, network: Network, rollouts: int) -> Stale:
    """Make room for so many rollouts; its steps have mask 0 until they are written."""
    n, length = agent.num_envs, agent.rollout_length

    def room(space: Any) -> Array:
        blank = spaces.abstract(space, rollouts, length, n)
        return jnp.zeros(blank.shape, blank.dtype)

    numbers = jnp.zeros((rollouts, length, n), jnp.float32)
    never = jnp.zeros((rollouts, length, n), bool)
    memory = jax.tree.map(lambda x: jnp.stack([x] * rollouts), network.memory(n))
    blank = Unrolls(
        obs=room(agent.observation),
        starts=never,
        action=room(agent.action),
        log_prob=numbers,
        reward=numbers,
        terminated=never,
        truncated=never,
        next_obs=room(agent.observation),
        memory=memory,
        mask=numbers,
        value_weight=numbers,
        policy_weight=numbers,
    )
    return Stale(blank, jnp.int32(0))


def exchange(stale: Stale, fresh: Unrolls, streams: int) -> tuple[Stale, Unrolls]:
    """Add a rollout, and join it with older ones of `streams` ages: C / streams updates apart.

    Args:
        stale: C rollouts.
        fresh: leaves [T, N, ...].
        streams: how many older rollouts, static; divides C.

    Returns:
        The rollouts with the fresh one in place of the oldest, and unrolls [T, N * (1 + streams),
        ...]: the fresh ones first, then the older ones, the youngest first.
    """
    capacity = len(stale.unrolls.reward)
    ages = capacity // streams * (1 + jnp.arange(streams))
    old = tree.index(stale.unrolls, (stale.count - ages) % capacity)

    def joined(axis: int) -> Any:
        return lambda new, old: jnp.concatenate([new, *old], axis=axis)

    steps = jax.tree.map(joined(1), fresh._replace(memory=()), old._replace(memory=()))
    memory = jax.tree.map(joined(0), fresh.memory, old.memory)
    place = stale.count % capacity
    kept = jax.tree.map(lambda x, new: x.at[place].set(new), stale.unrolls, fresh)
    return Stale(kept, stale.count + 1), steps._replace(memory=memory)


def follow_on_traces(carried: Array, interest: Array, decay: Array) -> tuple[Array, Array]:
    """Compute the n-step follow-on traces of T steps, from what the steps before handed on.

    Splitting the steps in any way changes nothing. Jiang et al. 2021, arXiv 2106.11779; the trace
    of one step is `mdps.traces.follow_on`.

    Args:
        carried: f32[n], of the first step; zeros where a stream begins.
        interest: f32[T], i_t.
        decay: f32[T], gamma_{t+1} rho_t, 0 at the end of an episode.

    Returns:
        F f32[T], and f32[n] for the step after the last.
    """

    def step(carried: Array, now: tuple[Array, Array]) -> tuple[Array, Array]:
        trace = follow_on(carried, now[0])
        return carry_follow_on(carried, trace, now[1]), trace

    carried, traces = jax.lax.scan(step, carried, (interest, decay))
    return traces, carried


def emphasize(
    carried: Array, batch: Unrolls, decay: Array, *, windowed: bool, of_policy: bool
) -> tuple[Unrolls, Array]:
    """Weigh the steps of unrolls by their follow-on traces.

    Args:
        carried: f32[n, B], from the rollouts before.
        batch: unrolls [T, B], whose `value_weight` is the interest.
        decay: f32[T, B], gamma times the importance ratio, also at the end of episodes.
        windowed: whether all targets bootstrap at the end of the rollout: then its first step alone
            is weighed by its trace, the others by their interest.
        of_policy: whether the policy gradient is weighed by the traces, too.

    Returns:
        The unrolls with their weights, and f32[n, B] for the rollouts after.
    """
    interest = batch.value_weight
    decay = jnp.where(batch.done | (batch.mask == 0), 0.0, decay)
    traces, carried = jax.vmap(follow_on_traces, 1, 1)(carried, interest, decay)
    first = jnp.arange(len(interest))[:, None] == 0
    batch = batch._replace(value_weight=jnp.where(first, traces, interest) if windowed else traces)
    return (batch._replace(policy_weight=traces) if of_policy else batch), carried


def whole(batch: Unrolls, n: int) -> Unrolls:
    """Mask the steps that have less than n steps left in the rollout; none if n is 0."""
    steps = jnp.arange(len(batch.mask))[:, None] <= len(batch.mask) - max(n, 1)
    return batch._replace(mask=jnp.where(steps, batch.mask, 0.0))


def check_effects(config: Any) -> None:
    """Raise ValueError for a field of IMPALA's Config that would have no effect."""
    for name in ("emphatic_policy", "clip_emphasis"):
        if getattr(config, name) and not config.emphatic:
            raise ValueError(f"config.{name}: expected False without emphatic, got True")
    if config.replay_age != 1 and not config.replayed:
        raise ValueError(f"config.replay_age: expected 1 without replayed, got {config.replay_age}")
