"""Running normalisation as functions Agent -> Agent (Engstrom et al. 2020, arXiv 2005.12729).

An Environment is one episode and forgets everything at its end, so statistics over all experience
belong to the agent's state, shared by the N environments. Those of observations change once per
rollout, after it was learnt from, so an agent learns from the same inputs that it acted on. A
replay stores raw experience and normalizes it by the current statistics when it is read.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from purejaxrl_suite.agents.shared.configs import NormalizingConfig
from purejaxrl_suite.buffers import Batch, Uniform
from purejaxrl_suite.core.types import Agent, Array, Estimates, Key, Learner, Transition
from purejaxrl_suite.ops import statistics

CLIP = 10.0


class NormalizedState(NamedTuple):
    """State of an agent with running normalisation.

    learner: of the inner agent. inner: the rest of its state. moments: statistics.
    carry: f32[N], discounted returns in progress (rewards), or () (observations).
    """

    learner: Learner
    inner: Any
    moments: statistics.Moments
    carry: Any


def _open(state: NormalizedState) -> Any:
    return state.inner._replace(learner=state.learner)


def _close(inner: Any, moments: statistics.Moments, carry: Any) -> NormalizedState:
    return NormalizedState(inner.learner, inner._replace(learner=()), moments, carry)


def as_configured(agent: Agent, config: NormalizingConfig) -> Agent:
    """Give the agent the running normalisation that its Config asks for."""
    agent = normalize_observations(agent) if config.normalize_observations else agent
    return normalize_rewards(agent) if config.normalize_rewards else agent


def _estimating(agent: Agent, inside: Callable[[Any, Array], tuple[Any, Array]]) -> Any:
    """Make `Agent.estimate` on the result of `inside(state, obs)`; None if the agent has none."""
    known = agent.estimate
    if known is None:
        return None

    def estimate(hypers: Any, state: Any, memory: Any, obs: Array, action: Any = None) -> Estimates:
        state, obs = inside(state, obs)
        return known(hypers, state, memory, obs, action)

    return estimate


def _maintaining(agent: Agent) -> Any:
    """Make `Agent.maintain` of the state inside; None if the agent has none.

    It is given the rollout as it was collected, which agents of the suite do not read there.
    """
    known = agent.maintain
    if known is None:
        return None

    def maintain(key: Key, clock: Any, hypers: Any, state: Any, transition: Transition) -> Any:
        inner, told = known(key, clock, hypers, _open(state), transition)
        return _close(inner, state.moments, state.carry), told

    return maintain


def normalize_observations(agent: Agent) -> Agent:
    """Normalize the agent's observations: (obs - mean) / std, clipped to [-10, 10]."""
    return _shown(
        agent,
        partial(statistics.init, agent.observation.shape),
        see=partial(statistics.normalize, clip=CLIP),
        after=statistics.update,
    )


class Standard(NamedTuple):
    """Statistics f32[*shape] of the observations of a data set. scale: deviation + 1e-3."""

    mean: Array
    scale: Array


def standardize_observations(agent: Agent) -> Agent:
    """Standardize an offline agent's observations by its data set: (obs - mean) / (std + 1e-3).

    Fujimoto and Gu 2021, arXiv 2106.06860, section 5.
    """

    def start() -> Standard:
        return Standard(jnp.zeros(agent.observation.shape), jnp.ones(agent.observation.shape))

    def see(standard: Standard, obs: Array) -> Array:
        mean, scale = (jnp.expand_dims(x, range(obs.ndim - x.ndim)) for x in standard)
        return (obs.astype(jnp.float32) - mean) / scale

    def offline(state: NormalizedState, steps: Transition) -> NormalizedState:
        # Sums are relative to one of the samples, which is exact where all are equal.
        obs = jnp.asarray(steps.obs, jnp.float32)
        off = obs - obs[:1]
        standard = Standard(obs[0] + jnp.mean(off, axis=0), jnp.std(off, axis=0) + 1e-3)
        return state._replace(moments=standard)

    agent = _shown(agent, start, see=see, after=lambda standard, obs: standard)
    return agent._replace(offline=offline)


def _shown(
    agent: Agent,
    start: Callable[[], Any],
    see: Callable[[Any, Array], Array],
    after: Callable[[Any, Array], Any],
) -> Agent:
    """Show an agent its observations by statistics that are a part of its state.

    start: () -> statistics of nothing. see: (statistics, obs) -> what the agent is shown. after:
    (statistics, obs of an update) -> the next statistics.
    """

    def shown(state: NormalizedState, obs: Array) -> Array:
        return see(state.moments, obs)

    def translate(state: NormalizedState, transition: Transition) -> Transition:
        obs, next_obs = shown(state, transition.obs), shown(state, transition.next_obs)
        return transition._replace(obs=obs, next_obs=next_obs)

    def init(key: Key, hypers: Any) -> NormalizedState:
        return _close(agent.init(key, hypers), start(), ())

    def act(noise: Any, hypers: Any, state: NormalizedState, memory: Any, obs: Array, explore):
        return agent.act(noise, hypers, _open(state), memory, shown(state, obs), explore)

    def update(key: Key, hypers: Any, state: NormalizedState, transition: Transition):
        inner, metrics = agent.update(key, hypers, _open(state), translate(state, transition))
        return _close(inner, after(state.moments, transition.obs), ()), metrics

    def probe(key: Key, hypers: Any, state: NormalizedState, transition: Transition):
        return agent.probe(key, hypers, _open(state), translate(state, transition))

    estimate = _estimating(agent, lambda state, obs: (_open(state), shown(state, obs)))
    changed = {"init": init, "act": act, "update": update, "probe": probe}
    return agent._replace(**changed, see=shown, estimate=estimate, maintain=_maintaining(agent))


