"""Routers of mixtures of experts: which tokens an expert reads, and where its outputs go.

A router turns the tokens of an observation into two tables, `dispatch` and `combine`, over tokens,
experts and the slots of an expert. Each slot of an expert reads a weighted sum of tokens
(`dispatch`), and each token gets a weighted sum of the outputs of slots (`combine`). Soft, sparse
and fixed routing are different tables; capacities are per observation and never per batch.
Soft MoE: Puigcerver et al. 2023, arXiv 2308.00951. Sizes and initialisation are those of
Obando-Ceron et al. 2024 (arXiv 2402.08609) in RL. Softmaxes are computed in float32.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn

from purejaxrl_suite.core.types import Array, Key, PyTree
from purejaxrl_suite.nets.lean_gradients import softmax
from purejaxrl_suite.nets.matmul import multiply_rows


class Routing(NamedTuple):
    """Routing tables of a batch, for m tokens and E experts of p slots.

    dispatch, combine: f32[B, m, E, p]. probabilities: f32[B, m, E], of the experts for each token.
    dropped: f32[B], share of choices without a free slot. loss: f32[], the balancing loss.
    """

    dispatch: Array
    combine: Array
    probabilities: Array
    dropped: Array
    loss: Array | float


class Router(NamedTuple):
    """A routing rule, independent of the sizes of tokens and experts.

    init: (key, size of a token, experts, slots) -> parameters: `kernel` f32[size, .], possibly
        others, or {} if nothing is learnt.
    slots: (tokens, experts) -> slots of an expert; raises ValueError if the rule does not fit.
    route: (parameters, logits f32[B, m, .], obs[B, ...], experts, slots) -> Routing.
    logits: (parameters, tokens f32[B, m, d], dtype of the product) -> f32[B, m, .].
    reads: whether routing depends on the tokens. tied: whether an entry of a token also affects the
        weights of other entries.
    """

    init: Callable[[Key, int, int, int], PyTree]
    slots: Callable[[int, int], int]
    route: Callable[[PyTree, Array, Array, int, int], Routing]
    logits: Callable[[PyTree, Array, Any], Array]
    reads: bool = True
    tied: bool = False


def soft(
    slots: int | None = None,
    capacity: float = 1.0,
    *,
    normalized: bool = False,
    learned: bool = True,
) -> Router:
    """Make the router of Soft MoE: slots read means of all tokens, tokens get means of all slots.

    Phi starts with the standard deviation 1 / sqrt(size of a token * experts).

    Args:
        slots: of each expert; None is ceil(tokens * capacity / experts).
        capacity: slots of all experts per token, if `slots` is None.
        normalized: tokens and the columns of Phi have unit length, and one learnt number scales
            their products.
        learned: whether Phi is learnt; else it keeps its initial value (in the released code it is
            drawn anew at each use, from a wider distribution).

    Returns:
        The router.

    Raises:
        ValueError: slots or capacity are not positive.
    """
    if capacity <= 0 or (slots is not None and slots < 1):
        raise ValueError(f"slots={slots}, capacity={capacity}: expected positive numbers")

    def init(key: Key, size: int, experts: int, slots: int) -> PyTree:
        phi = nn.initializers.lecun_normal()(key, (size, experts, slots), jnp.float32)
        params = {"kernel": jnp.reshape(phi, (size, -1))}
        return params | {"scale": jnp.ones((), jnp.float32)} if normalized else params

    def count(tokens: int, experts: int) -> int:
        return math.ceil(tokens * capacity / experts) if slots is None else slots

    def logits(params: PyTree, tokens: Array, dtype: Any) -> Array:
        kernel = params["kernel"] if learned else jax.lax.stop_gradient(params["kernel"])
        if not normalized:
            return _logits(tokens, kernel, dtype)
        return _logits(_unit(tokens, -1), params["scale"] * _unit(kernel, 0), dtype)

    def route(params: PyTree, logits: Array, obs: Array, experts: int, slots: int) -> Routing:
        table = (*logits.shape[:2], experts, slots)
        dispatch = jnp.reshape(softmax(logits, 1), table)
        combine = jnp.reshape(softmax(logits, 2), table)
        nothing = jnp.zeros(logits.shape[0], jnp.float32)
        return Routing(
            dispatch=dispatch,
            combine=combine,
            probabilities=jnp.sum(combine, axis=3),
            dropped=nothing,
            loss=0.0,
        )

    return Router(init, count, route, logits, tied=normalized)


def top_k(
    k: int = 1,
    capacity: float = 1.0,
    *,
    noise: float = 0.0,
    importance: float = 0.0,
    load: float = 0.0,
    learned: bool = True,
) -> Router:
    """Make the router that sends every token to its k most probable experts.

    Outputs are weighted by the probabilities of the k experts, which are not normalised to sum to
    one. An expert has ceil(k * tokens * capacity / experts) slots; it serves first choices before
    second ones, and earlier tokens before later ones. Tokens without a slot are dropped: they add
    exactly zero.

    Args:
        k: experts of a token.
        capacity: factor on the slots of an expert; 1 is room for all tokens if they are spread
            evenly.
        noise: standard deviation of noise on the logits, in units of 1 / experts. It is a hash of
            the logits, so that the network stays a function of its parameters and observations.
        importance: weight of a loss that balances experts, the squared coefficient of variation of
            summed probabilities (Riquelme et al. 2021, arXiv 2106.05974, appendix A), over a
            batch; in Dopamine over each observation.
        load: weight of the same for the probability that noise makes an expert win.
        learned: whether the kernel is learnt.

    Returns:
        The router.

    Raises:
        ValueError: a number is out of range, or (when the network is built) k exceeds the experts.
    """
    if k < 1 or capacity <= 0 or min(noise, importance, load) < 0:
        raise ValueError(
            f"k={k}, capacity={capacity}, noise={noise}, importance={importance}, load={load}: "
            "expected k >= 1, a positive capacity, and no negative number"
        )

    def slots(tokens: int, experts: int) -> int:
        if k > experts:
            raise ValueError(f"k={k}: expected at most the number of experts, {experts}")
        return min(tokens, math.ceil(k * tokens * capacity / experts))

    def logits(params: PyTree, tokens: Array, dtype: Any) -> Array:
        kernel = params["kernel"] if learned else jax.lax.stop_gradient(params["kernel"])
        return _logits(tokens, kernel, dtype)

    def route(params: PyTree, logits: Array, obs: Array, experts: int, slots: int) -> Routing:
        noisy = logits + noise / experts * _scrambled(logits) if noise else logits
        probabilities = jax.nn.softmax(noisy, axis=-1)
        weight, chosen = jax.lax.top_k(probabilities, k)
        choice = jax.nn.one_hot(chosen, experts, dtype=jnp.float32)  # [B, m, k, E]
        place = _place(choice)
        inside = choice * (place < slots)
        at = jax.nn.one_hot(place.astype(jnp.int32), slots, dtype=jnp.float32)
        served = inside[..., None] * at  # [B, m, k, E, p]
        dropped = 1.0 - jnp.sum(inside, axis=(1, 2, 3)) / (k * logits.shape[1])
        loss = importance * _importance(probabilities) if importance else 0.0
        loss = loss + load * _load(logits, noisy, k) if load else loss
        combine = jnp.sum(served * weight[..., None, None], axis=2)
        return Routing(
            dispatch=jnp.sum(served, axis=2),
            combine=combine,
            probabilities=probabilities,
            dropped=dropped,
            loss=loss,
        )

    return Router(_linear, slots, route, logits)


def expert_choice(capacity: float = 1.0) -> Router:
    """Make the router in which each expert takes its ceil(tokens * capacity / experts) best tokens.

    Zhou et al. 2022, arXiv 2202.09368: probabilities are a softmax over experts, as in `top_k`, and
    weight the outputs. A token may be taken by several experts, or by none.

    Raises:
        ValueError: the capacity is not positive.
    """
    if capacity <= 0:
        raise ValueError(f"capacity={capacity}: expected a positive number")

    def slots(tokens: int, experts: int) -> int:
        return min(tokens, math.ceil(tokens * capacity / experts))

    def route(params: PyTree, logits: Array, obs: Array, experts: int, slots: int) -> Routing:
        probabilities = jax.nn.softmax(logits, axis=-1)
        weight, chosen = jax.lax.top_k(jnp.swapaxes(probabilities, 1, 2), slots)  # [B, E, p]
        taken = jax.nn.one_hot(chosen, logits.shape[1], dtype=jnp.float32)  # [B, E, p, m]
        dispatch = jnp.moveaxis(taken, 3, 1)
        left = jnp.all(dispatch == 0, axis=(2, 3))
        dropped = jnp.mean(left.astype(jnp.float32), axis=1)
        return Routing(
            dispatch=dispatch,
            combine=dispatch * weight[:, None],
            probabilities=probabilities,
            dropped=dropped,
            loss=0.0,
        )

    def logits(params: PyTree, tokens: Array, dtype: Any) -> Array:
        return _logits(tokens, params["kernel"], dtype)

    return Router(_linear, slots, route, logits)


def by_task(task: Callable[[Array], Array]) -> Router:
    """Make the router that sends all tokens of task i to expert i, with weight 1, without learning.

    task: obs[B, ...] -> i32[B], from the network's observations: `core.spaces.task_of`, or any
    function of yours.
    """

    def route(params: PyTree, logits: Array, obs: Array, experts: int, slots: int) -> Routing:
        expert = jax.nn.one_hot(task(obs), experts, dtype=jnp.float32)  # [B, E]
        batch, tokens = logits.shape[:2]
        own = jnp.eye(tokens, dtype=jnp.float32)[None, :, None]  # a slot for each token
        table = expert[:, None, :, None] * own
        probabilities = jnp.broadcast_to(expert[:, None], (batch, tokens, experts))
        return Routing(
            dispatch=table,
            combine=table,
            probabilities=probabilities,
            dropped=jnp.zeros(batch, jnp.float32),
            loss=0.0,
        )

    def logits(params: PyTree, tokens: Array, dtype: Any) -> Array:
        return jnp.zeros((*tokens.shape[:2], 0), jnp.float32)

    nothing = lambda key, size, experts, slots: {}  # noqa: E731
    return Router(nothing, lambda tokens, experts: tokens, route, logits, reads=False)


def _linear(key: Key, size: int, experts: int, slots: int) -> PyTree:
    return {"kernel": nn.initializers.lecun_normal()(key, (size, experts), jnp.float32)}


def _logits(tokens: Array, kernel: Array, dtype: Any) -> Array:
    """Compute logits f32[B, m, .], in float32 for any dtype of the product."""
    rows = jnp.reshape(tokens, (-1, tokens.shape[-1])).astype(dtype)
    found = multiply_rows(rows, kernel.astype(dtype))
    return jnp.reshape(found, (*tokens.shape[:2], -1)).astype(jnp.float32)


def _unit(x: Array, axis: int) -> Array:
    return x / (jnp.sqrt(jnp.sum(jnp.square(x), axis=axis, keepdims=True)) + 1e-6)


def _place(choice: Array) -> Array:
    """Count earlier choices of the same expert in one-hot f32[B, m, k, E], first choices first."""
    batch, tokens, k, experts = choice.shape
    line = jnp.reshape(jnp.swapaxes(choice, 1, 2), (batch, k * tokens, experts))
    before = jnp.cumsum(line, axis=1) - line
    return jnp.swapaxes(jnp.reshape(before, (batch, k, tokens, experts)), 1, 2)


def _scrambled(logits: Array) -> Array:
    """Hash each token's logits and place to standard normal numbers f32[B, m, E]."""
    bits = jax.lax.bitcast_convert_type(jax.lax.stop_gradient(logits), jnp.uint32)
    odd = 2 * jnp.arange(logits.shape[2], dtype=jnp.uint32) + 1
    place = jnp.arange(logits.shape[1], dtype=jnp.uint32)
    seeds = jnp.sum(bits * odd[None, None], axis=2) + place[None] * jnp.uint32(2654435761)

    def draw(seed: Array) -> Array:
        return jax.random.normal(jax.random.fold_in(jax.random.key(0), seed), logits.shape[2:])

    return jax.vmap(jax.vmap(draw))(seeds)


def _importance(probabilities: Array) -> Array:
    return _squared_variation(jnp.sum(probabilities, axis=(0, 1)))


def _load(logits: Array, noisy: Array, k: int) -> Array:
    needed = jax.lax.top_k(noisy, k)[0][..., -1:]
    deviation = 1.0 / logits.shape[2]
    wins = jax.scipy.stats.norm.cdf((logits - needed) / deviation)
    return _squared_variation(jnp.mean(wins, axis=(0, 1)))


def _squared_variation(x: Array) -> Array:
    return jnp.var(x) / jnp.square(jnp.mean(x))
