"""Linear prediction from a stream of experience, by traces: TD, emphatic TD, true online TD.

A `Predictor` is a pair of pure functions of one member; vmap them over seeds, hyper-parameters and
MDPs. Where experience does not depend on what is learnt, it is drawn first (`experience`), and a
predictor that looks n steps ahead is given slices of it (`learn`). Episodes follow each other in
the stream. Where it does, `live.play` draws it step by step.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from purejaxrl_suite.core.argument import boolean, integer, wrong
from purejaxrl_suite.core.types import Array
from purejaxrl_suite.mdps.experience import Step, kept
from purejaxrl_suite.mdps.traces import carry_follow_on, corrected_error, follow_on


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


def learn(
    predictor: Predictor,
    hypers: Any,
    features: Array,
    weights: Array,
    stream: Step,
    measure: Callable[[Any], Any] = lambda state: (),
    state: Any = None,
    every: int = 1,
) -> tuple[Any, Any]:
    """Learn from a stream, one update for each step that has enough steps ahead.

    Args:
        predictor: the rule.
        hypers: its hyper-parameters, traced.
        features: f[S, K]; or f[S], the diagonal of one-hot ones, with which tables are faster.
        weights: f[K], at the start.
        stream: leaves [T].
        measure: of the state, such as an error.
        state: where to go on; None starts anew, from `weights`.
        every: updates before each measure, static.

    Returns:
        The last state, and measures with a leading axis [(T - steps + 1) / every].

    Raises:
        ValueError: `every` does not divide the number of updates.
    """
    features, ahead = jnp.asarray(features), jnp.arange(predictor.steps)
    updates = len(stream.reward) - predictor.steps + 1
    if integer("every", every, 1) and updates % every:
        raise wrong("every", f"a divisor of the {updates} updates", every)
    if state is None:
        state = predictor.init(features, jnp.asarray(weights))

    def step(state: Any, t: Array) -> tuple[Any, None]:
        steps = jax.tree.map(lambda leaf: leaf[t + ahead], stream)
        return predictor.update(hypers, features, state, steps), None

    def row(state: Any, times: Array) -> tuple[Any, Any]:
        state, _ = jax.lax.scan(step, state, times)
        return state, measure(state)

    return jax.lax.scan(row, state, jnp.reshape(jnp.arange(updates), (-1, every)))


def values(features: Array, weights: Array) -> Array:
    """Compute the linear values of all states, f[S]; of features as `learn` takes them."""
    return features * weights if jnp.ndim(features) == 1 else features @ weights


def values_of(features: Array, weights: Array, states: Array) -> Array:
    """Compute the linear values of some states i32[...], f[...]."""
    if jnp.ndim(features) == 1:
        return features[states] * weights[states]
    return features[states] @ weights


def features_of(features: Array, state: Array) -> Array:
    """Return the features of a state, f[K]."""
    if jnp.ndim(features) == 1:
        return jnp.where(jnp.arange(len(features)) == state, features, 0.0)
    return features[state]


def value_error(features: Array, weights: Array, v: Array, visits: Array) -> Array:
    """Compute the root mean squared error of values, weighted by a distribution `visits` f[S]."""
    return jnp.sqrt(jnp.sum(visits * (values(features, weights) - v) ** 2))


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
        trace = state.trace + (mixed if emphatic else step.interest) * features_of(
            features, step.state
        )
        error = step.ratio * _error(features, state.weights, step)
        decay = kept(step) * step.ratio
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
        found, discounts = jnp.zeros_like(errors[0]), kept(steps)
        for k in reversed(range(n)):
            ends = windowed & (position + k + 1 >= n)
            found = corrected_error(
                errors[k],
                jnp.where(ends, 0.0, found),
                discounts[k],
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
        gradient = jnp.where(weighted, f, step.interest) * features_of(features, step.state)
        decay = kept(step) * jnp.minimum(hypers.emphasis_clip, step.ratio)
        return NStepState(
            weights=state.weights + hypers.step_size * error * gradient,
            carried=carry_follow_on(state.carried, f, decay),
            position=(state.position + 1) % n,
        )

    return Predictor(init, update, NStepHypers(), n)


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
        x, alpha = features_of(features, step.state), hypers.step_size
        error, moved = _error(features, state.weights, step), x @ state.weights - state.before
        trace = state.trace + (1.0 - alpha * (state.trace @ x)) * x
        return TrueOnlineState(
            weights=state.weights + alpha * ((error + moved) * trace - moved * x),
            trace=kept(step) * hypers.lambda_ * trace,
            before=values_of(features, state.weights, step.next_state),
        )

    return Predictor(init, update, TDHypers(), 1)


def _error(features: Array, weights: Array, step: Step) -> Array:
    """Compute temporal-difference errors, f[...]."""
    following = step.discount * values_of(features, weights, step.next_state)
    return step.reward + following - values_of(features, weights, step.state)
