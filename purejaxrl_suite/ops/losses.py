"""Losses and diagnostics of policy and value learning, mostly per sample."""

import jax.numpy as jnp

from purejaxrl_suite.core.types import Array


def ppo_surrogate(
    log_prob: Array, old_log_prob: Array, advantages: Array, clip_range: Array | float
) -> Array:
    """Compute PPO's clipped surrogate loss per sample, to be minimised.

    Schulman et al. 2017, arXiv 1707.06347, equation 7, negated.

    Args:
        log_prob: log-probabilities of the actions under the current policy.
        old_log_prob: those under the policy that acted.
        advantages: estimated advantages of the actions.
        clip_range: ratios outside 1 +- clip_range are clipped.

    Returns:
        The loss, of the shape of `log_prob`.
    """
    ratio = jnp.exp(log_prob - old_log_prob)
    clipped = jnp.clip(ratio, 1.0 - clip_range, 1.0 + clip_range)
    return -jnp.minimum(ratio * advantages, clipped * advantages)


def mirror_surrogate(
    log_ratio: Array,
    advantages: Array,
    divergences: Array,
    eta: Array | float,
    softmax: bool,
) -> Array:
    """Compute the loss of functional mirror ascent per sample, to be minimised.

    D / eta - A x, where x is the probability ratio, if the policy is represented by probabilities,
    or its logarithm, if by logits. Vaswani et al. 2022, arXiv 2108.05828, equations of MDPO and
    sPPO, negated, with actions drawn from the old policy.

    Args:
        log_ratio: log_prob - old_log_prob of the actions.
        advantages: estimated advantages of the actions.
        divergences: D, of the new and the old policy in each state.
        eta: the step size in the space of policies.
        softmax: whether the representation is by logits.

    Returns:
        The loss, of the shape of `log_ratio`.
    """
    moved = log_ratio if softmax else jnp.exp(log_ratio)
    return divergences / eta - moved * advantages


def clipped_value_loss(
    values: Array, old_values: Array, targets: Array, clip_range: Array | float
) -> Array:
    """Compute PPO's clipped value loss per sample: half the larger of two squared errors.

    One is that of the value, the other that of the value clipped to within clip_range of the old
    value. A detail of OpenAI's PPO (baselines ppo2) that the paper leaves out; see Engstrom et al.
    2020, arXiv 2005.12729.

    Args:
        values: predictions.
        old_values: those of the network that acted.
        targets: of the predictions.
        clip_range: how far values may move from the old ones.

    Returns:
        The loss, of the shape of `values`.
    """
    clipped = old_values + jnp.clip(values - old_values, -clip_range, clip_range)
    return 0.5 * jnp.maximum(jnp.square(values - targets), jnp.square(clipped - targets))


def huber(errors: Array, delta: Array | float = 1.0) -> Array:
    """Compute the Huber loss per sample: quadratic within delta, linear beyond (Huber 1964)."""
    size = jnp.abs(errors)
    quadratic = jnp.minimum(size, delta)
    return quadratic * (size - 0.5 * quadratic)


def approximate_kl(log_ratio: Array) -> Array:
    """Estimate KL(old || new) per sample as (ratio - 1) - log ratio: unbiased, never negative.

    log_ratio: log_prob - old_log_prob of actions drawn from the old policy. Estimator k3 of
    Schulman 2020, http://joschu.net/blog/kl-approx.html.
    """
    # expm1 keeps the quadratic term, which exp(x) - 1 loses where the policies nearly agree.
    return jnp.expm1(log_ratio) - log_ratio


def clipped(log_ratio: Array, clip_range: Array | float) -> Array:
    """Return 1 for each sample whose probability ratio is outside 1 +- clip_range, else 0."""
    outside = jnp.abs(jnp.expm1(log_ratio)) > clip_range
    return outside.astype(jnp.float32)


def means(samples: dict[str, Array]) -> dict[str, Array]:
    """Compute the mean f32[] of each array, all of one shape, in a single reduction."""
    stacked = jnp.stack(list(samples.values()))
    found = jnp.mean(jnp.reshape(stacked, (len(samples), -1)), axis=1)
    return {name: found[i] for i, name in enumerate(samples)}


def explained_variance(predictions: Array, targets: Array) -> Array:
    """Compute 1 - Var[targets - predictions] / Var[targets] over all entries: f32[].

    It is 0 where the targets are constant: then there is no variance to explain.
    """
    variance = jnp.var(targets)
    constant = variance <= 0.0
    unexplained = jnp.var(targets - predictions) / jnp.where(constant, 1.0, variance)
    return jnp.where(constant, 0.0, 1.0 - unexplained)
