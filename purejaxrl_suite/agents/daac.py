"""DAAC: decoupled advantage actor-critic (Raileanu and Fergus 2021, arXiv 2102.10330).

Actor and critic share no features. The actor also predicts the advantages of its actions, so its
features are about differences between actions and not about values, which tell levels apart. The
critic learns from each rollout after the actor, for more epochs. Defaults are those of Garcin et
al. 2025, arXiv 2503.06343, for Procgen. Advantages are one output for each action (ours; in the
paper's code a linear function of features and the action).
"""

from functools import partial
from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp

from purejaxrl_suite import nets
from purejaxrl_suite.agents.shared import decoupled, estimates, extra_losses, normalize
from purejaxrl_suite.agents.shared.decoupled import Seen
from purejaxrl_suite.agents.shared.on_policy import Batch
from purejaxrl_suite.core import types, validate
from purejaxrl_suite.core.types import Agent, Array, Key, Learner, PyTree, Transition
from purejaxrl_suite.core.validate import Range
from purejaxrl_suite.ops import losses, minibatch, statistics
from purejaxrl_suite.ops.descent import descend
from purejaxrl_suite.ops.probe import probe as probe_loss
from purejaxrl_suite.ops.probe import samples_of


class DAACConfig(NamedTuple):
    """What changes the compiled program.

    Attributes:
        num_envs: parallel environments of one member (N).
        rollout_length: steps in each of them between updates (T).
        epochs: passes of the actor over a rollout.
        value_epochs: passes of the critic over it, afterwards.
        minibatches: gradient steps in an epoch; divides N * T.
        normalize_observations: by running mean and standard deviation.
        normalize_rewards: by the running standard deviation of the discounted return.
    """

    num_envs: Annotated[int, Range(1)] = 64
    rollout_length: Annotated[int, Range(1)] = 256
    epochs: Annotated[int, Range(1)] = 1
    value_epochs: Annotated[int, Range(1)] = 9
    minibatches: Annotated[int, Range(1)] = 8
    normalize_observations: bool = False
    normalize_rewards: bool = True


class DAACHypers(NamedTuple):
    """What may be swept, annealed or differentiated without recompiling.

    Attributes:
        learning_rate: of the Adam of the actor and of that of the critic.
        gamma: discount per step.
        gae_lambda: decay of the exponentially weighted advantage estimate.
        clip_range: how far the probability ratio may move from 1 before its gradient is cut.
        entropy_coefficient: weight of the entropy bonus.
        advantage_coefficient: weight of the squared error of predicted advantages.
        max_gradient_norm: gradients of each are scaled down to this global norm.
        adam_epsilon: of Adam's denominator.
    """

    learning_rate: Annotated[float, Range(0)] = 5e-4
    gamma: Annotated[float, Range(0, 1)] = 0.999
    gae_lambda: Annotated[float, Range(0, 1)] = 0.95
    clip_range: Annotated[float, Range(above=0)] = 0.2
    entropy_coefficient: Annotated[float, Range(0)] = 0.01
    advantage_coefficient: Annotated[float, Range(0)] = 0.25
    max_gradient_norm: Annotated[float, Range(above=0)] = 0.5
    adam_epsilon: Annotated[float, Range(above=0)] = 1e-5


class Optimizers(NamedTuple):
    """States of two optimizers of one tree of parameters; each moves only its own part."""

    actor: Any
    critic: Any


class DAACState(NamedTuple):
    """State of DAAC: only its learner."""

    learner: Learner


