"""Heads, their outputs, and distributions over actions."""

import warnings
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn

from purejaxrl_suite.core.types import Array, Box, Discrete, Key, Space
from purejaxrl_suite.nets.layers import Initializer
from purejaxrl_suite.nets.matmul import multiply
from purejaxrl_suite.nets.noisy import NoisyLinear


class Gaussian(NamedTuple):
    """A diagonal normal distribution over continuous actions; mean, log_std: f32[B, d]."""

    mean: Array
    log_std: Array


class ActorCritic(NamedTuple):
    """Output of `actor_critic`. policy: logits f32[B, A] or Gaussian.

    value: f32[B], or f32[B, V] of several `values`.
    """

    policy: Array | Gaussian
    value: Array


class Linear(nn.Module):
    """A linear head, f32[B, D] -> f32[B, units]."""

    units: int
    kernel_init: Initializer
    dtype: Any

    @nn.compact
    def __call__(self, x: Array) -> Array:
        """Apply to a batch."""
        return _linear(self, x)


class GaussianHead(nn.Module):
    """A Gaussian head, f32[B, D] -> Gaussian; the standard deviation does not depend on x."""

    units: int
    kernel_init: Initializer
    dtype: Any

    @nn.compact
    def __call__(self, x: Array) -> Gaussian:
        """Apply to a batch."""
        mean = _linear(self, x)
        log_std = self.param("log_std", nn.initializers.zeros, (self.units,), jnp.float32)
        return Gaussian(mean, jnp.broadcast_to(log_std[None], mean.shape))


def _linear(head: Linear | GaussianHead, x: Array) -> Array:
    shape = (x.shape[-1], head.units)
    kernel = head.param("kernel", head.kernel_init, shape, jnp.float32)
    bias = head.param("bias", nn.initializers.zeros, (head.units,), jnp.float32)
    y = multiply(x.astype(head.dtype), kernel.astype(head.dtype))
    # The output is float32 even for bfloat16 products: softmax and targets need the precision.
    return y.astype(jnp.float32) + bias[None]


class ValueHeads(NamedTuple):
    """Heads for action values.

    modules: linear heads by name. output: their outputs -> f32[B, A] or f32[B, A, M].
    """

    modules: Mapping[str, nn.Module]
    output: Callable[[Mapping[str, Array]], Array]


def value_heads(
    actions: int,
    atoms: int,
    dueling: bool,
    noisy: bool,
    kernel_init: Initializer,
    dtype: Any,
) -> ValueHeads:
    """Make heads for action values.

    Args:
        actions: how many.
        atoms: numbers for each action; 0 is a plain value.
        dueling: two heads, joined by `combine`.
        noisy: with parameters for `nets.add_noise`.
        kernel_init: of kernels that are not noisy.
        dtype: of matrix products.

    Returns:
        The heads.
    """
    shape = (actions, atoms) if atoms else (actions,)

    def linear(units: int) -> nn.Module:
        return NoisyLinear(units, dtype) if noisy else Linear(units, kernel_init, dtype)

    def plain(outputs: Mapping[str, Array]) -> Array:
        return jnp.reshape(outputs["q"], (-1, *shape))

    def joined(outputs: Mapping[str, Array]) -> Array:
        value = jnp.reshape(outputs["value"], (-1, 1, *shape[1:]))
        return combine(value, jnp.reshape(outputs["advantage"], (-1, *shape)))

    units = actions * max(atoms, 1)
    if not dueling:
        return ValueHeads({"q": linear(units)}, plain)
    heads = {"value": linear(max(atoms, 1)), "advantage": linear(units)}
    return ValueHeads(heads, joined)


def combine(value: Array, advantages: Array) -> Array:
    """Compute dueling values: value f32[B, 1, ...] + advantages f32[B, A, ...] - their mean.

    Wang et al. 2016, arXiv 1511.06581, equation 9; for distributions it is applied to each atom, as
    in Rainbow (arXiv 1710.02298).
    """
    return value + advantages - jnp.mean(advantages, axis=1, keepdims=True)


