"""Sparse agents: any agent's builder, with masks over the kernels of its network.

Masks live in the optimizer's state. At every gradient step they multiply what the optimizer makes
of the parameters, outside the differentiated function, so a probe sees gradients of all weights
(Evci et al. 2020, arXiv 1911.11134). New masks are rare work: the agent makes them after an update
(`Agent.maintain`), on the engine's clock, which is not batched over members. How sparse a member
is, and what its masks are, is data: all levels and seeds of a method are one compiled program.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any, Protocol

import jax
import jax.numpy as jnp

from purejaxrl_suite.core import tree
from purejaxrl_suite.core.argument import boolean, function, instance, integer
from purejaxrl_suite.core.inspection import inspected
from purejaxrl_suite.core.types import (
    Agent,
    Array,
    Clock,
    Environment,
    Key,
    Learner,
    Network,
    PyTree,
    Transition,
)
from purejaxrl_suite.sparsity import metrics
from purejaxrl_suite.sparsity import optimizer as masked
from purejaxrl_suite.sparsity.hypers import annotations, joined, mask_hypers, of_agent, read_by
from purejaxrl_suite.sparsity.masks import check, initial_masks, next_masks
from purejaxrl_suite.sparsity.scores import Seen
from purejaxrl_suite.sparsity.updaters import Updater

MASKS = 0x5EED
"""Folded into an agent's key, makes that of its masks: the agent splits its key as it is."""


class SparseBuilder(Protocol):
    """Builds a sparse agent, with the arguments of the builder that it was made of."""

    def __call__(
        self,
        env: Environment,
        config: Any = None,
        network: Any = None,
        hypers: Any = None,
        **more: Any,
    ) -> Agent:
        """The agent."""
        ...


def sparse(
    builder: Any,
    updater: Updater,
    *,
    period: int | None = None,
    reset_count: bool = False,
    mask_targets: bool = False,
    as_released: bool = False,
) -> SparseBuilder:
    """Make the builder of agents whose kernels are pruned, or trained sparse, by an updater.

    Its agents have the Hypers of the agent inside and those that the updater reads: `sparsity`,
    `sparsity_start` and `sparsity_end` (fractions of training), `drop_fraction`; so these may be
    swept, in one program. Biases, norms and temperatures are never masked. Actor and critics, and
    every critic of an ensemble, are layers of their own.

    Args:
        builder: (env, config, network, hypers) -> Agent, such as `ppo`.
        updater: what masks are made of, such as `sparsity.rigl()`.
        period: gradient steps between new masks, a multiple of those of an update; None is the
            multiple next to 1,000. Masks are made between updates: those of SET after a gradient
            step, those of RigL with a gradient of their own that makes no step. What prunes does so
            after the last update, too: the target is in force when training ends.
        reset_count: whether optimizers count their steps anew where weights were grown, whose
            moments are zero. With the count kept, as the papers have it, first steps of grown
            weights are up to 7 times too long; see `plasticity.per_entry_counts`.
        mask_targets: whether new masks are applied to target parameters, too. By default they stay
            what they are, copies or averages of what the network was, and forget what was pruned as
            they forget everything: at once with a copy, slowly with an average.
        as_released: whether new masks of SET and RigL take the place of a gradient step, as
            JaxPruner has it (and RigL's paper, for RigL): every optimizer leaves out the one behind
            them, also for biases, and its state stands still.

    Returns:
        The builder, with the same arguments, for `run`, `sweep` and studies.

    Raises:
        ValueError: an argument is of another kind. The builder raises it for a period that is no
            multiple of the gradient steps of an update, for structures that do not fit a layer, for
            mask_targets where there is no target network, and for an agent with further learners,
            such as `tandem`. Runs that are shorter than a period, or two with SET and RigL, are
            refused.

    Example:
        >>> env = pjs.make("Breakout-MinAtar")
        >>> agent = pjs.sparse(pjs.dqn, pjs.sparsity.rigl())(env)
        >>> levels = pjs.search.grid(agent.hypers, sparsity=[0.5, 0.9, 0.95])
        >>> result = pjs.sweep(agent, env, hypers=levels, seeds=8, steps=1e6)
    """
    function("builder", builder, 4, "(env, config, network, hypers) -> Agent")
    instance("updater", updater, Updater)
    if period is not None:
        integer("period", period, 1)
    boolean("reset_count", reset_count)
    options = {
        "reset_count": boolean("reset_count", reset_count),
        "mask_targets": boolean("mask_targets", mask_targets),
        "as_released": boolean("as_released", as_released),
    }
    _check_effects(updater, period=period, **options)

    def build(
        env: Environment,
        config: Any = None,
        network: Any = None,
        hypers: Any = None,
        **more: Any,
    ) -> Agent:
        inner = of_agent(hypers)
        network = _masked(_network(builder, env, config, network, inner), updater, as_released)
        agent = builder(env, config, network, inner, **more)
        if agent.policies:
            text = f"expected an agent with one learner, as masks are of one, got {agent.name}"
            raise ValueError(f"builder: {text}")
        agent = agent._replace(hypers=joined(agent.hypers, read_by(updater), hypers))
        updates = _updates(agent, period)
        told = [updater.name, *(name for name, chosen in options.items() if chosen)]
        if updater.score is not None:
            told[0] += f" every {updates * (agent.gradient_steps or 1)} gradient steps"
        if mask_targets:
            _check_targets(agent)
        made = _with_masks(agent, updater, updates, **options)
        kept = ("sparsity",) if updater.sparse_from_start else ()
        return made._replace(
            name=f"{agent.name} with {', '.join(told)}",
            least_updates=max(agent.least_updates, _least(updater, updates)),
            initial=(*agent.initial, *(name for name in kept if name in made.hypers._fields)),
        )

    build.__annotations__ |= annotations(builder, read_by(updater))
    return build


