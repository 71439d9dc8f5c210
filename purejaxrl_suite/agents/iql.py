"""IQL: implicit Q-learning (Kostrikov et al. 2021, arXiv 2110.06169).

It never evaluates an action that the data do not have: V(s) is an expectile of the target critics'
Q(s, a) over the actions of the data, Q(s, a) learns from r + gamma V(s'), and the policy is
regressed on the actions of the data with the weights exp(inverse_temperature * (Q - V)). Defaults
are the paper's for MuJoCo, where rewards are divided by the range of the returns of the data and
multiplied by 1000: scale those of the data set. The order in a gradient step - V, policy, Q,
targets - is that of the released code. Its deviation is the same for all observations, ours depends
on them.

With discrete actions the policy is a softmax, and the critics read one-hot actions: all of the
algorithm is defined for them, too. Networks are dense; they read observations flat.
"""

from functools import partial
from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp

from purejaxrl_suite.agents.shared import continuous_learning, extra_losses, offline_learning
from purejaxrl_suite.agents.shared.continuous_learning import (
    Drawn,
    Optimizers,
    moved_by,
    optimizer,
    partial_step,
)
from purejaxrl_suite.agents.shared.replay_learning import Target, follow
from purejaxrl_suite.core import types, validate
from purejaxrl_suite.core.types import Agent, Array, Clock, Key, Learner, Memory, PyTree
from purejaxrl_suite.core.validate import Range
from purejaxrl_suite.ops import offline
from purejaxrl_suite.ops.schedules import counted


class IQLConfig(NamedTuple):
    """What changes the compiled program.

    Attributes:
        gradient_steps: in an update.
        batch_size: transitions of the data set in a gradient step.
        cosine_actor_rate: the actor's learning rate falls to 0 over training, as half a cosine.
        normalize_observations: by mean and standard deviation of the data set.
    """

    gradient_steps: Annotated[int, Range(1)] = 10
    batch_size: Annotated[int, Range(1)] = 256
    cosine_actor_rate: bool = True
    normalize_observations: bool = False


class IQLHypers(NamedTuple):
    """What may be swept, annealed or differentiated without recompiling.

    Attributes:
        actor_learning_rate: of the actor's Adam.
        critic_learning_rate: of the critics' Adam.
        value_learning_rate: of the Adam of V.
        gamma: discount per step.
        target_update_rate: how far target critics move to the critics at each of their steps.
        expectile: that V is, of Q over the actions of the data; 0.5 is their mean.
        inverse_temperature: factor of the advantage in the weights of the policy's loss; 0 clones
            the behaviour.
        most_weight: the greatest of these weights.
    """

    actor_learning_rate: Annotated[float, Range(0)] = 3e-4
    critic_learning_rate: Annotated[float, Range(0)] = 3e-4
    value_learning_rate: Annotated[float, Range(0)] = 3e-4
    gamma: Annotated[float, Range(0, 1)] = 0.99
    target_update_rate: Annotated[float, Range(0, 1)] = 0.005
    expectile: Annotated[float, Range(above=0, below=1)] = 0.7
    inverse_temperature: Annotated[float, Range(0)] = 3.0
    most_weight: Annotated[float, Range(above=0)] = 100.0


class IQLState(NamedTuple):
    """State: actor, critics and V; the target, of which critics are used; i32[], steps."""

    learner: Learner
    target: PyTree
    steps: Array


