"""Acting of B members in n environments each, as compiled functions for actor threads."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.interpreters.partial_eval import dce_jaxpr

from purejaxrl_suite.core import spaces, tree
from purejaxrl_suite.core.types import Agent, Array, Clock, Memory, PyTree
from purejaxrl_suite.engine.keys import member_keys, update_keys
from purejaxrl_suite.engine.rollout import rollout_keys


class Playing(NamedTuple):
    """What all actors of a fleet share: compiled functions of B members and n environments each.

    read: agent's state -> copies of the leaves that acting reads.
    noise: (seeds u32[B], clock) -> the noise of a rollout in all environments, [B, T, N, ...].
    act: (leaves, hypers, clock, noise, t, memory, obs, done) -> (memory, action, extras), [B, n].
    memory: () -> the memory before an episode, [B, n, ...].
    """

    read: Callable[[Any], list[Array]]
    noise: Callable[[np.ndarray, Clock], PyTree]
    act: Callable[..., tuple[Memory, Array, Any]]
    memory: Callable[[], Memory]


def playing(agent: Agent, size: int, width: int) -> Playing:
    """Make the functions with which `size` members act in `width` environments each."""
    state = jax.eval_shape(lambda: _fresh(agent))
    leaves, structure = jax.tree.flatten(state)
    needed = _needed(agent, state)

    def read(state: Any) -> list[Array]:
        found = zip(jax.tree.leaves(state), needed, strict=True)
        return [jnp.copy(x) for x, used in found if used]  # the learner's own are donated

    def noise(seed: Array, clock: Clock) -> PyTree:
        """Draw what `engine.rollout` would draw, for one member."""
        keys = update_keys(member_keys(jax.random.key(seed)), clock)
        each = jax.random.split(rollout_keys(keys.rollout).act, agent.rollout_length)
        return jax.vmap(agent.noise, (0, None))(each, agent.num_envs)

    def act(
        read: list[Array],
        hypers: Any,
        clock: Clock,
        noise: PyTree,
        t: Array,
        memory: Memory,
        obs: Array,
        done: Array,
    ) -> Any:
        given = iter(read)
        whole = [next(given) if used else _blank(x) for x, used in zip(leaves, needed, strict=True)]
        memory = tree.where(done, agent.memory(width), memory)
        return agent.act(
            tree.index(noise, t),
            agent.anneal(hypers, clock),
            jax.tree.unflatten(structure, whole),
            memory,
            obs,
            True,
        )

    def memory() -> Memory:
        first = agent.memory(width)
        return jax.tree.map(lambda x: jnp.broadcast_to(x, (size, *x.shape)), first)

    return Playing(
        read=jax.jit(read),
        noise=jax.jit(jax.vmap(noise, (0, None))),
        act=jax.jit(jax.vmap(act, (0, 0, None, 0, None, 0, 0, 0))),
        memory=jax.jit(memory),
    )


def _fresh(agent: Agent) -> Any:
    return agent.init(jax.random.key(0), jax.tree.map(jnp.float32, agent.hypers))


def _needed(agent: Agent, state: Any) -> list[bool]:
    """Tell which leaves of the state acting reads: not the replay, which is large."""
    n = agent.num_envs
    hypers = jax.tree.map(lambda x: jax.ShapeDtypeStruct((), np.float32), agent.hypers)
    noise = jax.eval_shape(lambda: agent.noise(jax.random.key(0), n))
    memory = jax.eval_shape(lambda: agent.memory(n))

    def act(state: Any, noise: Any, hypers: Any, memory: Memory, obs: Array) -> Any:
        return agent.act(noise, hypers, state, memory, obs, True)

    obs = spaces.abstract(agent.observation, n)
    jaxpr = jax.make_jaxpr(act)(state, noise, hypers, memory, obs).jaxpr
    used = dce_jaxpr(jaxpr, [True] * len(jaxpr.outvars))[1]
    return used[: len(jax.tree.leaves(state))]


def _blank(x: Any) -> Array:
    """Make a leaf that is not read."""
    if jnp.issubdtype(x.dtype, jax.dtypes.prng_key):
        return jnp.broadcast_to(jax.random.key(0), x.shape)
    return jnp.zeros(x.shape, x.dtype)
