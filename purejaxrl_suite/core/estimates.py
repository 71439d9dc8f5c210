"""What an agent promises of its `Estimates`; `check.check_agent` asks."""

from typing import Any

import jax.numpy as jnp
import numpy as np

from purejaxrl_suite.core.types import Agent, Array, Discrete, Estimates, Memory


def told(
    agent: Agent, hypers: Any, state: Any, memory: Memory, obs: Array, action: Array
) -> tuple[Estimates, ...]:
    """Return the estimates for observations, then for actions there; () if the agent has none."""
    if agent.estimate is None:
        return ()
    plain = agent.estimate(hypers, state, memory, obs, None)
    return plain, agent.estimate(hypers, state, memory, obs, action)


def promises(agent: Agent, found: tuple[Estimates, ...], greedy: Array) -> dict[str, bool]:
    """Check the result of `told` for greedy actions [..., N]: {promise: whether it is kept}."""
    if not found:
        return {}
    free, of_greedy = found
    if not isinstance(agent.action, Discrete):
        kept = {"the estimated value is f32[N]": free.value.shape == greedy.shape[:-1]}
        if of_greedy.q is not None:
            same = _close(of_greedy.q, free.value)
            kept["the estimated value is that of the greedy action"] = same
        return kept
    kept = {"the estimated value is f32[N]": free.value.shape == greedy.shape}
    for name, table in (("q", free.q), ("probabilities", free.probabilities)):
        if table is None:
            continue
        fits = table.shape == (*greedy.shape, agent.action.n)
        kept[f"estimated {name} are f32[N, A]"] = fits
        if fits:
            chosen = np.take_along_axis(np.asarray(table), np.asarray(greedy)[..., None], -1)
            best = _close(chosen[..., 0], jnp.max(table, axis=-1))
            kept[f"no estimated {name} are greater than those of greedy actions"] = best
    if free.q is not None:
        kept["the estimated value is the greatest of q"] = _close(jnp.max(free.q, -1), free.value)
    if free.probabilities is not None:
        whole = _close(jnp.sum(free.probabilities, axis=-1), np.float32(1.0))
        kept["estimated probabilities sum to 1"] = whole
    return kept


def _close(one: Any, other: Any) -> bool:
    return np.allclose(one, other, rtol=1e-4, atol=1e-5)
