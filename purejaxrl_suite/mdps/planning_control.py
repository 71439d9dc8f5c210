"""Q-learning that plans, forward and backward: forethought and hindsight in control.

Chelu, Precup and van Hasselt 2020, arXiv 2010.13685, and its code; `planning` has the models.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from purejaxrl_suite.core.argument import boolean, instance, integer, wrong
from purejaxrl_suite.core.types import Array
from purejaxrl_suite.mdps.experience import Step
from purejaxrl_suite.mdps.planning import (
    Model,
    Planned,
    PlanningHypers,
    falling,
    likelihood,
    outcomes,
    project,
)
from purejaxrl_suite.mdps.prediction import Predictor, values


class PlanningControlState(NamedTuple):
    """State of `planned_q`.

    table: parameters of distributions, f[S, S A] over pairs before a state (backward) or f[S A, S]
    over states after a pair (forward). reward: f[S], of entering a state. goes_on: f[S, 2], logits
    of whether an episode ends in a state (0) or goes on (1). episode: f[], from 0. fresh: bool[],
    whether the next step is the first of its episode.
    """

    weights: Array
    table: Array
    reward: Array
    goes_on: Array
    episode: Array
    fresh: Array


def planned_q(
    actions: int,
    backward: bool,
    current: bool,
    *,
    model: Model | None = None,
    model_free: bool = True,
    sampled: bool = False,
    most_probable: int | None = None,
) -> Predictor:
    """Build Q-learning that also plans, once for each transition.

    As `planned_td` on pairs, of which number S_t A + A_t is the present one. Backward: each pair
    moves towards r(x) + gamma max q(x), by its probability to have led to x. Forward: each action
    in x moves towards its expectation of r(s) + gamma max q(s), without the second term where the
    model expects an episode to end. Without Q-learning planning has to reach ends of episodes that
    are no reference states: forward from S_{t+1} also plans at the first state of an episode,
    backward from S_t at the terminal one.

    Args:
        actions: A.
        backward: whether the model is of pairs before; else of states after.
        current: whether the reference state x is S_{t+1}; else S_t.
        model: how it is learnt; None is `likelihood()`.
        model_free: whether Q-learning learns, too; else planning alone does (mb_).
        sampled: whether planning draws from the model; else it takes expectations. All draws of a
            step are by its one noise.
        most_probable: of backward planning, how many pairs move, and those that are as probable as
            the last of them; None is all.

    Returns:
        The predictor; its Hypers are `PlanningHypers`. Features are f[S A, K], or f[S A], the
        diagonal of one-hot ones, 0 for terminal states.

    Raises:
        ValueError: actions < 1, a flag is no bool, the model no Model, or `most_probable` is less
            than 1 or given forward. When learning starts: features are not of pairs, or there are
            fewer than `most_probable`.
    """
    integer("actions", actions, 1)
    for name, flag in (("backward", backward), ("current", current), ("sampled", sampled)):
        boolean(name, flag)
    boolean("model_free", model_free)
    if most_probable is not None and not backward:
        raise ValueError(f"most_probable: expected None forward, got {most_probable}")
    if most_probable is not None:
        integer("most_probable", most_probable, 1)
    known = likelihood() if model is None else instance("model", model, Model)

    def init(features: Array, weights: Array) -> PlanningControlState:
        pairs = len(features)
        if pairs % actions:
            raise wrong("features", f"rows of pairs, a multiple of {actions} actions", pairs)
        if most_probable is not None:
            integer("most_probable", most_probable, 1, pairs)
        states = pairs // actions
        shape = (states, pairs) if backward else (pairs, states)
        return PlanningControlState(
            weights=weights,
            table=jnp.zeros(shape, weights.dtype),
            reward=jnp.zeros(states, weights.dtype),
            goes_on=jnp.zeros((states, 2), weights.dtype),
            episode=jnp.zeros((), weights.dtype),
            fresh=jnp.bool_(True),
        )

    def aims(hypers: PlanningHypers, state: PlanningControlState, q: Array) -> Array:
        """Compute r(s) + gamma max q(s) of entering each state, f[S]."""
        best = jnp.max(jnp.reshape(q, (-1, actions)), axis=1)
        on = jnp.argmax(state.goes_on, axis=1) if not backward else 1.0
        return state.reward + hypers.gamma * on * best

    def planned(
        hypers: PlanningHypers, features: Array, state: PlanningControlState, row: Array
    ) -> Planned:
        """Return the change by the distribution in a row of the table."""
        q = values(features, state.weights)
        aim = aims(hypers, state, q)
        if backward:
            return lambda p: project(features, p * (aim[row] - q))
        here = jax.nn.one_hot(row, len(q), dtype=q.dtype)
        return lambda p: project(features, here * (p @ aim - q[row]))

    def plan(
        hypers: PlanningHypers,
        features: Array,
        state: PlanningControlState,
        x: Array,
        noise: Array,
        amount: Array,
    ) -> PlanningControlState:
        """Plan at a state, by the amount of a step size."""
        change = jnp.zeros_like(state.weights)
        for row in (x,) if backward else [x * actions + a for a in range(actions)]:
            p = outcomes(known, state.table[row], noise, sampled)
            if most_probable is not None:
                p = jnp.where(p >= jax.lax.top_k(p, most_probable)[0][-1], p, 0.0)
            change = change + planned(hypers, features, state, row)(p)
        return state._replace(weights=state.weights + amount * change)

    def learnt(
        hypers: PlanningHypers, features: Array, state: PlanningControlState, step: Step
    ) -> PlanningControlState:
        """Let the model learn a transition, with its reward and whether it ended an episode."""
        pair = step.state * actions + step.action
        row, outcome = (step.next_state, pair) if backward else (pair, step.next_state)
        rate = falling(state.episode, hypers.episodes) * hypers.model_step_size
        error = step.reward - state.reward[step.next_state]
        state = state._replace(reward=state.reward.at[step.next_state].add(rate * error))
        end = likelihood().direction(
            state.goes_on[step.next_state], (step.discount > 0).astype(jnp.int32), lambda p: p
        )
        aware = planned(hypers, features, state, row)
        return state._replace(
            goes_on=state.goes_on.at[step.next_state].add(rate * end),
            table=state.table.at[row].add(rate * known.direction(state.table[row], outcome, aware)),
        )

    def q_learnt(
        hypers: PlanningHypers, features: Array, state: PlanningControlState, step: Step
    ) -> PlanningControlState:
        q = values(features, state.weights)
        pair = step.state * actions + step.action
        best = jnp.max(jnp.reshape(q, (-1, actions))[step.next_state])
        error = step.reward + step.discount * best - q[pair]
        here = jax.nn.one_hot(pair, len(q), dtype=q.dtype)
        rate = falling(state.episode, hypers.episodes) * hypers.step_size
        return state._replace(weights=state.weights + rate * project(features, here * error))

    def update(
        hypers: PlanningHypers, features: Array, state: PlanningControlState, window: Step
    ) -> PlanningControlState:
        step = jax.tree.map(lambda leaf: leaf[0], window)
        state = learnt(hypers, features, state, step)
        if model_free:
            state = q_learnt(hypers, features, state, step)
        x, other = step.state, step.next_state
        if current:
            x, other = other, x
        amount = falling(state.episode, hypers.episodes) * hypers.planning_step_size
        if not model_free and backward != current:
            missed = step.discount == 0.0 if backward else state.fresh
            state = plan(hypers, features, state, other, step.noise, amount * missed)
        state = plan(hypers, features, state, x, step.noise, amount)
        return state._replace(episode=state.episode + step.last, fresh=step.last)

    return Predictor(init, update, PlanningHypers(gamma=0.99), 1)
