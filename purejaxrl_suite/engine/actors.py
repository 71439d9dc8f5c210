"""Actor threads: they act on the host for B members, and exchange rollouts for parameters.

A learner and its actors meet in an `Exchange`. Every wait is bounded: an actor whose environments
raise, die or do not answer ends training by name, and a learner that stops stops its actors.
"""

import threading
import time
from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np

from purejaxrl_suite.core import spaces
from purejaxrl_suite.core.host import HostEnvironments, HostStep
from purejaxrl_suite.core.types import Agent, Clock, Environment, PyTree, Transition
from purejaxrl_suite.engine.exchange import Episodes, Exchange, Rollout
from purejaxrl_suite.engine.playing import playing
from purejaxrl_suite.engine.sebulba import LAG, Batch, abstract_steps
from purejaxrl_suite.engine.source import Hosted
from purejaxrl_suite.stats.inputs import EPISODES, FINISHED

OPENING = 10
"""Times their patience that actors may take to open their environments."""


class Cast(NamedTuple):
    """What actors play for B members. updates: of the whole training, for the clock."""

    agent: Agent
    env: Environment
    how: Hosted
    seeds: np.ndarray
    hypers: Any
    updates: int


class Actors:
    """The actor threads of B members: started by `with`, ended with it."""

    def __init__(self, cast: Cast, *, start: int, until: int):
        """Prepare actors for the updates start .. until - 1; nothing is opened yet."""
        self.cast, self.start, self.until = cast, start, until
        size, width = len(cast.seeds), cast.agent.num_envs // cast.how.actors
        self.size, self.width = size, width
        self.playing = playing(cast.agent, size, width)
        self.shapes = abstract_steps(cast.agent, cast.env)
        self.compiled = False
        self.exchange = Exchange(cast.how.actors, cast.how.lag, start)
        self.threads: list[threading.Thread] = []

    def __enter__(self) -> "Actors":
        """Start the threads, and wait until they have opened their environments."""
        assert self.cast.env.host is not None
        for actor in range(self.cast.how.actors):
            name, work = f"actor-{actor}", partial(self._work, actor)
            self.threads.append(threading.Thread(target=work, name=name, daemon=True))
        for thread in self.threads:
            thread.start()
        try:
            self.exchange.wait_ready(OPENING * self.cast.env.host.patience)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: Any) -> None:
        """Stop the threads, which close their environments; those that hang are left behind."""
        self.exchange.stop()
        assert self.cast.env.host is not None
        patience = self.cast.env.host.patience
        for actor, thread in enumerate(self.threads):
            silent = time.monotonic() - self.exchange.beats[actor]
            thread.join(timeout=max(1.0, patience - silent))

    def publish(self, version: int, state: Any) -> None:
        """Offer the state of the agent after `version` updates to the actors."""
        leaves = self.playing.read(state)
        if not self.compiled:  # now, as no actor is waited for yet
            self._compile(leaves)
            self.compiled = True
        self.exchange.publish(version, leaves)

    def _compile(self, leaves: Any) -> None:
        cast, clock = self.cast, Clock(np.int32(self.start), np.int32(self.cast.updates))
        noise = self.noise(0, clock)
        obs = spaces.abstract(cast.env.observation, self.size, self.width)
        done = np.zeros((self.size, self.width), bool)
        known = np.int32(0), self.playing.memory(), np.zeros(obs.shape, obs.dtype), done
        jax.block_until_ready(self.playing.act(leaves, cast.hypers, clock, noise, *known))

    def noise(self, actor: int, clock: Clock) -> PyTree:
        """Draw the noise of a rollout in an actor's environments, [B, T, n, ...]."""
        drawn, first = self.playing.noise(self.cast.seeds, clock), actor * self.width
        return jax.tree.map(lambda x: x[:, :, first : first + self.width], drawn)

    def batch(self, update: int) -> Batch:
        """Wait for the experience of an update: a Batch, leaves [B, ...].

        Raises:
            HostError: an environment failed, or does not answer.
        """
        assert self.cast.env.host is not None
        parts = self.exchange.take(self.cast.env.host.patience)
        return Batch(_joined([part.steps for part in parts], 2), self._row(update, parts))

    def _row(self, update: int, parts: Sequence[Rollout]) -> dict[str, Any]:
        """Compute means over the episodes that have ended, and count the lags, {name: f32[B]}."""
        count, once = (_joined([getattr(p, x) for p in parts], 1) for x in ("count", "once"))
        sums, total = _joined([part.sums for part in parts], 1), np.sum(count, axis=1)
        with np.errstate(invalid="ignore"):  # no episode has ended: NaN
            row = {name: np.sum(x, axis=1) / total for name, x in sums.items()}
        row |= {EPISODES: total, FINISHED: np.mean(once, axis=1)}
        lags = [update - part.version for part in parts]
        for lag in range(self.cast.how.lag + 1):
            row[f"{LAG}_{lag}"] = np.full(self.size, lags.count(lag))
        return {name: x.astype(np.float32) for name, x in row.items()}

    def _seeds(self, actor: int) -> list[int]:
        """Draw the seeds of an actor's environments: of member, environment and first update."""
        first = actor * self.width

        def draw(seed: int, column: int) -> int:
            drawn = np.random.SeedSequence([seed, column, self.start]).generate_state(1)
            return int(drawn[0] >> 1)  # Gymnasium and ALE take those below 2**31

        columns = range(first, first + self.width)
        return [draw(int(seed), column) for seed in self.cast.seeds for column in columns]

    def _work(self, actor: int) -> None:
        """Act until the last update, or until the learner stops or anything fails."""
        opened = self.cast.env.host
        assert opened is not None
        try:  # here, since drawing contexts belong to a thread
            host = opened.open(self._seeds(actor))
        except BaseException as error:
            self.exchange.fail(error)
            return
        try:
            stage = Stage(self, actor, host)
            self.exchange.ready(actor)
            for update in range(self.start, self.until):
                found = self.exchange.parameters(update)
                rollout = found and stage.play(update, *found)
                if rollout is None:
                    break
                self.exchange.deliver(actor, rollout)
        except BaseException as error:  # the learner raises it
            self.exchange.fail(error)
        finally:
            try:
                host.close()
            except Exception as error:
                self.exchange.fail(error)


