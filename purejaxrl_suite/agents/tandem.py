"""Tandem: how hard it is to learn from what another learner does (Ostrovski et al. 2021).

"The difficulty of passive learning in deep reinforcement learning", arXiv 2110.14020. Two learners
share one experience. The active one acts and learns: it is Double DQN with Huber's loss, whose
gradient is the error clipped to 1, divided by the batch size. The passive one has parameters of
its own and learns from the same batches in the same order; its target network moves with the
active one's. The active learner is bitwise what `dqn` is alone. What and how the passive one learns
is a `Passive`, see `agents.shared.passive`. All other settings are those of `dqn`.
"""

from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp

from purejaxrl_suite import nets
from purejaxrl_suite.agents.dqn import dqn_rule
from purejaxrl_suite.agents.shared import q_learning as loop
from purejaxrl_suite.agents.shared.passive import Passive, bootstrapped
from purejaxrl_suite.agents.shared.passive_learning import (
    PassiveState,
    apart,
    check_tied,
    passive_steps,
    tie,
)
from purejaxrl_suite.buffers import MakesReplay, uniform
from purejaxrl_suite.core import types, validate
from purejaxrl_suite.core.argument import instance
from purejaxrl_suite.core.types import (
    Agent,
    Array,
    ExtraLoss,
    Key,
    Learner,
    Memory,
    PyTree,
    Run,
    Transition,
)
from purejaxrl_suite.core.validate import Range


class TandemConfig(NamedTuple):
    """What changes the compiled program.

    Attributes:
        num_envs: parallel environments of one member (N); twice as many with `own_data`.
        rollout_length: steps in each of them between updates (T).
        gradient_steps: of the active learner in an update.
        batch_size: transitions in a gradient step.
        capacity: transitions that the replay holds.
        max_n_step: the largest n_step that hypers may ask for.
        probe_size: replayed transitions that the probe looks at.
        passive_steps: gradient steps of the passive learner for each of the active one; the first
            of them is on its batch.
        tied_layers: hidden layers, from the input on, that the passive learner copies from the
            active one after every gradient step.
        own_data: the passive learner acts in N further environments, into a replay of its own.
    """

    num_envs: Annotated[int, Range(1)] = 1
    rollout_length: Annotated[int, Range(1)] = 4
    gradient_steps: Annotated[int, Range(1)] = 1
    batch_size: Annotated[int, Range(1, "capacity")] = 32
    capacity: Annotated[int, Range(1)] = 100_000
    max_n_step: Annotated[int, Range(1)] = 1
    probe_size: Annotated[int, Range(1)] = 256
    passive_steps: Annotated[int, Range(1)] = 1
    tied_layers: Annotated[int, Range(0)] = 0
    own_data: bool = False


class TandemHypers(NamedTuple):
    """What may be swept, annealed or differentiated without recompiling.

    Attributes:
        learning_rate: of Adam, for both learners.
        adam_epsilon: of Adam's denominator.
        gamma: discount per step.
        n_step: rewards in a return, at most max_n_step.
        epsilon: probability of a random action when learning begins.
        final_epsilon: the same after the decay.
        epsilon_decay: fraction of training over which it decays linearly, after min_history.
        min_history: transitions before learning begins; until then actions are random.
        target_update_period: gradient steps of the active learner between changes of both target
            networks.
        target_update_rate: how far they then move to the online networks; 1 copies.
        recent: fraction of the capacity that the active learner's batches are from, newest first.
        passive_recent: the same of the passive learner; batches differ where the two do.
        active_rate: factor of the active learner's learning rate; 0 freezes it.
        own_fraction: probability that a transition of the passive learner's batches is its own;
            above 0 only with `own_data`.
    """

    learning_rate: Annotated[float, Range(0)] = 2.5e-4
    adam_epsilon: Annotated[float, Range(above=0)] = 3.125e-4
    gamma: Annotated[float, Range(0, 1)] = 0.99
    n_step: Annotated[float, Range(1, "max_n_step", integer=True)] = 1.0
    epsilon: Annotated[float, Range(0, 1)] = 1.0
    final_epsilon: Annotated[float, Range(0, 1)] = 0.01
    epsilon_decay: Annotated[float, Range(0, 1)] = 0.025
    min_history: Annotated[float, Range(1, "capacity", integer=True)] = 1000.0
    target_update_period: Annotated[float, Range(1, integer=True)] = 250.0
    target_update_rate: Annotated[float, Range(0, 1)] = 1.0
    recent: Annotated[float, Range(above=0, high=1)] = 1.0
    passive_recent: Annotated[float, Range(above=0, high=1)] = 1.0
    active_rate: Annotated[float, Range(0, 1)] = 1.0
    own_fraction: Annotated[float, Range(0, "own_data")] = 0.0


class TandemState(NamedTuple):
    """The fields of `ReplayState`, of the active learner, and the passive one beside it."""

    learner: Learner
    target: PyTree
    steps: Array
    replay: Any
    passive: PassiveState