def _check_effects(updater: Updater, **options: Any) -> None:
    """Raise ValueError for an option that is given, and has no effect with this updater."""
    for name, value in options.items():
        # What AC/DC prunes grows back, too, as after every fall of the sparsity in force.
        hidden = name == "reset_count" and updater.straight_through
        kept = name == "as_released" and updater.drop is None
        if value and (hidden or kept or updater.score is None):
            what = "weights are replaced" if kept else "weights grow back from nothing"
            what = "masks change" if updater.score is None else what
            raise ValueError(f"{name}: expected none where no {what}, as with {updater.name}")


def _check_targets(agent: Agent) -> None:
    """Raise ValueError unless the agent's state has a copy of its parameters beside the learner."""
    found: list[PyTree] = []

    def note(copy: PyTree) -> PyTree:
        found.append(copy)
        return copy

    def look(key: Key) -> None:
        state = agent.init(key, agent.hypers)
        tree.map_moments(note, state._replace(learner=()), state.learner.params)

    jax.eval_shape(look, jax.eval_shape(jax.random.key, 0))
    if not found:
        raise ValueError(f"mask_targets: expected none, as {agent.name!r} has no target network")


def _network(builder: Any, env: Environment, config: Any, network: Any, hypers: Any) -> Any:
    """What the builder is given, or makes itself."""
    if network is not None:
        return network
    agent = builder(env, config, None, hypers)
    found = agent.network if agent.model is None else agent.model
    if found is None:
        raise ValueError("builder: expected one of agents with a network, so it can be masked")
    return found


def _masked(network: Any, updater: Updater, patient: bool) -> Any:
    """The network, or that inside a self-predictive one, with masked optimizers."""
    inside = getattr(network, "network", None)
    if inside is not None:
        return network._replace(network=_masked(inside, updater, patient))
    instance("network", network, Network)
    shapes = jax.eval_shape(network.init, jax.eval_shape(jax.random.key, 0))
    check(updater, shapes)
    return masked.masked_network(network, updater.straight_through, patient=patient)


def _updates(agent: Agent, period: int | None) -> int:
    """Updates between new masks."""
    steps = agent.gradient_steps
    if steps is None:
        raise ValueError(
            f"agent {agent.name!r} does not say how many gradient steps an update makes, which "
            "masks are timed by: expected Agent.gradient_steps"
        )
    if period is None:
        return max(1, round(1000 / steps))
    if period % steps:
        low = period // steps * steps
        near = f"{low} or {low + steps}" if low else f"{steps}"
        text = f"expected a multiple of the {steps} gradient steps of an update of {agent.name}"
        raise ValueError(f"period: {text}, such as {near}, got {period}")
    return period // steps


