"""Functional mirror ascent of tabular softmax policies, exactly: sPPO, MDPO, TRPO, PPO.

Vaswani et al. 2022, A general class of surrogate functions for stable and efficient reinforcement
learning, arXiv 2108.05828. An outer iteration evaluates the policy p_t; inner steps then climb a
surrogate in which its advantages A and its visits d stay fixed. Which surrogate follows from what
the policy is taken to be, whatever its parameters: probabilities p (MDPO, TRPO, PPO) or logits
(sPPO). `exact_sppo` and `exact_mdpo` are the limits of infinitely many inner steps.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.scipy.sparse.linalg import cg

from purejaxrl_suite.core.argument import integer
from purejaxrl_suite.core.types import Array
from purejaxrl_suite.mdps.mdp import MDP
from purejaxrl_suite.mdps.solve import backup, induced, product, successor_measure

FLOOR = 1e-8
"""Least factor of a probability in an exact update of sPPO, as in the paper's code."""
DECAY, BACKTRACKS, LONGEST = 0.9, 1000, 1e5
"""The line search of TRPO: the factor of each backtrack, the most of them, the longest step."""
CONJUGATE = 10
"""Iterations of conjugate gradient."""
DOUBLINGS = 12
"""Policies are evaluated over 2^12 steps, enough for gamma up to 0.996 (NaN above)."""


class MirrorHypers(NamedTuple):
    """Numbers of mirror ascent, f[] each; a method reads some of them.

    eta: the step size in the space of policies: 1 / eta is the weight of the divergence.
    alpha: the step size in the space of parameters, of each inner step.
    clip_range: of PPO, how far a ratio may move from 1.
    delta: of TRPO, the largest divergence.
    """

    eta: Any = 1.0
    alpha: Any = 1.0
    clip_range: Any = 0.2
    delta: Any = 0.01


class Iterate(NamedTuple):
    """A policy and its exact evaluation, fixed in an outer iteration.

    logits: of p_t, f[S, A]. advantage: f[S, A]. visits: discounted, (1 - gamma) start (I - gamma
    P)^-1, f[S]. value: of the start, f[].
    """

    logits: Array
    advantage: Array
    visits: Array
    value: Array


Surrogate = Callable[[MirrorHypers, Iterate, Array], Array]
"""(hypers, iterate, logits f[S, A]) -> f[], to be maximised over the logits."""
Update = Callable[[MirrorHypers, Iterate], Array]
"""(hypers, iterate) -> the logits f[S, A] of the next policy, up to a constant in each state."""


def evaluate(mdp: MDP, logits: Array) -> Iterate:
    """Evaluate a softmax policy f[S, A] exactly."""
    policy = jax.nn.softmax(logits)
    measure = successor_measure(mdp, policy, DOUBLINGS)
    v = product(measure, induced(mdp, policy)[1])
    start = jnp.asarray(mdp.start)
    visits = (1.0 - mdp.gamma) * product(start, measure)
    return Iterate(logits, backup(mdp, v) - v[:, None], visits, product(start, v))


def sppo(hypers: MirrorHypers, at: Iterate, logits: Array) -> Array:
    """Compute sPPO's surrogate, E_d sum_a p_t (A + 1 / eta) log(p / p_t).

    Of the softmax representation, with the log-sum-exp mirror map: E[A log p] less the forward
    divergence KL(p_t || p) / eta. The paper calls it sMDPO, too.
    """
    old, new = jax.nn.log_softmax(at.logits), jax.nn.log_softmax(logits)
    gain = jnp.exp(old) * (at.advantage + 1.0 / hypers.eta) * (new - old)
    return jnp.sum(at.visits[:, None] * gain)


def mdpo(hypers: MirrorHypers, at: Iterate, logits: Array) -> Array:
    """Compute MDPO's surrogate, E_d [<p, A> - KL(p || p_t) / eta].

    Of the direct representation, with the negative-entropy mirror map, whose divergence is the
    reverse one. Tomar et al. 2020, arXiv 2005.09814.
    """
    old, new = jax.nn.log_softmax(at.logits), jax.nn.log_softmax(logits)
    gain = jnp.exp(new) * (at.advantage - (new - old) / hypers.eta)
    return jnp.sum(at.visits[:, None] * gain)


def trpo(hypers: MirrorHypers, at: Iterate, logits: Array) -> Array:
    """Compute TRPO's surrogate with a penalty, E_d [<p, A> - KL(p_t || p) / eta].

    Schulman et al. 2015, arXiv 1502.05477; its constraint is `trust_region`.
    """
    return expected_advantage(at, logits) - divergence(at, logits) / hypers.eta


def ppo(hypers: MirrorHypers, at: Iterate, logits: Array) -> Array:
    """Compute PPO's surrogate, E_d sum_a p_t min(r A, clip(r, 1 - c, 1 + c) A), r = p / p_t.

    Schulman et al. 2017, arXiv 1707.06347. It has no eta.
    """
    old, new = jax.nn.log_softmax(at.logits), jax.nn.log_softmax(logits)
    up, clip = at.advantage > 0.0, hypers.clip_range
    # The ratio itself may overflow where both probabilities are almost 0.
    inside = jnp.where(up, new - old < jnp.log1p(clip), new - old > jnp.log1p(-clip))
    bound = jnp.where(up, 1.0 + clip, 1.0 - clip) * jnp.exp(old)
    gain = jnp.where(inside, jnp.exp(new), bound) * at.advantage
    return jnp.sum(at.visits[:, None] * gain)


