"""What the members of a stage go on from: the states of those of the stage before it."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from purejaxrl_suite.core import tree
from purejaxrl_suite.core.types import Key, Run


class Begin(Protocol):
    """A function that makes the initial state of a member in a stage."""

    def __call__(self, key: Key, before: Run, fresh: Run, /) -> Run:
        """Make it from its final state in the previous stage, and its fresh initial state."""
        ...


class Before(NamedTuple):
    """The origin of the members of a group: the members of a group of the previous stage.

    told: which, as JSON; part of the identity. begin: None if nothing is trained, as for reading.
    group: number of that group. rows: i[C * S], for each member of this group its origin there.
    states: members of this group -> final states of their origins, leaves [B, ...]; None before
    these are trained.
    """

    told: Mapping[str, Any]
    begin: Begin | None = None
    group: int = 0
    rows: Any = None
    states: Callable[[np.ndarray], Run] | None = None


def begun(before: Before, seeds: np.ndarray, *, rows: np.ndarray, fresh: Run) -> Run:
    """Make the states, like the fresh ones, of members that continue those of the previous stage.

    rows: which members of their group they are.
    """
    if before.begin is None or before.states is None:
        raise ValueError(f"expected `stages`, which trains stage {before.told['stage']!r} first")
    # 2**31 + 1 is no update, so this key differs from those of training.
    keys = jax.vmap(lambda seed: jax.random.fold_in(jax.random.key(seed), 2**31 + 1))(seeds)
    found = jax.tree.map(jnp.asarray, before.states(rows))
    made = jax.jit(jax.vmap(before.begin))(keys, found, fresh)
    return tree.strong(made)
