"""Learn from a tabular MDP while acting in it: one update for each step, without replay.

`play` is a pure function of one member. A history has a row for each block of updates, and the
uniform numbers and start states of a block are drawn at once, before it: thousands of members that
are vmapped cost a few operations on small arrays for each step.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from purejaxrl_suite.core.argument import integer, wrong
from purejaxrl_suite.core.types import Array, Key
from purejaxrl_suite.mdps.experience import Step, Tables, advance, pick, tables
from purejaxrl_suite.mdps.mdp import MDP
from purejaxrl_suite.mdps.prediction import Predictor

Policy = Callable[[Any, Array], Array]
"""(state of the rule, number of a state i32[]) -> probabilities of actions f[A]."""


class Life(NamedTuple):
    """A member that acts and learns.

    rule: the state of its rule. place: i32[], the state that it is in. age: i32[], steps of this
    episode. block: i32[], of how many blocks of updates it has lived.
    """

    rule: Any
    place: Array
    age: Array
    block: Array


class Row(NamedTuple):
    """A row of the history. measure: of the rule after a block. total: over the block."""

    measure: Any
    total: Any


def fixed(policy: Array) -> Policy:
    """Act by f[S, A], whatever is learnt."""
    table = jnp.asarray(policy)
    return lambda rule, place: table[place]


def epsilon_greedy(q: Callable[[Any], Array], epsilon: Callable[[Any], Array | float]) -> Policy:
    """Act by the best of action values, and at random with probability epsilon.

    Args:
        q: state of the rule -> f[S, A]; among equally good actions the choice is random.
        epsilon: state of the rule -> f[], so that it can fall with `episode`.
    """

    def policy(rule: Any, place: Array) -> Array:
        own, share = q(rule)[place], epsilon(rule)
        best = (own == jnp.max(own)).astype(own.dtype)
        return (1.0 - share) * best / jnp.sum(best) + share / len(own)

    return policy


def drawn(probabilities: Array, uniform: Array) -> Array:
    """Draw one of a few actions by probabilities f[A] and a uniform number, i32[]."""
    action, before = jnp.int32(0), probabilities[0]
    for other in range(1, len(probabilities)):
        here = (uniform >= before) & (probabilities[other] > 0)
        action, before = jnp.where(here, other, action), before + probabilities[other]
    return action


def rewards_and_episodes(rule: Any, step: Step) -> dict[str, Array]:
    """Count rewards and ends of episodes."""
    del rule  # whatever it has learnt
    return {"reward": step.reward, "episodes": step.last.astype(jnp.float32)}


def play(
    predictor: Predictor,
    hypers: Any,
    features: Array,
    weights: Array,
    key: Key,
    mdp: MDP,
    behaviour: Policy,
    target: Policy | None = None,
    *,
    steps: int,
    every: int,
    measure: Callable[[Any], Any] = lambda rule: (),
    total: Callable[[Any, Step], Any] = rewards_and_episodes,
    time_limit: int | None = None,
    life: Life | None = None,
) -> tuple[Life, Row]:
    """Act in an MDP and learn from each step at once.

    Args:
        predictor: a rule that looks one step ahead, such as `expected_trace_q`.
        hypers: its hyper-parameters, traced.
        features: f[S, K].
        weights: f[K], at the start.
        key: of all draws. The same key goes on with the same life.
        mdp: the MDP.
        behaviour: which acts.
        target: which is asked about, for importance ratios; None is the behaviour.
        steps: of the member, static.
        every: steps of a block, for which the history has a row, static.
        measure: state of the rule -> what a row tells of it.
        total: (state of the rule before a step, Step without axes) -> numbers, added up in a row.
        time_limit: steps after which an episode is cut; values bootstrap beyond it.
        life: where to go on; None starts anew, from `weights`.

    Returns:
        The life at the end, and rows with a leading axis [steps / every].

    Raises:
        ValueError: the rule looks further ahead, `every` does not divide `steps`, or features or
            probabilities are not those of the MDP's states and actions.
    """
    if predictor.steps != 1:
        raise wrong("predictor", "a rule that looks 1 step ahead", predictor.steps)
    if integer("every", every, 1) > integer("steps", steps, 1) or steps % every:
        raise wrong("every", f"a divisor of {steps} steps", every)
    limit = None if time_limit is None else integer("time_limit", time_limit, 1)
    states, actions = mdp.transition.shape[:2]
    if len(features) not in (states, states * actions):
        raise wrong("features", f"{states} rows, or {states * actions} of pairs", len(features))
    world, features = tables(mdp), jnp.asarray(features)
    take = partial(_taken, world, behaviour, target, limit)
    if life is None:
        start = pick(world.starts, jax.random.uniform(jax.random.fold_in(key, 0)))
        rule = predictor.init(features, jnp.asarray(weights))
        life = Life(rule, start, jnp.int32(0), jnp.int32(0))
    for name, policy in (("behaviour", behaviour), ("target", target or behaviour)):
        found = jax.eval_shape(policy, life.rule, life.place).shape
        if found != (actions,):
            raise wrong(name, f"probabilities [{actions}]", list(found))

    def one(carry: tuple[Life, Any], drawn: tuple[Array, Array]) -> tuple[tuple[Life, Any], None]:
        (life, sums), (uniforms, restart) = carry, drawn
        step = take(life, uniforms)
        sums = jax.tree.map(jnp.add, sums, total(life.rule, step))
        steps = jax.tree.map(lambda leaf: leaf[None], step)
        following = life._replace(
            rule=predictor.update(hypers, features, life.rule, steps),
            place=jnp.where(step.last, restart, step.next_state),
            age=jnp.where(step.last, 0, life.age + 1),
        )
        return (following, sums), None

    def block(life: Life, _: None) -> tuple[Life, Row]:
        uniforms = jax.random.uniform(jax.random.fold_in(key, 1 + life.block), (every, 4))
        restarts = jax.vmap(pick, (None, 0))(world.starts, uniforms[:, 3])
        counted = jax.eval_shape(lambda: total(life.rule, take(life, uniforms[0])))
        sums = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), counted)
        (life, sums), _ = jax.lax.scan(one, (life, sums), (uniforms, restarts))
        life = life._replace(block=life.block + 1)
        return life, Row(measure(life.rule), sums)

    return jax.lax.scan(block, life, None, length=steps // every)


def _taken(
    world: Tables,
    behaviour: Policy,
    target: Policy | None,
    limit: int | None,
    life: Life,
    uniforms: Array,
) -> Step:
    """Act once, by uniform numbers f[3]."""
    acts = behaviour(life.rule, life.place)
    step = advance(world, life.place, drawn(acts, uniforms[0]), uniforms[1:3])
    if target is not None:
        asked = target(life.rule, life.place)
        step = step._replace(ratio=asked[step.action] / acts[step.action])
    return step if limit is None else step._replace(last=step.last | (life.age + 1 >= limit))
