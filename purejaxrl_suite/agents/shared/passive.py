"""How a passive learner learns beside an active one (`tandem`; Ostrovski et al. 2021).

Each function returns a `Passive`. `bootstrapped` is the tandem of the paper and its swaps of
targets; `sarsa` and `monte_carlo` evaluate the acting policy, for learners that are forked from the
active one; `regression` copies its values; `quantiles` is another kind of network.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp

from purejaxrl_suite import nets
from purejaxrl_suite.agents.dqn import dqn_rule
from purejaxrl_suite.agents.qr_dqn import QRDQNHypers, qr_dqn_rule
from purejaxrl_suite.agents.shared.q_learning import Errors, QLearningRule, taken
from purejaxrl_suite.buffers import Batch, Ring, Uniform
from purejaxrl_suite.buffers import ring as rings
from purejaxrl_suite.buffers.windows import transitions
from purejaxrl_suite.core.argument import boolean, integer
from purejaxrl_suite.core.types import Array, Box, Key, Network, PyTree, Space
from purejaxrl_suite.ops import value

Values = Callable[[Any, PyTree, Array, Any], Array]
"""(hypers, params, obs[B, ...], None) -> f32[B, A], as `QLearningRule.q_values`."""


class Both(NamedTuple):
    """Parameters of the passive learner, and of the active one."""

    own: PyTree
    active: PyTree


class Read(Protocol):
    """Type of `Passive.read`."""

    def __call__(
        self, replay: Uniform, ring: Ring, slot: Array, n: Array, gamma: Array | float
    ) -> Batch:
        """Read n-step transitions from slots i32[B]."""
        ...


def _plain(replay: Uniform, ring: Ring, slot: Array, n: Array, gamma: Array | float) -> Batch:
    return replay.read(ring, slot, n, gamma)


class Passive(NamedTuple):
    """How the passive learner learns.

    rule: (its network, values of the active learner) -> QLearningRule, to whose `targets` both
        `online` and `target` are `Both`.
    read: how it reads the slots that are drawn.
    network: (observation, action) -> its network, which puts out what the rule expects; None for
        the active learner's.
    """

    rule: Callable[[Network, Values], QLearningRule]
    read: Read = _plain
    network: Callable[[Box, Space], Network] | None = None


def bootstrapped(active_values: bool = False, active_choices: bool = False) -> Passive:
    """Learn by Double DQN, as the active learner does.

    Args:
        active_values: bootstrap the values of the active learner's target network (the paper's
            "same target values", V), instead of those of its own.
        active_choices: at the active learner's greedy actions ("same target policy", P), instead of
            its own. With both, the targets of the two learners are the same.

    Returns:
        The passive learner.
    """
    boolean("active_values", active_values)
    boolean("active_choices", active_choices)

    def rule(network: Network, active_q: Values) -> QLearningRule:
        base = dqn_rule(network, double=True, huber=True)

        def targets(key: Key, hypers: Any, online: Both, target: Both, batch: Batch) -> Array:
            def of(active: bool, params: Both) -> Array:
                if active:
                    return active_q(hypers, params.active, batch.next_obs, None)
                return base.q_values(hypers, params.own, batch.next_obs, None)

            values, judge = of(active_values, target), of(active_choices, online)
            return jax.vmap(value.q_target)(
                batch.reward, batch.discount, batch.terminated, values, judge
            )

        return base._replace(targets=targets)

    return Passive(rule)


def sarsa() -> Passive:
    """Evaluate the acting policy by SARSA: bootstrap at the action that was taken next.

    Its own target network is bootstrapped. Steps after which an episode was cut are left out: no
    action followed.
    """

    def read(replay: Uniform, ring: Ring, slot: Array, n: Array, gamma: Array | float) -> Batch:
        batch, at = replay.read(ring, slot, n, gamma), replay.layout
        following = rings.actions(at, ring, rings.ahead(at, slot, batch.steps))
        weight = jnp.where(batch.truncated & ~batch.terminated, 0.0, batch.weight)
        return batch._replace(weight=weight, extras={"next_action": following})

    def rule(network: Network, active_q: Values) -> QLearningRule:
        base = dqn_rule(network, double=True, huber=True)

        def targets(key: Key, hypers: Any, online: Both, target: Both, batch: Batch) -> Array:
            values = base.q_values(hypers, target.own, batch.next_obs, None)
            following = batch.discount * taken(values, batch.extras["next_action"])
            return batch.reward + jnp.where(batch.terminated, 0.0, following)

        return base._replace(targets=targets)

    return Passive(rule, read)


def monte_carlo(steps: int = 1000) -> Passive:
    """Evaluate the acting policy by regression to discounted returns of whole episodes.

    Left out are transitions whose episode was cut, is not over, or goes on for more than `steps`
    steps; n_step has no effect. Each reads `steps` rewards.
    """
    integer("steps", steps, 1)

    def read(replay: Uniform, ring: Ring, slot: Array, n: Array, gamma: Array | float) -> Batch:
        at = replay.layout._replace(max_n=steps)
        batch = transitions(at, ring, slot, steps, gamma)
        # Rows after the newest one are the oldest, of other episodes.
        newest = (ring.row - 1 - slot // at.num_envs) % at.rows
        whole = batch.terminated & (batch.steps <= newest + 1)
        return batch._replace(weight=jnp.where(whole, batch.weight, 0.0))

    def rule(network: Network, active_q: Values) -> QLearningRule:
        base = dqn_rule(network, double=True, huber=True)
        return base._replace(targets=lambda key, hypers, online, target, batch: batch.reward)

    return Passive(rule, read)


def regression() -> Passive:
    """Copy the active learner's values of all actions at the observations of a batch.

    The loss is half the squared difference, averaged over actions.
    """

    def rule(network: Network, active_q: Values) -> QLearningRule:
        base = dqn_rule(network, double=True, huber=True)

        def targets(key: Key, hypers: Any, online: Both, target: Both, batch: Batch) -> Array:
            return active_q(hypers, online.active, batch.obs, None)

        def errors(key: Key, hypers: Any, params: PyTree, batch: Batch, target: Array, taps: Any):
            values, internals = network.apply(params, batch.obs, (), taps)
            losses = 0.5 * jnp.mean(jnp.square(values - target), axis=-1)
            return Errors(losses, taken(values, batch.action), values, internals)

        return base._replace(targets=targets, errors=errors)

    return Passive(rule)


def quantiles(count: int = 201, network: Callable[[Box, Space], Network] | None = None) -> Passive:
    """Learn by QR-DQN, with kappa 1 and the greedy action of its own target network.

    Args:
        count: quantiles of a distribution; 201 are the paper's.
        network: (observation, action) -> a network with outputs f32[B, A, count]; None for
            `nets.q_network`.

    Returns:
        The passive learner.
    """
    integer("count", count, 1)

    def rule(own: Network, active_q: Values) -> QLearningRule:
        base, fixed = qr_dqn_rule(own, quantiles=count, double=False), QRDQNHypers()

        def targets(key: Key, hypers: Any, online: Both, target: Both, batch: Batch) -> Array:
            return base.targets(key, hypers, online.own, target.own, batch)

        def errors(key: Key, hypers: Any, params: PyTree, batch: Batch, target: Array, taps: Any):
            return base.errors(key, fixed, params, batch, target, taps)

        return base._replace(targets=targets, errors=errors)

    def usual(observation: Box, action: Space) -> Network:
        return nets.q_network(observation, action, atoms=count, layer_norm=False)

    return Passive(rule, network=network or usual)
