"""Masks in the state of an optimizer: how they act at every gradient step and are replaced."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from purejaxrl_suite.core import tree
from purejaxrl_suite.core.types import Array, Learner, Network, PyTree


class Masked(NamedTuple):
    """The state of an optimizer whose parameters are masked.

    masks: bool, like the parameters; all True where nothing is pruned.
    dense: like the parameters, what masked ones are outside of their masks, with straight-through
        gradients; else ().
    steps: i32[], gradient steps that were made.
    inner: of the optimizer inside.
    """

    masks: tree.Constant
    dense: PyTree
    steps: Array
    inner: Any


class Patient(NamedTuple):
    """The state of an optimizer that may be told to leave out its next step.

    waits: bool[], whether it does. inner: of the optimizer inside.
    """

    waits: Array
    inner: Any


def masked_optimizer(
    optimizer: optax.GradientTransformation, straight_through: bool
) -> optax.GradientTransformation:
    """Wrap an optimizer so that parameters stay zero outside of masks.

    Gradients are masked before the optimizer sees them, so neither its moments nor a norm that it
    clips tell of pruned weights. With straight-through gradients (Bengio et al. 2013, arXiv
    1308.3432) it is shown all of them and moves dense parameters, of which the masked ones are
    what the network computes with.
    """

    def init(params: PyTree) -> Masked:
        masks = jax.tree.map(lambda leaf: jnp.ones(leaf.shape, bool), params)
        dense = jax.tree.map(jnp.copy, params) if straight_through else ()
        return Masked(tree.Constant.of(masks), dense, jnp.int32(0), optimizer.init(params))

    def update(updates: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        masks, given, dense = state.masks.like(params), params, ()
        if straight_through:
            given = unmasked(state, params)
        else:
            updates = jax.tree.map(lambda m, g: jnp.where(m, g, 0.0), masks, updates)
        updates, inner = optimizer.update(updates, state.inner, given)
        if straight_through:
            dense = jax.tree.map(jnp.add, given, updates)
        updates = jax.tree.map(lambda m, u, p: jnp.where(m, u, -p), masks, updates, params)
        return updates, Masked(state.masks, dense, state.steps + 1, inner)

    return optimizer._replace(init=init, update=update)


def patient_optimizer(optimizer: optax.GradientTransformation) -> optax.GradientTransformation:
    """Wrap an optimizer so that `wait` makes it leave out a step.

    Nothing moves in it, and the state of the optimizer inside stays what it is.
    """

    def init(params: PyTree) -> Patient:
        return Patient(jnp.zeros((), bool), optimizer.init(params))

    def update(updates: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        updates, inner = optimizer.update(updates, state.inner, params)
        updates = jax.tree.map(lambda u: jnp.where(state.waits, 0.0, u), updates)
        inner = tree.where(state.waits, state.inner, inner)
        return updates, Patient(jnp.zeros((), bool), inner)

    return optimizer._replace(init=init, update=update)


def masked_network(network: Network, straight_through: bool, *, patient: bool = False) -> Network:
    """The network whose optimizers are masked, and whose learner is masked again by `project`.

    patient: whether `wait` is to reach its optimizers.
    """

    def constrain(optimizer: optax.GradientTransformation) -> optax.GradientTransformation:
        # What a network does to its parameters it does to dense ones where those are moved. Else
        # what it adds to gradients is masked with them.
        if straight_through:
            return masked_optimizer(network.constrain(optimizer), straight_through)
        made = network.constrain(masked_optimizer(optimizer, straight_through))
        return patient_optimizer(made) if patient else made

    def project(learner: Learner) -> Learner:
        learner = network.project(learner)
        masks = masks_of(learner)

        def keep(state: Masked) -> Masked:
            if not straight_through:
                return state
            changed = jax.tree.map(lambda m, p: m | (p != 0), masks, learner.params)
            dense = jax.tree.map(jnp.where, changed, learner.params, state.dense)
            return state._replace(dense=dense)

        return Learner(apply(masks, learner.params), edit(keep, learner.opt_state))

    return network._replace(constrain=constrain, project=project)


def apply(masks: PyTree, params: PyTree) -> PyTree:
    """Set what is outside of the masks to zero."""
    return jax.tree.map(lambda m, p: jnp.where(m, p, 0.0), masks, params)


def unmasked(state: Masked, params: PyTree) -> PyTree:
    """The parameters inside of masks, and what they are in `dense` outside of them."""
    return jax.tree.map(jnp.where, state.masks.like(params), params, state.dense)


def edit(change: Callable[[Masked], Masked], opt_state: PyTree) -> PyTree:
    """Change every `Masked` of an optimizer's state."""

    def one(node: Any) -> Any:
        return change(node) if isinstance(node, Masked) else node

    return jax.tree.map(one, opt_state, is_leaf=lambda node: isinstance(node, Masked))


