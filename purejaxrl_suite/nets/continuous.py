"""Networks of SAC and TD3: a policy over continuous actions, and critics that read actions.

Actor and critics share nothing: the stream `actor` and the streams `critic_0`, `critic_1` ... have
their own parameters in every namespace, as in `params["trunk"]["critic_0"]`. Actions are scaled to
their space: -1 is its lower bound, 1 its upper.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn

from purejaxrl_suite.core import tree
from purejaxrl_suite.core.types import Array, Box, Internals, Key, Memory, Network, PyTree, Space
from purejaxrl_suite.nets import chain
from purejaxrl_suite.nets.builders import check
from purejaxrl_suite.nets.chain import Taps
from purejaxrl_suite.nets.encoders import flat
from purejaxrl_suite.nets.heads import Gaussian, Linear
from purejaxrl_suite.nets.layers import Activation, Initializer, Part, Style, dense
from purejaxrl_suite.nets.network import Blueprint, Body, assemble
from purejaxrl_suite.nets.residual import residual_trunk

ACTOR, CRITIC, VALUE = "actor", "critic", "value"


Bound = Callable[[Array], Array]
"""Network output -> logarithm of the standard deviation, both f32[B, A]."""


def tanh_bound(low: float, high: float) -> Bound:
    """Bound by low + (high - low) * (tanh(x) + 1) / 2: smooth, the middle at x = 0; CleanRL's form.

    Raises:
        ValueError: low is not below high.
    """
    _check_bound(low, high)
    return lambda x: low + 0.5 * (high - low) * (jnp.tanh(x) + 1.0)


def clip_bound(low: float, high: float) -> Bound:
    """Bound by min(max(x, low), high), with zero gradient outside.

    As Haarnoja et al. 2018, arXiv 1812.05905, with (-20, 2).

    Raises:
        ValueError: low is not below high.
    """
    _check_bound(low, high)
    return lambda x: jnp.clip(x, low, high)


def _check_bound(low: float, high: float) -> None:
    if not low < high:
        raise ValueError(f"log_std: expected bounds low < high, got {low} and {high}")


class ActorCritics(NamedTuple):
    """Output of `actor_critics`.

    policy: Gaussian or f32[B, A], before tanh. values: f32[B, M] of M critics. value: f32[B], of
    the observation alone, if the network has such a stream.
    """

    policy: Gaussian | Array
    values: Array
    value: Array | None = None


def actor_critics(
    observation: Box,
    action: Space,
    *,
    hidden: tuple[int, ...] = (256, 256),
    critic_hidden: tuple[int, ...] | None = None,
    blocks: int = 0,
    critic_blocks: int = 0,
    critics: int = 2,
    deterministic: bool = False,
    value: bool = False,
    log_std: Bound | None = None,
    activation: Activation = jax.nn.relu,
    layer_norm: bool = False,
    kernel_init: Initializer | None = None,
    dtype: Any = jnp.float32,
) -> Network:
    """Build a policy and critics for continuous actions; the output is `ActorCritics`.

    `apply` takes one more argument, (params, obs, memory, taps, action): the actions f32[B, A] that
    the critics evaluate. Without it they evaluate the middle of the bounds.

    Args:
        observation: space of the observations, without batch axes; they are flattened.
        action: a Box with one axis.
        hidden: units of the dense layers of the actor.
        critic_hidden: units of the dense layers of each critic; None is those of the actor.
        blocks: residual blocks of the actor, as in BRO (`nets.residual`), in place of dense layers;
            `hidden` is then one number, their width.
        critic_blocks: residual blocks of each critic.
        critics: number of critics (M).
        deterministic: the policy is one action, f32[B, A] before tanh, as in TD3. Else it is a
            `Gaussian` whose standard deviation depends on the observation.
        value: one more stream `value`, like a critic, that reads no action, as in IQL.
        log_std: bound of the logarithm of that deviation; None is `tanh_bound(-5.0, 2.0)`, as in
            CleanRL; the paper has `clip_bound(-20.0, 2.0)`.
        activation: of all hidden layers.
        layer_norm: before each hidden activation; residual blocks always have it.
        kernel_init: of all kernels; None is PyTorch's default, uniform within 1 / sqrt(inputs), and
            orthogonal in residual trunks. Biases start at zero.
        dtype: of matrix products; parameters and outputs are float32.

    Returns:
        The network.

    Raises:
        ValueError: the action space is no Box with one axis, or sizes do not fit.

    Example:
        >>> network = pjs.nets.actor_critics(pjs.Box((3,)), pjs.Box((1,), low=-2.0, high=2.0))
        >>> print(*list(pjs.nets.parameter_count(network, depth=2))[1:5])
        heads heads/actor heads/critic_0 heads/critic_1
    """
    critic_hidden = hidden if critic_hidden is None else critic_hidden
    check(observation, (*hidden, *critic_hidden), 0)
    size = _dimension(action)
    if critics < 1:
        raise ValueError(f"critics={critics}: expected 1 or more")
    bound = tanh_bound(-5.0, 2.0) if log_std is None else log_std

    def stream(name: str, reads: int, hidden: tuple[int, ...], blocks: int, units: int) -> Network:
        init = kernel_init or (nn.initializers.orthogonal() if blocks else torch_uniform())
        style = Style(init, layer_norm, dtype)
        trunk = _trunk(hidden, blocks, activation, style)
        parts = ((("encoder", name), flat()(Box((reads,)), style)), (("trunk", name), trunk))
        body = Body(parts, (name,))
        head = Linear(units, kernel_init or torch_uniform(), dtype)
        return assemble(
            Blueprint(
                observation=Box((reads,)),
                bodies=(body,),
                heads={name: head},
                output=lambda x: x[name],
                cell=None,
            )
        )

    reads = math.prod(observation.shape)
    outputs = size if deterministic else 2 * size
    actor = stream(ACTOR, reads, hidden=hidden, blocks=blocks, units=outputs)
    judge = partial(stream, hidden=critic_hidden, blocks=critic_blocks, units=1)
    judges = tuple(judge(f"{CRITIC}_{i}", reads + size) for i in range(critics))

    def policy(output: Array) -> Gaussian | Array:
        if deterministic:
            return output
        mean, raw = jnp.split(output, 2, axis=-1)
        return Gaussian(mean, bound(raw))

    return _join(actor, judges, policy, size, judge(VALUE, reads) if value else None)


def part_of(path: tuple[Any, ...]) -> str:
    """Tell of what the leaf at this path (of `jax.tree.map_with_path`) is a part.

    Returns:
        "actor", "critic" or "value".
    """
    names = [str(part.key) for part in path]
    if any(name.startswith(f"{CRITIC}_") for name in names):
        return CRITIC
    return VALUE if VALUE in names else ACTOR


def torch_uniform() -> Initializer:
    """Make PyTorch's default initializer: uniform within 1 / sqrt(inputs)."""
    return nn.initializers.variance_scaling(1.0 / 3.0, "fan_in", "uniform")


