"""The state-associative model of synthetic returns, beside an agent's network (arXiv 2102.12425).

It reads embeddings of states, a hidden layer of the network. Embeddings of the past are kept, not
what they contribute: that changes as c is learnt. They are kept as they were; what moves the
embedding is the gate and the bias of the present state alone.
"""

from collections.abc import Callable
from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp

from purejaxrl_suite.core import types, validate
from purejaxrl_suite.core.argument import instance, integer, wrong
from purejaxrl_suite.core.types import Array, Key, Memory, PyTree
from purejaxrl_suite.core.validate import Range
from purejaxrl_suite.nets import associative
from purejaxrl_suite.ops.synthetic import past_sums

WHOLE = (
    "builder: expected that of an agent that learns from whole rollouts, impala or ppo with a "
    "network that has a memory"
)
"""What is said of others."""


class SyntheticSettings(NamedTuple):
    """What changes the compiled program.

    Attributes:
        capacity: states of an episode that are remembered (M); of longer ones the last.
        hidden: units of the hidden layers of each of the model's three perceptrons.
        gated: predict with a gate of the present state; without one it is 1.
        biased: predict with a bias of the present state; without one it is 0.
        loss_weight: factor of the model's loss, a mean over steps like the agent's own.
        layer: of the network, that embeds states; "" is the last hidden one before a memory, the
            critic's if there are two trunks.
    """

    capacity: Annotated[int, Range(1)] = 300
    hidden: tuple[int, ...] = (128, 128)
    gated: bool = True
    biased: bool = True
    loss_weight: Annotated[float, Range(0)] = 1.0
    layer: str = ""


def checked(settings: SyntheticSettings) -> SyntheticSettings:
    """Return the settings, with Python's own numbers.

    Raises:
        ValueError: they are of another type, or a field is out of its range.
    """
    found = validate.fields("settings", instance("settings", settings, SyntheticSettings))
    instance("settings.hidden", found.hidden, tuple)
    for i, units in enumerate(found.hidden):
        integer(f"settings.hidden[{i}]", units, 1)
    instance("settings.layer", found.layer, str)
    return found


class Past(NamedTuple):
    """What the model knows at the start of a rollout, in the place of the network's memory there.

    memory: of the network, [N, ...]. remembered: f32[N, M, D], embeddings of the states before, the
    latest last. count: i32[N], how many of them are of the episode in progress. reward: f32[N, T],
    of the task in the rollout.
    """

    memory: Memory
    remembered: Array
    count: Array
    reward: Array


class Model(NamedTuple):
    """The state-associative model of a network.

    network: with the parameters of the model, and an `unroll` that may be given a `Past` for its
    memory. embed: (params, obs [T, N, ...], memory, starts) -> f32[T, N, D]. loss: half the squared
    error of predicted rewards. units: D. capacity: M.
    """

    network: types.Network
    embed: Callable[[PyTree, Array, Memory, Array], Array]
    loss: types.ExtraLoss
    units: int
    capacity: int


def model_of(network: types.Network, settings: SyntheticSettings, env: types.Environment) -> Model:
    """Make the model of an agent's network for the observations of an environment.

    Raises:
        ValueError: the network does not have the layer.
    """
    layer = settings.layer or associative.embedding_layer(network)
    units = _units(network, env, layer)

    def unroll(params: PyTree, obs: Array, memory: Any, starts: Array, taps: Any = None):
        memory = memory.memory if isinstance(memory, Past) else memory
        return network.unroll(params, obs, memory, starts, taps)

    def embed(params: PyTree, obs: Array, memory: Memory, starts: Array) -> Array:
        return network.unroll(params, obs, memory, starts, {})[1].features[layer]

    def loss(inputs: types.LossInputs) -> tuple[Array, dict[str, Array]]:
        batch: Any = inputs.batch
        past, embedding = getattr(batch, "memory", None), inputs.internals.features[layer]
        if not isinstance(past, Past) or past.reward.shape != embedding.shape[1::-1]:
            raise ValueError(WHOLE)
        present, predicted = associate(inputs.params, embedding, past, batch.starts)
        error = 0.5 * jnp.mean(jnp.square(jnp.swapaxes(past.reward, 0, 1) - predicted))
        told = {
            "association_loss": error,
            "synthetic_return": jnp.mean(present),
            "synthetic_return_deviation": jnp.std(present),
        }
        return settings.loss_weight * error, told

    options = {"gated": settings.gated, "biased": settings.biased}
    wider = associative.with_associations(network, units, settings.hidden, **options)
    return Model(
        network=wider._replace(unroll=unroll),
        embed=embed,
        loss=loss,
        units=units,
        capacity=settings.capacity,
    )


def associate(params: PyTree, embedding: Array, past: Past, starts: Array) -> tuple[Array, Array]:
    """Compute c of each state, and predictions of the rewards that follow: f32[T, B] each.

    Args:
        params: of a network with a state-associative model.
        embedding: f32[T, B, D], of the states.
        past: before them.
        starts: bool[T, B], which steps start an episode, but for step 0.

    Returns:
        c, which has no gradient for the embedding, and the predictions.
    """
    present = associative.contributions(params, jax.lax.stop_gradient(embedding))
    before = associative.contributions(params, past.remembered)
    sums = jax.vmap(past_sums, (0, 0, 1, 1), 1)(before, past.count, present, starts)
    return present, associative.predictions(params, embedding, sums)


def contributions(network: types.Network, params: PyTree, obs: Array, layer: str = "") -> Array:
    """Compute c of observations [B, ...], for a figure of c along an episode: f32[B].

    Args:
        network: of an agent with synthetic returns, `agent.network`.
        params: of its learner.
        obs: inputs of the network.
        layer: of its settings.

    Returns:
        c of each.
    """
    features = network.apply(params, obs, network.memory(len(obs)), {})[1].features
    layer = layer or associative.embedding_layer(network)
    return associative.contributions(params, features[layer])


def _units(network: types.Network, env: types.Environment, layer: str) -> int:
    """Count the units of a layer; ValueError unless the network has it, with one axis."""

    def look(key: Key) -> Any:
        obs = jnp.zeros((1, *env.observation.shape), env.observation.dtype)
        return network.apply(network.init(key), obs, network.memory(1), {})[1].features

    features = jax.eval_shape(look, jax.eval_shape(jax.random.key, 0))
    flat = [name for name, x in features.items() if x.ndim == 2]
    if layer not in flat:
        raise wrong("settings.layer", f"one of {flat}", layer)
    return features[layer].shape[-1]