def found(learner: Learner) -> list[Masked]:
    """Every `Masked` of a learner: one for each of its optimizers, all with the same masks.

    Raises ValueError where there is none.
    """
    nodes = jax.tree.leaves(learner.opt_state, is_leaf=lambda node: isinstance(node, Masked))
    states = [node for node in nodes if isinstance(node, Masked)]
    if not states:
        raise ValueError("learner: expected one with masks, of an agent that `sparse` has built")
    return states


def masks_of(learner: Learner) -> PyTree:
    """Read the masks of a learner: bool, like its parameters.

    Raises ValueError where there are none.
    """
    return found(learner)[0].masks.like(learner.params)


def steps_of(learner: Learner) -> Array:
    """Count the gradient steps i32[] that a learner's masked optimizers have made, at most."""
    return jnp.max(jnp.stack([state.steps for state in found(learner)]))


def with_masks(masks: PyTree, learner: Learner) -> Learner:
    """Put other masks in force: outside of them parameters are zero, inside what they were.

    With straight-through gradients those that come inside are what they are without masks.
    """
    dense = dense_params(learner)
    kept = tree.Constant.of(masks)

    def put(state: Masked) -> Masked:
        own = () if isinstance(state.dense, tuple) else jax.tree.map(jnp.copy, dense)
        return state._replace(masks=kept, dense=own)

    return Learner(apply(masks, dense), edit(put, learner.opt_state))


def wait(learner: Learner, waits: Array) -> Learner:
    """Tell every optimizer that is patient whether it leaves out its next step, bool[]."""

    def patient(node: Any) -> bool:
        return isinstance(node, Patient)

    def tell(node: Any) -> Any:
        return node._replace(waits=waits) if patient(node) else node

    return learner._replace(opt_state=jax.tree.map(tell, learner.opt_state, is_leaf=patient))


def dense_params(learner: Learner) -> PyTree:
    """The parameters of a learner as they are without masks, with straight-through gradients.

    With others they are the parameters themselves.
    """
    structure, states = jax.tree.structure(learner.params), found(learner)
    if isinstance(states[0].dense, tuple):
        return learner.params
    dense = [jax.tree.leaves(unmasked(state, learner.params)) for state in states]
    moved = [tree.has_moments(state.inner, learner.params) for state in states]
    # Of several optimizers each knows those that it moves.
    owners = [own.index(True) if any(own) else 0 for own in zip(*moved, strict=True)]
    return jax.tree.unflatten(structure, [dense[which][i] for i, which in enumerate(owners)])


def second_moments(learner: Learner) -> PyTree | None:
    """Adam's second moments of all parameters, from every optimizer; None where there are none."""
    structure, leaves = jax.tree.structure(learner.params), jax.tree.leaves(learner.params)

    def holds(node: Any) -> bool:
        return "nu" in getattr(node, "_fields", ())

    nodes = [x for x in jax.tree.leaves(learner.opt_state, is_leaf=holds) if holds(x)]
    if not nodes:
        return None
    total = [jnp.zeros_like(leaf) for leaf in leaves]
    for node in nodes:
        parts = structure.flatten_up_to(node.nu)
        total = [t + p if jax.tree.leaves(p) else t for t, p in zip(total, parts, strict=True)]
    return jax.tree.unflatten(structure, total)
