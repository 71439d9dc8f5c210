"""Environments on the host: what is stepped outside of compiled programs, in numpy.

An `Environment` with a `Host` has spaces, a name and a time limit like any other, so agents,
networks and records need nothing else. It has no functions to compile: actor threads open copies of
it and step them (`engine.sebulba`).
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np


class HostError(OSError):
    """Environments on the host failed: they raised, died, did not answer, or gave wrong arrays."""


class HostStep(NamedTuple):
    """One step of N environments, as numpy arrays; the fields are those of `TimeStep`.

    obs: the observation to act on next, [N, ...]: of a new episode where one has ended.
    reward: f32[N].
    terminated, truncated: bool[N]; both may be True.
    final_obs: the true successors, [N, ...], whether or not a new episode followed.
    info: {name: f32[N]}, scalars of the episode, read at its last step.
    life_lost: bool[N], or None where there are no lives.
    """

    obs: np.ndarray
    reward: np.ndarray
    terminated: np.ndarray
    truncated: np.ndarray
    final_obs: np.ndarray
    info: dict[str, np.ndarray]
    life_lost: np.ndarray | None = None


class HostEnvironments(Protocol):
    """N open copies of an environment, which one thread at a time steps together."""

    num_envs: int

    def reset(self) -> np.ndarray:
        """Start the first episodes, by the seeds that the copies were opened with: obs [N, ...]."""
        ...

    def step(self, action: np.ndarray) -> HostStep:
        """Take actions [N, ...]; where an episode ends, the next one starts."""
        ...

    def close(self) -> None:
        """Release the copies; called once, also after an error."""
        ...


class Host(NamedTuple):
    """How an environment is played on the host.

    open: seeds -> copies of it, one for each seed; their episodes depend on their own seed only.
    info: names of the scalars in `HostStep.info`.
    patience: seconds after which copies that do not answer count as dead.
    lives: whether `HostStep.life_lost` is given.
    """

    open: Callable[[Sequence[int]], HostEnvironments]
    info: tuple[str, ...] = ()
    patience: float = 60.0
    lives: bool = False


def refuse_host(env: Any, what: str) -> None:
    """Raise ValueError for an environment on the host, which no compiled program can step."""
    if env.host is not None:
        raise ValueError(
            f"env: {env.name} is stepped on the host: expected an environment in JAX for {what}"
        )
