"""Contract checks: does a new agent or intervention do what its type promises?

A check raises AssertionError with the first broken promise.
"""

import gc
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree

from purejaxrl_suite.core import estimates, tree
from purejaxrl_suite.core.check_environment import check_environment as check_environment
from purejaxrl_suite.core.check_environment import sample
from purejaxrl_suite.core.inspection import inspect_agent
from purejaxrl_suite.core.spaces import abstract
from purejaxrl_suite.core.types import (
    Agent,
    Array,
    Clock,
    Intervention,
    Key,
    Learner,
    PyTree,
    Transition,
)


def _signature(x: PyTree) -> dict[str, tuple[Any, ...]]:
    """{path: (shape, dtype, weak type)} of every leaf."""
    leaves = jax.tree.leaves_with_path(x)
    return {_name(path): (leaf.shape, leaf.dtype, leaf.weak_type) for path, leaf in leaves}


def _name(path: tuple[Any, ...]) -> str:
    return jax.tree_util.keystr(path)


def check_agent(agent: Agent, key: Key) -> None:
    """Check the contract of `Agent` on made-up experience; compiles one program.

    Checked: the state is arrays of strong dtypes and keeps its structure; `state.learner` is a
    Learner; `act` gives actions of the declared space for any number of observations, and greedy
    actions do not depend on the noise; estimates agree with the actions and with each other;
    metrics are finite f32 scalars; `update` changes the parameters and may be vmapped over members
    with different hypers; the probe's features and gradients have matching shapes and are finite;
    no tracer outlives its trace.

    Raises:
        AssertionError: a promise is broken; the message says which.
    """
    n, length = agent.num_envs, agent.rollout_length
    hypers = jax.tree.map(lambda x: jnp.full(2, x, jnp.float32), agent.hypers)

    def member(key: Key, hypers: Any) -> dict[str, PyTree]:
        keys = jax.random.split(key, 7)
        state = agent.init(keys[0], hypers)
        transition = experience(agent, keys[1], hypers, state)
        memory, obs = agent.memory(n), transition.obs[0]
        noise, other = agent.noise(keys[4], n), agent.noise(keys[5], n)
        after, metrics = agent.update(keys[2], hypers, state, transition)
        greedy = agent.act(noise, hypers, state, memory, obs, False)[1]
        kept: tuple[Any, Any] = after, {}
        if agent.maintain is not None:
            clock = Clock(np.int32(0), np.int32(1))
            kept = agent.maintain(keys[6], clock, hypers, after, transition)
        return {
            "kept": kept[0],
            "rare metrics": kept[1],
            "state": state,
            "after": after,
            "metrics": metrics,
            "probe": agent.probe(keys[3], hypers, state, transition),
            "action": agent.act(noise, hypers, state, memory, obs, True)[1],
            "greedy": greedy,
            "again": agent.act(other, hypers, state, memory, obs, False)[1],
            "estimates": estimates.told(
                agent, hypers=hypers, state=state, memory=memory, obs=obs, action=greedy
            ),
        }

    with _checking_leaks():
        found = jax.jit(jax.vmap(member))(jax.random.split(key, 2), hypers)
    _require_agent(agent, length >= 1 and n >= 1, "num_envs and rollout_length are positive")
    _check_found(agent, found)
    for promise, kept in estimates.promises(agent, found["estimates"], found["greedy"]).items():
        _require_agent(agent, kept, promise)


def check_gradients(agent: Agent, key: Key) -> Any:
    """Check that an update can be differentiated with respect to every hyper-parameter.

    What is differentiated is the sum of all numbers in state and metrics after two updates on
    made-up experience; compiles one program.

    Returns:
        The derivatives, a Hypers of f32[].

    Raises:
        AssertionError: a derivative is not finite; the message names its hyper-parameter.
    """
    hypers = jax.tree.map(jnp.float32, agent.hypers)
    found = jax.jit(jax.grad(lambda hypers, key: outcome(agent, hypers, key)))(hypers, key)
    broken = [name for name, x in found._asdict().items() if not np.isfinite(x)]
    _require_agent(agent, not broken, f"derivatives are finite, not so of {broken}")
    return found


