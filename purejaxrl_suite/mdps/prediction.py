"""Linear prediction from a stream of experience, by traces: TD, emphatic TD, expected traces.

A `Predictor` is a pair of pure functions of one member; vmap them over seeds, hyper-parameters and
MDPs. Experience does not depend on what is learnt, so it is drawn first (`experience`), and a
predictor that looks n steps ahead is given slices of it (`learn`). Episodes follow each other in
the stream.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from purejaxrl_suite.core.argument import boolean, integer
from purejaxrl_suite.core.types import Array, Key
from purejaxrl_suite.mdps.mdp import MDP, draw_state, in_jax
from purejaxrl_suite.mdps.traces import (
    carry_follow_on,
    corrected_error,
    follow_on,
    mixed_trace,
)


class Step(NamedTuple):
    """Transitions of a stream; leaves [...].

    state, action, next_state: i32, next_state being the true successor. reward: f32. discount:
    gamma, or 0 where next_state is terminal. ratio: f32, pi(a|s) / mu(a|s). interest: f32, how much
    the value of the state is asked for.
    """

    state: Array
    action: Array
    reward: Array
    discount: Array
    next_state: Array
    ratio: Array
    interest: Array


class Predictor(NamedTuple):
    """A learning rule of linear values.

    init: (features f[S, K], weights f[K]) -> state, which has the field `weights`.
    update: (hypers, features, state, Step with leaves [steps]) -> state: learns about the first of
        the steps.
    hypers: default hyper-parameters.
    steps: how many it looks ahead, the present one included.
    """

    init: Callable[[Array, Array], Any]
    update: Callable[[Any, Array, Any, Step], Any]
    hypers: Any
    steps: int


def experience(key: Key, mdp: MDP, behaviour: Array, target: Array, steps: int) -> Step:
    """Draw a stream of transitions, with ratios of the target policy to the behaviour.

    Args:
        key: for the draws.
        mdp: the MDP.
        behaviour: f[S, A], which acts.
        target: f[S, A], which is asked about.
        steps: T.

    Returns:
        Leaves [T]; all interest is 1.
    """
    mdp, behaviour, target = in_jax(mdp), jnp.asarray(behaviour), jnp.asarray(target)

    def step(state: Array, key: Key) -> tuple[Array, Step]:
        of_action, of_state, of_start = jax.random.split(key, 3)
        action = jax.random.categorical(of_action, jnp.log(behaviour[state])).astype(jnp.int32)
        following = draw_state(of_state, mdp.transition[state, action])
        ends = mdp.terminal[following]
        ratio = target[state, action] / behaviour[state, action]
        now = Step(
            state=state,
            action=action,
            reward=mdp.reward[state, action, following],
            discount=jnp.where(ends, 0.0, mdp.gamma),
            next_state=following,
            ratio=ratio,
            interest=jnp.ones_like(ratio),
        )
        return jnp.where(ends, draw_state(of_start, mdp.start), following), now

    of_start, of_steps = jax.random.split(key)
    start = draw_state(of_start, mdp.start)
    return jax.lax.scan(step, start, jax.random.split(of_steps, steps))[1]


def learn(
    predictor: Predictor,
    hypers: Any,
    features: Array,
    weights: Array,
    stream: Step,
    measure: Callable[[Any], Any] = lambda state: (),
    state: Any = None,
) -> tuple[Any, Any]:
    """Learn from a stream, one update for each step that has enough steps ahead.

    Args:
        predictor: the rule.
        hypers: its hyper-parameters, traced.
        features: f[S, K].
        weights: f[K], at the start.
        stream: leaves [T].
        measure: of the state after each update, such as an error.
        state: where to go on; None starts anew, from `weights`.

    Returns:
        The last state, and measures with a leading axis [T - steps + 1].
    """
    features, ahead = jnp.asarray(features), jnp.arange(predictor.steps)
    if state is None:
        state = predictor.init(features, jnp.asarray(weights))

    def step(state: Any, t: Array) -> tuple[Any, Any]:
        steps = jax.tree.map(lambda leaf: leaf[t + ahead], stream)
        state = predictor.update(hypers, features, state, steps)
        return state, measure(state)

    times = jnp.arange(len(stream.reward) - predictor.steps + 1)
    return jax.lax.scan(step, state, times)


def value_error(features: Array, weights: Array, v: Array, visits: Array) -> Array:
    """Compute the root mean squared error of values, weighted by a distribution `visits` f[S]."""
    return jnp.sqrt(jnp.sum(visits * (features @ weights - v) ** 2))


class TDHypers(NamedTuple):
    """Hyper-parameters of TD(lambda) and ETD(lambda, beta).

    beta_ratio: the follow-on trace decays by this share of gamma, beta = beta_ratio gamma; 1 is
    ETD(lambda).
    """

    step_size: float | Array = 0.01
    lambda_: float | Array = 0.0
    beta_ratio: float | Array = 1.0


class TDState(NamedTuple):
    """State of `td`. trace: f[K] and carried: f[1], of the next step, decayed."""

    weights: Array
    trace: Array
    carried: Array


def td(emphatic: bool = False) -> Predictor:
    """Build TD(lambda), off-policy by importance sampling per decision, or emphatic TD(lambda).

    M_t = lambda i_t + (1 - lambda) F_t (i_t if not emphatic),
    e_t = gamma_t lambda rho_{t-1} e_{t-1} + M_t x(S_t), w += alpha rho_t delta_t e_t.
    Sutton et al. 2016, arXiv 1503.04269; ETD(lambda, beta): Hallak et al. 2016, arXiv 1509.05172.

    Args:
        emphatic: whether states are weighted by their emphasis.

    Returns:
        The predictor; its Hypers are `TDHypers`.
    """
    boolean("emphatic", emphatic)

    def init(features: Array, weights: Array) -> TDState:
        return TDState(weights, jnp.zeros_like(weights), jnp.zeros(1, weights.dtype))

    def update(hypers: TDHypers, features: Array, state: TDState, steps: Step) -> TDState:
        step = jax.tree.map(lambda leaf: leaf[0], steps)
        f = follow_on(state.carried, step.interest)
        mixed = hypers.lambda_ * step.interest + (1.0 - hypers.lambda_) * f
        trace = state.trace + (mixed if emphatic else step.interest) * features[step.state]
        error = step.ratio * _error(features, state.weights, step)
        decay = step.discount * step.ratio
        return TDState(
            weights=state.weights + hypers.step_size * error * trace,
            trace=decay * hypers.lambda_ * trace,
            carried=carry_follow_on(state.carried, f, hypers.beta_ratio * decay),
        )

    return Predictor(init, update, TDHypers(), 1)


class NStepHypers(NamedTuple):
    """Hyper-parameters of `n_step_td`; clips are upper bounds of importance ratios.

    rho_clip, c_clip: in targets, of the error of a step and of what follows; 1 is V-trace.
    emphasis_clip: in the follow-on trace.
    """

    step_size: float | Array = 0.01
    rho_clip: float | Array = float("inf")
    c_clip: float | Array = float("inf")
    emphasis_clip: float | Array = float("inf")


class NStepState(NamedTuple):
    """State of `n_step_td`. carried: f[n], or f[1] in windows. position: i32[], in the window."""

    weights: Array
    carried: Array
    position: Array


def n_step_td(n: int, emphatic: bool = False, windowed: bool = False) -> Predictor:
    """Build n-step TD of the emphatic family: TD(n), NETD, WETD, V-trace, NEVtrace.

    w += alpha M_t D_t x(S_t), with D_t the corrected error of n steps. NETD: M_t = F_t, the n-step
    follow-on trace. WETD: targets of all states of a window of n steps bootstrap at its end, M_t =
    F_t, the one-step trace, at its start, and the interest within. Clips of 1 make of TD(n)
    V-trace, of NETD NEVtrace. Without emphasis M_t is the interest. Jiang et al. 2021, arXiv
    2106.11779; where the clips enter the trace of NEVtrace is our setting. Weights move after
    every step, also in a window.

    Args:
        n: steps of a target, static.
        emphatic: whether states are weighted by their emphasis.
        windowed: whether targets end with windows.

    Returns:
        The predictor; its Hypers are `NStepHypers`.

    Raises:
        ValueError: n < 1, or a flag is no bool.
    """
    integer("n", n, 1)
    boolean("emphatic", emphatic)
    boolean("windowed", windowed)

    def init(features: Array, weights: Array) -> NStepState:
        carried = jnp.zeros(1 if windowed else n, weights.dtype)
        return NStepState(weights, carried, jnp.int32(0))

    def corrected(hypers: NStepHypers, errors: Array, steps: Step, position: Array) -> Array:
        found = jnp.zeros_like(errors[0])
        for k in reversed(range(n)):
            ends = windowed & (position + k + 1 >= n)
            found = corrected_error(
                errors[k],
                jnp.where(ends, 0.0, found),
                steps.discount[k],
                steps.ratio[k],
                rho_clip=hypers.rho_clip,
                c_clip=hypers.c_clip,
            )
        return found

    def update(hypers: NStepHypers, features: Array, state: NStepState, steps: Step) -> NStepState:
        errors = _error(features, state.weights, steps)
        error = corrected(hypers, errors, steps, state.position)
        step = jax.tree.map(lambda leaf: leaf[0], steps)
        f = follow_on(state.carried, step.interest)
        weighted = emphatic & (~jnp.bool_(windowed) | (state.position == 0))
        gradient = jnp.where(weighted, f, step.interest) * features[step.state]
        decay = step.discount * jnp.minimum(hypers.emphasis_clip, step.ratio)
        return NStepState(
            weights=state.weights + hypers.step_size * error * gradient,
            carried=carry_follow_on(state.carried, f, decay),
            position=(state.position + 1) % n,
        )

    return Predictor(init, update, NStepHypers(), n)


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
        return step.state, features[step.next_state] @ weights, jnp.ones_like(step.reward)

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
        q = jnp.reshape(features @ weights, (-1, actions))
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
            z=jnp.zeros(features.shape, weights.dtype),
            visits=visits,
            carried=zero,
            carried_target=zero,
            episode=jnp.ones((), weights.dtype),
        )

    def update(hypers: TraceHypers, features: Array, state: TraceState, steps: Step) -> TraceState:
        step = jax.tree.map(lambda leaf: leaf[0], steps)
        row, following, keep = look(features, state.weights, step)
        x, z, visits = features[row], state.z[row], state.visits.at[row].add(1.0)
        target = keep * state.carried_target + x
        if learnt:
            z = z + jnp.maximum(1.0 / visits[row], hypers.z_step_size) * (target - z)
        y = mixed_trace(keep * state.carried, z, x, hypers.eta)
        error = step.reward + step.discount * following - x @ state.weights
        decay = step.discount * hypers.lambda_
        return TraceState(
            weights=state.weights + hypers.step_size * state.episode**-hypers.power * error * y,
            z=state.z.at[row].set(z),
            visits=visits,
            carried=decay * y,
            carried_target=decay * ((1.0 - hypers.z_eta) * z + hypers.z_eta * target),
            episode=state.episode + (step.discount == 0),
        )

    return Predictor(init, update, TraceHypers(), 1)


class TrueOnlineState(NamedTuple):
    """State of `true_online_td`. trace: f[K], decayed. before: f[], the last successor's value."""

    weights: Array
    trace: Array
    before: Array


