"""Actor threads: they act on the host for B members, and exchange rollouts for parameters.

A learner and its actors meet in an `Exchange`. Every wait is bounded. An actor whose environments
raise, die or do not answer opens them again, at most `restarts` times, and collects its rollout
anew; after that, or if it fails itself, training ends by name. A learner that stops stops its
actors.
"""

import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np

from purejaxrl_suite.core import spaces
from purejaxrl_suite.core.host import HostEnvironments, HostError, HostStep
from purejaxrl_suite.core.types import Agent, Clock, Environment, PyTree, Transition
from purejaxrl_suite.engine.exchange import Break, Episodes, Exchange, Rollout
from purejaxrl_suite.engine.playing import playing
from purejaxrl_suite.engine.sebulba import LAG, RESTARTS, Batch, abstract_steps
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
        self.devices = _devices(cast.how)
        self.breaks: list[Break] = []
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
            silent = max(time.monotonic() - self.exchange.beats[actor], 0.0)
            thread.join(timeout=max(1.0, patience - silent))

    def publish(self, version: int, state: Any) -> None:
        """Offer the state of the agent after `version` updates to the actors."""
        read = self.playing.read(state)
        leaves = {device: _on(device, read) for device in self.devices}
        if not self.compiled:  # now, as no actor is waited for yet
            for actor in range(len(self.devices)):
                self._compile(actor, leaves)
            self.compiled = True
        self.exchange.publish(version, leaves)

    def _compile(self, actor: int, leaves: Any) -> None:
        clock = Clock(np.int32(self.start), np.int32(self.cast.updates))
        noise = self.noise(actor, clock)
        obs = spaces.abstract(self.cast.env.observation, self.size, self.width)
        shown = np.zeros(obs.shape, obs.dtype), np.zeros((self.size, self.width), bool)
        jax.block_until_ready(self.act(actor, leaves, clock, noise, 0, self.memory(actor), *shown))

    def act(self, actor: int, leaves: Any, clock: Clock, noise: PyTree, t: int, *seen: Any) -> Any:
        """Act at step t of a rollout, on the actor's device; see `Playing.act`."""
        own = leaves[self.device(actor)]
        return self.playing.act(own, self.cast.hypers, clock, noise, np.int32(t), *seen)

    def device(self, actor: int) -> Any:
        """Return the device of an actor; None is that of the learner."""
        return self.devices[actor % len(self.devices)]

    def memory(self, actor: int) -> PyTree:
        """Return the memory before an episode, [B, n, ...], on the actor's device."""
        return _on(self.device(actor), self.playing.memory())

    def noise(self, actor: int, clock: Clock) -> PyTree:
        """Draw the noise of a rollout in an actor's environments, [B, T, n, ...]."""
        seeds, first = _on(self.device(actor), self.cast.seeds), actor * self.width
        drawn = self.playing.noise(seeds, clock)
        return jax.tree.map(lambda x: x[:, :, first : first + self.width], drawn)

    def batch(self, update: int) -> Batch:
        """Wait for the experience of an update: a Batch, leaves [B, ...].

        Restarts of environments meanwhile join `breaks`.

        Raises:
            HostError: an environment failed, or does not answer.
        """
        assert self.cast.env.host is not None
        parts = self.exchange.take(self.cast.env.host.patience)
        for actor, part in enumerate(parts):
            self.breaks += [Break(update, actor, x, "restarted") for x in part.failures]
        return Batch(_joined([part.steps for part in parts], 2), self._row(update, parts))

    def _row(self, update: int, parts: Sequence[Rollout]) -> dict[str, Any]:
        """Compute means over the episodes that have ended, and count the lags, {name: f32[B]}."""
        count, once = (_joined([getattr(p, x) for p in parts], 1) for x in ("count", "once"))
        sums, tasks = _joined([part.sums for part in parts], 1), self.cast.env.tasks
        row = _means(count, once, sums)
        for i, task in enumerate(tasks):  # environment number n plays task n % K
            own = jax.tree.map(lambda x, i=i: x[:, i :: len(tasks)], (count, once, sums))
            row |= {f"{name}_{task}": x for name, x in _means(*own).items()}
        lags = [update - part.version for part in parts]
        for lag in range(self.cast.how.lag + 1):
            row[f"{LAG}_{lag}"] = np.full(self.size, lags.count(lag))
        if self.cast.how.restarts:
            row[RESTARTS] = np.full(self.size, sum(len(part.failures) for part in parts))
        return {name: x.astype(np.float32) for name, x in row.items()}

    def open(self, actor: int, restarts: int) -> HostEnvironments:
        """Open an actor's environments, after so many restarts.

        Their seeds are of member, environment, first update and restart.
        """
        assert self.cast.env.host is not None
        first, again = actor * self.width, [restarts] if restarts else []

        def draw(seed: int, column: int) -> int:
            drawn = np.random.SeedSequence([seed, column, self.start, *again]).generate_state(1)
            return int(drawn[0] >> 1)  # Gymnasium and ALE take those below 2**31

        columns = range(first, first + self.width)
        seeds = [draw(int(seed), column) for seed in self.cast.seeds for column in columns]
        return self.cast.env.host.open(seeds)

    def _work(self, actor: int) -> None:
        """Act until the last update, or until the learner stops or anything fails."""
        try:  # here, since drawing contexts belong to a thread
            stage = Stage(self, actor)
        except BaseException as error:
            self.exchange.fail(error)
            return
        try:
            self.exchange.ready(actor)
            for update in range(self.start, self.until):
                found = self.exchange.parameters(update)
                rollout = found and stage.collect(update, *found)
                if rollout is None:
                    break
                self.exchange.deliver(actor, rollout)
        except HostError as error:  # the learner raises it
            self.exchange.fail(error)
        except BaseException as error:  # also SystemExit: it ends this thread only
            named = HostError(f"actor {actor}: {type(error).__name__}: {error}")
            named.__cause__ = error
            self.exchange.fail(named)
        finally:
            try:
                stage.close()
            except Exception as error:
                self.exchange.fail(error)