def outcome(agent: Agent, hypers: Any, key: Key, dtype: Any = jnp.float32) -> Array:
    """Sum all numbers that two updates on made-up experience compute, in `dtype`."""
    keys = jax.random.split(key, 4)

    def exact(x: Array) -> Array:
        return x.astype(dtype) if jnp.issubdtype(x.dtype, jnp.floating) else x

    state = jax.tree.map(exact, agent.init(keys[0], hypers))
    still = jax.lax.stop_gradient((hypers, state))
    transition = jax.tree.map(exact, experience(agent, keys[1], *still))

    def update(state: Any, key: Key) -> tuple[Any, Mapping[str, Array]]:
        return agent.update(key, hypers, state, transition)

    state, metrics = jax.lax.scan(update, state, keys[2:])
    last = jax.tree.map(lambda x: x[-1], metrics)
    numbers = (x for x in jax.tree.leaves((state, last)) if jnp.issubdtype(x.dtype, dtype))
    return jnp.asarray(sum(map(jnp.sum, numbers)))


def check_derivatives(
    function: Callable[[PyTree], Array], at: PyTree, *, tolerance: float = 1e-6, step: float = 1e-3
) -> PyTree:
    """Check that the reverse-mode gradient of a function equals central differences, in float64.

    For anyone's update rule: `function` runs K updates with given meta-parameters and returns a
    loss. Differences are of fourth order, along every entry, so use it on small rules. What the
    function draws must not depend on its argument, such as recorded rollouts.

    Args:
        function: pytree -> f[].
        at: where; its leaves are floats, which are widened to float64.
        tolerance: the largest gap, as a share of the largest derivative.
        step: between two evaluations.

    Returns:
        The gradient, numpy float64.

    Raises:
        AssertionError: a derivative is not finite or the gap is larger; the message names the leaf.

    Example:
        >>> from purejaxrl_suite.core.check import check_derivatives
        >>> check_derivatives(lambda x: jnp.sum(x["rate"] ** 3), {"rate": np.ones(2)})
        {'rate': array([3., 3.])}
    """
    with jax.enable_x64(True):
        flat, whole = ravel_pytree(jax.tree.map(_wide, at))

        def value(row: Array) -> Array:
            return function(whole(row))

        def both(flat: Array) -> tuple[Array, Array]:
            rows = [flat[None] + k * step * jnp.eye(len(flat)) for k in (-2, -1, 1, 2)]
            values = jnp.reshape(jax.lax.map(value, jnp.concatenate(rows)), (4, -1))
            weights = jnp.array([1.0, -8.0, 8.0, -1.0]) / (12.0 * step)
            return jax.grad(value)(flat), weights @ values

        found, expected = jax.jit(both)(flat)
        largest = float(jnp.max(jnp.abs(expected))) or 1.0
        gaps = jax.tree.map(np.asarray, whole(jnp.abs(found - expected) / largest))
        gradient = jax.tree.map(np.asarray, whole(found))
    shares = {_name(path): float(np.max(gap)) for path, gap in jax.tree.leaves_with_path(gaps)}
    name, worst = max(shares.items(), key=lambda one: np.nan_to_num(one[1], nan=np.inf))
    _promise(
        worst <= tolerance,
        f"derivatives equal differences: that of {name or 'the argument'} is off by "
        f"{worst:.2g} of the largest, {largest:.3g}, not {tolerance:.2g}",
    )
    return gradient


def _wide(leaf: Any) -> Any:
    return jnp.asarray(leaf, jnp.float64)


