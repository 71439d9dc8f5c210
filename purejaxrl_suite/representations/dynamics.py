"""An auxiliary term that makes features tell which step leads where.

Moon et al. 2022, arXiv 2210.11057, in the form of Garcin et al. 2025, arXiv 2503.06343. A
classifier beside the network tells the transitions of a minibatch from those with another action,
and from those with the successor of another sample. Its gradient reaches the features of both
observations. After a termination there is nothing to see: an observation of zeros, as for MICo.
"""

from functools import partial

import jax
import jax.numpy as jnp

from purejaxrl_suite import nets
from purejaxrl_suite.core.argument import integer, wrong
from purejaxrl_suite.core.types import Agent, Array, Discrete, LossInputs, Network
from purejaxrl_suite.ops import transitions
from purejaxrl_suite.representations.auxiliary import Auxiliary, Told
from purejaxrl_suite.representations.layers import (
    chosen_layers,
    features_at,
    reads_actions,
    rows,
)
from purejaxrl_suite.representations.samples import samples_of


def dynamics(layer: str | None = None, hidden: tuple[int, ...] = (256, 256)) -> Auxiliary:
    """Make the loss of a classifier of transitions: its binary cross-entropy.

    BCE(f(x, a, x'), 1) + BCE(f(x, b, x'), 0) / 2 + BCE(f(x, a, y'), 0): x and x' are features
    before and after action a, b is another action, drawn as often as the batch took it, and y' what
    followed another sample, in a random order.

    Args:
        layer: the features: "actor", "critic", or the name of a layer, as in `mico`.
        hidden: units of the hidden layers of f.

    Returns:
        The term, for `auxiliary`; `dynamics_weight` is 1, as the paper's for critics. Actions are
        Discrete.

    Raises:
        ValueError: an argument is of another kind.
    """
    if not isinstance(hidden, tuple) or not hidden:
        raise wrong("hidden", "a tuple with the units of each layer", hidden)
    units = tuple(integer(f"hidden[{i}]", x, 1) for i, x in enumerate(hidden))
    settings = [f"layer={layer}" if layer else "", f"hidden={units}" if units != (256, 256) else ""]
    told = ", ".join(x for x in settings if x)

    def loss(inputs: LossInputs) -> Told:
        (one,), batch = chosen_layers(inputs.network, layer), samples_of(inputs)
        other_key, order_key = jax.random.split(inputs.key)
        x = rows(inputs.internals.features, (one,), inputs.batch.reward.ndim)[one]
        after = features_at(inputs.network, inputs.params, batch.next_obs, (one,))[one]
        actions = _actions(inputs, one, x)
        logits = transitions.other_action_logits(batch.action, actions, batch.counts)
        other = jax.random.categorical(other_key, logits)
        order = jax.random.permutation(order_key, len(x))

        def judged(action: Array, following: Array) -> Array:
            encoded = jax.nn.one_hot(action, actions)
            return nets.transition_logits(inputs.params, one, x, encoded, following)

        each = transitions.classification_loss(
            judged(batch.action, after), judged(other, after), judged(batch.action, after[order])
        )
        counts = (batch.counts & batch.counts[order]).astype(jnp.float32)
        total = jnp.sum(counts * each) / jnp.maximum(jnp.sum(counts), 1.0)
        return total, {"dynamics_loss": total}

    return Auxiliary(
        name=f"dynamics({told})" if told else "dynamics",
        kind="dynamics",
        weight=1.0,
        loss=loss,
        check=partial(_check, layer),
        extend=partial(_extended, layer, units),
    )


def _actions(inputs: LossInputs, layer: str, x: Array) -> int:
    """The number of actions that the classifier of a layer reads."""
    return nets.classifier_inputs(inputs.params, layer) - 2 * x.shape[1]


def _extended(layer: str | None, hidden: tuple[int, ...], agent: Agent) -> Network:
    """The network of an agent with a classifier."""
    network, action = agent.network, agent.action
    assert network is not None and isinstance(action, Discrete)
    (one,) = chosen_layers(network, layer)
    return nets.with_transition_classifier(network, one, agent.observation, action, hidden)


def _check(layer: str | None, agent: Agent) -> None:
    """Raise ValueError for an agent without one layer of features of single steps."""
    network, action = agent.network, agent.action
    if network is None:
        raise ValueError(f"builder: dynamics expects an agent with a network, got {agent.name}")
    if not isinstance(action, Discrete) or action.n < 2:
        raise ValueError(f"builder: dynamics of {agent.name}: expected 2 or more Discrete actions")
    if jax.tree.leaves(jax.eval_shape(lambda: network.memory(1))):
        raise ValueError("network: dynamics compares single steps, expected one without a memory")
    layers = chosen_layers(network, layer)
    if len(layers) != 1 or reads_actions(layers[0]):
        text = "expected one that reads no actions"
        raise ValueError(f"layer: dynamics of {agent.name}: {text}, got {', '.join(layers)}")