class Categorical(NamedTuple):
    """Categorical distribution over actions. log_probs: f32[B, A], normalised.

    distrax's own normalises once more for its entropy, which is five more kernels per minibatch.
    """

    log_probs: Array

    def log_prob(self, action: Array) -> Array:
        """Return log-probabilities f32[B] of actions i32[B].

        By a one-hot product, because the gradient of an index would be a scatter.
        """
        chosen = jax.nn.one_hot(action, self.log_probs.shape[-1], dtype=bool)
        return jnp.sum(jnp.where(chosen, self.log_probs, 0.0), axis=-1)

    def entropy(self) -> Array:
        """Compute the entropy f32[B], in nats."""
        return -jnp.sum(jnp.exp(self.log_probs) * self.log_probs, axis=-1)

    def mode(self) -> Array:
        """Return the most probable action i32[B]."""
        return jnp.argmax(self.log_probs, axis=-1).astype(jnp.int32)


def distribution(action: Space) -> Callable[[Any], Any]:
    """Make the function from a network's policy output to a distribution over actions [B, ...].

    Its `log_prob` and `entropy` are f32[B], its `mode` is an action. For a Box it is a distribution
    of distrax, which is imported at this call.

    Raises:
        ValueError: the space is neither Discrete nor a Box with one axis.
    """
    if isinstance(action, Discrete):
        return lambda logits: Categorical(jax.nn.log_softmax(logits))
    if isinstance(action, Box) and len(action.shape) == 1:
        distrax = import_distrax()
        return lambda policy: distrax.MultivariateNormalDiag(policy.mean, jnp.exp(policy.log_std))
    raise ValueError(f"action={action}: expected Discrete, or Box with one axis")


def divergence(action: Space) -> Callable[[Any, Any], Array]:
    """Make the function of two policy outputs [B, ...] that computes KL(first || second), f32[B].

    Exactly, over all actions; of distributions as in `distribution`.

    Raises:
        ValueError: the space is neither Discrete nor a Box with one axis.
    """
    if isinstance(action, Discrete):
        return _categorical_divergence
    if isinstance(action, Box) and len(action.shape) == 1:
        return _gaussian_divergence
    raise ValueError(f"action={action}: expected Discrete, or Box with one axis")


def _categorical_divergence(first: Array, second: Array) -> Array:
    p, q = jax.nn.log_softmax(first), jax.nn.log_softmax(second)
    return jnp.sum(jnp.exp(p) * (p - q), axis=-1)


def _gaussian_divergence(first: Gaussian, second: Gaussian) -> Array:
    wider = second.log_std - first.log_std
    apart = (first.mean - second.mean) * jnp.exp(-second.log_std)
    each = wider + 0.5 * (jnp.expm1(-2.0 * wider) + jnp.square(apart))
    return jnp.sum(each, axis=-1)


class Sampler(NamedTuple):
    """Reparameterised sampling, so that random numbers may be drawn beforehand.

    noise: (key, B) -> f32[B, ...]. sample: (noise, policy) -> actions [B, ...] with the
    distribution of `distribution`.
    """

    noise: Callable[[Key, int], Array]
    sample: Callable[[Array, Any], Array]


def sampler(action: Space) -> Sampler:
    """Make a sampler: Gumbel-max for Discrete, mean + std * normal for a Box with one axis."""
    if isinstance(action, Discrete):
        return Sampler(
            lambda key, batch: jax.random.gumbel(key, (batch, action.n)),
            lambda noise, logits: jnp.argmax(logits + noise, axis=-1).astype(jnp.int32),
        )
    return Sampler(
        lambda key, batch: jax.random.normal(key, (batch, *action.shape)),
        lambda noise, policy: policy.mean + jnp.exp(policy.log_std) * noise,
    )


def import_distrax() -> Any:
    """Import distrax without the deprecation warnings of its dependencies."""
    with warnings.catch_warnings():
        # tensorflow-probability, which distrax imports, reads a deprecated name of JAX.
        warnings.filterwarnings("ignore", ".*pytype_aval_mappings.*", DeprecationWarning)
        import distrax
    return distrax
