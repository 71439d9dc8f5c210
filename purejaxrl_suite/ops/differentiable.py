"""Operations whose derivatives are finite where the usual ones are infinite or do not exist.

Updates are differentiated with respect to hyper-parameters, through optimizers and loops. There an
infinite derivative times a cotangent of zero would be NaN. Values are bitwise those of the usual
operations.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from purejaxrl_suite.core import tree
from purejaxrl_suite.core.types import Array, PyTree


@jax.custom_jvp
def sqrt(x: Array) -> Array:
    """Compute the square root, with a derivative of 0 at 0."""
    return jnp.sqrt(x)


@sqrt.defjvp
def _sqrt(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    y = sqrt(*primals)
    positive = y > 0
    slope = jnp.where(positive, 0.5 / jnp.where(positive, y, 1.0), 0.0)
    return y, slope * tangents[0]


def norm(values: PyTree) -> Array:
    """Compute the Euclidean norm f32[] of all leaves, with a derivative of 0 where all are 0."""
    squares = jax.tree.map(jnp.square, values)
    return sqrt(jnp.asarray(jax.tree.reduce(jnp.add, jax.tree.map(jnp.sum, squares), 0)))


@partial(jax.custom_jvp, nondiff_argnums=(0,))
def run_if(
    function: Callable[[PyTree, PyTree], PyTree], due: Array, fixed: PyTree, x: PyTree
) -> PyTree:
    """Compute function(fixed, x) where `due` is True, else return x.

    It is a loop of one turn or none: under `vmap` a `lax.cond` would always compute both branches,
    but this costs nothing while it is due for no member.

    Args:
        function: (fixed, x) -> x, of the same structure and dtypes; it closes over nothing traced.
        due: bool[].
        fixed: other inputs of `function`.
        x: what it changes.

    Returns:
        The new x, or the old one.
    """
    carry = due, x
    return jax.lax.while_loop(
        lambda carry: carry[0],
        lambda carry: (jnp.zeros_like(due), function(fixed, carry[1])),
        carry,
    )[1]


@run_if.defjvp
def _run_if(function: Any, primals: tuple, tangents: tuple) -> tuple[PyTree, PyTree]:
    due, fixed, x = primals
    _, fixed_dot, x_dot = tangents
    changed = jax.jvp(function, (fixed, x), (fixed_dot, x_dot))[1]

    def choose(new: Array, old: Array) -> Array:
        return old if old.dtype == jax.dtypes.float0 else tree.where(due, new, old)

    return run_if(function, *primals), jax.tree.map(choose, changed, x_dot)