def tandem(
    env: types.Environment,
    config: TandemConfig | None = None,
    network: types.Network | None = None,
    hypers: TandemHypers | None = None,
    *,
    passive: Passive | None = None,
    extra_loss: ExtraLoss | None = None,
    replay: MakesReplay = uniform,
) -> Agent:
    """Build an active and a passive learner for the spaces of an environment.

    `evaluation_return_passive` and `evaluate(policy="passive")` are of the passive learner, all
    else is of the active one. Metrics `passive_*` are those of the passive learner's gradient
    steps; `disagreement` is the share of the observations of its batch at which the greedy actions
    of the two differ. With `own_data` every second environment is the passive learner's, so returns
    of training are of both, and so are those of policies that explore: evaluate greedily then.

    Args:
        env: whose spaces the agent is built for.
        config: what changes the program; None for the defaults.
        network: of both learners; None for `nets.q_network`.
        hypers: what may be swept; None for the defaults.
        passive: how the passive learner learns; None is `bootstrapped()`, as the active one does.
        extra_loss: a term to add to the active learner's loss; its target is f32[B].
        replay: makes the replay, with the arguments of `buffers.uniform`.

    Returns:
        The agent, for `run`, `sweep` and `make_train`.

    Raises:
        ValueError: actions are not Discrete, a network has a memory, sizes do not fit, there are
            more tied layers than hidden ones, or own data of several tasks.

    Example:
        >>> env = pjs.make("Breakout-MinAtar")
        >>> result = pjs.run(pjs.tandem(env), env, seeds=4, steps=1e5)
        >>> passive = result.evaluate(policy="passive")["episode_return"]
    """
    validate.parts(env, network, types.Network)
    config, hypers = validate.settings(config, hypers, (TandemConfig(), TandemHypers()))
    how = bootstrapped() if passive is None else instance("passive", passive, Passive)
    action = loop.check("tandem", env)
    if config.own_data and env.tasks:
        raise ValueError(f"own_data: expected one task, {env.name} has {len(env.tasks)}")
    network = network or nets.q_network(env.observation, action, layer_norm=False)
    own = network if how.network is None else how.network(env.observation, action)
    check_tied(config.tied_layers, network, own)
    made = loop.experience(env, config, replay)
    known = {"env": env, "config": config, "hypers": hypers, "replay": replay}
    rule = dqn_rule(network, double=True, huber=True)
    learnt = how.rule(own, rule.q_values)
    rule = rule._replace(
        learning_rate=lambda hypers: hypers.learning_rate * hypers.active_rate,
        beside=passive_steps(made, config, how, network=own, rule=learnt, active_q=rule.q_values),
    )
    active = loop.q_learning("tandem", network=network, rule=rule, extra_loss=extra_loss, **known)
    other = loop.q_learning("tandem", network=own, rule=learnt, **known)

    def init(key: Key, hypers: Any) -> TandemState:
        state = active.init(key, hypers)
        second = other.init(apart(key, 0), hypers)
        learner = tie(config.tied_layers, network, state.learner, second.learner)
        kept = second.replay if config.own_data else ()
        target = jax.tree.map(jnp.copy, learner.params)
        both = PassiveState(learner, target, kept)
        return TandemState(**state._asdict(), passive=both)

    def passive_act(noise: Any, hypers: Any, state: Any, memory: Memory, obs: Array, explore: bool):
        return other.act(
            noise, hypers, state._replace(learner=state.passive.learner), memory, obs, explore
        )

    def act(noise: Any, hypers: Any, state: Any, memory: Memory, obs: Array, explore: bool):
        first = active.act(noise, hypers, state, memory, obs, explore)
        if not (config.own_data and explore):
            return first
        second = passive_act(noise, hypers, state, memory, obs, explore)
        its = jnp.arange(len(obs)) % 2 == 1
        return memory, jnp.where(its, second[1], first[1]), {}

    def update(key: Key, hypers: Any, state: TandemState, transition: Transition):
        if config.own_data:
            kept = made.add(state.passive.replay, _every_second(transition, 1))
            transition = _every_second(transition, 0)
            state = state._replace(passive=state.passive._replace(replay=kept))
        return active.update(key, hypers, state, transition)

    return active._replace(
        num_envs=config.num_envs * (1 + config.own_data),
        init=init,
        act=act,
        update=update,
        policies={"passive": passive_act},
    )


def _every_second(transition: Transition, first: int) -> Transition:
    """Select every second environment of a rollout, from the first on."""
    return jax.tree.map(lambda x: x[:, first::2], transition)


def fork(key: Key, before: Run, fresh: Run) -> Run:
    """Begin a stage in which the passive learner is a copy of the active one.

    For `Stage(begin=fork)`, after a stage of `tandem`, or of `dqn` with Double DQN and Huber's
    loss; both learners go on from its learner, target network and optimizer, with its replay, the
    passive one with its own data, if it has any. With
    `active_rate=0` the active learner is frozen; `epsilon=final_epsilon` keeps it acting as it did.
    Where the stage acts, its environments go on as they stood.

    Args:
        key: unused.
        before: the final state of the previous stage.
        fresh: the initial state of this one.

    Returns:
        The state to begin with.
    """
    found = before.agent
    twin = jax.tree.map(jnp.copy, (found.learner, found.target))
    kept, new = getattr(getattr(found, "passive", None), "replay", ()), fresh.agent.passive.replay
    kept = kept if jax.tree.structure(kept) == jax.tree.structure(new) else new
    agent = fresh.agent._replace(
        learner=found.learner,
        target=found.target,
        steps=found.steps,
        replay=found.replay,
        passive=fresh.agent.passive._replace(learner=twin[0], target=twin[1], replay=kept),
    )
    acts = jax.tree.structure(before.env) == jax.tree.structure(fresh.env)
    return (before if acts else fresh)._replace(agent=agent, intervention=fresh.intervention)
