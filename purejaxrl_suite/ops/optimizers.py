"""Optimizers of agents: bitwise those of optax, but with derivatives that are finite everywhere.

optax divides by the square root of a second moment, whose derivative is infinite for an entry that
never had a gradient, and computes both sides of a select of which one may not be finite. States are
optax's own.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from purejaxrl_suite.core.types import Array, PyTree
from purejaxrl_suite.ops.differentiable import norm, sqrt

B1, B2 = 0.9, 0.999
Step = Callable[[Array, Array, Array], Array]
"""(updates so far, bias-corrected first and second moments of an entry) -> its change."""


def adam(learning_rate: Array | float, eps: Array | float = 1e-8) -> optax.GradientTransformation:
    """Make `optax.adam` (Kingma and Ba 2015, arXiv 1412.6980)."""
    return optax.chain(_by_moments(_adam(eps)), optax.scale_by_learning_rate(learning_rate))


def adamw(
    learning_rate: Array | float,
    eps: Array | float,
    weight_decay: Array | float,
    mask: Callable[[PyTree], PyTree],
) -> optax.GradientTransformation:
    """Make `optax.adamw` (Loshchilov and Hutter 2019, arXiv 1711.05101); mask: what decays."""
    decay: Any = optax.add_decayed_weights(weight_decay, mask)
    rate = optax.scale_by_learning_rate(learning_rate)
    return optax.chain(_by_moments(_adam(eps)), decay, rate)


def radam(learning_rate: Array | float, eps: Array | float = 1e-8) -> optax.GradientTransformation:
    """Make `optax.radam` (Liu et al. 2020, arXiv 1908.03265)."""
    longest, threshold = 2.0 / (1.0 - B2) - 1.0, 5.0

    def step(count: Array, first: Array, second: Array) -> Array:
        decayed = B2**count
        length = longest - 2 * count * decayed / (1 - decayed)
        rectified = length >= threshold
        ro = jnp.where(rectified, length, threshold)  # a smaller one would make the root NaN
        scale = (ro - 4.0) * (ro - 2.0) * longest / ((longest - 4.0) * (longest - 2.0) * ro)
        change = jnp.sqrt(scale).astype(first.dtype) * first / (sqrt(second) + eps)
        return jnp.where(rectified, change, first)

    return optax.chain(_by_moments(step), optax.scale_by_learning_rate(learning_rate))


def clip_by_global_norm(most: Array | float) -> optax.GradientTransformation:
    """Make `optax.clip_by_global_norm` (Pascanu et al. 2013, arXiv 1211.5063)."""

    def update(updates: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        length = norm(updates)
        small = length < most
        by = jnp.where(small, 1.0, length)
        return jax.tree.map(lambda x: jnp.where(small, x, (x / by) * most), updates), state

    return optax.GradientTransformation(optax.init_empty_state, update)


def _adam(eps: Array | float) -> Step:
    return lambda count, first, second: first / (sqrt(second) + eps)


def _by_moments(step: Step) -> optax.GradientTransformation:
    """Make an optimizer of the Adam family, from a step on two bias-corrected moments."""

    def init(params: Any) -> optax.ScaleByAdamState:
        return optax.ScaleByAdamState(
            count=jnp.zeros([], jnp.int32),
            mu=optax.tree.zeros_like(params),
            nu=optax.tree.zeros_like(params),
        )

    def update(updates: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        mu = optax.tree.update_moment(updates, state.mu, B1, 1)
        nu = optax.tree.update_moment_per_elem_norm(updates, state.nu, B2, 2)
        count = optax.safe_increment(state.count)
        first = optax.tree.bias_correction(mu, B1, count)
        second = optax.tree.bias_correction(nu, B2, count)
        change = jax.tree.map(lambda m, v: step(jnp.asarray(count), m, v), first, second)
        return change, optax.ScaleByAdamState(count=count, mu=mu, nu=nu)

    return optax.GradientTransformation(init, update)


def adam_detached(
    learning_rate: Array | float, eps: Array | float = 1e-8, most: float = 1.0
) -> optax.GradientTransformation:
    """Make Adam whose denominator is a constant of the derivative, with changes of at most `most`.

    The inner optimizer of DiscoRL (Oh et al. 2025, its released code): values are those of Adam
    with each entry of the change clipped, derivatives leave out how the second moments came about.
    So meta-gradients are biased on purpose, and do not equal differences.
    """

    def step(count: Array, first: Array, second: Array) -> Array:
        return jnp.clip(first / (jax.lax.stop_gradient(sqrt(second)) + eps), -most, most)

    return optax.chain(_by_moments(step), optax.scale_by_learning_rate(learning_rate))