def true_online_td() -> Predictor:
    """Build true online TD(lambda), on-policy: exactly the online lambda-return algorithm.

    van Seijen et al. 2016, arXiv 1512.04087.

    Returns:
        The predictor; its Hypers are `TDHypers`, of which it has no use for `beta_ratio`.
    """

    def init(features: Array, weights: Array) -> TrueOnlineState:
        return TrueOnlineState(weights, jnp.zeros_like(weights), jnp.zeros((), weights.dtype))

    def update(
        hypers: TDHypers, features: Array, state: TrueOnlineState, steps: Step
    ) -> TrueOnlineState:
        step = jax.tree.map(lambda leaf: leaf[0], steps)
        x, alpha = features[step.state], hypers.step_size
        error, moved = _error(features, state.weights, step), x @ state.weights - state.before
        trace = state.trace + (1.0 - alpha * (state.trace @ x)) * x
        return TrueOnlineState(
            weights=state.weights + alpha * ((error + moved) * trace - moved * x),
            trace=step.discount * hypers.lambda_ * trace,
            before=features[step.next_state] @ state.weights,
        )

    return Predictor(init, update, TDHypers(), 1)


def _error(features: Array, weights: Array, step: Step) -> Array:
    """Compute temporal-difference errors, f[...]."""
    following = step.discount * (features[step.next_state] @ weights)
    return step.reward + following - features[step.state] @ weights
