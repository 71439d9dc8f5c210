"""Expected eligibility traces: ET(lambda, eta) and QET(lambda), with TD(lambda) and Q(lambda).

van Hasselt et al. 2021, arXiv 2007.01839. eta = 1 is the instantaneous trace, eta = 0 the expected
one alone.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from purejaxrl_suite.core.argument import boolean, integer
from purejaxrl_suite.core.types import Array
from purejaxrl_suite.mdps.experience import Step, kept
from purejaxrl_suite.mdps.prediction import Predictor, features_of, values, values_of
from purejaxrl_suite.mdps.traces import mixed_trace


class TraceHypers(NamedTuple):
    """Hyper-parameters of expected traces.

    step_size, power: alpha = step_size i^-power in the i-th episode. eta: of the trace in use; 1 is
    TD(lambda), 0 expected traces alone. z_eta: of the targets of z; 1 is Monte-Carlo, 0 bootstraps
    from z of the state before. z_step_size: z moves by 1 / visits, and by no less than this.
    """

    step_size: float | Array = 0.1
    power: float | Array = 0.0
    lambda_: float | Array = 0.9
    eta: float | Array = 0.0
    z_eta: float | Array = 1.0
    z_step_size: float | Array = 0.0


class TraceState(NamedTuple):
    """State of expected traces.

    z: f[S, K], the expected trace of each state. visits: f[S]. carried: f[K], gamma lambda y of
    the step before; carried_target: the same for targets of z. episode: f[], from 1.
    """

    weights: Array
    z: Array
    visits: Array
    carried: Array
    carried_target: Array
    episode: Array


def expected_trace_td(learnt: bool = True) -> Predictor:
    """Build ET(lambda, eta), TD with expected traces, on-policy.

    y_t = (1 - eta) z(S_t) + eta (gamma_t lambda y_{t-1} + x(S_t)), w += alpha delta_t y_t; first
    z(S_t) moves towards its target, which ends with x(S_t). With eta = 1 it is TD(lambda), bit for
    bit, whatever z is. van Hasselt et al. 2021, arXiv 2007.01839.

    Args:
        learnt: whether z is learnt, from 0; else it stays what `state.z` is set to.

    Returns:
        The predictor; its Hypers are `TraceHypers`.
    """

    def look(features: Array, weights: Array, step: Step) -> tuple[Array, Array, Array]:
        following = values_of(features, weights, step.next_state)
        return step.state, following, jnp.ones_like(step.reward)

    return _traced(look, learnt)


def expected_trace_q(actions: int, watkins: bool = False, learnt: bool = True) -> Predictor:
    """Build Q(lambda) and QET(lambda) of tables: values of state-action pairs, off-policy by max.

    As `expected_trace_td` on pairs, of which number S_t A + A_t is the present one, with delta_t =
    r + gamma max_a q(s', a) - q(s, a). Features are the identity of S A pairs. eta = 1 is Q(lambda)
    without cuts (Peng's, without his correction), or Watkins's, which forgets the past at actions
    that are not greedy: Watkins 1989, Learning from delayed rewards.

    Args:
        actions: A.
        watkins: whether traces are cut at actions that are not greedy.
        learnt: as of `expected_trace_td`.

    Returns:
        The predictor; its Hypers are `TraceHypers`.

    Raises:
        ValueError: actions < 1, or a flag is no bool.
    """
    integer("actions", actions, 1)
    boolean("watkins", watkins)

    def look(features: Array, weights: Array, step: Step) -> tuple[Array, Array, Array]:
        q = jnp.reshape(values(features, weights), (-1, actions))
        greedy = q[step.state, step.action] >= jnp.max(q[step.state])
        keep = jnp.where(greedy | (not watkins), 1.0, 0.0).astype(weights.dtype)
        return step.state * actions + step.action, jnp.max(q[step.next_state]), keep

    return _traced(look, learnt)


Look = Callable[[Array, Array, Step], tuple[Array, Array, Array]]
"""(features, weights, step) -> the row that is predicted, the successor's value, and what is left
of the trace before."""


def _traced(look: Look, learnt: bool) -> Predictor:
    boolean("learnt", learnt)

    def init(features: Array, weights: Array) -> TraceState:
        zero = jnp.zeros_like(weights)
        visits = jnp.zeros(len(features), weights.dtype)
        return TraceState(
            weights=weights,
            z=jnp.zeros((len(features), len(weights)), weights.dtype),
            visits=visits,
            carried=zero,
            carried_target=zero,
            episode=jnp.ones((), weights.dtype),
        )

    def update(hypers: TraceHypers, features: Array, state: TraceState, steps: Step) -> TraceState:
        step = jax.tree.map(lambda leaf: leaf[0], steps)
        row, following, keep = look(features, state.weights, step)
        x, z, visits = features_of(features, row), state.z[row], state.visits.at[row].add(1.0)
        target = keep * state.carried_target + x
        if learnt:
            z = z + jnp.maximum(1.0 / visits[row], hypers.z_step_size) * (target - z)
        y = mixed_trace(keep * state.carried, z, x, hypers.eta)
        own = values_of(features, state.weights, row)
        error = step.reward + step.discount * following - own
        decay = kept(step) * hypers.lambda_
        return TraceState(
            weights=state.weights + hypers.step_size * state.episode**-hypers.power * error * y,
            z=state.z.at[row].set(z),
            visits=visits,
            carried=decay * y,
            carried_target=decay * ((1.0 - hypers.z_eta) * z + hypers.z_eta * target),
            episode=state.episode + step.last,
        )

    return Predictor(init, update, TraceHypers(), 1)