def check_optimizer(optimizer: Any) -> None:
    """Check that derivatives through an optimizer are finite wherever gradients are 0.

    It takes 1, 2, 3 and 6 steps with gradients that have zeros in some entries, in a whole leaf,
    and everywhere, and is differentiated with respect to the scale of the loss.

    Args:
        optimizer: an `optax.GradientTransformation`.

    Raises:
        AssertionError: a derivative is not finite; the message says with which gradients.
    """
    params = {"some": jnp.ones(3), "none": jnp.ones(2)}
    cases = {
        "no zeros": {"some": jnp.array([1.0, -2.0, 0.5]), "none": jnp.ones(2)},
        "zeros in some entries": {"some": jnp.array([1.0, 0.0, 0.5]), "none": jnp.ones(2)},
        "a leaf of zeros": {"some": jnp.array([1.0, 0.0, 0.5]), "none": jnp.zeros(2)},
        "zeros everywhere": {"some": jnp.zeros(3), "none": jnp.zeros(2)},
    }

    def after(scale: Array, gradient: PyTree, steps: int) -> Array:
        now, state = params, optimizer.init(params)
        for _ in range(steps):
            scaled = jax.tree.map(lambda g, p: scale * g * p, gradient, now)
            change, state = optimizer.update(scaled, state, now)
            now = jax.tree.map(jnp.add, now, change)
        return jnp.asarray(sum(map(jnp.sum, jax.tree.leaves(now))))

    for steps in (1, 2, 3, 6):
        slope = jax.jit(jax.grad(partial(after, steps=steps)))
        for name, gradient in cases.items():
            found = slope(jnp.ones(()), gradient)
            _promise(_finite(found), f"derivatives are finite after {steps} steps with {name}")


def experience(agent: Agent, key: Key, hypers: Any, state: Any) -> Transition:
    """Make up a rollout [T, N] of random observations and rewards, with ends of both kinds.

    Actions are those of the agent in this state, and random ones where it learns from a data set:
    one without noise would find that it has learnt its own already.
    """
    n, length = agent.num_envs, agent.rollout_length
    obs_key, act_key, reward_key, end_key = jax.random.split(key, 4)

    def observations(key: Key) -> Array:
        keys = jax.random.split(key, (length + 1, n))
        return jax.vmap(jax.vmap(lambda key: sample(key, agent.observation)))(keys)

    def step(memory: Any, inputs: tuple[Array, Key]) -> tuple[Any, Any]:
        obs, key = inputs
        noise = agent.noise(key, n)
        memory, action, extras = agent.act(noise, hypers, state, memory, obs, True)
        return memory, (action, extras)

    obs = observations(obs_key)
    keys = jax.random.split(act_key, length)
    _, (action, extras) = jax.lax.scan(step, agent.memory(n), (obs[:-1], keys))
    if agent.offline is not None:
        keys = jax.random.split(jax.random.fold_in(act_key, length), (length, n))
        action = jax.vmap(jax.vmap(lambda key: sample(key, agent.action)))(keys)
    reward = jax.random.normal(reward_key, (length, n))
    ends = jax.random.uniform(end_key, (2, length, n)) < 0.1
    return Transition(
        obs=obs[:-1],
        action=action,
        reward=reward,
        terminated=ends[0],
        truncated=ends[1],
        next_obs=obs[1:],
        extras=extras,
        discount=_discounts(agent, end_key, length),
    )


def _discounts(agent: Agent, key: Key, length: int) -> Array | None:
    """Make up discounts f32[T, N] for an agent that learns with them."""
    if not agent.discounted:
        return None
    return jax.random.uniform(jax.random.fold_in(key, 1), (length, agent.num_envs), minval=0.5)


