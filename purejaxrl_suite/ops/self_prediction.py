"""Self-prediction of SPR (Schwarzer et al. 2021, arXiv 2007.05929), for one sequence."""

import jax.numpy as jnp

from purejaxrl_suite.core.types import Array


def ended(terminated: Array, mask: Array) -> Array:
    """bool[B, L]: behind which steps of windows [L, B] there is nothing to predict."""
    return (terminated | (mask == 0.0)).T


def mask(ended: Array) -> Array:
    """Which of K predictions have a target: f32[K] from ended bool[K].

    Prediction k = 1 .. K is of the state k steps on, and counts where none of the k steps before it
    ended the episode.
    """
    return 1.0 - jnp.minimum(jnp.cumsum(ended), 1).astype(jnp.float32)


def mask_as_released(terminated: Array) -> Array:
    """The masks f32[B, K] that BBF's released code makes of a batch bool[B, K + 1].

    Also the step that leaves the predicted state must not have ended the episode, and the first
    sample of the batch is never masked (arXiv 2305.19452; its code zeroes index 0 of the wrong
    axis).
    """
    ended = terminated.at[0].set(False)
    return 1.0 - jnp.minimum(jnp.cumsum(ended, axis=1), 1).astype(jnp.float32)[:, 1:]


def loss(predictions: Array, targets: Array, mask: Array) -> Array:
    """Mean over K of mask * |u(prediction) - u(target)|^2, u of unit length: f32[], in [0, 4].

    That is 2 - 2 cos(prediction, target). predictions: f32[K, D]. targets: f32[K, D], behind a
    `stop_gradient`. mask: f32[K]; the mean divides by K whatever is masked, as BBF's does.
    """
    distance = jnp.sum(jnp.square(_unit(predictions) - _unit(targets)), axis=-1)
    return jnp.mean(mask * distance)


def _unit(x: Array) -> Array:
    # The floor is inside the root: the gradient of a norm at 0 is not finite.
    return x / jnp.sqrt(jnp.maximum(jnp.sum(jnp.square(x), axis=-1, keepdims=True), 1e-10))
