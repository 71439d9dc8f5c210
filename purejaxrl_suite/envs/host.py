"""Gymnasium's vector environments as the suite's copies of an environment on the host.

A `VectorHost` steps any vector environment, whatever it does at the end of an episode, and gives
one row of a `Transition` for each step: `terminated`, `truncated`, the true successor, and apart
from it the observation to act on next. Arrays are checked as they come, waits are bounded, and what
fails is named (`core.host.HostError`).
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from purejaxrl_suite.core.host import HostError, HostStep
from purejaxrl_suite.core.types import Box
from purejaxrl_suite.envs.host_spaces import Convert


class Reading(NamedTuple):
    """How arrays of a vector environment are read and written.

    space: of observations. observation: a batch -> [N, ...] of it. action: [N, ...] -> what the
    vector environment takes. info: names of scalars in `info` that are kept.
    """

    space: Box
    observation: Convert
    action: Convert
    info: tuple[str, ...] = ()


class VectorHost:
    """N copies of an environment as one vector environment of Gymnasium."""

    def __init__(
        self, name: str, vector: Any, reading: Reading, *, seeds: Sequence[int], patience: float
    ):
        """Take over a vector environment, which `close` closes.

        Args:
            name: of the environment, for messages.
            vector: a vector environment of Gymnasium 1, with any autoreset mode.
            reading: of its arrays.
            seeds: of its environments.
            patience: seconds to wait for a step of worker processes.

        Raises:
            ValueError: the vector environment does not say its autoreset mode, or not what it does.
        """
        self.name, self.vector, self.reading = name, vector, reading
        self.seeds, self.patience, self.num_envs = [int(x) for x in seeds], patience, len(seeds)
        self.mode = _mode(name, vector)
        self.failed = False
        self.shown: Any = None

    def reset(self) -> np.ndarray:
        """Start the first episodes by the seeds; returns obs [N, ...]."""
        with self._named("reset"):
            self.shown = self._observations(self._reset(seed=self.seeds)[0])
        return self.shown

    def step(self, action: np.ndarray) -> HostStep:
        """Take actions [N, ...]; see `HostEnvironments`."""
        with self._named("step"):
            batch, reward, terminated, truncated, info = self._step(self.reading.action(action))
            flags = [self._flags(x) for x in (terminated, truncated)]
            done = flags[0] | flags[1]
            seen, reward = self._observations(batch), self._rewards(reward)
            told = self._info(info, done)
            if self.mode == "SameStep":
                final, obs = self._finals(seen, info, done), seen
            else:
                final, obs = seen, self._started(seen, done)
            self.shown = obs
        return HostStep(
            obs=obs,
            reward=reward,
            terminated=flags[0],
            truncated=flags[1],
            final_obs=final,
            info=told,
        )

    def close(self) -> None:
        """Close the vector environment; processes that do not close, or have failed, are killed."""
        if not _has_workers(self.vector):
            with suppress(Exception) if self.failed else nullcontext():
                self.vector.close()
            return
        errors: list[Exception] = []
        if not self.failed:  # those that are well do not answer, either, if one has died
            waiting = threading.Thread(target=partial(_try, self.vector.close, errors), daemon=True)
            waiting.start()
            waiting.join(timeout=self.patience)
        for process in getattr(self.vector, "processes", ()):
            process.kill()
            process.join(timeout=self.patience)
        self.vector.closed = True
        if errors:
            raise errors[0]

    def _reset(self, **how: Any) -> Any:
        if not _has_workers(self.vector):
            return self.vector.reset(**how)
        self.vector.reset_async(**how)
        return self.vector.reset_wait(timeout=self.patience)

    def _step(self, action: Any) -> Any:
        if not _has_workers(self.vector):
            return self.vector.step(action)
        self.vector.step_async(action)
        return self.vector.step_wait(timeout=self.patience)

    def _started(self, seen: np.ndarray, done: np.ndarray) -> np.ndarray:
        """Start new episodes where they have ended; returns the observations to act on next."""
        if not done.any():
            return seen
        obs = self._observations(self._reset(options={"reset_mask": done.copy()})[0])
        if not np.array_equal(obs[~done], seen[~done]):
            raise HostError(
                "expected a reset of some environments to leave the others as they are "
                '(options={"reset_mask": ...}); use the autoreset mode SAME_STEP'
            )
        return obs

    def _finals(self, seen: np.ndarray, info: Any, done: np.ndarray) -> np.ndarray:
        """Return the true successors, where new episodes have begun in the same step."""
        if not done.any():
            return seen
        if "final_obs" not in info:
            raise HostError("expected final_obs in the info of a step that ends an episode")
        final = seen.copy()
        for i in np.flatnonzero(done):
            final[i] = self._observations(_alone(info["final_obs"][i]), [int(i)])[0]
        return final

    def _observations(self, batch: Any, rows: Sequence[int] | None = None) -> np.ndarray:
        """Convert observations to an array of their own, and check shape and numbers."""
        found, space = np.array(self.reading.observation(batch)), self.reading.space
        which = range(self.num_envs) if rows is None else rows
        if found.shape != (len(which), *space.shape) or found.dtype != space.dtype:
            raise HostError(
                f"observations: expected {space.dtype}{[len(which), *space.shape]}, "
                f"got {found.dtype}{list(found.shape)}"
            )
        self._finite("observation", found, which)
        return found

    def _rewards(self, reward: Any) -> np.ndarray:
        found = np.asarray(reward)
        if found.shape != (self.num_envs,):
            raise HostError(f"rewards: expected shape {(self.num_envs,)}, got {found.shape}")
        self._finite("reward", found, range(self.num_envs))
        return found.astype(np.float32)

    def _flags(self, flags: Any) -> np.ndarray:
        found = np.array(flags)
        if found.shape != (self.num_envs,) or found.dtype != bool:
            raise HostError(
                f"terminated, truncated: expected bool{[self.num_envs]}, "
                f"got {found.dtype}{list(found.shape)}"
            )
        return found

    def _finite(self, what: str, found: np.ndarray, which: Sequence[int]) -> None:
        if found.dtype.kind != "f":
            return
        fine = np.isfinite(found).reshape(len(found), -1).all(axis=1)
        if not fine.all():
            i = np.flatnonzero(~fine)[0]
            raise HostError(f"environment {which[i]}: {what} {found[i]} is not finite")

    def _info(self, info: Any, done: np.ndarray) -> dict[str, np.ndarray]:
        """Read the kept scalars at the ends of episodes; 0 elsewhere."""
        made = {name: np.zeros(self.num_envs, np.float32) for name in self.reading.info}
        last = info.get("final_info", info) if self.mode == "SameStep" else info
        for name, values in made.items() if done.any() else ():
            if name not in last:
                raise HostError(f"info: expected {name!r} at the end of an episode, got none")
            values[done] = np.asarray(last[name])[done].astype(np.float32)
        return made

    @contextmanager
    def _named(self, what: str) -> Iterator[None]:
        """Raise a HostError that names environment, call and cause of any failure."""
        try:
            yield
        except Exception as error:
            self.failed = True
            raise HostError(f"{self.name}: {what}: {self._cause(error)}") from error

    def _cause(self, error: Exception) -> str:
        processes = getattr(self.vector, "processes", ())
        for i, process in enumerate(processes if not isinstance(error, HostError) else ()):
            process.join(timeout=1.0 if isinstance(error, EOFError | OSError) else 0.0)
            if not process.is_alive():
                return f"environment {i}: its process died with exit code {process.exitcode}"
        if isinstance(error, TimeoutError) or type(error).__name__ == "TimeoutError":
            return f"no answer within {self.patience:g} s"
        return str(error) if isinstance(error, HostError) else f"{type(error).__name__}: {error}"


def _try(function: Callable[[], Any], errors: list[Exception]) -> None:
    """Call a function in a thread, and keep what it raises."""
    try:
        function()
    except Exception as error:
        errors.append(error)


def _has_workers(vector: Any) -> bool:
    return hasattr(vector, "step_wait") and hasattr(vector, "reset_wait")


def _mode(name: str, vector: Any) -> str:
    """Return `NextStep`, `SameStep` or `Disabled`.

    The attribute comes first: `metadata` belongs to the class of the environments, so the last
    vector environment that was made of them has written there (gymnasium 1.3.0).
    """
    mode = getattr(vector, "autoreset_mode", None) or vector.metadata.get("autoreset_mode")
    value = getattr(mode, "value", mode)
    if value not in ("NextStep", "SameStep", "Disabled"):
        raise ValueError(
            f"{name}: expected a vector environment that says its autoreset mode "
            f"(NEXT_STEP, SAME_STEP or DISABLED), got {value}"
        )
    if value == "NextStep" and not getattr(vector, "shared_memory", True):
        raise ValueError(
            f"{name}: AsyncVectorEnv without shared memory resets twice in the mode NEXT_STEP "
            "(gymnasium 1.3.0): expected shared_memory=True, or the mode SAME_STEP"
        )
    return value


def _alone(element: Any) -> Any:
    """Make a batch of one element of a space."""
    if isinstance(element, dict):
        return {key: _alone(x) for key, x in element.items()}
    if isinstance(element, tuple):
        return tuple(map(_alone, element))
    return np.asarray(element)[None]


def checked(build: Callable[[], Any], number: int) -> Callable[[], Any]:
    """Make a function that builds a Gymnasium environment whose failures name its number.

    Its observations are copied, since some environments write the next one into the same array,
    and compared with the space, since a wrong shape may be broadcast into a batch without a word.

    Args:
        build: builds the environment.
        number: of the copy.

    Returns:
        The function, which can be pickled if `build` can.
    """
    return _Checked(build, number)


class _Checked:
    """A builder of a checked environment, for this process or another."""

    def __init__(self, build: Callable[[], Any], number: int):
        self.build, self.number = build, number

    def __call__(self) -> Any:
        import gymnasium

        number = self.number

        class Checked(gymnasium.Wrapper):
            """An environment whose failures name it."""

            def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
                with _numbered(number):
                    obs, info = self.env.reset(seed=seed, options=options)
                    return _element(self.observation_space, obs, "observation"), info

            def step(self, action: Any) -> Any:
                with _numbered(number):
                    obs, reward, terminated, truncated, info = self.env.step(action)
                    shape = np.asarray(reward).shape
                    if shape != ():
                        raise HostError(f"reward: expected a number, got shape {shape}")
                    obs = _element(self.observation_space, obs, "observation")
                    return obs, float(reward), bool(terminated), bool(truncated), info

        with _numbered(number):
            return Checked(self.build())


@contextmanager
def _numbered(number: int) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        cause = str(error) if isinstance(error, HostError) else f"{type(error).__name__}: {error}"
        raise HostError(f"environment {number}: {cause}") from error


def _element(space: Any, value: Any, what: str) -> Any:
    """Copy an element of a space; HostError if its shape is another."""
    import gymnasium

    if isinstance(space, gymnasium.spaces.Dict):
        if not isinstance(value, dict) or set(value) != set(space.spaces):
            raise HostError(f"{what}: expected the keys {sorted(space.spaces)}, got {value!r}")
        return {k: _element(one, value[k], f"{what}[{k!r}]") for k, one in space.spaces.items()}
    if isinstance(space, gymnasium.spaces.Tuple):
        parts = enumerate(zip(space.spaces, value, strict=True))
        return tuple(_element(one, x, f"{what}[{i}]") for i, (one, x) in parts)
    if isinstance(space, gymnasium.spaces.Box):
        found = np.array(value)
        if found.shape != space.shape:
            raise HostError(f"{what}: expected shape {space.shape}, got {found.shape}")
        if not np.can_cast(found.dtype, space.dtype, "same_kind"):
            raise HostError(f"{what}: expected {space.dtype}, got {found.dtype}")
        return found
    if not space.contains(value):
        raise HostError(f"{what}: expected one of {space}, got {value!r}")
    return value if np.ndim(value) == 0 else np.array(value)
