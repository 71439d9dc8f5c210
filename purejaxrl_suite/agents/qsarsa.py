"""Q-SARSA regularisation of offline TD3 (Shi et al. 2023, arXiv 2307.13824): Qsarsa-AC and -AC2.

TD3 on a data set stays near what the data tell by the behaviour's Q-function Qb, which `behaviour`
has learnt in an earlier stage and which nothing moves here:

- critics: the loss of TD3 + `critic_weight` * mean (Q_i(s, pi(s)) - Qb(s, pi(s)))^2, summed over
  critics;
- actor: maximises Q(s, pi(s)) / mean |Q| + `actor_weight` * Qb(s, pi(s)) / mean |Qb|
  - `cloning_weight` * (pi(s) - a)^2.

The paper's two stages and the idea of both regularisers are certain; their exact forms, weights and
the difference between AC and AC2 are our reading, and so are the presets. With all three weights 0
it is TD3 on the data set.

    source = partial(pjs.engine.dataset, steps=steps)
    found = pjs.stages(
        pjs.Stage("behaviour", pjs.Experiment(pjs.behaviour, env, 4, 5e6, source=source)),
        pjs.Stage("policy", pjs.Experiment(pjs.qsarsa, env, 4, 256e4, source=source),
                  begin=pjs.agents.qsarsa.with_behaviour),
    )

A grid of weights in the second stage goes on from one first stage for each seed.
"""

from typing import Annotated, Any, NamedTuple

import jax.numpy as jnp

from purejaxrl_suite.agents.shared import action_scaling
from purejaxrl_suite.agents.shared.continuous_learning import Drawn
from purejaxrl_suite.agents.shared.offline_td3 import (
    OfflineTD3State,
    Terms,
    by_mean_size,
    check_network,
    cloning_error,
    offline_td3,
)
from purejaxrl_suite.core import types, validate
from purejaxrl_suite.core.types import Agent, Array, Key, PyTree, Run
from purejaxrl_suite.core.validate import Range


class QSarsaConfig(NamedTuple):
    """What changes the compiled program.

    Attributes:
        gradient_steps: of the critics in an update.
        policy_delay: gradient steps of the critics for each of the actor and of the targets;
            divides gradient_steps.
        batch_size: transitions of the data set in a gradient step.
        normalize_observations: by mean and standard deviation of the data set; as in the stage that
            has learnt the behaviour.
    """

    gradient_steps: Annotated[int, Range(1)] = 10
    policy_delay: Annotated[int, Range(1)] = 2
    batch_size: Annotated[int, Range(1)] = 256
    normalize_observations: bool = True


class QSarsaHypers(NamedTuple):
    """What may be swept, annealed or differentiated without recompiling.

    Attributes:
        actor_learning_rate: of the actor's Adam.
        critic_learning_rate: of the critics' Adam.
        gamma: discount per step.
        target_update_rate: how far the targets move to the networks, after each step of the actor.
        target_noise: standard deviation of the noise on the target's actions.
        target_noise_clip: bound of that noise.
        critic_weight: weight of the critics' squared difference from the behaviour's Q-function.
        actor_weight: weight of the behaviour's Q-function in what the actor maximises.
        cloning_weight: weight of the squared difference from the actions of the data.
    """

    actor_learning_rate: Annotated[float, Range(0)] = 3e-4
    critic_learning_rate: Annotated[float, Range(0)] = 3e-4
    gamma: Annotated[float, Range(0, 1)] = 0.99
    target_update_rate: Annotated[float, Range(0, 1)] = 0.005
    target_noise: Annotated[float, Range(0)] = 0.2
    target_noise_clip: Annotated[float, Range(0)] = 0.5
    critic_weight: Annotated[float, Range(0)] = 1.0
    actor_weight: Annotated[float, Range(0)] = 1.0
    cloning_weight: Annotated[float, Range(0)] = 0.0


def with_behaviour(key: Key, before: Run, fresh: Run) -> Run:
    """Begin the training of `qsarsa` with the Q-function of a stage that trained `behaviour`.

    It is `Stage.begin`. Both stages have networks of one structure and normalize alike: the
    statistics of observations are those that the Q-function was trained with.
    """
    params, normalized = before.agent.learner.params, hasattr(fresh.agent, "inner")
    if hasattr(before.agent, "inner") != normalized:
        raise ValueError("expected both stages with one setting of normalize_observations")
    if normalized:
        inner = fresh.agent.inner._replace(behaviour=params)
        agent = fresh.agent._replace(inner=inner, moments=before.agent.moments)
        return fresh._replace(agent=agent)
    return fresh._replace(agent=fresh.agent._replace(behaviour=params))


def qsarsa(
    env: types.Environment,
    config: QSarsaConfig | None = None,
    network: types.Network | None = None,
    hypers: QSarsaHypers | None = None,
    *,
    extra_loss: types.ExtraLoss | None = None,
) -> Agent:
    """Build TD3 with regularisation by the behaviour's Q-function, for a data set.

    It goes on from a stage of `behaviour` by `with_behaviour`; alone it would be regularised by a
    random function.

    Args:
        env: whose spaces the agent is built for.
        config: what changes the program; None for the defaults.
        network: None for `nets.actor_critics(deterministic=True)`.
        hypers: what may be swept; None for the defaults.
        extra_loss: a term to add to the critics' loss and to the actor's; each only moves its own
            parameters. Its target is that of the critics, f32[B], and None in the actor's loss,
            whose metrics are recorded.

    Returns:
        The agent, which learns from a data set only.

    Raises:
        ValueError: actions are not a Box of one axis with finite bounds, or sizes do not fit.
    """
    validate.parts(env, network, types.Network)
    config, hypers = validate.settings(config, hypers, (QSarsaConfig(), QSarsaHypers()))
    units = action_scaling.units("qsarsa", env)
    made = check_network("qsarsa", env, network)

    def reference(state: OfflineTD3State, drawn: Drawn, action: Array) -> Array:
        """Compute Qb f32[B] of scaled actions."""
        values = made.apply(state.behaviour, drawn.batch.obs, action=action)[0].values
        return jnp.mean(values, axis=-1)

    def of_critics(hypers: QSarsaHypers, state: OfflineTD3State, drawn: Drawn, params: PyTree):
        obs = drawn.batch.obs
        action = units.hold(jnp.tanh(made.apply(state.learner.params, obs)[0].policy))
        values = made.apply(params, obs, action=action)[0].values
        off = values - reference(state, drawn, action)[:, None]
        penalty = jnp.mean(jnp.sum(jnp.square(off), axis=-1))
        return hypers.critic_weight * penalty, {"critic_penalty": penalty}

    def of_actor(hypers: QSarsaHypers, state: OfflineTD3State, drawn: Drawn, action: Array):
        behaviour = jnp.mean(by_mean_size(reference(state, drawn, action)))
        error = cloning_error(drawn, action)
        return hypers.cloning_weight * error - hypers.actor_weight * behaviour

    def one(hypers: Any) -> float:
        return 1.0

    return offline_td3(
        "qsarsa",
        env,
        config=config,
        hypers=hypers,
        network=made,
        units=units,
        terms=Terms(q_weight=one, actor=of_actor, critic=of_critics, behaviour=True),
        extra_loss=extra_loss,
    )
