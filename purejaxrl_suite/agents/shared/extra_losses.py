"""Add a user's term to an agent's loss.

It is added inside the function that is differentiated, so its gradient is clipped, counted and
used by the optimizer together with the agent's own; `Agent.probe` uses the sum, too.
"""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from purejaxrl_suite.core.argument import function, wrong
from purejaxrl_suite.core.interventions import joined
from purejaxrl_suite.core.types import Array, ExtraLoss, Key, LossInputs, Transition

Metrics = dict[str, Array]

NAME = "extra_loss"
"""The name of the builders' argument, and of the term's metric."""
MARK = f"{NAME}/"
"""Prefix of the term's metrics until the end of an update, when all of the agent's are known."""


def check(extra_loss: ExtraLoss | None) -> None:
    """Raise ValueError unless it is None or a function of one argument."""
    if extra_loss is not None:
        function(NAME, extra_loss, 1, "LossInputs -> (f32[], {name: f32[]})")


def seen(extra_loss: ExtraLoss | None, transition: Transition) -> dict[str, Array]:
    """Return what the extra loss reads of a rollout, as fields of a batch; {} without one."""
    fields = () if extra_loss is None else ("reward", "terminated", "truncated", "next_obs")
    return {name: getattr(transition, name) for name in fields}


def own_key(extra_loss: ExtraLoss | None, key: Key) -> Any:
    """Derive a key for the extra loss; None without one. The agent's own keys stay the same."""
    # A number beyond those of any split, whose keys it would otherwise repeat.
    return None if extra_loss is None else jax.random.fold_in(key, 2**31)


def own_keys(extra_loss: ExtraLoss | None, key: Key, count: int) -> Any:
    """Derive keys [count] for the extra loss; None without one."""
    own = own_key(extra_loss, key)
    return None if own is None else jax.random.split(own, count)


def add(
    extra_loss: ExtraLoss | None, total: Array, metrics: Metrics, inputs: LossInputs
) -> tuple[Array, Metrics]:
    """Add the extra loss and its marked metrics; without one return both unchanged.

    Raises:
        ValueError: it does not return a pair (f32[], {name: f32[]}).
    """
    if extra_loss is None:
        return total, metrics
    found: Any = extra_loss(inputs)
    if not (type(found) is tuple and len(found) == 2 and isinstance(found[1], Mapping)):
        raise wrong(NAME, "a pair (f32[], {name: f32[]}) to be returned", found)
    term = _scalar(NAME, found[0])
    named = {name: _scalar(f"{NAME}: metric {name!r}", x) for name, x in found[1].items()}
    return total + term, metrics | {
        MARK + name: x for name, x in joined({NAME: {NAME: term}, "its metrics": named}).items()
    }


def both(first: ExtraLoss | None, second: ExtraLoss | None) -> ExtraLoss | None:
    """Add two terms of a loss; None without any. ValueError if both record a metric of one name."""
    if first is None or second is None:
        return first or second
    check(first)

    def terms(inputs: LossInputs) -> tuple[Array, Metrics]:
        (one, told), (other, more) = first(inputs), second(inputs)
        return one + other, joined({"a term of the loss": told, "another": more})

    return terms


def named(metrics: Metrics) -> Metrics:
    """Remove marks from the metrics of an update; ValueError if the agent has that name, too."""
    marked = {name for name in metrics if name.startswith(MARK)}
    own = {name: x for name, x in metrics.items() if name not in marked}
    extra = {name.removeprefix(MARK): x for name, x in metrics.items() if name in marked}
    return joined({"the agent": own, f"its {NAME}": extra})


def _scalar(name: str, x: Any) -> Array:
    """Return the number f32[]; raise ValueError for anything else."""
    try:
        found = jnp.asarray(x)
    except (TypeError, ValueError):
        raise wrong(name, "f32[]", x) from None
    if found.shape != () or found.dtype != jnp.float32:
        raise ValueError(f"{name}: expected f32[], got {found.dtype}{list(found.shape)}")
    return found
