"""Losses and diagnostics of policy and value learning, per sample but for the last."""

import jax.numpy as jnp

from purejaxrl_suite.core.types import Array


def ppo_surrogate(
    log_prob: Array, old_log_prob: Array, advantages: Array, clip_range: Array | float
) -> Array:
    """Clipped surrogate loss per sample, to be minimised.

    Schulman et al. 2017, arXiv 1707.06347, equation 7, negated.
    """
    ratio = jnp.exp(log_prob - old_log_prob)
    clipped = jnp.clip(ratio, 1.0 - clip_range, 1.0 + clip_range)
    return -jnp.minimum(ratio * advantages, clipped * advantages)


def clipped_value_loss(
    values: Array, old_values: Array, targets: Array, clip_range: Array | float
) -> Array:
    """Half the larger of two squared errors per sample.

    One is of the value, the other of the value moved at most clip_range from the old one.
    A detail of OpenAI's PPO (baselines ppo2) that the paper leaves out; see Engstrom et al. 2020,
    arXiv 2005.12729.
    """
    clipped = old_values + jnp.clip(values - old_values, -clip_range, clip_range)
    return 0.5 * jnp.maximum(jnp.square(values - targets), jnp.square(clipped - targets))


def huber(errors: Array, delta: Array | float = 1.0) -> Array:
    """Huber loss per sample: quadratic within delta, linear beyond (Huber 1964)."""
    size = jnp.abs(errors)
    quadratic = jnp.minimum(size, delta)
    return quadratic * (size - 0.5 * quadratic)


def approximate_kl(log_ratio: Array) -> Array:
    """(ratio - 1) - log ratio per sample, never negative; its mean is unbiased for KL(old || new).

    log_ratio: log_prob - old_log_prob of actions drawn from the old policy. Estimator k3 of
    Schulman 2020, http://joschu.net/blog/kl-approx.html.
    """
    # expm1 keeps the quadratic term where the policies nearly agree and exp(x) - 1 has cancelled.
    return jnp.expm1(log_ratio) - log_ratio


def clipped(log_ratio: Array, clip_range: Array | float) -> Array:
    """1 per sample whose probability ratio is outside 1 +- clip_range, else 0."""
    outside = jnp.abs(jnp.expm1(log_ratio)) > clip_range
    return outside.astype(jnp.float32)


def means(samples: dict[str, Array]) -> dict[str, Array]:
    """The mean of each array, f32[]: one reduction of all, which have one shape."""
    stacked = jnp.stack(list(samples.values()))
    found = jnp.mean(jnp.reshape(stacked, (len(samples), -1)), axis=1)
    return {name: found[i] for i, name in enumerate(samples)}


def explained_variance(predictions: Array, targets: Array) -> Array:
    """1 - Var[targets - predictions] / Var[targets], over all entries: f32[].

    0 where the targets are constant: then there is no variance to explain.
    """
    variance = jnp.var(targets)
    constant = variance <= 0.0
    unexplained = jnp.var(targets - predictions) / jnp.where(constant, 1.0, variance)
    return jnp.where(constant, 0.0, 1.0 - unexplained)