def _trunk(hidden: tuple[int, ...], blocks: int, activation: Activation, style: Style) -> Part:
    if not blocks:
        return dense(hidden, activation, style)
    if len(hidden) != 1:
        raise ValueError(f"hidden={hidden}: expected one width of the {blocks} residual blocks")
    return residual_trunk(hidden[0], blocks, activation, style)


def _dimension(action: Space) -> int:
    if isinstance(action, Box) and len(action.shape) == 1:
        return action.shape[0]
    raise ValueError(f"action={action}: expected a Box with one axis")


def _join(
    actor: Network,
    critics: tuple[Network, ...],
    policy: Callable[[Array], Gaussian | Array],
    size: int,
    value: Network | None,
) -> Network:
    """Join networks whose parameters have no path in common, for A = size."""
    parts = (actor, *critics) if value is None else (actor, *critics, value)

    def init(key: Key) -> PyTree:
        params: dict[str, Any] = {}
        keys = jax.random.split(key, len(parts))
        for key, part in zip(keys, parts, strict=True):
            for namespace, streams in part.init(key).items():
                params[namespace] = params.get(namespace, {}) | streams
        return params

    def apply(
        params: PyTree,
        obs: Array,
        memory: Memory = (),
        taps: Taps | None = None,
        action: Array | None = None,
    ) -> tuple[ActorCritics, Internals]:
        rows = jnp.reshape(obs, (obs.shape[0], -1)).astype(jnp.float32)
        output, internals = actor.apply(params, rows, (), taps)
        chosen, features = policy(output), dict(internals.features)
        if action is None:
            action = jnp.zeros((obs.shape[0], size), jnp.float32)
        seen = jnp.concatenate([rows, action], axis=-1)
        judged = [critic.apply(params, seen, (), taps) for critic in critics]
        alone = [] if value is None else [value.apply(params, rows, (), taps)]
        for _, found in judged + alone:
            features |= found.features
        values = jnp.concatenate([x for x, _ in judged], axis=-1)
        output = ActorCritics(chosen, values, alone[0][0][:, 0] if alone else None)
        return output, Internals(features, memory, {}, 0.0)

    def unroll(
        params: PyTree, obs: Array, memory: Memory, starts: Array, taps: Taps | None = None
    ) -> tuple[ActorCritics, Internals]:
        steps = obs.shape[:2]
        output, internals = apply(params, tree.merge(obs), memory, tree.merge(taps or {}))
        features = chain.separate(internals.features, steps)
        return chain.separate(output, steps), internals._replace(features=features)

    wiring = sum((part.wiring for part in parts), ())
    return Network(init=init, apply=apply, unroll=unroll, wiring=wiring)
