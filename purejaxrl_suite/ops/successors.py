"""Values of the true successors of a rollout, computing only those that are not in it already."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from purejaxrl_suite.core.types import Array, PyTree


def next_values(
    value: Callable[[PyTree], Array],
    values: Array,
    successors: PyTree,
    terminated: Array,
    truncated: Array,
) -> Array:
    """Value of the successor of every step, f32[T, N].

    Within an episode the successor of step t is what step t + 1 shows, so its value is
    `values[t + 1]`. Only the last step and truncated steps have successors that the rollout does
    not contain; they are evaluated N at a time, however many there are. Entries of terminated
    steps are finite and meaningless.

    value: successors [N, ...] -> f32[N]; parameters that it closes over must be behind a
        `stop_gradient` where they are differentiated, for the number of evaluations is not static.
    values: f32[T, N], of the observations acted on.
    successors: leaves [T, N, ...], what `value` takes. terminated, truncated: bool[T, N].
    """
    length, n = values.shape
    values, successors = jax.lax.stop_gradient((values, successors))
    rows = jax.tree.map(lambda x: jnp.reshape(x, (length * n, *x.shape[2:])), successors)
    last = jnp.arange(length)[:, None] == length - 1
    missing = jnp.ravel(~terminated & (truncated | last))
    known = jnp.ravel(jnp.concatenate([values[1:], jnp.zeros_like(values[:1])]))

    def some_missing(carry: tuple[Array, Array]) -> Array:
        return jnp.any(carry[1])

    def fill(carry: tuple[Array, Array]) -> tuple[Array, Array]:
        known, missing = carry
        index = jnp.nonzero(missing, size=n, fill_value=length * n)[0]
        found = value(jax.tree.map(lambda x: x.at[index].get(mode="clip"), rows))
        known = known.at[index].set(found, mode="drop")
        return known, missing.at[index].set(False, mode="drop")

    known, _ = jax.lax.while_loop(some_missing, fill, (known, missing))
    return jnp.reshape(known, (length, n))