class Stage:
    """One actor's environments, where they stand, and its statistics."""

    def __init__(self, actors: Actors, number: int, host: HostEnvironments):
        """Start the first episodes."""
        self.actors, self.number, self.host = actors, number, host
        self.shape = actors.size, actors.width
        info = actors.cast.env.host.info if actors.cast.env.host is not None else ()
        self.episodes = Episodes(self.shape, info)
        self.memory = actors.playing.memory()
        self.done = np.zeros(self.shape, bool)
        self.obs = self._split(host.reset())

    def play(self, update: int, version: int, leaves: Any) -> Rollout | None:
        """Collect one rollout with these parameters; None if the learner stops meanwhile."""
        cast, exchange = self.actors.cast, self.actors.exchange
        clock = Clock(np.int32(update), np.int32(cast.updates))
        noise = self.actors.noise(self.number, clock)
        steps = self._empty()
        self.episodes.begin()
        for t in range(cast.agent.rollout_length):
            act = self.actors.playing.act
            self.memory, *chosen = act(
                leaves, cast.hypers, clock, noise, np.int32(t), self.memory, self.obs, self.done
            )
            action, extras = jax.device_get(tuple(chosen))
            if not exchange.beat(self.number):
                return None
            step = self.host.step(_finite(action).reshape(-1, *action.shape[2:]))
            exchange.beat(self.number)
            self._write(steps, t, action, extras, step)
        episodes = self.episodes
        return Rollout(steps, episodes.count, episodes.sums, episodes.once.copy(), version)

    def _write(self, steps: Transition, t: int, action: Any, extras: Any, step: HostStep) -> None:
        """Write step t of a rollout, and go on to the next observations."""
        done = step.terminated | step.truncated
        lost = None if step.life_lost is None else step.life_lost & ~done
        now = Transition(
            obs=self.obs,
            action=action,
            reward=self._split(step.reward),
            terminated=self._split(step.terminated if lost is None else step.terminated | lost),
            truncated=self._split(step.truncated),
            next_obs=self._split(step.final_obs),
            extras=extras,
            life_lost=None if lost is None else self._split(lost),
        )

        def write(whole: np.ndarray, x: np.ndarray) -> None:
            whole[:, t] = x

        jax.tree.map(write, steps, now)
        self.episodes.add(step)
        self.obs, self.done = self._split(step.obs), self._split(done)

    def _empty(self) -> Transition:
        """Make arrays for a rollout, leaves [B, T, n, ...]; JAX may keep them, so they are new."""
        size, width = self.shape

        def empty(x: Any) -> np.ndarray:
            return np.empty((size, x.shape[0], width, *x.shape[2:]), x.dtype)

        return jax.tree.map(empty, self.actors.shapes)

    def _split(self, x: np.ndarray) -> Any:
        """Give environments [B * n, ...] an axis of members."""
        return np.reshape(x, (*self.shape, *x.shape[1:]))


def _joined(parts: Sequence[PyTree], axis: int) -> PyTree:
    """Join the environments of all actors."""
    if len(parts) == 1:
        return parts[0]
    return jax.tree.map(lambda *xs: np.concatenate(xs, axis=axis), *parts)


def _finite(action: np.ndarray) -> np.ndarray:
    """Replace numbers of members that have diverged, which would end the others, by zeros."""
    if action.dtype.kind != "f":
        return action
    return np.where(np.isfinite(action), action, np.zeros_like(action))
