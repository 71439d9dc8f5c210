"""Values of the true successors of a rollout; only those that it lacks are computed."""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp

from purejaxrl_suite.core import tree
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
    """Compute the value of the successor of every step.

    Within an episode the successor of step t is the observation of step t + 1, so its value is
    `values[t + 1]`. Only the last step and truncated steps have successors that the rollout does
    not contain; they are evaluated N at a time, however many there are. Entries of terminated
    steps are finite and meaningless. A derivative evaluates the successors of all steps: it cannot
    have a number of evaluations that is known only at run time.

    Args:
        value: (params, successors [B, ...]) -> f32[B]; derivatives are with respect to `params`.
        params: of `value`.
        values: f32[T, N], of the observations acted on.
        successors: leaves [T, N, ...], inputs of `value`.
        terminated: bool[T, N].
        truncated: bool[T, N].

    Returns:
        f32[T, N].
    """
    length, n = values.shape
    rows = tree.merge(successors)
    last = jnp.arange(length)[:, None] == length - 1
    missing = jnp.ravel(~terminated & (truncated | last))
    known = jnp.ravel(jnp.concatenate([values[1:], jnp.zeros_like(values[:1])]))
    return jnp.reshape(_completed((value, n), params, rows, known, missing), (length, n))


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def _completed(
    how: tuple[Value, int], params: PyTree, rows: PyTree, known: Array, missing: Array
) -> Array:
    """Fill in the missing values, n at a time: f32[T * N]."""
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