def iql(
    env: types.Environment,
    config: IQLConfig | None = None,
    network: types.Network | None = None,
    hypers: IQLHypers | None = None,
    *,
    extra_loss: types.ExtraLoss | None = None,
) -> Agent:
    """Build IQL for the spaces of an environment, with continuous or discrete actions.

    Args:
        env: whose spaces the agent is built for.
        config: what changes the program; None for the defaults.
        network: None for `nets.actor_critics(value=True)`. With discrete actions it is built for
            one-hot actions, a Box with one entry for each, and deterministic: its policy are
            logits. A deterministic policy over continuous actions is regressed by squared errors.
        hypers: what may be swept; None for the defaults.
        extra_loss: a term to add to the losses of critics, actor and V; each only moves its own
            parameters. Its target is f32[B] for the critics and for V, and None for the actor.
            Metrics are those of the critics' loss.

    Returns:
        The agent, which learns from a data set only.

    Raises:
        ValueError: actions are continuous without finite bounds, tasks differ in their actions, or
            the network has no stream for V.

    Example:
        >>> from functools import partial
        >>> env, steps = pjs.make("Pendulum-v1"), ...
        >>> source = partial(pjs.engine.dataset, steps=steps)
        >>> result = pjs.run(pjs.iql, env, seeds=4, steps=256e4, source=source)  # 10,000 batches
    """
    validate.parts(env, network, types.Network)
    extra_losses.check(extra_loss)
    config, hypers = validate.settings(config, hypers, (IQLConfig(), IQLHypers()))
    actions = offline_learning.actions("iql", env)
    network = offline_learning.network(
        "iql", env, network, actions=actions, deterministic=False, value=True
    )
    add_extra = partial(continuous_learning.add_extra, extra_loss, network=network)

    def rates(hypers: IQLHypers) -> Optimizers:
        actor, critic = continuous_learning.optimizers(network, hypers)[:2]
        return Optimizers(actor, critic, optimizer(network, "value", hypers.value_learning_rate))

    def init(key: Key, hypers: IQLHypers) -> IQLState:
        learner = continuous_learning.initial_learner(key, network, rates(hypers))
        return IQLState(learner, jax.tree.map(jnp.copy, learner.params), jnp.int32(0))

    def act(noise: Any, hypers: IQLHypers, state: IQLState, memory: Memory, obs: Array, explore):
        policy = network.apply(state.learner.params, obs)[0].policy
        return memory, actions.sample(noise, policy) if explore else actions.greedy(policy), {}

    def judged(state: IQLState, drawn: Drawn) -> Array:
        """Compute the minimum f32[B] of the target critics at the actions of the data."""
        batch = drawn.batch
        values = network.apply(state.target, batch.obs, action=batch.action)[0].values
        return jnp.min(values, axis=-1)

    def value_objective(hypers: IQLHypers, state: IQLState, drawn: Drawn):
        """Make (params, taps) -> (f32[], (metrics, ()))."""
        target = judged(state, drawn)

        def loss(params: PyTree, taps: Any):
            params = moved_by("value", params, state.learner.params)
            found = network.apply(params, drawn.batch.obs, (), taps)[0].value
            total = jnp.mean(offline.expectile_loss(target - found, hypers.expectile))
            metrics = {"value_loss": total, "value": jnp.mean(found)}
            known = {"params": params, "drawn": drawn, "hypers": hypers, "target": target}
            known |= {"target_params": state.target}
            total, metrics = add_extra((total, metrics), **known)
            return total, (metrics, ())

        return loss

    def actor_objective(hypers: IQLHypers, state: IQLState, drawn: Drawn):
        """Make (params, taps) -> (f32[], (metrics, ())); the weights are constants."""
        batch = drawn.batch
        advantage = judged(state, drawn) - network.apply(state.learner.params, batch.obs)[0].value
        weight = offline.advantage_weight(advantage, hypers.inverse_temperature, hypers.most_weight)

        def loss(params: PyTree, taps: Any):
            params = moved_by("actor", params, state.learner.params)
            policy = network.apply(params, batch.obs, (), taps)[0].policy
            total = -jnp.mean(weight * actions.log_likelihood(policy, batch.action))
            metrics = {"actor_loss": total, "advantage": jnp.mean(advantage)}
            known = {"params": params, "drawn": drawn, "hypers": hypers}
            known |= {"target_params": state.target}
            total, metrics = add_extra((total, metrics), **known)
            return total, (metrics, ())

        return loss

    def critic_objective(hypers: IQLHypers, state: IQLState, drawn: Drawn):
        """Make (params, taps) -> (f32[], (metrics, features)); the target is outside the loss."""
        batch = drawn.batch
        following = network.apply(state.learner.params, batch.next_obs)[0].value
        target = continuous_learning.critic_target(batch, following)
        known = {"hypers": hypers, "drawn": drawn, "target": target}
        return continuous_learning.critic_loss(network, add_extra, state, **known)

    objectives = {"value": value_objective, "actor": actor_objective, "critic": critic_objective}

    def step(hypers: IQLHypers, state: IQLState, drawn: Drawn):
        metrics: dict[str, Array] = {}
        for part, objective in objectives.items():
            loss = objective(hypers, state, drawn)
            learner, found, _ = partial_step(part, loss, rates(hypers), state.learner)
            state, metrics = state._replace(learner=learner), metrics | found
        steps = counted(state.steps)
        rule = Target(1, hypers.target_update_rate)
        target = follow(state.target, state.learner.params, steps, rule)
        return state._replace(target=target, steps=steps), metrics

    update, probe = offline_learning.update_and_probe(
        config,
        network,
        actions.inside,
        actions.box.shape[0],
        step=step,
        objectives=(critic_objective, actor_objective, value_objective),
    )

    def anneal(hypers: IQLHypers, clock: Clock) -> IQLHypers:
        if not config.cosine_actor_rate:
            return hypers
        left = 0.5 * (1.0 + jnp.cos(jnp.pi * clock.progress))
        return hypers._replace(actor_learning_rate=hypers.actor_learning_rate * left)

    return offline_learning.assemble(
        env,
        config,
        standardize=config.normalize_observations,
        name="iql",
        network=network,
        hypers=hypers,
        init=init,
        act=act,
        update=update,
        probe=probe,
        noise=actions.noise,
        estimate=offline_learning.estimating(network, actions, partial(jnp.min, axis=-1)),
        anneal=anneal,
    )
