"""What the loops that agents share read of a Config: each asks for the fields that it uses."""

from typing import Protocol


class BatchConfig(Protocol):
    """Sizes of rollouts, of the replay, and of what is learnt from it."""

    @property
    def num_envs(self) -> int:
        """Parallel environments of one member (N)."""
        ...

    @property
    def rollout_length(self) -> int:
        """Steps in each of them between updates (T)."""
        ...

    @property
    def gradient_steps(self) -> int:
        """Gradient steps in an update."""
        ...

    @property
    def batch_size(self) -> int:
        """Transitions in a gradient step (B)."""
        ...

    @property
    def capacity(self) -> int:
        """Transitions that the replay holds."""
        ...

    @property
    def probe_size(self) -> int:
        """Replayed transitions that the probe reads."""
        ...


class ReplayConfig(BatchConfig, Protocol):
    """Of agents that learn from windows of several steps."""

    @property
    def max_n_step(self) -> int:
        """The largest n_step that hypers may ask for."""
        ...


class CategoricalConfig(ReplayConfig, Protocol):
    """Of agents that learn distributions of returns over atoms."""

    @property
    def atoms(self) -> int:
        """Atoms of a distribution."""
        ...


class ContinuousConfig(BatchConfig, Protocol):
    """Of agents with an actor and critics."""

    @property
    def policy_delay(self) -> int:
        """Gradient steps of the critics for each of the actor."""
        ...

    @property
    def normalize_observations(self) -> bool:
        """Whether observations are shown by running mean and deviation."""
        ...


class NormalizingConfig(Protocol):
    """Of agents that normalize rollouts."""

    @property
    def normalize_observations(self) -> bool:
        """Whether observations are shown by running mean and deviation."""
        ...

    @property
    def normalize_rewards(self) -> bool:
        """Whether rewards are divided by the deviation of the return."""
        ...
