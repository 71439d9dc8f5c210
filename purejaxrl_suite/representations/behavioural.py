"""Auxiliary terms that make distances of features those of behaviour: MICo and KSMe.

MICo: Castro et al. 2021, arXiv 2106.08229. KSMe: Castro et al. 2023, arXiv 2310.19804.

All ordered pairs of a minibatch are compared, a sample with itself included. The first of a pair
is seen by the online network, which has the gradient, the second by the target network; agents
without one use their online network, as a constant. Successors are not masked where they are
terminal, but no replay keeps what was observed there: as in the code of arXiv 2503.06343 it is an
observation of zeros. With replay of n steps rewards are their discounted sums, and a pair of
windows that end after different numbers of steps is discounted by the mean of both.
"""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp

from purejaxrl_suite.core.argument import boolean, number
from purejaxrl_suite.core.types import Agent, Array, Discrete, LossInputs
from purejaxrl_suite.ops import behavioural, losses
from purejaxrl_suite.representations.auxiliary import Auxiliary, Told
from purejaxrl_suite.representations.layers import (
    Rows,
    acted,
    chosen_layers,
    features_at,
    reads_actions,
    rows,
)
from purejaxrl_suite.representations.samples import Samples, samples_of

Compare = Callable[[Array, Array], Array]
"""(f32[B, D], f32[B, D]) -> f32[B, B], of all pairs."""
PRECISION = 1e-4
"""By which a clipped reward may be above 1: sums of n rewards are rounded."""


def mico(
    layer: str | None = None, angle_weight: float = 0.1, shuffled_rewards: bool = False
) -> Auxiliary:
    """Make the MICo loss: the mean Huber loss of U(x_i, y_j) to |r_i - r_j| + gamma U(x'_i, x'_j).

    U(x, y) = (|x|^2 + |y|^2) / 2 + angle_weight * angle(x, y) of features x and y.

    Args:
        layer: the features, by name; None is the output of the last layer of the encoder, as in the
            paper, or of the trunk if the encoder has none; of critics, if they have their own.
        angle_weight: beta.
        shuffled_rewards: permute rewards in the batch: a control, whose targets have the same
            rewards and say nothing about behaviour.

    Returns:
        The term, for `auxiliary`; `mico_weight` is 0.01, as for Dopamine's agents.

    Raises:
        ValueError: an argument is of another kind.
    """
    beta = float(number("angle_weight", angle_weight, 0))
    compare = partial(behavioural.mico_distances, angle_weight=beta)
    told = "" if beta == 0.1 else f"angle_weight={beta:g}"
    return _term("mico", compare, lambda apart: apart, layer, shuffled_rewards, told)


def ksme(layer: str | None = None, shuffled_rewards: bool = False) -> Auxiliary:
    """Make the KSMe loss: the mean Huber loss of <x_i, y_j> to 1 - |r_i - r_j| / 2 + gamma <x'_i, x'_j>.

    The kernel is one for rewards in [-1, 1] alone, such as `envs.wrappers.clip_reward` gives; with
    any other, or a sum of n of them above n, the term is NaN and the member has diverged.

    Args:
        layer: the features, by name, as in `mico`.
        shuffled_rewards: as in `mico`.

    Returns:
        The term, for `auxiliary`; `ksme_weight` is 0.01.

    Raises:
        ValueError: an argument is of another kind.
    """  # noqa: E501
    return _term("ksme", behavioural.gram, lambda apart: 1.0 - 0.5 * apart, layer, shuffled_rewards)


def _term(
    kind: str,
    compare: Compare,
    immediate: Callable[[Array], Array],
    layer: str | None,
    shuffled_rewards: bool,
    told: str = "",
) -> Auxiliary:
    """Make a term. immediate: reward differences f32[B, B] -> what pairs are paid."""
    shuffled = boolean("shuffled_rewards", shuffled_rewards)
    settings = [f"layer={layer}" if layer else "", told, "shuffled_rewards" if shuffled else ""]
    name = ", ".join(x for x in settings if x)

    def loss(inputs: LossInputs) -> Told:
        layers, batch = chosen_layers(inputs.network, layer), samples_of(inputs)
        reward_key, action_key = jax.random.split(inputs.key)
        reward = batch.reward
        if kind == "ksme":
            reward = _clipped(inputs, batch)
        if shuffled:
            reward = jax.random.permutation(reward_key, reward)
        paid = immediate(behavioural.pair_differences(reward))
        decay = 0.5 * (batch.discount[:, None] + batch.discount[None, :])
        counts = (batch.counts[:, None] & batch.counts[None, :]).astype(jnp.float32)
        seen, before, after = _features(inputs, batch, layers, action_key)
        total = jnp.zeros(())
        for one in layers:
            target = paid + decay * compare(after[one], after[one])
            errors = losses.huber(compare(seen[one], before[one]) - target)
            total += jnp.sum(counts * errors) / jnp.maximum(jnp.sum(counts), 1.0)
        total = total / len(layers)
        return total, {f"{kind}_loss": total}

    check = partial(_check, kind, layer)
    return Auxiliary(f"{kind}({name})" if name else kind, kind, 0.01, loss, check)


def _features(
    inputs: LossInputs, batch: Samples, layers: tuple[str, ...], key: Array
) -> tuple[Rows, Rows, Rows]:
    """Features f32[B, D] by layer: online of obs; of the target network, of obs and successors."""
    axes = inputs.batch.reward.ndim
    seen = rows(inputs.internals.features, layers, axes)
    params = inputs.params if inputs.target_params is None else inputs.target_params
    own, params = jax.lax.stop_gradient((inputs.params, params))
    action = following = None
    if any(map(reads_actions, layers)):
        action, following = batch.action, acted(inputs.network, own, batch.next_obs, key)
    before = features_at(inputs.network, params, batch.obs, layers, action)
    after = features_at(inputs.network, params, batch.next_obs, layers, following)
    return seen, before, after


def _clipped(inputs: LossInputs, batch: Samples) -> Array:
    """Rewards, NaN if one of them cannot be that of rewards in [-1, 1]."""
    steps = getattr(inputs.batch, "steps", None)
    most = 1.0 if steps is None else jnp.reshape(steps, batch.reward.shape).astype(jnp.float32)
    beyond = batch.counts & (jnp.abs(batch.reward) > most + PRECISION)
    return jnp.where(jnp.any(beyond), jnp.nan, batch.reward)


def _check(kind: str, layer: str | None, agent: Agent) -> None:
    """Raise ValueError for an agent without features of single steps."""
    network = agent.network
    if network is None:
        raise ValueError(f"builder: {kind} expects an agent with a network, got {agent.name}")
    if jax.tree.leaves(jax.eval_shape(lambda: network.memory(1))):
        raise ValueError(f"network: {kind} compares single steps, expected one without a memory")
    layers = chosen_layers(network, layer)
    if isinstance(agent.action, Discrete) and any(map(reads_actions, layers)):
        text = "expected one that reads no actions where these are Discrete"
        raise ValueError(f"layer: {kind} of {agent.name}: {text}, got {layers[0]}")
