"""Values of the true successors of a rollout, computing only those that are not in it already."""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp

from purejaxrl_suite.core.types import Array, PyTree

Value = Callable[[PyTree, PyTree], Array]


def next_values(
    value: Value,
    params: PyTree,
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

    value: (params, successors [B, ...]) -> f32[B]. What is differentiated is in `params`; there the
        successors of all steps are evaluated, for no derivative has a number of evaluations that is
        found out while it runs.
    values: f32[T, N], of the observations acted on.
    successors: leaves [T, N, ...], what `value` takes. terminated, truncated: bool[T, N].
    """
    length, n = values.shape
    rows = jax.tree.map(lambda x: jnp.reshape(x, (length * n, *x.shape[2:])), successors)
    last = jnp.arange(length)[:, None] == length - 1
    missing = jnp.ravel(~terminated & (truncated | last))
    known = jnp.ravel(jnp.concatenate([values[1:], jnp.zeros_like(values[:1])]))
    return jnp.reshape(_completed((value, n), params, rows, known, missing), (length, n))


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def _completed(
    how: tuple[Value, int], params: PyTree, rows: PyTree, known: Array, missing: Array
) -> Array:
    """f32[T * N] with the missing values filled in, n at a time."""
    value, n = how

    def some_missing(carry: tuple[Array, Array]) -> Array:
        return jnp.any(carry[1])

    def fill(carry: tuple[Array, Array]) -> tuple[Array, Array]:
        known, missing = carry
        index = jnp.nonzero(missing, size=n, fill_value=len(known))[0]
        found = value(params, jax.tree.map(lambda x: x.at[index].get(mode="clip"), rows))
        known = known.at[index].set(found, mode="drop")
        return known, missing.at[index].set(False, mode="drop")

    return jax.lax.while_loop(some_missing, fill, (known, missing))[0]


@_completed.defjvp
def _all_completed(how: tuple[Value, int], primals: tuple, tangents: tuple) -> tuple[Array, Array]:
    params, rows, _, missing = primals
    found = jax.jvp(how[0], (params, rows), tangents[:2])[1]
    return _completed(how, *primals), jnp.where(missing, found, tangents[2])
