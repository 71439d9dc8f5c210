"""Networks for several tasks, as functions Network -> Network: masks, a head per task, blindness.

All of them read the task off the observation (`Box.tasks`), so they work wherever networks do: in
acting, on replayed experience, in evaluation of one task.
"""

from typing import Any

import jax
import jax.numpy as jnp

from purejaxrl_suite.core import spaces
from purejaxrl_suite.core.types import Array, Box, Internals, Key, Memory, Network, PyTree, Space
from purejaxrl_suite.nets.heads import ActorCritic


def masked(network: Network, observation: Box, action: Space) -> Network:
    """Logits f32[B, A], or action values, are `spaces.IMPOSSIBLE` where a task has no such action.

    Probability, entropy and gradient of these are exactly zero, and no maximum is theirs. The
    network itself is returned where all tasks have all actions.

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
    """A set of heads for each task: all are computed, the task's own is put out.

    Everything before the heads is shared and computed once. Leaves of `params["heads"]` get a first
    axis over tasks; the heads of a task get gradients from its own samples only, but for balancing
    losses of routers in heads (`aux_loss`), which are of all samples. As the multi-task SAC that
    McLean et al. 2025 (arXiv 2503.05126) scale.

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
        """Of leaves [K, ..., *rest] those of the tasks [...]."""
        task = spaces.task_of(observation, obs)[None]

        def pick(x: Array) -> Array:
            index = jnp.reshape(task, (*task.shape, *(1,) * (x.ndim - task.ndim)))
            return jnp.take_along_axis(x, index, axis=0)[0]

        return jax.tree.map(pick, outputs)

    def with_heads(params: PyTree, obs: Array, run: Any) -> tuple[Any, Internals]:
        """run(params of one set of heads) -> (output, Internals), of the tasks' own sets."""
        shared: Any = None
        each: Any = 0  # also of routers: heads may be mixtures
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
    """A network for `spaces.without_task(observation)`, for observations that tell the task.

    Under `masked` or `multi_head`, which still see it: a torso that must find out by itself.

    Raises:
        ValueError: observations do not tell the task.
    """
    cut = slice(spaces.without_task(observation).shape[-1])

    def apply(params: PyTree, obs: Array, *rest: Any, **named: Any) -> tuple[Any, Internals]:
        return network.apply(params, obs[..., cut], *rest, **named)

    def unroll(params: PyTree, obs: Array, *rest: Any, **named: Any) -> tuple[Any, Internals]:
        return network.unroll(params, obs[..., cut], *rest, **named)

    return network._replace(apply=apply, unroll=unroll)
