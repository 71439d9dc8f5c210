"""Planning with learnt models of tabular MDPs, forward and backward: forethought and hindsight.

A backward model tells from which states one comes to a state; planning with it corrects the values
of causes. A forward model tells where one goes; planning with it corrects the value of a state by
all its effects. Chelu, Precup and van Hasselt 2020, arXiv 2010.13685, and its code.
`planned_td` predicts the values of a policy; `planned_q` of `planning_control` learns to act.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from purejaxrl_suite.core.argument import boolean, instance, integer
from purejaxrl_suite.core.types import Array
from purejaxrl_suite.mdps.experience import Step, cumulative, pick
from purejaxrl_suite.mdps.prediction import Predictor, values

Planned = Callable[[Array], Array]
"""Probabilities f[M] of outcomes -> the change of weights f[K] that planning with them makes."""


class Model(NamedTuple):
    """How a distribution over outcomes is represented and learnt.

    probabilities: parameters f[M] -> f[M], from zeros on.
    direction: (parameters f[M], outcome i32[], `Planned`) -> f[M], in which they move.
    """

    probabilities: Callable[[Array], Array]
    direction: Callable[[Array, Array, Planned], Array]


def likelihood() -> Model:
    """Learn a softmax by maximum likelihood: onehot(outcome) - softmax."""
    return Model(
        jax.nn.softmax,
        lambda row, outcome, planned: _one_hot(outcome, row) - jax.nn.softmax(row),
    )


def squared() -> Model:
    """Learn the frequencies themselves, by squared errors: onehot(outcome) - frequencies."""
    return Model(lambda row: row, lambda row, outcome, planned: _one_hot(outcome, row) - row)


def planner_aware() -> Model:
    """Learn a softmax that plans as the outcome itself would, by the gradient for its logits.

    The loss is half the squared distance between the changes of weights by planning with the model
    and with the outcome. It grows with the square of errors of values, so its step size has to be
    small where these are large.
    """

    def direction(row: Array, outcome: Array, planned: Planned) -> Array:
        aim = planned(_one_hot(outcome, row))

        def loss(row: Array) -> Array:
            return 0.5 * jnp.sum((planned(jax.nn.softmax(row)) - aim) ** 2)

        return -jax.grad(loss)(row)

    return Model(jax.nn.softmax, direction)


def given() -> Model:
    """Keep what `state.table` is set to: probabilities of the true model, for example."""
    return Model(lambda row: row, lambda row, outcome, planned: jnp.zeros_like(row))


class PlanningHypers(NamedTuple):
    """Hyper-parameters of planning.

    step_size: of learning without a model. planning_step_size. model_step_size: of the model and
    its rewards. gamma: that of the MDP. episodes: all step sizes fall to 0, linearly, in so many.
    """

    step_size: float | Array = 1.0
    planning_step_size: float | Array = 1.0
    model_step_size: float | Array = 1.0
    gamma: float | Array = 0.9
    episodes: float | Array = float("inf")


class PlanningState(NamedTuple):
    """State of `planned_td`.

    table: f[S, S], parameters of a distribution in each row: of states before (backward) or after
    (forward). reward: f[S, S], of the transitions that rows of `table` are about. episode: f[],
    from 0.
    """

    weights: Array
    table: Array
    reward: Array
    episode: Array


def planned_td(
    backward: bool,
    current: bool,
    *,
    model: Model | None = None,
    model_free: bool = True,
    sampled: bool = False,
    steps: int = 1,
) -> Predictor:
    """Build TD(0) that also plans, once for each transition.

    First the model learns the transition from S_t to S_{t+1} and its reward, then TD(0) does, then
    the rule plans at a reference state x. Backward: each state s moves towards
    r(s, x) + gamma v(x), by its probability P(s | x) to have come before. Forward: x moves towards
    the sum over s of P(s | x) (r(x, s) + gamma v(s)). Terminal states have no features, so no
    value.

    Args:
        backward: whether the model is of states before; else of states after.
        current: whether x is S_{t+1} (c_ of the paper's names); else S_t (p_).
        model: how it is learnt; None is `likelihood()`.
        model_free: whether TD(0) learns, too; else planning alone does (mb_).
        sampled: whether planning draws one state from the model, by the noise of the step; else it
            takes expectations.
        steps: n; the model is of states n steps apart, or at the end of the episode, static.

    Returns:
        The predictor; its Hypers are `PlanningHypers`. Features are f[S, K], or f[S], the diagonal
        of one-hot ones, 0 for terminal states: then an update costs O(S).

    Raises:
        ValueError: steps < 1, a flag is no bool, or the model no Model.
    """
    for name, flag in (("backward", backward), ("current", current), ("sampled", sampled)):
        boolean(name, flag)
    boolean("model_free", model_free)
    integer("steps", steps, 1)
    known = likelihood() if model is None else instance("model", model, Model)

    def init(features: Array, weights: Array) -> PlanningState:
        square = jnp.zeros((len(features), len(features)), weights.dtype)
        return PlanningState(weights, square, square, jnp.zeros((), weights.dtype))

    def planned(
        hypers: PlanningHypers, features: Array, weights: Array, rewards: Array, x: Array
    ) -> Planned:
        """Return the change by planning at x, whose rewards are f[S], as a function of P."""
        v = values(features, weights)
        following = hypers.gamma**steps * v
        if backward:
            return lambda p: project(features, p * (rewards + following[x] - v))
        here = _one_hot(x, v)
        return lambda p: project(features, here * (p @ (rewards + following) - v[x]))

    def update(
        hypers: PlanningHypers, features: Array, state: PlanningState, window: Step
    ) -> PlanningState:
        first = jax.tree.map(lambda leaf: leaf[0], window)
        end, reward, whole = ahead(window)
        row, outcome = (end, first.state) if backward else (first.state, end)
        x = end if current else first.state
        left = falling(state.episode, hypers.episodes)
        learning = whole * left * hypers.model_step_size
        paid = state.reward[row]
        paid = paid + learning * _one_hot(outcome, paid) * (reward - paid[outcome])
        own = state.table[row]
        plan = planned(hypers, features, state.weights, paid, row)
        own = own + learning * known.direction(own, outcome, plan)
        table, rewards = _with_row(state.table, row, own), _with_row(state.reward, row, paid)
        if backward != current:  # else x is the row that was learnt; to read it again would cost
            own, paid = table[x], rewards[x]  # a copy of the table
        weights = state.weights
        if model_free:
            v = values(features, weights)
            error = first.reward + first.discount * v[first.next_state] - v[first.state]
            here = _one_hot(first.state, v)
            weights = weights + left * hypers.step_size * project(features, here * error)
        p = outcomes(known, own, first.noise, sampled)
        change = planned(hypers, features, weights, paid, x)(p)
        return PlanningState(
            weights=weights + whole * left * hypers.planning_step_size * change,
            table=table,
            reward=rewards,
            episode=state.episode + first.last,
        )

    return Predictor(init, update, PlanningHypers(), steps)


def ahead(window: Step) -> tuple[Array, Array, Array]:
    """Look at n steps, as far as their episode goes.

    Returns:
        The state that is reached i32[], the discounted sum of rewards f[], and 1.0, or 0.0 if a
        time limit has cut the window so that no model can learn from it.
    """
    before = jnp.concatenate([jnp.zeros(1, bool), window.last[:-1]])
    inside = jnp.cumsum(before) == 0
    discounts = jnp.concatenate([jnp.ones(1), window.discount[:-1]])
    reward = jnp.sum(jnp.where(inside, jnp.cumprod(discounts) * window.reward, 0.0))
    at = jnp.sum(inside) - 1
    whole = (at == len(before) - 1) | (window.discount[at] == 0.0)
    return window.next_state[at], reward, whole.astype(reward.dtype)


def falling(episode: Array, episodes: Array | float) -> Array:
    """Compute the share of a step size that is left: (E - e) / E, and 0 from episode E on."""
    return jnp.maximum(0.0, 1.0 - episode / episodes)


def outcomes(model: Model, row: Array, noise: Array, sampled: bool) -> Array:
    """Return what planning takes for probabilities f[M]: the model's, or those of one draw."""
    p = model.probabilities(row)
    return _one_hot(pick(cumulative(p), noise), p) if sampled else p


def project(features: Array, amounts: Array) -> Array:
    """Sum features by amounts f[S]: the change of weights f[K] for changes of values."""
    return features * amounts if jnp.ndim(features) == 1 else amounts @ features


def _with_row(table: Array, row: Array, values: Array) -> Array:
    """Replace a row in place: a scatter, or one fused with what reads it, may copy the table."""
    values = jax.lax.optimization_barrier(values)
    return jax.lax.dynamic_update_index_in_dim(table, values, row, 0)


def _one_hot(index: Array, like: Array) -> Array:
    return jax.nn.one_hot(index, len(like), dtype=like.dtype)