def _check_found(agent: Agent, found: dict[str, Any]) -> None:
    state, after, probe = found["state"], found["after"], found["probe"]
    _require_agent(agent, isinstance(state.learner, Learner), "state.learner is a Learner")
    _require_agent(agent, _signature(state) == _signature(after), "update keeps the state's shape")
    weak = [name for name, signature in _signature(after).items() if signature[2]]
    _require_agent(agent, not weak, f"state has strong dtypes, not so in {weak}")
    same = _signature(found["kept"]) == _signature(state)
    _require_agent(agent, same and _finite(found["kept"]), "maintain keeps the state's shape")
    for name, value in (found["metrics"] | found["rare metrics"]).items():
        scalar = value.shape == (2,) and value.dtype == jnp.float32
        _require_agent(agent, scalar, f"metric {name} is f32[]")
    _require_agent(agent, _finite(found["metrics"]), "metrics are finite")
    _require_agent(agent, _finite(state) and _finite(after), "state is finite")
    moved = jax.tree.map(np.array_equal, state.learner.params, after.learner.params)
    _require_agent(agent, not all(jax.tree.leaves(moved)), "update changes the parameters")
    expected = abstract(agent.action, 2, agent.num_envs)
    for name in ("action", "greedy"):
        action = found[name]
        fits = action.shape == expected.shape and action.dtype == expected.dtype
        _require_agent(
            agent, fits, f"act gives actions {expected}, not {action.dtype}{action.shape}"
        )
    same = np.array_equal(found["greedy"], found["again"])
    _require_agent(agent, same, "greedy actions do not depend on the noise")
    same = _signature(probe.grads) == _signature(state.learner.params)
    _require_agent(agent, same, "probe.grads is like the parameters")
    same = _signature(probe.features) == _signature(probe.feature_grads)
    _require_agent(agent, same and len(probe.features) > 0, "probe.feature_grads is like features")
    _require_agent(agent, _finite(probe), "the probe is finite")


def check_intervention(intervention: Intervention, agent: Agent, key: Key) -> dict[str, Array]:
    """Check the contract of `Intervention` on an agent after one update; compiles one program.

    Checked: the learner and the intervention's state keep their structures, and are finite and of
    strong dtypes; metrics are f32 scalars; it may be vmapped over members; no tracer outlives its
    trace. The clock stands at the first of 2 updates.

    Returns:
        {name: f32[2]}, the metrics of two members.

    Raises:
        AssertionError: a promise is broken; the message says which.
    """
    hypers = jax.tree.map(lambda x: jnp.full(2, x, jnp.float32), agent.hypers)
    clock = Clock(np.int32(0), np.int32(2))

    def member(key: Key, hypers: Any) -> Any:
        keys = jax.random.split(key, 5)
        before = agent.init(keys[0], hypers)
        transition = experience(agent, keys[1], hypers, before)
        after, _ = agent.update(keys[2], hypers, before, transition)
        inspection = inspect_agent(
            agent, key=keys[3], hypers=hypers, before=before, after=after, transition=transition
        )
        state = tree.strong(intervention.init(inspection.network, after.learner))
        made = intervention.apply(keys[4], clock, state, after.learner, inspection)
        return (after.learner, state), made[:2], made[2]

    with _checking_leaks():
        found = jax.jit(jax.vmap(member))(jax.random.split(key, 2), hypers)
    _check_made(f"intervention {intervention.name} on {agent.name}", *found)
    return found[2]


def _check_made(what: str, before: Any, after: Any, metrics: dict[str, Array]) -> None:
    for name, old, new in zip(("learner", "state"), before, after, strict=True):
        _promise(_signature(old) == _signature(new), f"{what} changes the shape of the {name}")
        weak = [leaf for leaf, signature in _signature(new).items() if signature[2]]
        _promise(not weak, f"{what} makes weak dtypes in {weak} of the {name}")
        _promise(_finite(new), f"{what} makes the {name} infinite")
    wrong = [n for n, x in metrics.items() if (x.shape, x.dtype) != ((2,), jnp.float32)]
    _promise(not wrong, f"{what} records {wrong}, which are not f32[]")


@contextmanager
def _checking_leaks() -> Iterator[None]:
    """Run `jax.checking_leaks` with garbage collections that skip older objects."""
    gc.freeze()
    try:
        with jax.checking_leaks():
            yield
    finally:
        gc.unfreeze()


def _promise(condition: bool, broken: str) -> None:
    if not condition:
        raise AssertionError(broken)


def _finite(x: PyTree) -> bool:
    leaves = [leaf for leaf in jax.tree.leaves(x) if jnp.issubdtype(leaf.dtype, jnp.floating)]
    return all(np.all(np.isfinite(leaf)) for leaf in leaves)


def _require_agent(agent: Agent, condition: bool, promise: str) -> None:
    if not condition:
        raise AssertionError(f"agent {agent.name!r} breaks the contract of Agent: {promise}")
