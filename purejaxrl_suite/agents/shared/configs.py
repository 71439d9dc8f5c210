"""Protocols of Configs: the fields that the shared loops of agents read."""

from typing import Protocol


class BatchConfig(Protocol):
    """Sizes of rollouts, of the replay and of its batches."""

    @property
    def num_envs(self) -> int:
        """Return the parallel environments of one member (N)."""
        ...

    @property
    def rollout_length(self) -> int:
        """Return the steps in each of them between updates (T)."""
        ...

    @property
    def gradient_steps(self) -> int:
        """Return the gradient steps in an update."""
        ...

    @property
    def batch_size(self) -> int:
        """Return the transitions in a gradient step (B)."""
        ...

    @property
    def capacity(self) -> int:
        """Return the transitions that the replay holds."""
        ...

    @property
    def probe_size(self) -> int:
        """Return the replayed transitions that the probe reads."""
        ...


class ReplayConfig(BatchConfig, Protocol):
    """Config of agents that learn from windows of several steps."""

    @property
    def max_n_step(self) -> int:
        """Return the largest n_step that hypers may ask for."""
        ...


class CategoricalConfig(ReplayConfig, Protocol):
    """Config of agents that learn distributions of returns over atoms."""

    @property
    def atoms(self) -> int:
        """Return the atoms of a distribution."""
        ...


class ContinuousConfig(BatchConfig, Protocol):
    """Config of agents with an actor and critics."""

    @property
    def policy_delay(self) -> int:
        """Return the gradient steps of the critics for each of the actor."""
        ...

    @property
    def normalize_observations(self) -> bool:
        """Whether observations are shown by running mean and deviation."""
        ...


class NormalizingConfig(Protocol):
    """Config of agents that normalize rollouts."""

    @property
    def normalize_observations(self) -> bool:
        """Whether observations are shown by running mean and deviation."""
        ...

    @property
    def normalize_rewards(self) -> bool:
        """Tell whether rewards are divided by the standard deviation of the return."""
        ...


class OnPolicyConfig(NormalizingConfig, Protocol):
    """Config of agents that learn an actor and a critic from rollouts."""

    @property
    def num_envs(self) -> int:
        """Return the parallel environments of one member (N)."""
        ...

    @property
    def rollout_length(self) -> int:
        """Return the steps in each of them between updates (T)."""
        ...

    @property
    def epochs(self) -> int:
        """Return the passes over a rollout."""
        ...

    @property
    def minibatches(self) -> int:
        """Return the gradient steps in an epoch."""
        ...

    @property
    def anneal_learning_rate(self) -> bool:
        """Tell whether the learning rate decays linearly to zero."""
        ...

    @property
    def normalize_advantages(self) -> bool:
        """Tell whether advantages are normalized in each minibatch."""
        ...

    @property
    def normalize_each_task(self) -> bool:
        """Tell whether those of each task are normalized by themselves."""
        ...

    @property
    def exact_permutation(self) -> bool:
        """Tell whether minibatches are drawn by sorting."""
        ...