class NormalizedReplay(NamedTuple):
    """Replay with statistics. ring: of the inner replay. moments: of all observations ever seen."""

    ring: Any
    moments: statistics.Moments

    def see(self, obs: Array) -> Array:
        """Compute (obs - mean) / std, clipped to [-10, 10]."""
        return statistics.normalize(self.moments, obs, clip=CLIP)


def normalize_replay(replay: Uniform) -> Uniform:
    """Store raw observations, and normalize them in batches by `NormalizedReplay.see`.

    The statistics include a rollout before it is learnt from. Sequences are not normalized.
    """

    def init() -> NormalizedReplay:
        return NormalizedReplay(replay.init(), statistics.init(replay.layout.observation.shape))

    def add(state: NormalizedReplay, transition: Transition) -> NormalizedReplay:
        moments = statistics.update(state.moments, transition.obs)
        return NormalizedReplay(replay.add(state.ring, transition), moments)

    def ready(state: NormalizedReplay, min_history: Any, n: Any) -> Array:
        return replay.ready(state.ring, min_history, n)

    def draw(key: Key, state: NormalizedReplay, *sizes: Any) -> Any:
        return replay.draw(key, state.ring, *sizes)

    def read(state: NormalizedReplay, slot: Array, n: Any, gamma: Any) -> Batch:
        batch = replay.read(state.ring, slot, n, gamma)
        return batch._replace(obs=state.see(batch.obs), next_obs=state.see(batch.next_obs))

    return replay._replace(init=init, add=add, ready=ready, draw=draw, read=read)


def act_as_replayed(agent: Agent) -> Agent:
    """Let the agent act on observations normalized by its `normalize_replay`."""

    def see(state: Any, obs: Array) -> Array:
        return state.replay.see(obs)

    def act(noise: Any, hypers: Any, state: Any, memory: Any, obs: Array, explore):
        return agent.act(noise, hypers, state, memory, see(state, obs), explore)

    estimate = _estimating(agent, lambda state, obs: (state, see(state, obs)))
    return agent._replace(act=act, see=see, estimate=estimate)


def normalize_rewards(agent: Agent) -> Agent:
    """Divide rewards by the standard deviation of the discounted return, clipped to [-10, 10].

    The agent's Hypers must have a `gamma`. Rewards are not centred, which would change the task.
    """

    def translate(
        hypers: Any, state: NormalizedState, transition: Transition
    ) -> tuple[statistics.Moments, Array, Transition]:
        # The discount of a step is of what follows it, so it comes with the next step.
        later = transition.discount is not None

        def accumulate(carry: Array, step: tuple[Array, ...]) -> tuple[Array, Array]:
            reward, done, *discount = step
            total = hypers.gamma * carry + reward
            after = total * discount[0] if later else total
            return jnp.where(done, 0.0, after), total

        steps: tuple[Any, ...] = transition.reward, transition.done
        steps = (*steps, transition.discount) if later else steps
        carry, totals = jax.lax.scan(accumulate, state.carry, steps)
        moments = statistics.update(state.moments, totals)
        reward = transition.reward / jnp.sqrt(moments.variance + 1e-8)
        return moments, carry, transition._replace(reward=jnp.clip(reward, -CLIP, CLIP))

    def init(key: Key, hypers: Any) -> NormalizedState:
        return _close(agent.init(key, hypers), statistics.init(), jnp.zeros(agent.num_envs))

    def act(noise: Any, hypers: Any, state: NormalizedState, memory: Any, obs: Array, explore):
        return agent.act(noise, hypers, _open(state), memory, obs, explore)

    def update(key: Key, hypers: Any, state: NormalizedState, transition: Transition):
        moments, carry, transition = translate(hypers, state, transition)
        inner, metrics = agent.update(key, hypers, _open(state), transition)
        return _close(inner, moments, carry), metrics

    def probe(key: Key, hypers: Any, state: NormalizedState, transition: Transition):
        state = state._replace(carry=state.carry[: transition.reward.shape[1]])
        _, _, transition = translate(hypers, state, transition)
        return agent.probe(key, hypers, _open(state), transition)

    estimate = _estimating(agent, lambda state, obs: (_open(state), obs))
    changed = {"init": init, "act": act, "update": update, "probe": probe}
    return agent._replace(**changed, estimate=estimate, maintain=_maintaining(agent))
