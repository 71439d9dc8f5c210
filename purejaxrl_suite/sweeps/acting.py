"""Act outside of training: compiled once per number of observations, checked at each call; and
evaluate, compiled once per number of episodes.

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
from purejaxrl_suite.core.types import (
    ENDED,
    Agent,
    Array,
    Box,
    Environment,
    Estimates,
    Key,
    Memory,
    PyTree,
)
from purejaxrl_suite.engine.evaluate import Evaluation, make_evaluate
from purejaxrl_suite.sweeps.fleet import in_axes

REMEMBERED = 32
"""The most programs of a kind that are kept, the last used ones."""


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


class Evaluating(Protocol):
    """Evaluate one member, or the members of a fleet."""

    def __call__(self, key: Any, hypers: Any, env_params: PyTree, state: Any, /) -> Evaluation:
        """Return the Evaluation; of members from their seeds in place of a key."""
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


class _Same(NamedTuple):
    """A value that is equal to itself only: agents and environments may have no hash."""

    value: Any

    def __hash__(self) -> int:
        return id(self.value)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and self.value is other.value


def evaluation(agent: Agent, env: Environment, **how: Any) -> Evaluating:
    """Return the evaluation of one member with these arguments of `make_evaluate`, compiled.

    It is the same at every call, and so is its program.
    """
    return _evaluation(_Same(agent), _Same(env), tuple(sorted(how.items())), None)


def evaluations(agent: Agent, env: Environment, varied: PyTree, **how: Any) -> Evaluating:
    """Return the evaluation of B members from their seeds, as `evaluation`.

    varied: which parameters of the environment have a member axis, as in `Members`.
    """
    leaves, structure = jax.tree.flatten(varied)
    known = _Same(agent), _Same(env), tuple(sorted(how.items()))
    return _evaluation(*known, (tuple(leaves), structure))


@lru_cache(maxsize=REMEMBERED)
def _evaluation(
    agent: _Same, env: _Same, how: tuple[tuple[str, Any], ...], varied: tuple[Any, Any] | None
) -> Evaluating:
    evaluate = make_evaluate(agent.value, env.value, **dict(how))
    hosted = env.value.host is not None
    if varied is None:
        return evaluate if hosted else jax.jit(evaluate)
    if hosted:
        return _on_host(evaluate)
    axes = in_axes(jax.tree.unflatten(varied[1], varied[0]))

    def evaluate_all(seeds: Any, hypers: Any, params: PyTree, states: Any) -> Evaluation:
        keys = jax.vmap(_member_key)(seeds)
        return jax.vmap(evaluate, (0, 0, axes, 0))(keys, hypers, params, states)

    return jax.jit(evaluate_all)


def _member_key(seed: Any) -> Key:
    # 2**31 is no update, so these keys differ from those of training.
    return jax.random.fold_in(jax.random.key(seed), 2**31)


def _on_host(evaluate: Evaluating) -> Evaluating:
    def evaluate_all(seeds: Any, hypers: Any, params: PyTree, states: Any) -> Evaluation:
        each = [
            evaluate(_member_key(seed), *tree.index((hypers, params, states), i))
            for i, seed in enumerate(seeds)
        ]
        return jax.tree.map(lambda *xs: np.stack(xs), *each)

    return evaluate_all


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
