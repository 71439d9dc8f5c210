"""Functions of spaces: array shapes, descriptions, task labels and valid actions."""

import jax
import jax.numpy as jnp
import numpy as np

from purejaxrl_suite.core.types import Array, Box, Discrete, Space

IMPOSSIBLE = -1e9
"""Logit or value of an action that a task does not have: its probability is exactly zero."""


def abstract(space: Space, *batch: int) -> jax.ShapeDtypeStruct:
    """Return shape and dtype of elements of a space, with leading batch axes."""
    if isinstance(space, Discrete):
        return jax.ShapeDtypeStruct(batch, jnp.int32)
    return jax.ShapeDtypeStruct(batch + tuple(space.shape), jnp.dtype(space.dtype))


def describe(space: Space) -> str:
    """Describe a space in a few words, for messages and tables."""
    if isinstance(space, Discrete):
        return f"Discrete({space.n}{', some in each task' if space.valid else ''})"
    shape = "x".join(map(str, space.shape)) or "scalar"
    tasks = f", {space.tasks} tasks" if space.tasks else ""
    return f"Box({shape} {jnp.dtype(space.dtype).name}{tasks})"


def task_of(observation: Box, obs: Array) -> Array:
    """Read the task i32[...] from observations [..., *shape]; ValueError if they do not tell it."""
    if not observation.tasks:
        raise ValueError(f"observation {describe(observation)} does not tell the task")
    corner = (0,) * (len(observation.shape) - 1)
    return jnp.argmax(obs[..., *corner, -observation.tasks :], axis=-1).astype(jnp.int32)


def without_task(observation: Box) -> Box:
    """Return the space of observations without the entries that tell the task."""
    if not observation.tasks:
        raise ValueError(f"observation {describe(observation)} does not tell the task")
    cut = slice(-observation.tasks)
    low, high = (b[cut] if isinstance(b, tuple) else b for b in observation[2:4])
    shape = (*observation.shape[:-1], observation.shape[-1] - observation.tasks)
    return Box(
        shape=shape,
        dtype=observation.dtype,
        low=low,
        high=high,
        categories=observation.categories[cut],
    )


def valid_actions(observation: Box, action: Space, obs: Array) -> Array | None:
    """Tell which actions are valid at observations [..., *shape], bool[..., A]; None: all are."""
    if not (isinstance(action, Discrete) and action.valid):
        return None
    return jnp.asarray(np.array(action.valid))[task_of(observation, obs)]
