"""The temperature of SAC: the entropy's weight, learned so that the entropy stays at a target.

Haarnoja et al. 2018, arXiv 1812.05905, section 5.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from purejaxrl_suite.core.types import Array


class Temperature(NamedTuple):
    """log: f32[], the logarithm of the weight. opt_state: of its optimizer."""

    log: Array
    opt_state: Any


def start(temperature: Array | float) -> Temperature:
    """At a positive number."""
    log = jnp.log(jnp.asarray(temperature, jnp.float32))
    return Temperature(log, optax.adam(1.0).init(log))


def adjust(
    old: Temperature, log_prob: Array, learning_rate: Array | float, target: Array | float
) -> Temperature:
    """One step of Adam on the paper's equation 18, in the logarithm: up where entropy is missing.

    log_prob: f32[B], of actions of the policy. target: the entropy that it should have. With a
    learning rate of 0 the temperature stays.
    """

    def loss(log: Array) -> Array:
        return -jnp.exp(log) * jnp.mean(log_prob + target)

    gradient: Any = jax.grad(loss)(old.log)
    change, opt_state = optax.adam(learning_rate).update(gradient, old.opt_state)
    return Temperature(optax.tree.add(old.log, change), opt_state)
