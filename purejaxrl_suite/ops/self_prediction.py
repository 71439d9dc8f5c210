"""Self-prediction of SPR (Schwarzer et al. 2021, arXiv 2007.05929), for one sequence."""

import jax.numpy as jnp

from purejaxrl_suite.core.types import Array


def ended(terminated: Array, mask: Array) -> Array:
    """Tell after which steps of windows [L, B] there is nothing to predict: bool[B, L]."""
    return (terminated | (mask == 0.0)).T


def mask(ended: Array) -> Array:
    """Mask the predictions without a target: f32[K] from ended bool[K].

    Prediction k = 1 .. K is of the state k steps on, and counts if none of the k steps before it
    ended the episode.
    """
    return 1.0 - jnp.minimum(jnp.cumsum(ended), 1).astype(jnp.float32)


def mask_as_released(terminated: Array) -> Array:
    """Make the masks f32[B, K] of BBF's released code from a batch bool[B, K + 1].

    They differ from `mask` in two ways: the step that leaves the predicted state must not end the
    episode either, and the first sample of the batch is never masked (arXiv 2305.19452; its code
    zeroes index 0 of the wrong axis).
    """
    ended = terminated.at[0].set(False)
    return 1.0 - jnp.minimum(jnp.cumsum(ended, axis=1), 1).astype(jnp.float32)[:, 1:]


def loss(predictions: Array, targets: Array, mask: Array) -> Array:
    """Compute SPR's loss: the mean over K of mask * |u(prediction) - u(target)|^2, |u| = 1.

    The squared distance is 2 - 2 cos(prediction, target). The mean divides by K, masked or not, as
    BBF's does.

    Args:
        predictions: f32[K, D].
        targets: f32[K, D], with stopped gradient.
        mask: f32[K].

    Returns:
        f32[] in [0, 4].
    """
    distance = jnp.sum(jnp.square(_unit(predictions) - _unit(targets)), axis=-1)
    return jnp.mean(mask * distance)


def _unit(x: Array) -> Array:
    # The floor is inside the root, where it keeps the gradient at 0 finite.
    return x / jnp.sqrt(jnp.maximum(jnp.sum(jnp.square(x), axis=-1, keepdims=True), 1e-10))
