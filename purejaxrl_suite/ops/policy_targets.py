"""Regularised policy updates of Muesli (Hessel et al. 2021, arXiv 2104.06159), for one state.

A prior is improved by clipped advantages (CMPO); the policy is drawn towards the result, exactly or
by samples of the prior. Everything here is a constant of the loss but the policy's own
log-probabilities. MPO (Abdolmaleki et al. 2018, arXiv 1806.06920) improves the prior without a clip
by advantages over a temperature, which is learnt, as the multiplier of its trust region is.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from purejaxrl_suite.core.types import Array


def cmpo_policy(log_prior: Array, advantages: Array, clip: Array | float = 1.0) -> Array:
    """Compute the log-probabilities of clipped maximum a posteriori policy optimisation (CMPO).

    pi(a) = prior(a) exp(clip(adv(a), -c, c)) / z. Equation 7. It is never further from the prior
    than tanh(c / 2) in total variation (theorem 4.1); without a clip it is MPO's policy.

    Args:
        log_prior: f32[A], log-probabilities.
        advantages: f32[A], normalised.
        clip: c.

    Returns:
        f32[A], log-probabilities.

    Example:
        >>> from purejaxrl_suite.ops.policy_targets import cmpo_policy
        >>> prior = jnp.log(jnp.array([0.5, 0.5]))
        >>> target = cmpo_policy(prior, jnp.array([9.0, -9.0]), clip=1.0)
        >>> round(float(jnp.exp(target[0])), 4)
        0.8808
    """
    return jax.nn.log_softmax(log_prior + jnp.clip(advantages, -clip, clip))


def cmpo_weights(
    advantages: Array, clip: Array | float = 1.0, initial: Array | float = 1.0
) -> Array:
    """Compute the weights of actions sampled from the prior, for `sampled_distillation`.

    w_k = exp(clip(adv_k)) / z_k, where z_k, the estimate of the normaliser, leaves sample k out, so
    that weight and normaliser are independent: N z_k = initial + the sum of the others. Equations
    11 and 12.

    Args:
        advantages: f32[N], of the samples, normalised.
        clip: c.
        initial: z_init, of the estimate without other samples.

    Returns:
        f32[N].
    """
    improved = jnp.exp(jnp.clip(advantages, -clip, clip))
    others = jnp.sum(improved) - improved
    return improved * len(improved) / (initial + others)


def sampled_distillation(log_probs: Array, weights: Array) -> Array:
    """Compute the cross-entropy f32[] to a target policy, by N samples of the prior.

    It is minus the mean of w_k log pi(a_k), whose gradient is that of KL(target || pi).

    Args:
        log_probs: f32[N], of the sampled actions under the policy.
        weights: f32[N], target over prior, as `cmpo_weights` estimates it.

    Returns:
        The loss.
    """
    return -jnp.mean(weights * log_probs)


def distillation(log_probs: Array, log_target: Array) -> Array:
    """Compute KL(target || pi), f32[]: log_probs f32[A] of the policy, log_target f32[A]."""
    return jnp.exp(log_target) @ (log_target - log_probs)


def temperature_loss(
    temperature: Array, log_prior: Array, advantages: Array, bound: Array | float
) -> Array:
    """Compute the dual of MPO's improvement, f32[], convex in the temperature.

    eta (bound + log sum_a prior(a) exp(adv(a) / eta)). Where it is least, the improved policy
    `cmpo_policy(log_prior, adv / eta, inf)` is `bound` away from the prior: KL(improved || prior).
    Averaged over states it is their mean divergence.

    Args:
        temperature: eta > 0, which the loss is of.
        log_prior: f32[A], log-probabilities; -inf leaves an entry out.
        advantages: f32[A], or action values.
        bound: of the divergence (epsilon).

    Returns:
        The loss; advantages and prior are constants.
    """
    prior, each = jax.lax.stop_gradient((log_prior, advantages))
    return temperature * (bound + jax.nn.logsumexp(prior + each / temperature))


def constrained(multiplier: Array, divergence: Array, bound: Array | float) -> Array:
    """Compute the terms f32[] of a Lagrangian whose multiplier ascends while others descend.

    Its gradient is multiplier * grad divergence for the policy; for the multiplier it is bound -
    divergence, so that descent raises it while the bound is exceeded.

    Args:
        multiplier: of the constraint, positive.
        divergence: f32[], of the policy from the one before.
        bound: of the divergence.

    Returns:
        The terms.
    """
    fixed = jax.lax.stop_gradient
    return fixed(multiplier) * divergence + multiplier * (bound - fixed(divergence))


class SecondMoment(NamedTuple):
    """A moving second moment about 0. moment: f32[], biased to 0. weight: f32[], of the start."""

    moment: Array
    weight: Array


def second_moment() -> SecondMoment:
    """Make the second moment of nothing."""
    return SecondMoment(jnp.zeros(()), jnp.ones(()))


def update_second_moment(
    state: SecondMoment, values: Array, decay: Array | float = 0.99
) -> SecondMoment:
    """Add a batch f32[...] of errors to a moving second moment; section 4.5."""
    found = jnp.mean(jnp.square(values))
    return SecondMoment(decay * state.moment + (1.0 - decay) * found, decay * state.weight)


def normalized(state: SecondMoment, values: Array, epsilon: Array | float = 1e-12) -> Array:
    """Divide values f32[...] by the root of the moment, without its bias to 0.

    After the first batch that is the batch's own. Before it, values are divided by the root of
    epsilon alone: update first.
    """
    seen = 1.0 - state.weight
    moment = state.moment / jnp.where(seen > 0.0, seen, 1.0)
    return values / jnp.sqrt(moment + epsilon)
