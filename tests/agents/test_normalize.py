"""What running normalisation shows an agent, against numpy in double precision; nothing learns."""

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from purejaxrl_suite.agents.shared import normalize
from purejaxrl_suite.core.types import Agent, Box, Discrete, Learner, Probe, Transition


class State(NamedTuple):
    learner: Any


class Hypers(NamedTuple):
    gamma: float = 0.9


def telling():
    """An agent whose state is what it was last shown."""
    return Agent(
        "telling",
        Box((2,)),
        Discrete(2),
        Hypers(),
        2,
        4,
        init=lambda key, hypers: State(Learner((), ())),
        act=lambda noise, hypers, state, memory, obs, explore: (memory, obs, {}),
        update=lambda key, hypers, state, transition: (State(Learner(transition, ())), {}),
        probe=lambda key, hypers, state, transition: Probe({}, {}, ()),
        noise=lambda key, batch: (),
    )


def rollout(rng):
    shape = (4, 2)
    obs, following = 300.0 + 4.0 * rng.normal(size=(2, *shape, 2))
    done = rng.random((2, *shape)) < 0.2
    steps = obs, np.zeros(shape, int), rng.normal(size=shape), *done, following
    return Transition(*map(jnp.asarray, steps), {})


def test_observations_are_shown_by_all_rollouts_before():
    """Those that it acted on: the statistics take a rollout up after it was learnt from."""
    agent, rng = normalize.normalize_observations(telling()), np.random.default_rng(0)
    state, seen = agent.init(None, agent.hypers), []
    for _ in range(4):
        steps = rollout(rng)
        acted = agent.act((), agent.hypers, state, (), steps.obs[0], True)[1]
        state, _ = agent.update(None, agent.hypers, state, steps)
        shown = state.learner.params
        np.testing.assert_array_equal(acted, shown.obs[0])
        past = np.concatenate(seen) if seen else np.array([[-1.0, -1.0], [1.0, 1.0]])
        for raw, found in ((steps.obs, shown.obs), (steps.next_obs, shown.next_obs)):
            expected = (np.float64(raw) - past.mean(0)) / past.std(0)
            np.testing.assert_allclose(found, np.clip(expected, -10, 10), atol=1e-3)
        seen.append(np.float64(steps.obs).reshape(-1, 2))


def test_rewards_are_divided_by_the_deviation_of_discounted_returns():
    agent, rng = normalize.normalize_rewards(telling()), np.random.default_rng(1)
    state, returns, carry = agent.init(None, agent.hypers), [], np.zeros(2)
    for _ in range(3):
        steps = rollout(rng)
        state, _ = agent.update(None, agent.hypers, state, steps)
        for reward, done in zip(np.float64(steps.reward), np.asarray(steps.done), strict=True):
            carry = 0.9 * carry + reward
            returns.append(carry)
            carry = np.where(done, 0.0, carry)
        expected = np.float64(steps.reward) / np.std(returns)
        np.testing.assert_allclose(state.learner.params.reward, expected, rtol=1e-4)
