"""Parts of on-policy agents whose actor and critic may have encoders of their own."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from purejaxrl_suite import nets
from purejaxrl_suite.agents.shared import extra_losses, on_policy
from purejaxrl_suite.agents.shared.on_policy import Batch
from purejaxrl_suite.core import types
from purejaxrl_suite.core.types import Array, ExtraLoss, LossInputs, Memory, Network, PyTree
from purejaxrl_suite.ops import losses, minibatch, optimizers

Metrics = dict[str, Array]


def checked_network(
    name: str,
    env: types.Environment,
    network: Network | None,
    units: int,
    *,
    may_share: bool = False,
) -> Network:
    """Return the network, or `nets.decoupled_actor_critic` with so many auxiliary outputs.

    may_share: whether one network for policy and value will do, too.

    Raises:
        ValueError: it has another output, or tasks differ in their actions.
    """
    if isinstance(env.action, types.Discrete) and env.action.valid:
        raise ValueError(f"{name}: the tasks of {env.name} differ in actions, expected all alike")
    if network is None:
        return nets.decoupled_actor_critic(env.observation, env.action, units=units)
    if may_share and shares(network):
        return network
    key = jax.eval_shape(jax.random.key, 0)
    obs = jax.ShapeDtypeStruct((1, *env.observation.shape), env.observation.dtype)
    found = jax.eval_shape(lambda key, obs: network.apply(network.init(key), obs)[0], key, obs)
    if not isinstance(found, nets.DecoupledOutput) or found.auxiliary.shape[1] != units:
        text = f"expected nets.decoupled_actor_critic(..., units={units})"
        more = ", or one with shared=True" if may_share else ""
        raise ValueError(f"network: {name}: {text}{more}")
    return network


def shares(network: Network) -> bool:
    """Tell whether one network without a memory has both heads, policy and value, and no critic."""
    if jax.tree.leaves(jax.eval_shape(lambda: network.memory(1))):
        return False
    params = jax.eval_shape(network.init, jax.eval_shape(jax.random.key, 0))
    own = [path for path, _ in jax.tree.leaves_with_path(params) if of_critic(path)]
    alone = all(map(of_value_head, own))
    return alone and set(params.get("heads", ())) == {"policy", "value"}


def of_value_head(path: tuple[Any, ...]) -> bool:
    """Tell whether a leaf at this path is one of the head of values."""
    return [str(part.key) for part in path[:2]] == ["heads", "value"]


def value_alone(network: Network, params: PyTree, batch: Batch) -> Array:
    """Compute values [1, B] whose gradient moves their head and no feature.

    The forward pass is that on the same parameters, of which XLA computes one.
    """
    params = jax.tree.map_with_path(
        lambda path, x: x if of_value_head(path) else jax.lax.stop_gradient(x), params
    )
    return network.unroll(params, batch.obs, (), batch.starts, {})[0].value


def prepared(
    network: Network,
    extra_loss: ExtraLoss | None,
    hypers: Any,
    params: PyTree,
    transition: types.Transition,
) -> Batch:
    """Compute advantages and targets of a rollout, outside the loss: leaves [1, B, ...]."""
    batch = on_policy.prepared(network, hypers, params, transition, (), extra_loss)
    return minibatch.single_steps(batch._replace(policy=None))


class Seen(NamedTuple):
    """A forward pass on a batch. output: `nets.DecoupledOutput` [1, B, ...]."""

    output: Any
    internals: types.Internals


def policy_loss(hypers: Any, policy: Any, batch: Batch, advantage: Array) -> tuple[Array, Metrics]:
    """Compute PPO's clipped loss with the entropy bonus, f32[], and its metrics."""
    log_prob = policy.log_prob(batch.action)
    surrogate, told = on_policy.clipped_surrogate(hypers, (), policy, log_prob, batch, advantage)
    metrics = losses.means({"policy_loss": surrogate, "entropy": policy.entropy(), **told})
    return metrics["policy_loss"] - hypers.entropy_coefficient * metrics["entropy"], metrics


def value_error(value: Array, target: Array) -> Array:
    """Compute half the mean squared error, f32[]."""
    return 0.5 * jnp.mean(jnp.square(value - target))


def add_extra(
    extra_loss: ExtraLoss | None,
    loss: tuple[Array, Metrics],
    *,
    seen: Seen,
    batch: Batch,
    target: Array | None,
    **known: Any,
) -> tuple[Array, Metrics]:
    """Add an extra loss, if there is one, to a loss and its metrics."""
    if extra_loss is None:
        return loss
    inputs = LossInputs(**seen._asdict(), batch=batch, target=target, **known)
    return extra_losses.add(extra_loss, *loss, inputs)


def of_critic(path: tuple[Any, ...]) -> bool:
    """Tell whether a leaf at this path (of `jax.tree.map_with_path`) is the critic's."""
    names = {str(part.key) for part in path}
    return bool(names & {"critic", "value"})


def only(critic: bool, params: PyTree) -> PyTree:
    """Make all parameters constants but those of the critic, or those of the actor."""
    return jax.tree.map_with_path(
        lambda path, x: x if of_critic(path) == critic else jax.lax.stop_gradient(x), params
    )


def clipped_adam(hypers: Any) -> optax.GradientTransformation:
    """Make Adam on gradients that are clipped by their global norm."""
    clip = optimizers.clip_by_global_norm(hypers.max_gradient_norm)
    return optax.chain(clip, optimizers.adam(hypers.learning_rate, hypers.adam_epsilon))


def optimizer_of(network: Network, hypers: Any, critic: bool) -> optax.GradientTransformation:
    """Make `clipped_adam` of the critic alone, or of the actor, with `Network.constrain`."""
    label = partial(jax.tree.map_with_path, lambda path, x: of_critic(path) == critic)
    parts: dict[Any, Any] = {True: clipped_adam(hypers), False: optax.set_to_zero()}
    return network.constrain(optax.partition(parts, label))


def acting(network: Network, space: types.Space) -> tuple[Callable[..., Any], Any]:
    """Make `Agent.act` and `Agent.noise` of a policy that learns from its log-probabilities."""
    distribution, sampler = nets.distribution(space), nets.sampler(space)

    def act(noise: Any, hypers: Any, state: Any, memory: Memory, obs: Array, explore: bool):
        policy = network.apply(state.learner.params, obs)[0].policy
        known = distribution(policy)
        action = sampler.sample(noise, policy) if explore else known.mode()
        return memory, action, {"log_prob": known.log_prob(action)}

    return act, sampler.noise