def daac(
    env: types.Environment,
    config: DAACConfig | None = None,
    network: types.Network | None = None,
    hypers: DAACHypers | None = None,
    *,
    extra_loss: types.ExtraLoss | None = None,
) -> Agent:
    """Build DAAC for the spaces of an environment.

    Args:
        env: whose spaces the agent is built for; its actions are Discrete.
        config: what changes the program; None for the defaults.
        network: None for `nets.decoupled_actor_critic`, with an advantage of each action.
        hypers: what may be swept; None for the defaults.
        extra_loss: a term to add to the losses of actor and critic; each only moves its own
            parameters. Its target is f32[1, B] for the critic and None for the actor. Metrics are
            those of the critic's loss.

    Returns:
        The agent, for `run`, `sweep` and `make_train`.

    Raises:
        ValueError: actions are not Discrete, the network has another output, or the minibatches do
            not divide the rollout.

    Example:
        >>> env = pjs.make("Navix-Empty-8x8-v0")
        >>> result = pjs.run(pjs.daac(env), env, seeds=4, steps=1e5)
    """
    validate.parts(env, network, types.Network)
    extra_losses.check(extra_loss)
    config, hypers = validate.settings(config, hypers, (DAACConfig(), DAACHypers()))
    if not isinstance(env.action, types.Discrete):
        raise ValueError(f"daac needs Discrete actions, environment {env.name!r} has {env.action}")
    network = decoupled.checked_network("daac", env, network, env.action.n)
    count = config.num_envs * config.rollout_length
    validate.divides("minibatches", config.minibatches, count, "steps of a rollout")
    distribution = nets.distribution(env.action)
    act, noise = decoupled.acting(network, env.action)
    prepare = partial(decoupled.prepared, network, extra_loss)

    def rule(hypers: DAACHypers, critic: bool) -> Any:
        return decoupled.optimizer_of(network, hypers, critic)

    def init(key: Key, hypers: DAACHypers) -> DAACState:
        params = network.init(key)
        states = (rule(hypers, critic).init(params) for critic in (False, True))
        return DAACState(Learner(params, Optimizers(*states)))

    def forward(params: PyTree, batch: Batch, taps: Any, critic: bool) -> tuple[PyTree, Seen]:
        params = decoupled.only(critic, params)
        return params, Seen(*network.unroll(params, batch.obs, (), batch.starts, taps))

    def actor_loss(hypers: DAACHypers, params: PyTree, batch: Batch, taps: Any, key: Any):
        params, seen = forward(params, batch, taps, False)
        advantage = statistics.standardize(batch.advantage)
        policy = distribution(seen.output.policy)
        total, metrics = decoupled.policy_loss(hypers, policy, batch, advantage)
        chosen = jnp.take_along_axis(seen.output.auxiliary, batch.action[..., None], axis=-1)
        error = jnp.mean(jnp.square(chosen[..., 0] - advantage))
        total = total + hypers.advantage_coefficient * error + seen.internals.aux_loss
        known = {"params": params, "network": network, "hypers": hypers, "key": key}
        own = total, metrics | {"advantage_loss": error}
        total, metrics = decoupled.add_extra(
            extra_loss, own, seen=seen, batch=batch, target=None, **known
        )
        return total, (metrics, seen.internals.features)

    def critic_loss(hypers: DAACHypers, params: PyTree, batch: Batch, taps: Any, key: Any):
        params, seen = forward(params, batch, taps, True)
        error = decoupled.value_error(seen.output.value, batch.target)
        known = {"params": params, "network": network, "hypers": hypers, "key": key}
        own = error + seen.internals.aux_loss, {"value_loss": error}
        total, metrics = decoupled.add_extra(
            extra_loss, own, seen=seen, batch=batch, target=batch.target, **known
        )
        return total, (metrics, seen.internals.features)

    def update(key: Key, hypers: DAACHypers, state: DAACState, transition: Transition):
        batch = prepare(hypers, state.learner.params, transition)
        params, states = state.learner
        told: dict[str, Array] = {}
        phases = (
            ("actor", actor_loss, config.epochs),
            ("critic", critic_loss, config.value_epochs),
        )
        for name, loss, epochs in phases:
            own = jax.random.fold_in(key, name == "critic")
            index = minibatch.epochs(own, epochs, count, config.minibatches)
            keys = extra_losses.own_keys(extra_loss, own, len(index))
            learner = Learner(params, getattr(states, name))
            optimizer = rule(hypers, name == "critic")
            learner, found = descend(partial(loss, hypers), optimizer, learner, batch, index, keys)
            params, states = learner.params, states._replace(**{name: learner.opt_state})
            found[f"{name}_gradient_norm"] = found.pop("gradient_norm")
            told |= found
        told["explained_variance"] = losses.explained_variance(batch.value, batch.target)
        return DAACState(Learner(params, states)), extra_losses.named(told)

    def probe(key: Key, hypers: DAACHypers, state: DAACState, transition: Transition):
        batch, params = prepare(hypers, state.learner.params, transition), state.learner.params
        own = extra_losses.own_key(extra_loss, key)

        def objective(params: PyTree, taps: Any):
            actor, _ = actor_loss(hypers, params, batch, taps, own)
            critic, (_, features) = critic_loss(hypers, params, batch, taps, own)
            return actor + critic, features

        value = jnp.reshape(batch.value, transition.reward.shape)
        return probe_loss(objective, params, samples_of(transition, value))

    agent = Agent(
        name="daac",
        observation=env.observation,
        action=env.action,
        hypers=hypers,
        num_envs=config.num_envs,
        rollout_length=config.rollout_length,
        init=init,
        act=act,
        update=update,
        probe=probe,
        noise=noise,
        network=network,
        config=config,
        gradient_steps=(config.epochs + config.value_epochs) * config.minibatches,
        estimate=estimates.of_actor_critic(network, env.action),
    )
    return normalize.as_configured(agent, config)
