"""Inspections of networks without an agent: the loss is some function of the outputs."""

import jax
import jax.numpy as jnp

from purejaxrl_suite.core.types import Inspection
from purejaxrl_suite.ops.probe import probe


def loss_of(network, obs):
    def loss(params, taps):
        output, internals = network.apply(params, obs, network.memory(obs.shape[0]), taps)
        values = jnp.concatenate([jnp.ravel(x) for x in jax.tree.leaves(output)])
        return jnp.mean(jnp.sin(3.0 * values)), internals.features

    return loss


def inspection_of_network(network, obs):
    def probed(learner):
        return probe(loss_of(network, obs), learner.params)

    def sample(learner, i):
        alone = jax.lax.dynamic_slice_in_dim(obs, i, 1)
        return probe(loss_of(network, alone), learner.params).grads

    count = obs.shape[0]
    actions = jnp.zeros(count, jnp.int32)
    return Inspection(network, probed, lambda: obs, lambda: (actions, actions), sample, count)


def outputs(network, params, obs):
    output = network.apply(params, obs, network.memory(obs.shape[0]), {})[0]
    return jnp.concatenate([jnp.ravel(x) for x in jax.tree.leaves(output)])
