"""Where actor threads and a learner meet: rollouts for parameters, with bounded waits."""

import threading
import time
from collections import deque
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from purejaxrl_suite.core.host import HostError, HostStep
from purejaxrl_suite.core.types import Transition

TICK = 0.2
"""Seconds from one look to the next at whether to go on waiting."""
GRACE = 2.0
"""Seconds beyond its patience that a learner gives an actor to say itself what has failed."""


class Rollout(NamedTuple):
    """What an actor has collected for B members in its n environments each.

    steps: Transition, leaves [B, T, n, ...]. count: [B, n], episodes that ended. sums: {name:
    [B, n]} over them. once: bool[B, n], whether an environment has finished one since the start.
    version: the update after which the parameters are from. failures: what failed before it could
    be collected, each followed by a restart of the environments.
    """

    steps: Transition
    count: np.ndarray
    sums: dict[str, np.ndarray]
    once: np.ndarray
    version: int
    failures: tuple[str, ...] = ()


class Break(NamedTuple):
    """Episodes on the host that were broken off.

    update: that was being collected. actor: whose environments; None for all. cause: what failed.
    then: what followed.
    """

    update: int
    actor: int | None
    cause: str
    then: str


class Episodes:
    """Statistics of episodes in any number of environments, kept step by step."""

    def __init__(self, shape: tuple[int, ...], info: Sequence[str]):
        """Begin with no episode."""
        self.shape, self.info = shape, tuple(info)
        self.returns, self.lengths = np.zeros(shape), np.zeros(shape)
        self.once = np.zeros(shape, bool)
        self.begin()

    def begin(self) -> None:
        """Forget the episodes that have ended, not those in progress."""
        self.count = np.zeros(self.shape)
        names = ("episode_return", "episode_length", *self.info)
        self.sums = {name: np.zeros(self.shape) for name in names}

    def add(self, step: HostStep) -> None:
        """Add a step of all environments."""
        done = (step.terminated | step.truncated).reshape(self.shape)
        self.returns += step.reward.reshape(self.shape)
        self.lengths += 1
        ended = {"episode_return": self.returns, "episode_length": self.lengths, **step.info}
        for name, x in ended.items():
            self.sums[name][done] += np.reshape(x, self.shape)[done]
        self.count += done
        self.once |= done
        self.returns[done] = self.lengths[done] = 0


class Exchange:
    """Where actors get parameters and leave rollouts, and a learner does the opposite."""

    def __init__(self, actors: int, lag: int, start: int):
        """Begin before update `start`."""
        self.lag, self.start = lag, start
        self.changed = threading.Condition()
        self.versions: dict[int, Any] = {}
        self.rollouts: list[deque[Rollout]] = [deque() for _ in range(actors)]
        self.beats = [time.monotonic()] * actors
        self.opened = [False] * actors
        self.errors: list[BaseException] = []
        self.stopped = False

    def publish(self, version: int, leaves: Any) -> None:
        """Offer the parameters after `version` updates; actors have their patience from now on."""
        with self.changed:
            now = time.monotonic()  # those that open their environments have more time
            self.beats = [max(now, beat) for beat in self.beats]
            self.versions[version] = leaves
            for old in [one for one in self.versions if one < version - self.lag]:
                del self.versions[old]
            self.changed.notify_all()

    def parameters(self, update: int) -> tuple[int, Any] | None:
        """Wait for the parameters to act with in an update: (version, they); None to stop."""
        oldest = max(update - self.lag, self.start)
        with self.changed:
            while not self.stopped:
                known = [one for one in self.versions if one >= oldest]
                if known:
                    version = max(known) if self.lag > 1 else min(known)
                    return version, self.versions[version]
                self.changed.wait(TICK)
        return None

    def deliver(self, actor: int, rollout: Rollout) -> None:
        """Leave a rollout; waits while as many as the lag allows are not taken yet."""
        with self.changed:
            while len(self.rollouts[actor]) > self.lag and not self.stopped:
                self.changed.wait(TICK)
            self.rollouts[actor].append(rollout)
            self.changed.notify_all()

    def ready(self, actor: int) -> None:
        """Note that an actor has opened its environments."""
        with self.changed:
            self.opened[actor] = True
            self.changed.notify_all()

    def wait_ready(self, patience: float) -> None:
        """Wait until all actors are ready.

        Raises:
            HostError: an actor is not ready within `patience` seconds; or what it has raised.
        """
        end = time.monotonic() + patience
        with self.changed:
            while not all(self.opened):
                if self.errors:
                    raise self.errors[0]
                if time.monotonic() > end:
                    actor = self.opened.index(False)
                    raise HostError(f"actor {actor}: no environments within {patience:g} s")
                self.changed.wait(TICK)

    def beat(self, actor: int, ahead: float = 0.0) -> bool:
        """Note that an actor is alive; returns whether it should go on.

        ahead: seconds for which it will be silent, beyond its patience.
        """
        self.beats[actor] = time.monotonic() + ahead
        return not self.stopped

    def fail(self, error: BaseException) -> None:
        """Note why an actor has ended."""
        with self.changed:
            self.errors.append(error)
            self.changed.notify_all()

    def take(self, patience: float) -> list[Rollout]:
        """Wait for one rollout of each actor.

        Raises:
            HostError: an actor has failed, or has not made a step for `patience` seconds.
        """
        with self.changed:
            while not all(self.rollouts):
                if self.errors:
                    raise self.errors[0]
                now = time.monotonic()
                for actor, waiting in enumerate(self.rollouts):
                    if not waiting and now - self.beats[actor] > patience + GRACE:
                        raise HostError(
                            f"actor {actor}: its environments did not answer within {patience:g} s"
                        )
                self.changed.wait(TICK)
            taken = [waiting.popleft() for waiting in self.rollouts]
            self.changed.notify_all()
            return taken

    def stop(self) -> None:
        """Ask all actors to end."""
        with self.changed:
            self.stopped = True
            self.changed.notify_all()
