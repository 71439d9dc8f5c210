"""The type of tabular Markov decision processes, and in which precision they are computed with.

Constructors that draw nothing make numpy float64 arrays. Functions of an MDP are pure functions of
arrays that compute in JAX's own precision, float32 as a rule, so they run inside of compiled
programs, vmapped over thousands of MDPs. `in_float64` runs the same functions in float64 and leaves
the rest of the process as it is: that is the oracle of tests and studies.
"""

from collections.abc import Callable
from functools import wraps
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from purejaxrl_suite.core.argument import number, wrong
from purejaxrl_suite.core.types import Array, Key, PyTree

TOLERANCE = 1e-6
"""How far sums of probabilities may be from 1: what float32 makes of them."""


class MDP(NamedTuple):
    """A Markov decision process with S states and A actions; leaves may have leading batch axes.

    transition: f[S, A, S], the probability of each successor.
    reward: f[S, A, S], of each transition.
    gamma: f[], the discount.
    start: f[S], the distribution of first states.
    terminal: bool[S], states in which an episode ends. They have no value: each leads to itself
        without reward.
    """

    transition: Any
    reward: Any
    gamma: Any
    start: Any
    terminal: Any


def tabular(
    transition: Any, reward: Any, gamma: float, *, start: Any = None, terminal: Any = None
) -> MDP:
    """Build a Markov decision process of tables, after checking them.

    Args:
        transition: [S, A, S], probabilities; rows of terminal states are not read.
        reward: [S, A, S], or [S, A] where it does not depend on the successor.
        gamma: the discount in [0, 1].
        start: [S], probabilities; None is uniform over states that are not terminal.
        terminal: bool[S]; None is no state.

    Returns:
        The MDP, numpy float64.

    Raises:
        ValueError: shapes do not fit, rows or `start` are no probabilities, an episode starts in a
            terminal state, or gamma is no discount.

    Example:
        >>> from purejaxrl_suite import mdps
        >>> coin = mdps.tabular([[[0.5, 0.5]], [[0.0, 1.0]]], [[1.0], [0.0]], gamma=1.0,
        ...                     start=[1, 0], terminal=[False, True])
        >>> mdps.state_values(coin, mdps.uniform_policy(coin))
        Array([2., 0.], dtype=float32)
    """
    table = _table("transition", transition, 3)
    states, actions = table.shape[:2]
    if not states or not actions or table.shape[2] != states:
        raise wrong("transition", "numbers [S, A, S]", list(table.shape))
    paid = _table("reward", reward, None)
    if paid.shape not in ((states, actions), table.shape):
        forms = f"numbers {[states, actions]} or {[states, actions, states]}"
        raise wrong("reward", forms, list(paid.shape))
    if paid.ndim == 2:
        paid = np.repeat(paid[..., None], states, axis=2)
    ends = np.zeros(states, bool) if terminal is None else np.asarray(terminal)
    if ends.dtype != bool or ends.shape != (states,) or ends.all():
        raise wrong("terminal", f"bools [{states}], not all of them True", terminal)
    table = np.where(ends[:, None, None], np.eye(states)[:, None, :], table)
    _probabilities("transition", table)
    first = ~ends / np.sum(~ends) if start is None else _table("start", start, 1)
    if first.shape != (states,):
        raise wrong("start", f"numbers [{states}]", list(first.shape))
    _probabilities("start", first)
    if np.any(first[ends]):
        raise wrong("start", "no probability of terminal states", float(first[ends].max()))
    paid = np.where(ends[:, None, None], 0.0, paid)
    gamma = number("gamma", gamma, low=0.0, high=1.0)
    return MDP(table, paid, np.float64(gamma), first, ends)


def uniform_policy(mdp: MDP) -> np.ndarray:
    """Return the policy that chooses among all actions alike, f[S, A]."""
    states, actions = mdp.transition.shape[-3:-1]
    return np.full((states, actions), 1.0 / actions)


def constant_policy(mdp: MDP, probabilities: Any) -> np.ndarray:
    """Return the policy with the same action probabilities [A] in every state, f[S, A]."""
    states, actions = mdp.transition.shape[-3:-1]
    row = _table("probabilities", probabilities, 1)
    if row.shape != (actions,):
        raise wrong("probabilities", f"numbers [{actions}]", list(row.shape))
    _probabilities("probabilities", row)
    return np.tile(row, (states, 1))


def in_float64[**P](function: Callable[P, PyTree]) -> Callable[P, PyTree]:
    """Make the float64 version of a pure function of arrays: compiled, with numpy results.

    Args:
        function: positional arguments are pytrees of arrays, or numbers; float32 is widened.

    Returns:
        The function; outside of it JAX's precision stays what it was.

    Example:
        >>> from purejaxrl_suite import mdps
        >>> line = mdps.chain(3, gamma=0.9)
        >>> mdps.in_float64(mdps.state_values)(line, mdps.constant_policy(line, [0, 1]))
        array([0.81, 0.9 , 1.  , 0.  ])
    """
    compiled = jax.jit(function)

    @wraps(function)
    def called(*args: P.args, **kwargs: P.kwargs) -> PyTree:
        with jax.enable_x64(True):
            found = compiled(*jax.tree.map(_widened, args), **jax.tree.map(_widened, kwargs))
            return jax.tree.map(np.asarray, found)

    return called


def in_jax(mdp: MDP) -> MDP:
    """Convert an MDP to JAX's arrays: what an `Environment` has as parameters."""
    return jax.tree.map(jnp.asarray, mdp)


def draw_state(key: Key, probabilities: Array) -> Array:
    """Draw the number of a state by probabilities f[S], i32[]; one of probability 0 never."""
    return jax.random.categorical(key, jnp.log(probabilities)).astype(jnp.int32)


def _widened(leaf: Any) -> Any:
    floating = jnp.issubdtype(jnp.result_type(leaf), jnp.floating)
    return np.asarray(leaf, np.float64) if floating else leaf


def _table(name: str, value: Any, axes: int | None) -> np.ndarray:
    """Return finite numbers with so many axes as float64."""
    try:
        found = np.asarray(value, np.float64)
    except (TypeError, ValueError):
        raise wrong(name, "an array of numbers", value) from None
    if axes is not None and found.ndim != axes:
        raise wrong(name, f"an array with {axes} axes", list(found.shape))
    if not np.all(np.isfinite(found)):
        raise wrong(name, "finite numbers", float(found[~np.isfinite(found)][0]))
    return found


def _probabilities(name: str, table: np.ndarray) -> None:
    """Raise ValueError unless the last axis holds probabilities."""
    if np.any(table < 0):
        raise wrong(name, "probabilities of at least 0", float(table.min()))
    off = np.abs(table.sum(-1) - 1.0)
    if np.any(off > TOLERANCE):
        worst = np.unravel_index(np.argmax(off), off.shape)
        at = f"[{', '.join(str(int(i)) for i in worst)}]" if off.ndim else ""
        raise wrong(f"{name}{at}", "probabilities that sum to 1", float(table.sum(-1)[worst]))
