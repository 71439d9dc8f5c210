"""Plasticity injection (Nikishin et al. 2023, arXiv 2305.15555).

At some update the last parts of a network are frozen and learning goes on in a fresh copy of them,
from which a frozen copy of its initial state is subtracted: outputs stay the same, and so does the
number of learning parameters. All copies exist from the start, so the state keeps its structure.
"""

from typing import Any

import jax
import jax.numpy as jnp
import optax

from purejaxrl_suite.core import tree
from purejaxrl_suite.core.argument import instance, instances, wrong
from purejaxrl_suite.core.types import (
    Array,
    Clock,
    Edge,
    Inspection,
    Internals,
    Intervention,
    Key,
    Learner,
    Network,
    Path,
    PyTree,
)

PLACE: Path = ("aux", "injection")


def injectable(network: Network, parts: tuple[str, ...] = ("trunk", "heads")) -> Network:
    """Add to a network the copies of parts that `inject` uses; before that it learns as without.

    These parts take up to three times as long. Their units are not recyclable; features are those
    of the copy that learns.

    Args:
        network: without a memory.
        parts: namespaces of its parameters to copy, the last parts of the network.

    Returns:
        The network, for `inject`.

    Raises:
        ValueError: the network is recurrent, or lacks one of the parts.
    """
    instance("network", network, Network)
    parts = instances("parts", parts, str)
    shapes = jax.eval_shape(network.init, jax.eval_shape(jax.random.key, 0))
    if not set(parts) <= set(shapes):
        raise wrong("parts", f"some of {', '.join(shapes)}", parts)
    if jax.tree.leaves(jax.eval_shape(lambda: network.memory(1))):
        raise ValueError("network: expected one without a memory, copies would need one each")

    def init(key: Key) -> PyTree:
        key_base, key_new = jax.random.split(key)
        params, fresh = network.init(key_base), network.init(key_new)
        new = {part: fresh[part] for part in parts}
        copies = {"new": new, "anchor": jax.tree.map(jnp.copy, new), "on": jnp.zeros(())}
        return {**params, "aux": {**params.get("aux", {}), PLACE[-1]: copies}}

    def apply(params: PyTree, obs: Array, memory: Any = (), taps: Any = None, **more: Any):
        def run(params: PyTree, taps: Any) -> tuple[Any, Internals]:
            return network.apply(params, obs, memory, taps, **more)

        return _joined(run, params, taps or {}, parts)

    def unroll(params: PyTree, obs: Array, memory: Any, starts: Array, taps: Any = None):
        def run(params: PyTree, taps: Any) -> tuple[Any, Internals]:
            return network.unroll(params, obs, memory, starts, taps)

        return _joined(run, params, taps or {}, parts)

    wiring = tuple(_with_copies(edge, parts) for edge in network.wiring)
    constrain = lambda optimizer: network.constrain(_frozen(optimizer, parts))  # noqa: E731
    return Network(
        init=init,
        apply=apply,
        unroll=unroll,
        wiring=wiring,
        memory=network.memory,
        constrain=constrain,
        project=network.project,
    )


def inject() -> Intervention:
    """Freeze the parts of an `injectable` network and go on with fresh ones, once.

    Put it inside `once`; after the first time it does nothing.

    Raises:
        ValueError: the network is not from `injectable`.

    Example:
        >>> pjs.plasticity.once(1000, pjs.plasticity.inject()).name
        'every(1000, inject(), start=0, stop=1000)'
    """

    def init(network: Network, learner: Learner) -> tuple[()]:
        if PLACE[-1] not in learner.params.get("aux", {}):
            raise ValueError("network: expected an injectable one: plasticity.injectable(network)")
        return ()

    def apply(key: Key, clock: Clock, state: tuple[()], learner: Learner, inspection: Inspection):
        old = tree.at(learner.params, PLACE)
        fresh = tree.at(inspection.network.init(key), PLACE)
        copies = {**fresh, "on": jnp.ones(())}
        copies = tree.where(old["on"] > 0, old, copies)
        aux = {**learner.params["aux"], PLACE[-1]: copies}
        changed = learner._replace(params={**learner.params, "aux": aux})
        touched = jax.tree.map(lambda x: jnp.zeros(x.shape, bool), changed.params)
        touched["aux"][PLACE[-1]] = jax.tree.map(
            lambda x: jnp.full(x.shape, old["on"] == 0), copies
        )
        return tree.forget(changed, touched, reset_count=False), state, {}

    return Intervention("inject()", init, apply)


def _joined(run: Any, params: PyTree, taps: Any, parts: tuple[str, ...]) -> tuple[Any, Internals]:
    """Compute base + on * (new - anchor); gradients reach the base, once injected the new."""
    copies = tree.at(params, PLACE)
    on = jax.lax.stop_gradient(copies["on"])
    inside = {name: tap for name, tap in taps.items() if name.split("/")[0] in parts}
    outside = {name: tap for name, tap in taps.items() if name not in inside}

    def until_injected(x: Array) -> Array:
        fixed = jax.lax.stop_gradient(x)
        return fixed + (1.0 - on) * (x - fixed)

    base = {**params, **{part: jax.tree.map(until_injected, params[part]) for part in parts}}
    fading = {name: (1.0 - on) * tap for name, tap in inside.items()}
    before, internals = run(base, outside | fading)
    new, now = run({**params, **copies["new"]}, taps)
    anchor, _ = run({**params, **jax.lax.stop_gradient(copies["anchor"])}, outside)
    output = jax.tree.map(lambda b, n, a: b + on * (n - a), before, new, anchor)
    features = {
        name: jnp.where(on > 0, now.features[name], x) if name.split("/")[0] in parts else x
        for name, x in internals.features.items()
    }
    return output, internals._replace(features=features)


def _with_copies(edge: Edge, parts: tuple[str, ...]) -> Edge:
    """Add the copies to the readers of an edge's units."""
    copied = tuple(
        (*PLACE, copy, *path)
        for copy in ("new", "anchor")
        for path in edge.outgoing
        if path[0] in parts
    )
    within = edge.layer.split("/")[0] in parts
    if within:
        return edge._replace(recyclable=False)
    return edge._replace(outgoing=edge.outgoing + copied)


def _frozen(
    optimizer: optax.GradientTransformation, parts: tuple[str, ...]
) -> optax.GradientTransformation:
    """Wrap an optimizer so that its updates never move frozen parameters, not even by momentum."""

    def update(updates: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        updates, state = optimizer.update(updates, state, params)
        on = tree.at(params, PLACE)["on"]
        copies = tree.at(updates, PLACE)

        def scaled(factor: Array, subtree: PyTree) -> PyTree:
            return jax.tree.map(lambda x: factor * x, subtree)

        still = jnp.zeros(())
        copies = {
            "new": scaled(on, copies["new"]),
            "anchor": scaled(still, copies["anchor"]),
            "on": still,
        }
        base = {part: scaled(1.0 - on, updates[part]) for part in parts}
        aux = {**updates["aux"], PLACE[-1]: copies}
        return {**updates, **base, "aux": aux}, state

    return optax.GradientTransformation(optimizer.init, update)
