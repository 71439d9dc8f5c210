"""Gymnasium environments for tests: small, deterministic, and some that fail."""

import os
import time
from contextlib import suppress
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces


class Catch(gymnasium.Env):
    """Catch of bsuite in numpy; `options={"column": x}` says where the ball starts."""

    rows, columns = 10, 5

    def __init__(self):
        """Make the game."""
        self.observation_space = spaces.Box(0, 1, (self.rows, self.columns), np.uint8)
        self.action_space = spaces.Discrete(3)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        """Drop the ball from a column, by chance or as told."""
        super().reset(seed=seed)
        drawn = int(self.np_random.integers(self.columns))
        self.ball = [0, (options or {}).get("column", drawn)]
        self.paddle = self.columns // 2
        return self._look(), {}

    def step(self, action: Any) -> Any:
        """Move the paddle, let the ball fall."""
        self.paddle = min(max(self.paddle + int(action) - 1, 0), self.columns - 1)
        self.ball[0] += 1
        ended = self.ball[0] == self.rows - 1
        reward = (1.0 if self.paddle == self.ball[1] else -1.0) if ended else 0.0
        return self._look(), reward, ended, False, {}

    def _look(self) -> np.ndarray:
        obs = np.zeros((self.rows, self.columns), np.uint8)
        obs[tuple(self.ball)] = obs[self.rows - 1, self.paddle] = 1
        return obs


class Walk(gymnasium.Env):
    """A place from 0 on, one further at each step, whatever the action; `ends` after `length`.

    The observation is [place, episode], and the reward the place that is left.
    """

    def __init__(self, length: int = 3, ends: str = "terminated", reuse: bool = False):
        """Make the walk. ends: `terminated`, `truncated` or `both`. reuse: of one array."""
        self.length, self.ends, self.reuse = length, ends, reuse
        self.observation_space = spaces.Box(-1.0, 100.0, (2,), np.float32)
        self.action_space = spaces.Discrete(2)
        self.shown, self.episode = np.zeros(2, np.float32), 0

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        """Go back to the start."""
        super().reset(seed=seed)
        self.place, self.episode = 0, self.episode + 1
        return self._look(), {}

    def step(self, action: Any) -> Any:
        """Go one place further."""
        reward, self.place = float(self.place), self.place + 1
        over = self.place == self.length
        flags = [over and self.ends in (name, "both") for name in ("terminated", "truncated")]
        return self._look(), reward, *flags, {"success": float(self.place)}

    def _look(self) -> np.ndarray:
        self.shown[:] = self.place, self.episode
        return self.shown if self.reuse else self.shown.copy()


class Reach(gymnasium.Env):
    """One step; the reward is the negative distance of the action from (0.5, -0.5)."""

    def __init__(self):
        """Make the task."""
        self.observation_space = spaces.Box(-1.0, 1.0, (1,), np.float64)
        self.action_space = spaces.Box(-1.0, 1.0, (2,), np.float32)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        """Start."""
        super().reset(seed=seed)
        return np.zeros(1), {}

    def step(self, action: Any) -> Any:
        """Compute the distance."""
        assert self.action_space.contains(action)
        away = float(np.abs(action - np.array([0.5, -0.5])).sum())
        return np.zeros(1), -away, True, False, {}


class Broken(Walk):
    """A walk that fails in some way at a step, counted over all episodes."""

    def __init__(self, how: str, at: int, number: int = 0, only: int = 0):
        """Make the walk. how: see `step`. number: of the copy; `only` that one fails."""
        super().__init__(length=5)
        self.how, self.at, self.steps = how, at if number == only else -1, 0

    def step(self, action: Any) -> Any:
        """Take a step, or fail."""
        obs, reward, terminated, truncated, info = super().step(action)
        self.steps += 1
        if self.steps == self.at:
            if self.how == "raise":
                raise RuntimeError("the dragon came")
            if self.how == "die":
                os.kill(os.getpid(), 9)
            if self.how == "exit":
                raise SystemExit("enough")
            if self.how == "hang":
                time.sleep(20)
            obs = {
                "nan": np.full(2, np.nan, np.float32),
                "shape": np.zeros(1, np.float32),
                "dtype": np.array(["a", "b"]),
            }.get(self.how, obs)
            reward = np.nan if self.how == "reward" else reward
        return obs, reward, terminated, truncated, info


class Killed(Walk):
    """A walk whose process is killed at its second step, if it is the first to take away a file."""

    def __init__(self, marker: str):
        """Make the walk. marker: the file."""
        super().__init__(length=5)
        self.marker, self.steps = marker, 0

    def step(self, action: Any) -> Any:
        """Take a step, or die."""
        self.steps += 1
        if self.steps == 2:
            with suppress(FileNotFoundError):
                os.unlink(self.marker)
                os.kill(os.getpid(), 9)
        return super().step(action)


class Clinging(Walk):
    """A walk that does not close."""

    def close(self) -> None:
        """Wait for long."""
        time.sleep(15)