def _least(updater: Updater, updates: int) -> int:
    """Updates of the shortest run in which masks change; SET and RigL move none at its end."""
    if updater.score is None:
        return 1
    return updates if updater.drop is None else 2 * updates


def _with_masks(
    agent: Agent,
    updater: Updater,
    updates: int,
    *,
    reset_count: bool,
    mask_targets: bool,
    as_released: bool,
) -> Agent:
    """The agent with masks that are drawn at its start, and made anew after so many updates."""

    def init(key: Key, hypers: Any) -> Any:
        state = agent.init(key, hypers)
        key = jax.random.fold_in(key, MASKS)
        target = mask_hypers(updater, hypers).sparsity
        masks = initial_masks(updater, key, state.learner.params, target)
        learner = masked.with_masks(masks, state.learner)
        return _mask_copies(masks, state._replace(learner=learner))

    def renewed(key: Key, clock: Clock, hypers: Any, state: Any, rollout: Transition) -> Learner:
        """The learner with the masks that follow those in force."""
        probe_key, mask_key = jax.random.split(key)
        learner = state.learner
        grads = agent.probe(probe_key, hypers, state, rollout).grads
        seen = Seen(masked.dense_params(learner), grads, masked.second_moments(learner))
        old = masked.masks_of(learner)
        strength = _strength(updater, hypers, clock)
        new = next_masks(updater, mask_key, seen, old, **strength)
        # Before an agent has learnt, there is nothing to judge its weights by.
        learnt = masked.steps_of(learner) > 0
        new = tree.where(learnt, new, old)
        if not updater.straight_through:
            grown = jax.tree.map(lambda old, new: new & ~old, old, new)
            learner = tree.forget(learner, grown, reset_count=reset_count)
        learner = masked.with_masks(new, learner)
        if as_released:
            learner = masked.wait(learner, learnt & (strength["drop_fraction"] > 0))
        return learner

    def maintain(
        key: Key, clock: Clock, hypers: Any, state: Any, transition: Transition
    ) -> tuple[Any, Mapping[str, Array]]:
        due = (clock.update + 1) % updates == 0
        if updater.drop is None:  # all of the target is in force in the end, whatever the period
            due |= clock.update + 1 == clock.updates
        told: Mapping[str, Array] = {}
        if agent.maintain is not None:
            state, told = agent.maintain(key, clock, hypers, state, transition)
        old = masked.masks_of(state.learner)

        def renew(learner: Learner) -> tuple[Learner, Array]:
            now = state._replace(learner=learner)
            learner = renewed(key, clock, hypers, now, inspected(transition))
            return learner, metrics.churn(old, masked.masks_of(learner))

        def keep(learner: Learner) -> tuple[Learner, Array]:
            return learner, jnp.full((), jnp.nan)

        learner, churn = jax.lax.cond(due, renew, keep, state.learner)
        masks = masked.masks_of(learner)
        if mask_targets:
            bare, replay = tree.without_replay(state)
            mask_them = partial(_mask_copies, masks)
            bare = jax.lax.cond(due, mask_them, lambda bare: bare, bare)
            state = bare._replace(**replay)
        state = state._replace(learner=learner)
        sparsity = metrics.masked_share(masks)
        return state, {**told, "mask_churn": churn, "mask_sparsity": sparsity}

    return agent._replace(init=init, maintain=maintain)


def _strength(updater: Updater, hypers: Any, clock: Clock) -> dict[str, Array]:
    """How much of the target is in force after this update, and which share of weights moves."""
    progress = (clock.update + 1) / jnp.float32(clock.updates)
    target, start, end, most = mask_hypers(updater, hypers)
    share, drop = updater.schedule.share(progress, start, end), jnp.zeros(())
    if updater.drop is not None:
        drop = updater.drop.fraction(progress, start, end, most)
    return {"target": target, "share": share, "drop_fraction": drop}


def _mask_copies(masks: PyTree, state: Any) -> Any:
    """Mask everything in an agent's state that is shaped like its parameters: targets, moments."""
    params = state.learner.params
    return tree.map_moments(partial(masked.apply, masks), state, params)