class Stage:
    """One actor's environments, where they stand, and its statistics."""

    def __init__(self, actors: Actors, number: int):
        """Open the environments, and start the first episodes."""
        self.actors, self.number, self.restarts = actors, number, 0
        self.shape = actors.size, actors.width
        self.once = np.zeros(self.shape, bool)
        self.host: HostEnvironments | None = actors.open(number, 0)
        try:
            self._begin()
        except BaseException:
            with suppress(Exception):
                self.close()
            raise

    def close(self) -> None:
        """Close the environments, if they are open."""
        if (host := self.host) is not None:
            self.host = None
            host.close()

    def _begin(self) -> None:
        """Start the first episodes of open environments."""
        assert self.actors.cast.env.host is not None and self.host is not None
        self.episodes = Episodes(self.shape, self.actors.cast.env.host.info)
        self.episodes.once = self.once.copy()
        self.memory = self.actors.memory(self.number)
        self.done = np.zeros(self.shape, bool)
        self.obs = self._split(self.host.reset())

    def collect(self, update: int, version: int, leaves: Any) -> Rollout | None:
        """Collect one rollout; where environments fail, they are opened again and it begins anew.

        Raises:
            HostError: they have failed once more than they may be restarted.
        """
        failures: list[str] = []
        while True:
            try:
                if failures:
                    self._reopen()
                rollout = self.play(update, version, leaves)
                return rollout and rollout._replace(failures=tuple(failures))
            except HostError as error:
                most = self.actors.cast.how.restarts
                if not most or self.actors.exchange.stopped:
                    raise
                if self.restarts == most:
                    text = f"{error}, after {most} restart{'s' * (most > 1)}"
                    raise HostError(text) from error
                self.restarts += 1
                failures.append(str(error))

    def _reopen(self) -> None:
        """Open the environments again, with other seeds."""
        assert self.actors.cast.env.host is not None
        ahead = (OPENING - 1) * self.actors.cast.env.host.patience
        self.actors.exchange.beat(self.number, ahead)
        with suppress(Exception):
            self.close()
        try:
            self.host = self.actors.open(self.number, self.restarts)
        except HostError:
            raise
        except Exception as error:  # that they opened before says that it may pass
            raise HostError(str(error)) from error
        self._begin()
        self.actors.exchange.beat(self.number)

    def play(self, update: int, version: int, leaves: Any) -> Rollout | None:
        """Collect one rollout with these parameters; None if the learner stops meanwhile."""
        assert self.host is not None
        cast, exchange = self.actors.cast, self.actors.exchange
        clock = Clock(np.int32(update), np.int32(cast.updates))
        noise = self.actors.noise(self.number, clock)
        steps, act = self._empty(), partial(self.actors.act, self.number, leaves, clock, noise)
        self.episodes.begin()
        for t in range(cast.agent.rollout_length):
            self.memory, *chosen = act(t, self.memory, self.obs, self.done)
            action, extras = jax.device_get(tuple(chosen))
            if not exchange.beat(self.number):
                return None
            step = self.host.step(_finite(action).reshape(-1, *action.shape[2:]))
            exchange.beat(self.number)
            self._write(steps, t, action, extras, step)
        episodes = self.episodes
        self.once = episodes.once.copy()
        return Rollout(steps, episodes.count, episodes.sums, self.once, version)

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


def _means(
    count: np.ndarray, once: np.ndarray, sums: dict[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Compute means over the episodes of environments [B, n], {name: [B]}; NaN where none ended."""
    total = np.sum(count, axis=1)
    with np.errstate(invalid="ignore"):
        row = {name: np.sum(x, axis=1) / total for name, x in sums.items()}
    return row | {EPISODES: total, FINISHED: np.mean(once, axis=1)}


def _devices(how: Hosted) -> list[Any]:
    """Return the devices of actors; None is that of the learner."""
    local = jax.local_devices()
    return [local[i] for i in how.actor_devices] or [None]


def _on(device: Any, values: PyTree) -> PyTree:
    """Put values on a device; None leaves them where they are."""
    return values if device is None else jax.device_put(values, device)
