"""The temperature of SAC: the entropy's weight, learnt so that the entropy stays at a target.

Haarnoja et al. 2018, arXiv 1812.05905, section 5. With several tasks each may have its own, as in
multi-task SAC (Yu et al. 2019, arXiv 1910.10897).
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from purejaxrl_suite.core import spaces
from purejaxrl_suite.core.types import Array, Environment
from purejaxrl_suite.ops import optimizers


class Temperature(NamedTuple):
    """Temperatures of K tasks. log: f32[K], logarithms. opt_state: of their optimizer."""

    log: Array
    opt_state: Any


def tasks(env: Environment, each: bool) -> tuple[int, Callable[[Array], Array]]:
    """Return the number K of temperatures, and the function obs[B, ...] -> tasks i32[B].

    each: whether each task has its own; else K is 1.

    Raises:
        ValueError: observations do not tell the task.
    """
    if not each:
        return 1, lambda obs: jnp.zeros(obs.shape[0], jnp.int32)
    if not env.observation.tasks:
        raise ValueError(
            f"temperature_of_each_task: observations of {env.name} do not tell the task"
        )
    return env.observation.tasks, lambda obs: spaces.task_of(env.observation, obs)


def initial_temperature(temperature: Array | float, count: int = 1) -> Temperature:
    """Start at a positive number, for `count` tasks (K)."""
    log = jnp.full(count, jnp.log(jnp.asarray(temperature, jnp.float32)))
    return Temperature(log, optimizers.adam(1.0).init(log))


def weight(temperature: Temperature, task: Array) -> Array:
    """Look up the entropy's weight f32[B] in tasks i32[B]."""
    return jnp.exp(temperature.log)[task]


def adjust(
    old: Temperature,
    seen: tuple[Array, Array],
    learning_rate: Array | float,
    target: Array | float,
) -> Temperature:
    """Take a step of Adam on the paper's equation 18, in the logarithm: up if entropy is low.

    Args:
        old: the temperatures.
        seen: log-probabilities f32[B] of the policy's actions, and their tasks i32[B].
        learning_rate: of Adam; 0 keeps temperatures fixed.
        target: the target entropy.

    Returns:
        The new temperatures.
    """
    log_prob, task = seen

    def loss(log: Array) -> Array:
        return -jnp.mean(jnp.exp(log)[task] * (log_prob + target))

    gradient: Any = jax.grad(loss)(old.log)
    change, opt_state = optimizers.adam(learning_rate).update(gradient, old.opt_state)
    return Temperature(optax.tree.add(old.log, change), opt_state)
