"""Formulas of pairwise preferences as densities (Dumoulin et al. 2023, arXiv 2311.14115).

How an annotator of N items chooses between two of them is described by scores Omega f[N]:

    P(a is preferred to b) = sigmoid(Omega(a) - Omega(b)),   Omega = f log p + g,

and f and g, a `Behaviour`, say how its density p makes it choose. A model whose behaviour is that
of the annotator learns p; with another one it learns what `optimum` says. Densities are relative to
a measure: log p + log_measure sums to 1, and log_measure is 0 for probabilities.
"""

from functools import reduce
from typing import NamedTuple

import jax
import jax.numpy as jnp

from purejaxrl_suite.core.types import Array

Scalar = Array | float


class Behaviour(NamedTuple):
    """How a density makes preferences, Omega = scale * log p + shift.

    scale: f[], above 0. shift: f[N], or a number.
    """

    scale: Scalar
    shift: Scalar

    def scores(self, log_p: Array) -> Array:
        """Compute the scores Omega f[N] of log densities f[N], normalised or not."""
        return self.scale * log_p + self.shift


def luce() -> Behaviour:
    """Make the behaviour of Luce's rule of choice, which picks by the odds of the density."""
    return Behaviour(1.0, 0.0)


def direct(log_prior: Array, beta: Scalar) -> Behaviour:
    """Make the behaviour that DPO assumes (Rafailov et al. 2023, arXiv 2305.18290).

    Args:
        log_prior: f[N], the log density that it is relative to.
        beta: f[], strength of the prior.

    Returns:
        The behaviour.
    """
    return Behaviour(beta, -beta * log_prior)


def geometric(log_prior: Array, alpha: Scalar) -> Behaviour:
    """Make the behaviour of which the density is a geometric average with the prior.

    Args:
        log_prior: f[N].
        alpha: f[] in (0, 1], the weight of what is preferred; 1 is Luce's rule.

    Returns:
        The behaviour.
    """
    return Behaviour(1.0 / alpha, (1.0 - 1.0 / alpha) * log_prior)


def normalised(weights: Array, log_measure: Scalar = 0.0) -> Array:
    """Normalise log weights f[N] to log densities."""
    return weights - jax.nn.logsumexp(weights + log_measure)


def optimum(model: Behaviour, scores: Array, log_measure: Scalar = 0.0) -> Array:
    """Compute the log density f[N] with which a model chooses as an annotator does.

    Any loss that is least where the model's probabilities are the annotator's leads there. With the
    model's own behaviour it is the annotator's density; DPO on preferences of Luce's rule gives
    prior * p^(1 / beta), a geometric model prior^(1 - alpha) * p^alpha.

    Args:
        model: its behaviour.
        scores: f[N], of the annotator.
        log_measure: f[N].

    Returns:
        The log density.
    """
    return normalised((scores - model.shift) / model.scale, log_measure)


def identity_optimum(
    log_prior: Array, wins: Array, tau: Scalar, log_measure: Scalar = 0.0
) -> Array:
    """Compute the log density f[N] that IPO learns (Azar et al. 2023, arXiv 2310.12036).

    Args:
        log_prior: f[N].
        wins: f[N], the probability of each item to win against one of the prior.
        tau: f[], strength of the prior.
        log_measure: f[N].

    Returns:
        The log density of prior * exp(wins / tau).
    """
    return normalised(log_prior + wins / tau, log_measure)


def margins(scores: Array) -> Array:
    """Compute the logits f[..., N, N] of the preference of item i (axis -2) to item j."""
    return scores[..., :, None] - scores[..., None, :]


def mixture_log_probability(log_weights: Array, logits: Array) -> Array:
    """Compute the log of a mixture of annotators' probabilities, sum_k w_k sigmoid(logit_k).

    Args:
        log_weights: f[K], normalised or not.
        logits: f[K, ...], of each annotator.

    Returns:
        f[...].
    """
    weights = jax.nn.log_softmax(log_weights)
    each = [w - jax.nn.softplus(-x) for w, x in zip(weights, logits, strict=True)]
    # One by one, not by a sum over an axis: XLA makes one loop of it, twice as fast.
    return reduce(jnp.logaddexp, each)


def mixture_logits(log_weights: Array, logits: Array) -> Array:
    """Compute the logit of a mixture of annotators.

    Args:
        log_weights: f[K], normalised or not.
        logits: f[K, ...], of each annotator.

    Returns:
        f[...]. In general no scores of items have such logits.
    """
    wins, losses = (mixture_log_probability(log_weights, x) for x in (logits, -logits))
    return wins - losses


def cross_entropy(margin: Array) -> Array:
    """Compute the loss f[...] of rewards and of DPO, from logits of who was preferred."""
    return jax.nn.softplus(-margin)


def hinge(margin: Array, delta: Scalar) -> Array:
    """Compute the loss f[...] of SLiC-HF (Zhao et al. 2023, arXiv 2305.10425); delta: its margin.

    margin: log p of who was preferred minus that of the other.
    """
    return jax.nn.relu(delta - margin)


def identity(margin: Array, tau: Scalar) -> Array:
    """Compute the loss f[...] of IPO (Azar et al. 2023, arXiv 2310.12036).

    margin: difference of log(p / prior). tau: strength of the prior.
    """
    return jnp.square(margin - 0.5 / tau)


def divergence(log_p: Array, log_q: Array, log_measure: Scalar = 0.0) -> Array:
    """Compute the Kullback-Leibler divergence f[] of q from p, in nats."""
    return jnp.sum(jnp.exp(log_p + log_measure) * (log_p - log_q))


def total_variation(log_p: Array, log_q: Array, log_measure: Scalar = 0.0) -> Array:
    """Compute the total variation f[] in [0, 1] between two densities."""
    apart = jnp.abs(jnp.exp(log_p + log_measure) - jnp.exp(log_q + log_measure))
    return 0.5 * jnp.sum(apart)
