"""DCPG: delayed-critic policy gradient (Moon et al. 2022, arXiv 2210.11057).

PPG whose actor also keeps its values, in policy phases, near those it had after the last auxiliary
phase: values learn from new targets only later, from many rollouts at once, and memorise less. This
is the form with encoders of their own of Garcin et al. 2025, arXiv 2503.06343, whose critic learns
in policy phases, too; defaults are theirs for Procgen.

With one network for both (`nets.decoupled_actor_critic(..., shared=True)`) the values that are
distilled are the critic's, which learn from targets in auxiliary phases alone.
"""

from typing import Annotated, NamedTuple

from purejaxrl_suite.agents.shared.phasic import phasic
from purejaxrl_suite.core import types, validate
from purejaxrl_suite.core.types import Agent
from purejaxrl_suite.core.validate import Range


class DCPGConfig(NamedTuple):
    """What changes the compiled program.

    Attributes:
        num_envs: parallel environments of one member (N).
        rollout_length: steps in each of them between updates (T).
        epochs: passes over a rollout in a policy phase.
        minibatches: gradient steps in an epoch; divides N * T.
        policy_phases: between auxiliary phases (K); so many rollouts are kept.
        auxiliary_epochs: passes over all of them in an auxiliary phase.
        auxiliary_minibatches: gradient steps in such an epoch; divides K * N * T.
        normalize_observations: by running mean and standard deviation.
        normalize_rewards: by the running standard deviation of the discounted return.
    """

    num_envs: Annotated[int, Range(1)] = 64
    rollout_length: Annotated[int, Range(1)] = 256
    epochs: Annotated[int, Range(1)] = 1
    minibatches: Annotated[int, Range(1)] = 8
    policy_phases: Annotated[int, Range(1)] = 32
    auxiliary_epochs: Annotated[int, Range(1)] = 6
    auxiliary_minibatches: Annotated[int, Range(1)] = 512
    normalize_observations: bool = False
    normalize_rewards: bool = True


class DCPGHypers(NamedTuple):
    """What may be swept, annealed or differentiated without recompiling.

    Attributes:
        learning_rate: of Adam.
        gamma: discount per step.
        gae_lambda: decay of the exponentially weighted advantage estimate.
        clip_range: how far the probability ratio may move from 1 before its gradient is cut.
        entropy_coefficient: weight of the entropy bonus.
        value_coefficient: weight of the critic's error in policy phases, if its network is its own.
        distillation_coefficient: weight of half the squared distance of the actor's values to
            those of the network at the end of the last auxiliary phase.
        clone_coefficient: weight of KL(policy before || policy) in auxiliary phases.
        max_gradient_norm: gradients are scaled down to this global norm.
        adam_epsilon: of Adam's denominator.
    """

    learning_rate: Annotated[float, Range(0)] = 5e-4
    gamma: Annotated[float, Range(0, 1)] = 0.999
    gae_lambda: Annotated[float, Range(0, 1)] = 0.95
    clip_range: Annotated[float, Range(above=0)] = 0.2
    entropy_coefficient: Annotated[float, Range(0)] = 0.01
    value_coefficient: Annotated[float, Range(0)] = 0.5
    distillation_coefficient: Annotated[float, Range(0)] = 1.0
    clone_coefficient: Annotated[float, Range(0)] = 1.0
    max_gradient_norm: Annotated[float, Range(above=0)] = 0.5
    adam_epsilon: Annotated[float, Range(above=0)] = 1e-8


def dcpg(
    env: types.Environment,
    config: DCPGConfig | None = None,
    network: types.Network | None = None,
    hypers: DCPGHypers | None = None,
    *,
    extra_loss: types.ExtraLoss | None = None,
) -> Agent:
    """Build DCPG for the spaces of an environment.

    Runs shorter than `policy_phases` updates, in which there is no auxiliary phase, are refused.

    Args:
        env: whose spaces the agent is built for.
        config: what changes the program; None for the defaults.
        network: None for `nets.decoupled_actor_critic`, which may be shared.
        hypers: what may be swept; None for the defaults.
        extra_loss: a term to add to the loss of policy phases; its target is f32[1, B], of the
            value.

    Returns:
        The agent, for `run`, `sweep` and `make_train`.

    Raises:
        ValueError: the network has another output, or minibatches do not divide the samples.

    Example:
        >>> env = pjs.make("Navix-Empty-8x8-v0")
        >>> config = pjs.DCPGConfig(num_envs=16, rollout_length=64, auxiliary_minibatches=64)
        >>> result = pjs.run(pjs.dcpg(env, config), env, seeds=4, steps=1e5)
    """
    validate.parts(env, network, types.Network)
    config, hypers = validate.settings(config, hypers, (DCPGConfig(), DCPGHypers()))
    return phasic("dcpg", env, config, network, hypers, distils=True, extra_loss=extra_loss)
