"""Multi-task variants of networks: action masks, a head per task, a hidden task label.

They are functions Network -> Network that read the task from the observation (`Box.tasks`), so they
work in acting, on replayed experience and in evaluation of one task.
"""

from typing import Any

import jax
import jax.numpy as jnp

from purejaxrl_suite.core import spaces
from purejaxrl_suite.core.types import Array, Box, Internals, Key, Memory, Network, PyTree, Space
from purejaxrl_suite.nets.heads import ActorCritic


def masked(network: Network, observation: Box, action: Space) -> Network:
    """Mask logits f32[B, A], or action values, of actions that a task does not have.

    They become `spaces.IMPOSSIBLE`: their probability, entropy and gradient are exactly zero, and
    they are never the maximum.

    Args:
        network: whose output is masked.
        observation: its space, which tells the task.
        action: Discrete, with the valid actions of each task.

    Returns:
        The masked network; the network itself if all tasks have all actions.

    Raises:
        ValueError: tasks differ in their actions, and observations do not tell the task.
    """
    if not getattr(action, "valid", ()):
        return network
    if not observation.tasks:
        raise ValueError(
            f"observation {spaces.describe(observation)}: actions depend on the task, expected "
            "observations that tell it"
        )

    def mask(output: Any, obs: Array) -> Any:
        if isinstance(output, ActorCritic):
            return output._replace(policy=mask(output.policy, obs))
        valid = spaces.valid_actions(observation, action, obs)
        return output if valid is None else jnp.where(valid, output, spaces.IMPOSSIBLE)

    def apply(
        params: PyTree, obs: Array, memory: Memory = (), taps: Any = None
    ) -> tuple[Any, Internals]:
        output, internals = network.apply(params, obs, memory, taps)
        return mask(output, obs), internals

    def unroll(
        params: PyTree, obs: Array, memory: Memory, starts: Array, taps: Any = None
    ) -> tuple[Any, Internals]:
        output, internals = network.unroll(params, obs, memory, starts, taps)
        return mask(output, obs), internals

    return network._replace(apply=apply, unroll=unroll)


def multi_head(network: Network, observation: Box) -> Network:
    """Give a network a set of heads for each task: all are computed, the task's own is the output.

    Everything before the heads is shared and computed once. Leaves of `params["heads"]` get a first
    axis over tasks; the heads of a task get gradients from its own samples only, except for
    balancing losses of routers in heads (`aux_loss`), which use all samples. As the multi-task SAC
    that McLean et al. 2025 (arXiv 2503.05126) scale.

    Raises:
        ValueError: observations do not tell the task.
    """
    if not observation.tasks:
        raise ValueError(f"observation {spaces.describe(observation)} does not tell the task")

    def init(key: Key) -> PyTree:
        drawn = [network.init(one) for one in jax.random.split(key, observation.tasks)]
        heads = jax.tree.map(lambda *xs: jnp.stack(xs), *(params["heads"] for params in drawn))
        return {**drawn[0], "heads": heads}

    def choose(outputs: Any, obs: Array) -> Any:
        """Select from leaves [K, ..., *rest] the entries of the tasks [...]."""
        task = spaces.task_of(observation, obs)[None]

        def pick(x: Array) -> Array:
            index = jnp.reshape(task, (*task.shape, *(1,) * (x.ndim - task.ndim)))
            return jnp.take_along_axis(x, index, axis=0)[0]

        return jax.tree.map(pick, outputs)

    def with_heads(params: PyTree, obs: Array, run: Any) -> tuple[Any, Internals]:
        """Apply `run`, params of one set of heads -> (output, Internals), to each task's set."""
        shared: Any = None
        each: Any = 0  # the axis of routers, too: heads may be mixtures
        axes = each, Internals(shared, shared, each, each)
        every = jax.vmap(lambda heads: run({**params, "heads": heads}), out_axes=axes)
        outputs, internals = every(params["heads"])
        router, loss = choose(internals.router, obs), jnp.mean(internals.aux_loss)
        return choose(outputs, obs), internals._replace(router=router, aux_loss=loss)

    def apply(
        params: PyTree, obs: Array, memory: Memory = (), taps: Any = None, **more: Any
    ) -> tuple[Any, Internals]:
        return with_heads(params, obs, lambda one: network.apply(one, obs, memory, taps, **more))

    def unroll(
        params: PyTree, obs: Array, memory: Memory, starts: Array, taps: Any = None
    ) -> tuple[Any, Internals]:
        def run(one: PyTree) -> tuple[Any, Internals]:
            return network.unroll(one, obs, memory, starts, taps)

        return with_heads(params, obs, run)

    return network._replace(init=init, apply=apply, unroll=unroll)


def hide_task(network: Network, observation: Box) -> Network:
    """Hide the task label from a network for `spaces.without_task(observation)`.

    The result takes observations with the label. Wrapped by `masked` or `multi_head`, which still
    read it, the torso must infer the task by itself.

    Raises:
        ValueError: observations do not tell the task.
    """
    cut = slice(spaces.without_task(observation).shape[-1])

    def apply(params: PyTree, obs: Array, *rest: Any, **named: Any) -> tuple[Any, Internals]:
        return network.apply(params, obs[..., cut], *rest, **named)

    def unroll(params: PyTree, obs: Array, *rest: Any, **named: Any) -> tuple[Any, Internals]:
        return network.unroll(params, obs[..., cut], *rest, **named)

    return network._replace(apply=apply, unroll=unroll)
