"""Act outside of training: compiled once per number of observations, checked at each call.

A program is a function of state and hyper-parameters, so all members of an agent share it, and it
keeps nothing of a member.
"""

from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from purejaxrl_suite.core import spaces, tree
from purejaxrl_suite.core.argument import wrong
from purejaxrl_suite.core.types import ENDED, Agent, Array, Box, Estimates, Key, Memory

REMEMBERED = 32
"""The most agents whose programs are kept, the last used ones."""


class Acting(Protocol):
    """Act on observations; random numbers are drawn from the key, a fixed one if it is None.

    Arguments are passed by position: their order is part of the traced program.
    """

    trace: Any

    def __call__(
        self,
        hypers: Any,
        state: Any,
        memory: Memory,
        obs: Array,
        key: Key | None,
        single: bool,
        explore: bool,
        /,
    ) -> tuple[Array, Memory]:
        """Return (action, memory)."""
        ...


class Estimating(Protocol):
    """Estimate values of observations; action: continuous actions to judge, or None."""

    def __call__(
        self,
        hypers: Any,
        state: Any,
        memory: Memory,
        obs: Array,
        action: Array | None,
        single: bool,
        /,
    ) -> Estimates:
        """Return the Estimates."""
        ...


class Programs(NamedTuple):
    """Compiled functions of an agent; obs is [N, ...], or [...] if `single`."""

    act: Acting
    estimate: Estimating


def programs(agent: Agent) -> Programs:
    """Return the compiled functions of an agent, the same at every call."""
    return _compiled(agent.act, agent.noise, agent.anneal, agent.estimate)


@lru_cache(maxsize=REMEMBERED)
def _compiled(act: Any, noise: Any, anneal: Any, estimate: Any) -> Programs:
    """Compile, cached by the functions themselves: other fields of an Agent may have no hash."""

    @partial(jax.jit, static_argnums=(5, 6))
    def acting(hypers, state, memory, obs, key, single: bool, explore: bool):
        obs = obs[None] if single else obs
        hypers = anneal(hypers, ENDED)
        drawn = noise(jax.random.key(0) if key is None else key, len(obs))
        memory, action, _ = act(drawn, hypers, state, memory, obs, explore)
        return (action[0] if single else action), memory

    @partial(jax.jit, static_argnums=5)
    def estimating(hypers, state, memory, obs, action, single: bool):
        if single:
            obs, action = tree.index((obs, action), None)
        hypers = anneal(hypers, ENDED)
        found = estimate(hypers, state, memory, obs, action)
        return tree.index(found, 0) if single else found

    return Programs(acting, estimating)


def check_elements(name: str, space: Any, given: Any) -> tuple[Any, bool]:
    """Check a batch of elements of a space, or a single one: (array in its dtype, whether single).

    Raises:
        ValueError: the shape is another, or the dtype would lose precision; the message names the
            argument.
    """
    wanted = spaces.abstract(space)
    if not isinstance(given, jax.Array | np.ndarray):
        try:
            given = np.asarray(given)
        except ValueError:  # lists of unequal lengths
            batch = f"a batch of {spaces.describe(space)}, or one of them"
            raise wrong(name, batch, given) from None
    single = given.ndim == len(wanted.shape)
    if given.shape[0 if single else 1 :] != wanted.shape:
        raise ValueError(
            f"{name}: expected a batch of {spaces.describe(space)}, or one of them, got the shape "
            f"{given.shape}"
        )
    if not single and not len(given):
        raise ValueError(f"{name}: expected at least one {spaces.describe(space)}, got none")
    if given.dtype != wanted.dtype:
        if not np.can_cast(given.dtype, wanted.dtype, "same_kind"):
            raise ValueError(f"{name}: expected the dtype {wanted.dtype}, got {given.dtype}")
        given = given.astype(wanted.dtype)
    return given, single


def check_memory(agent: Agent, memory: Memory, batch: int) -> None:
    """Raise ValueError unless the memory is that of `batch` episodes of this agent."""
    leaves, structure = jax.tree.flatten(memory)
    found = tuple(np.shape(leaf) for leaf in leaves), structure
    if found != _memory(agent.memory, batch):
        raise ValueError(
            f"memory: expected policy.memory({batch}), or what the last step of these {batch} "
            f"episodes returned, got {_shapes(leaves)}"
        )


def _shapes(leaves: list[Any]) -> str:
    return f"arrays of the shapes {[np.shape(leaf) for leaf in leaves]}" if leaves else "none"


@lru_cache(maxsize=REMEMBERED)
def _memory(memory: Callable[[int], Memory], batch: int) -> tuple[tuple[Any, ...], Any]:
    """Return (shapes of leaves, structure) of the memory of a batch."""
    leaves, structure = jax.tree.flatten(jax.eval_shape(lambda: memory(batch)))
    return tuple(leaf.shape for leaf in leaves), structure


def check_action(agent: Agent, action: Any, obs: Any, single: bool) -> Any:
    """Check the continuous actions to evaluate, one for each observation.

    Raises:
        ValueError: the agent's actions are discrete, or there is not one for each observation.
    """
    if not isinstance(agent.action, Box):
        raise ValueError("action: expected none, got some: q of Discrete actions is of all of them")
    action, alone = check_elements("action", agent.action, action)
    if alone != single or not (single or len(action) == len(obs)):
        raise ValueError(
            f"action: expected one for each observation, got shapes {action.shape} and {obs.shape}"
        )
    return action


def sampling(key: Key | None, greedy: bool) -> bool:
    """Tell whether to explore; ValueError if the key is missing, or would have no effect."""
    if greedy and key is not None:
        raise ValueError("key: greedy actions are not random: expected greedy=False with it")
    if not greedy and key is None:
        raise ValueError("key: expected one such as jax.random.key(0) with greedy=False, got None")
    if key is not None:
        check_key(key)
    return not greedy


def check_key(key: Any) -> Key:
    """Return the key, if it is one."""
    known = getattr(key, "dtype", None)
    if known is None or not jnp.issubdtype(known, jax.dtypes.prng_key) or key.shape:
        raise wrong("key", "a key, such as jax.random.key(0)", key)
    return key
