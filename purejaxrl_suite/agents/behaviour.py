"""Behaviour of a data set: its policy by behaviour cloning, and its Q-function by SARSA.

The policy is the maximum-likelihood one (Pomerleau 1991), of continuous actions with a fixed
deviation. The Q-function is that of the policy that made the data: its targets take the action that
followed in the data (SARSA, Rummery and Niranjan 1994), so no action is evaluated that the data do
not have. A step at which an episode was cut, whose next action is not known, teaches the policy
only. `qsarsa` regularises by this Q-function (arXiv 2307.13824).
"""

from functools import partial
from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp

from purejaxrl_suite.agents.shared import continuous_learning, extra_losses, offline_learning
from purejaxrl_suite.agents.shared.continuous_learning import Drawn, moved_by, partial_step
from purejaxrl_suite.agents.shared.offline_learning import NEXT
from purejaxrl_suite.agents.shared.replay_learning import Target, follow
from purejaxrl_suite.core import types, validate
from purejaxrl_suite.core.types import Agent, Array, Key, Learner, Memory, PyTree
from purejaxrl_suite.core.validate import Range
from purejaxrl_suite.ops import value
from purejaxrl_suite.ops.schedules import counted


class BehaviourConfig(NamedTuple):
    """What changes the compiled program.

    Attributes:
        gradient_steps: in an update, of the policy and of the Q-function.
        batch_size: transitions of the data set in a gradient step.
        normalize_observations: by mean and standard deviation of the data set.
    """

    gradient_steps: Annotated[int, Range(1)] = 10
    batch_size: Annotated[int, Range(1)] = 256
    normalize_observations: bool = True


class BehaviourHypers(NamedTuple):
    """What may be swept, annealed or differentiated without recompiling.

    Attributes:
        actor_learning_rate: of the policy's Adam.
        critic_learning_rate: of the Adam of the Q-function.
        gamma: discount per step.
        target_update_rate: how far the target moves to the Q-function, after each of its steps.
    """

    actor_learning_rate: Annotated[float, Range(0)] = 3e-4
    critic_learning_rate: Annotated[float, Range(0)] = 3e-4
    gamma: Annotated[float, Range(0, 1)] = 0.99
    target_update_rate: Annotated[float, Range(0, 1)] = 0.005


class BehaviourState(NamedTuple):
    """State: policy and Q-function, the target of the latter, and i32[], gradient steps."""

    learner: Learner
    target: PyTree
    steps: Array


def behaviour(
    env: types.Environment,
    config: BehaviourConfig | None = None,
    network: types.Network | None = None,
    hypers: BehaviourHypers | None = None,
    *,
    extra_loss: types.ExtraLoss | None = None,
) -> Agent:
    """Build behaviour cloning with the Q-function of the behaviour, for actions of either kind.

    Args:
        env: whose spaces the agent is built for.
        config: what changes the program; None for the defaults.
        network: None for `nets.actor_critics(deterministic=True)`. With discrete actions it is
            built for one-hot actions, a Box with one entry for each, and its policy are logits. The
            Q-function is the mean of its critics, each with a target of its own.
        hypers: what may be swept; None for the defaults.
        extra_loss: a term to add to the critics' loss and to the policy's; each only moves its own
            parameters. Its target is that of the critics, f32[B, M], and None in the policy's
            loss, whose metrics are recorded.

    Returns:
        The agent, which learns from a data set only.

    Raises:
        ValueError: actions are continuous without finite bounds, tasks differ in their actions, or
            sizes do not fit.

    Example:
        >>> from functools import partial
        >>> env, steps = pjs.make("Pendulum-v1"), ...
        >>> source = partial(pjs.engine.dataset, steps=steps)
        >>> result = pjs.run(pjs.behaviour, env, seeds=4, steps=5e6, source=source)
    """
    validate.parts(env, network, types.Network)
    extra_losses.check(extra_loss)
    config, hypers = validate.settings(config, hypers, (BehaviourConfig(), BehaviourHypers()))
    actions = offline_learning.actions("behaviour", env)
    network = offline_learning.network(
        "behaviour", env, network, actions=actions, deterministic=True
    )
    rates = partial(continuous_learning.optimizers, network)
    add_extra = partial(continuous_learning.add_extra, extra_loss, network=network)

    def init(key: Key, hypers: BehaviourHypers) -> BehaviourState:
        learner = continuous_learning.initial_learner(key, network, rates(hypers))
        return BehaviourState(learner, jax.tree.map(jnp.copy, learner.params), jnp.int32(0))

    def act(noise: Any, hypers: Any, state: BehaviourState, memory: Memory, obs: Array, explore):
        policy = network.apply(state.learner.params, obs)[0].policy
        return memory, actions.sample(noise, policy) if explore else actions.greedy(policy), {}

    def critic_objective(hypers: BehaviourHypers, state: BehaviourState, drawn: Drawn):
        """Make (params, taps) -> (f32[], (metrics, features)); the target is outside the loss."""
        batch = drawn.batch
        known_next = network.apply(state.target, batch.next_obs, action=batch.extras[NEXT])[0]
        target = jax.vmap(value.bootstrap)(
            batch.reward, batch.discount, batch.terminated, known_next.values
        )

        def loss(params: PyTree, taps: Any):
            params = moved_by("critic", params, state.learner.params)
            seen = network.apply(params, batch.obs, (), taps, action=batch.action)
            errors = jnp.sum(jnp.square(seen[0].values - target), axis=-1)
            error = jnp.mean(batch.weight * errors)
            metrics = {"critic_loss": error, "q_value": jnp.mean(seen[0].values)}
            known = {"params": params, "drawn": drawn, "hypers": hypers, "target": target}
            known |= {"target_params": state.target}
            total, metrics = add_extra((error + seen[1].aux_loss, metrics), seen=seen, **known)
            return total, (metrics, seen[1].features)

        return loss

    def actor_objective(hypers: BehaviourHypers, state: BehaviourState, drawn: Drawn):
        """Make (params, taps) -> (f32[], (metrics, ()))."""
        batch = drawn.batch

        def loss(params: PyTree, taps: Any):
            params = moved_by("actor", params, state.learner.params)
            policy = network.apply(params, batch.obs, (), taps)[0].policy
            total = -jnp.mean(actions.log_likelihood(policy, batch.action))
            known = {"params": params, "drawn": drawn, "hypers": hypers}
            known |= {"target_params": state.target}
            total, metrics = add_extra((total, {"actor_loss": total}), **known)
            return total, (metrics, ())

        return loss

    def step(hypers: BehaviourHypers, state: BehaviourState, drawn: Drawn):
        learner, of_critic, _ = partial_step(
            "critic", critic_objective(hypers, state, drawn), rates(hypers), state.learner
        )
        learner, of_actor, _ = partial_step(
            "actor", actor_objective(hypers, state, drawn), rates(hypers), learner
        )
        steps = counted(state.steps)
        target = follow(state.target, learner.params, steps, Target(1, hypers.target_update_rate))
        return BehaviourState(learner, target, steps), of_critic | of_actor

    update, probe = offline_learning.update_and_probe(
        config,
        network,
        actions.inside,
        actions.box.shape[0],
        step=step,
        objectives=(critic_objective, actor_objective),
    )
    return offline_learning.assemble(
        env,
        config,
        window=2,
        standardize=config.normalize_observations,
        name="behaviour",
        network=network,
        hypers=hypers,
        init=init,
        act=act,
        update=update,
        probe=probe,
        noise=actions.noise,
        estimate=offline_learning.estimating(network, actions, partial(jnp.mean, axis=-1)),
    )
