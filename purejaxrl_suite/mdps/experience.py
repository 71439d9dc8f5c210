"""Transitions of tabular MDPs, drawn by few uniform numbers.

The numbers of a whole stream are drawn at once, and a successor is found by its cumulative
probability: on a CPU that is a tenth of the time of a key and a categorical draw for each.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from purejaxrl_suite.core.argument import wrong
from purejaxrl_suite.core.types import Array, Key
from purejaxrl_suite.mdps.mdp import MDP, in_jax


class Step(NamedTuple):
    """Transitions of a stream; leaves [...].

    state, action, next_state: i32, next_state being the true successor. reward: f32. discount:
    gamma, or 0 where next_state is terminal. ratio: f32, pi(a|s) / mu(a|s). interest: f32, how much
    the value of the state is asked for. noise: f32, uniform in [0, 1), for rules that draw. last:
    bool, whether the next step begins another episode.
    """

    state: Array
    action: Array
    reward: Array
    discount: Array
    next_state: Array
    ratio: Array
    interest: Array
    noise: Array
    last: Array


class Tables(NamedTuple):
    """An MDP as it is played. Sums are cumulative probabilities, for `pick`.

    successors: sums f[S, A, S]. reward: f[S, A, S]. gamma: f[]. terminal: bool[S]. starts: sums
    f[S].
    """

    successors: Array
    reward: Array
    gamma: Array
    terminal: Array
    starts: Array


def tables(mdp: MDP) -> Tables:
    """Prepare an MDP for `advance`."""
    mdp = in_jax(mdp)
    return Tables(
        successors=cumulative(mdp.transition),
        reward=mdp.reward,
        gamma=mdp.gamma,
        terminal=mdp.terminal,
        starts=cumulative(mdp.start),
    )


def cumulative(probabilities: Array) -> Array:
    """Sum probabilities f[..., S] up: sums f[..., S] whose last is 1.

    What has no probability has the sum of the one before, to the bit, so that it is never drawn.
    """
    probabilities = jnp.asarray(probabilities)
    sums = jnp.where(probabilities > 0, jnp.cumsum(probabilities, axis=-1), 0.0)
    sums = jax.lax.cummax(sums, axis=sums.ndim - 1)
    return sums / sums[..., -1:]


def pick(sums: Array, uniform: Array) -> Array:
    """Draw a number by cumulative probabilities f[S] and a uniform number in [0, 1), i32[]."""
    return jnp.sum(uniform >= sums, dtype=jnp.int32)


def kept(step: Step) -> Array:
    """Return the discount of what is carried to the next step, 0 where another episode begins."""
    return jnp.where(step.last, 0.0, step.discount)


def advance(world: Tables, state: Array, action: Array, uniforms: Array) -> Step:
    """Take one step from a state by uniform numbers f[2]; ratio and interest are 1."""
    following = pick(world.successors[state, action], uniforms[0])
    ends, reward = world.terminal[following], world.reward[state, action, following]
    return Step(
        state=state,
        action=action,
        reward=reward,
        discount=jnp.where(ends, 0.0, world.gamma),
        next_state=following,
        ratio=jnp.ones_like(reward),
        interest=jnp.ones_like(reward),
        noise=uniforms[1],
        last=ends,
    )


def experience(key: Key, mdp: MDP, behaviour: ArrayLike, target: ArrayLike, steps: int) -> Step:
    """Draw a stream of transitions, with ratios of the target policy to the behaviour.

    Args:
        key: for the draws.
        mdp: the MDP.
        behaviour: f[S, A], which acts.
        target: f[S, A], which is asked about.
        steps: T.

    Returns:
        Leaves [T]; all interest is 1.

    Raises:
        ValueError: a policy is not of the MDP's states and actions.
    """
    for name, policy in (("behaviour", behaviour), ("target", target)):
        found, known = jnp.shape(policy), mdp.transition.shape[:2]
        if found != known:
            raise wrong(name, f"probabilities {list(known)}", list(found))
    world, behaviour, target = tables(mdp), jnp.asarray(behaviour), jnp.asarray(target)
    actions, ratios = cumulative(behaviour), target / jnp.where(behaviour > 0, behaviour, 1.0)
    of_start, of_steps = jax.random.split(key)
    uniforms = jax.random.uniform(of_steps, (steps, 4))

    def step(state: Array, uniform: Array) -> tuple[Array, Step]:
        action = pick(actions[state], uniform[0])
        now = advance(world, state, action, uniform[1:3])._replace(ratio=ratios[state, action])
        restart = pick(world.starts, uniform[3])
        return jnp.where(now.last, restart, now.next_state), now

    start = pick(world.starts, jax.random.uniform(of_start))
    return jax.lax.scan(step, start, uniforms)[1]