def expected_advantage(at: Iterate, logits: Array) -> Array:
    """Compute E_d <p, A>, f[]; its gradient at p_t is that of (1 - gamma) times the value."""
    return jnp.sum(at.visits[:, None] * jax.nn.softmax(logits) * at.advantage)


def divergence(at: Iterate, logits: Array) -> Array:
    """Compute the forward divergence E_d KL(p_t || p), f[]."""
    old, new = jax.nn.log_softmax(at.logits), jax.nn.log_softmax(logits)
    return jnp.sum(at.visits[:, None] * jnp.exp(old) * (old - new))


def gradient_steps(surrogate: Surrogate, steps: Array | int) -> Update:
    """Make the update of m inner steps, z += alpha grad l(z), on a surrogate.

    steps: m, i32[], may be traced.
    """

    def update(hypers: MirrorHypers, at: Iterate) -> Array:
        slope = jax.grad(surrogate, argnums=2)

        def step(_: Array, logits: Array) -> Array:
            return logits + hypers.alpha * slope(hypers, at, logits)

        return jax.lax.fori_loop(0, steps, step, at.logits)

    return update


def exact_sppo(hypers: MirrorHypers, at: Iterate) -> Array:
    """Maximise sPPO's surrogate over all policies: p is proportional to p_t max(1 + eta A, 0)."""
    factor = jnp.maximum(1.0 + hypers.eta * at.advantage, FLOOR)
    return jax.nn.log_softmax(at.logits + jnp.log(factor))


def exact_mdpo(hypers: MirrorHypers, at: Iterate) -> Array:
    """Maximise MDPO's surrogate over all policies: p is proportional to p_t exp(eta A)."""
    return jax.nn.log_softmax(at.logits + hypers.eta * at.advantage)


def trust_region(hypers: MirrorHypers, at: Iterate) -> Array:
    """Make the step of TRPO: along the natural gradient, as far as E_d KL(p_t || p) <= delta.

    The direction solves F x = grad E_d <p, A> by conjugate gradient, F the Hessian of the
    divergence, which is singular along constants. The step is the longest that the quadratic model
    allows, shortened until the divergence is at most delta and the objective has not fallen;
    without such a step the policy stays. Schulman et al. 2015, arXiv 1502.05477, appendix C.
    """
    policy = jax.nn.softmax(at.logits)
    weight = at.visits[:, None] * policy
    slope = jax.grad(expected_advantage, argnums=1)(at, at.logits)
    least = jnp.finfo(slope.dtype).tiny
    # Squares of the gradient of a policy that has converged would be 0.
    scale = jnp.maximum(jnp.max(jnp.abs(slope)), least)
    scaled, _ = cg(
        lambda x: weight * (x - jnp.sum(policy * x, axis=1, keepdims=True)),
        slope / scale,
        maxiter=CONJUGATE,
        M=lambda x: jnp.where(weight > 0.0, x / jnp.where(weight > 0.0, weight, 1.0), 0.0),
    )
    direction = scale * scaled
    # <x, F x> = <x, grad> at the solution.
    curvature = jnp.maximum(jnp.sum(direction * slope), least)
    longest = jnp.minimum(jnp.sqrt(2.0 * hypers.delta / curvature), LONGEST)
    before = expected_advantage(at, at.logits)

    def refused(carry: tuple[Array, Array]) -> Array:
        size, tried = carry
        logits = at.logits + size * direction
        within = divergence(at, logits) <= hypers.delta
        better = expected_advantage(at, logits) >= before
        return ~(within & better) & (tried < BACKTRACKS)

    def shorten(carry: tuple[Array, Array]) -> tuple[Array, Array]:
        return DECAY * carry[0], carry[1] + 1

    size, tried = jax.lax.while_loop(refused, shorten, (longest, jnp.int32(0)))
    return at.logits + jnp.where(tried < BACKTRACKS, size, 0.0) * direction


def ascend(
    mdp: MDP, update: Update, hypers: MirrorHypers, logits: Array, iterations: int
) -> tuple[Array, Array]:
    """Improve a policy by mirror ascent.

    Pure: vmap it over hypers, first policies or MDPs; in float64 with `in_float64`.

    Args:
        mdp: the MDP, gamma at most 0.996.
        update: `exact_sppo`, `exact_mdpo`, `trust_region`, or `gradient_steps` of a surrogate.
        hypers: its numbers.
        logits: f[S, A], of the first policy.
        iterations: how often the policy is evaluated and updated, static.

    Returns:
        The logits of the last policy f[S, A], and the values of the start under all policies, from
        the first to the last, f[iterations + 1].

    Raises:
        ValueError: iterations < 1.

    Example:
        >>> from functools import partial
        >>> from purejaxrl_suite import mdps
        >>> line = mdps.chain(2, gamma=0.9)
        >>> climb = partial(mdps.ascend, line, mdps.mirror_ascent.exact_mdpo, iterations=100)
        >>> _, values = mdps.in_float64(climb)(mdps.MirrorHypers(eta=1.0), np.zeros((3, 2)))
        >>> float(values[-1].round(3))
        0.9
    """
    integer("iterations", iterations, 1)

    def iteration(logits: Array, _: None) -> tuple[Array, Array]:
        at = evaluate(mdp, logits)
        return update(hypers, at), at.value

    last, values = jax.lax.scan(iteration, jnp.asarray(logits), None, length=iterations)
    return last, jnp.append(values, evaluate(mdp, last).value)
