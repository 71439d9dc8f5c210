"""TD3+BC: TD3 on a data set with behaviour cloning (Fujimoto and Gu 2021, arXiv 2106.06860).

The actor maximises alpha * Q(s, pi(s)) / mean |Q| - (pi(s) - a)^2: values are divided by their mean
size in the batch, and the second term keeps the policy near the actions of the data. Defaults are
the paper's, which standardizes observations by the data set. With `alpha` 0 it is behaviour
cloning, with `cloning_weight` 0 TD3 on the data set, but for the scale of the actor's loss. Values
are bootstrapped at time limits.
"""

from typing import Annotated, Any, NamedTuple

from purejaxrl_suite.agents.shared import action_scaling
from purejaxrl_suite.agents.shared.continuous_learning import Drawn
from purejaxrl_suite.agents.shared.offline_td3 import (
    Terms,
    check_network,
    cloning_error,
    offline_td3,
)
from purejaxrl_suite.core import types, validate
from purejaxrl_suite.core.types import Agent, Array
from purejaxrl_suite.core.validate import Range


class TD3BCConfig(NamedTuple):
    """What changes the compiled program.

    Attributes:
        gradient_steps: of the critics in an update.
        policy_delay: gradient steps of the critics for each of the actor and of the targets;
            divides gradient_steps.
        batch_size: transitions of the data set in a gradient step.
        normalize_observations: by mean and standard deviation of the data set.
    """

    gradient_steps: Annotated[int, Range(1)] = 10
    policy_delay: Annotated[int, Range(1)] = 2
    batch_size: Annotated[int, Range(1)] = 256
    normalize_observations: bool = True


class TD3BCHypers(NamedTuple):
    """What may be swept, annealed or differentiated without recompiling.

    Attributes:
        actor_learning_rate: of the actor's Adam.
        critic_learning_rate: of the critics' Adam.
        gamma: discount per step.
        target_update_rate: how far the targets move to the networks, after each step of the actor.
        target_noise: standard deviation of the noise on the target's actions.
        target_noise_clip: bound of that noise.
        alpha: weight of the values in the actor's loss.
        cloning_weight: weight of the squared difference from the actions of the data.
    """

    actor_learning_rate: Annotated[float, Range(0)] = 3e-4
    critic_learning_rate: Annotated[float, Range(0)] = 3e-4
    gamma: Annotated[float, Range(0, 1)] = 0.99
    target_update_rate: Annotated[float, Range(0, 1)] = 0.005
    target_noise: Annotated[float, Range(0)] = 0.2
    target_noise_clip: Annotated[float, Range(0)] = 0.5
    alpha: Annotated[float, Range(0)] = 2.5
    cloning_weight: Annotated[float, Range(0)] = 1.0


def td3_bc(
    env: types.Environment,
    config: TD3BCConfig | None = None,
    network: types.Network | None = None,
    hypers: TD3BCHypers | None = None,
    *,
    extra_loss: types.ExtraLoss | None = None,
) -> Agent:
    """Build TD3+BC for the spaces of an environment.

    Args:
        env: whose spaces the agent is built for.
        config: what changes the program; None for the defaults.
        network: None for `nets.actor_critics(deterministic=True)`.
        hypers: what may be swept; None for the defaults.
        extra_loss: a term to add to the critics' loss and to the actor's; each only moves its own
            parameters. Its target is that of the critics, f32[B], and None in the actor's loss,
            whose metrics are recorded.

    Returns:
        The agent, which learns from a data set only.

    Raises:
        ValueError: actions are not a Box of one axis with finite bounds, or sizes do not fit.

    Example:
        >>> from functools import partial
        >>> env, steps = pjs.make("Pendulum-v1"), ...
        >>> source = partial(pjs.engine.dataset, steps=steps)
        >>> result = pjs.run(pjs.td3_bc, env, seeds=4, steps=256e4, source=source)  # 10,000 batches
    """
    validate.parts(env, network, types.Network)
    config, hypers = validate.settings(config, hypers, (TD3BCConfig(), TD3BCHypers()))
    units = action_scaling.units("td3_bc", env)

    def cloning(hypers: TD3BCHypers, state: Any, drawn: Drawn, action: Array) -> Array:
        return hypers.cloning_weight * cloning_error(drawn, action)

    terms = Terms(
        q_weight=lambda hypers: hypers.alpha,
        actor=cloning,
        critic=lambda hypers, state, drawn, params: (0.0, {}),
    )
    return offline_td3(
        "td3_bc",
        env,
        config=config,
        hypers=hypers,
        network=check_network("td3_bc", env, network),
        units=units,
        terms=terms,
        extra_loss=extra_loss,
    )
