"""The network that says how fast silicon hops for a beam, and rates made of several of them.

Context (beam in the canonical frame, and conditions) -> batch normalization -> layers with swish ->
four softplus outputs o. The total rate is o[3] per second; the share of each neighbour is the
softmax of o[0], o[1], o[2]. As in the released pipeline of arXiv 2311.17894.
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import jax
import jax.numpy as jnp

from purejaxrl_suite.core.types import Array, Key, PyTree
from purejaxrl_suite.envs.silicon_rates import Rates, fixed
from purejaxrl_suite.microscopy.transitions import canonical

OUTPUTS = 4
MOMENTUM, EPSILON = 0.9, 1e-5
"""Of the batch normalization."""


class Moments(NamedTuple):
    """Running mean and variance f32[C] of contexts."""

    mean: Array
    variance: Array


class RateModel(NamedTuple):
    """A trained network: params, and the moments that it normalizes contexts by."""

    params: PyTree
    moments: Moments


def initial_params(key: Key, inputs: int, hidden: Sequence[int]) -> PyTree:
    """Draw the parameters of a network with layers of `hidden` units for contexts f32[inputs]."""
    sizes = (inputs, *hidden, OUTPUTS)
    draw = jax.nn.initializers.lecun_normal()
    keys = jax.random.split(key, len(sizes) - 1)
    layers = {
        f"layer_{i}": {"kernel": draw(key, pair), "bias": jnp.zeros(pair[1])}
        for i, (key, pair) in enumerate(zip(keys, pairwise(sizes), strict=True))
    }
    return {"norm": {"scale": jnp.ones(inputs), "bias": jnp.zeros(inputs)}, **layers}


def initial_moments(inputs: int) -> Moments:
    """Make moments before any data."""
    return Moments(jnp.zeros(inputs), jnp.ones(inputs))


def batch_moments(context: Array) -> Moments:
    """Compute the moments of a batch of contexts f32[B, C]."""
    return Moments(jnp.mean(context, axis=0), jnp.var(context, axis=0))


def followed(moments: Moments, batch: Moments) -> Moments:
    """Move running moments towards those of a batch."""
    return jax.tree.map(lambda old, new: MOMENTUM * old + (1 - MOMENTUM) * new, moments, batch)


def outputs(params: PyTree, moments: Moments, context: Array) -> Array:
    """Compute the softplus outputs o f32[B, 4] of contexts f32[B, C]."""
    scale = params["norm"]["scale"] / jnp.sqrt(moments.variance + EPSILON)
    x = (context - moments.mean[None]) * scale[None] + params["norm"]["bias"][None]
    count = len(params) - 1
    for i in range(count):
        layer = params[f"layer_{i}"]
        x = x @ layer["kernel"] + layer["bias"][None]
        x = jax.nn.swish(x) if i < count - 1 else jax.nn.softplus(x)
    return x


def rates_of(found: Array) -> Array:
    """Compute the rates f32[..., 3] to the neighbours from outputs f32[..., 4]."""
    return jax.nn.softmax(found[..., :3], axis=-1) * found[..., 3:]


def canonical_rates(models: RateModel, context: Array) -> Array:
    """Average the rates f32[B, 3] of networks, leaves [M, ...], for contexts f32[B, C]."""
    each = jax.vmap(lambda model: rates_of(outputs(model.params, model.moments, context)))(models)
    return jnp.mean(each, axis=0)


def learned(models: RateModel, conditions: Sequence[float] = ()) -> Rates:
    """Make the rates of an environment of networks, the mean over all of them.

    Args:
        models: leaves [M, ...].
        conditions: f32[c], as in the transitions that they learnt from.

    Returns:
        The rates, whose parameters are the networks.
    """
    known = tuple(float(x) for x in conditions)

    def rate(params: RateModel, beam: Array, bonds: Array) -> Array:
        turned, order = canonical(beam, bonds)
        context = jnp.concatenate([turned, jnp.asarray(known, jnp.float32)])
        found = canonical_rates(params, context[None])[0]
        return jnp.zeros(3).at[order].set(found)

    return fixed(f"learned{known}", models, rate)
