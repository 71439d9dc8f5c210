"""What the members of a stage go on from: the states of those of the stage before it."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from purejaxrl_suite.core import tree
from purejaxrl_suite.core.types import Key, Run


class Begin(Protocol):
    """Gives the state that a member begins a stage with."""

    def __call__(self, key: Key, before: Run, fresh: Run, /) -> Run:
        """From that with which it ended the stage before, and that which it would begin with."""
        ...


class Before(NamedTuple):
    """What the members of a group go on from: those of a group of another stage.

    told: which, as JSON; part of the identity. begin: None where nothing is to be trained, as for
    what is read. group: number of that group. rows: i[C * S], its member for each of this one's.
    states: members of this group -> final states of those, leaves [B, ...]; once they are trained.
    """

    told: Mapping[str, Any]
    begin: Begin | None = None
    group: int = 0
    rows: Any = None
    states: Callable[[np.ndarray], Run] | None = None


def begun(before: Before, seeds: np.ndarray, *, rows: np.ndarray, fresh: Run) -> Run:
    """States, like the fresh ones, with which members go on from those of the stage before.

    rows: which members of their group they are.
    """
    if before.begin is None or before.states is None:
        raise ValueError(f"expected `stages`, which trains stage {before.told['stage']!r} first")
    # 2**31 + 1 is no update: this key is not among those of training.
    keys = jax.vmap(lambda seed: jax.random.fold_in(jax.random.key(seed), 2**31 + 1))(seeds)
    found = jax.tree.map(jnp.asarray, before.states(rows))
    made = jax.jit(jax.vmap(before.begin))(keys, found, fresh)
    return tree.strong(made)
