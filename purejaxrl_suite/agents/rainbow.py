"""Rainbow: combining improvements in deep RL (Hessel et al. 2018, arXiv 1710.02298).

C51 with double Q-learning, dueling and noisy networks, n-step returns and prioritised replay. The
priority of a window is its cross entropy, as in Dopamine (the paper's is the divergence, which
differs by the entropy of the target), and the exponent of the importance weights is Dopamine's
constant 0.5. Only noise explores, from the first step on, as in the paper and in Dopamine. With a
network that is not noisy it is Rainbow(epsilon). Sizes, rates and atoms are Dopamine's for MinAtar,
where rewards are not clipped.

DER (van Hasselt et al. 2019, arXiv 1906.05243) is Rainbow with other settings: `presets`.
"""

from typing import Annotated, Any, NamedTuple

import optax

from purejaxrl_suite import nets
from purejaxrl_suite.agents.shared.q_learning import check
from purejaxrl_suite.agents.shared.rainbow_learning import experience, rainbow_learning
from purejaxrl_suite.agents.shared.rainbow_loss import RainbowRule
from purejaxrl_suite.buffers import MakesPrioritised, prioritised
from purejaxrl_suite.core import types, validate
from purejaxrl_suite.core.types import Agent, Array, ExtraLoss
from purejaxrl_suite.core.validate import Range
from purejaxrl_suite.ops import optimizers


class RainbowConfig(NamedTuple):
    """What changes the compiled program.

    Attributes:
        num_envs: parallel environments of one member (N).
        rollout_length: steps in each of them between updates (T).
        gradient_steps: in an update: the replay ratio is gradient_steps / (N * T).
        batch_size: windows in a gradient step.
        capacity: steps that the replay holds.
        max_n_step: the largest n_step that hypers may ask for.
        probe_size: replayed windows that the probe looks at.
        atoms: of a distribution.
        double: the online network chooses the action whose returns the target network gives.
    """

    num_envs: Annotated[int, Range(1)] = 1
    rollout_length: Annotated[int, Range(1)] = 4
    gradient_steps: Annotated[int, Range(1)] = 1
    batch_size: Annotated[int, Range(1, "capacity")] = 32
    capacity: Annotated[int, Range(1)] = 100_000
    max_n_step: Annotated[int, Range(1)] = 3
    probe_size: Annotated[int, Range(1)] = 256
    atoms: Annotated[int, Range(2)] = 51
    double: bool = True


class RainbowHypers(NamedTuple):
    """What may be swept, annealed or differentiated without recompiling.

    Attributes:
        learning_rate: of Adam.
        adam_epsilon: of Adam's denominator.
        gamma: discount per step.
        n_step: rewards in a return, at most max_n_step.
        epsilon: probability of a random action when learning begins. A noisy network explores
            without it; with any other network epsilon and final_epsilon may not both be 0.
        final_epsilon: the same after the decay.
        epsilon_decay_steps: environment steps of its linear decay, after min_history.
        min_history: environment steps before learning begins. Until then actions are random, with
            a noisy network only with probability epsilon.
        target_update_period: gradient steps between changes of the target network.
        target_update_rate: how far it then moves to the online network; 1 copies.
        value_low: the lowest atom.
        value_high: the highest atom.
        priority_exponent: alpha, of priorities; 0 samples uniformly.
        importance_exponent: beta, of importance weights; 1 corrects the whole bias.
    """

    learning_rate: Annotated[float, Range(0)] = 2.5e-4
    adam_epsilon: Annotated[float, Range(above=0)] = 3.125e-4
    gamma: Annotated[float, Range(0, 1)] = 0.99
    n_step: Annotated[float, Range(1, "max_n_step", integer=True)] = 3.0
    epsilon: Annotated[float, Range(0, 1)] = 0.0
    final_epsilon: Annotated[float, Range(0, 1)] = 0.0
    epsilon_decay_steps: Annotated[float, Range(0)] = 250_000.0
    min_history: Annotated[float, Range(1, "capacity", integer=True)] = 1000.0
    target_update_period: Annotated[float, Range(1, integer=True)] = 250.0
    target_update_rate: Annotated[float, Range(0, 1)] = 1.0
    value_low: Annotated[float, Range(below="value_high")] = -100.0
    value_high: Annotated[float, Range(above="value_low")] = 100.0
    priority_exponent: Annotated[float, Range(0, 1)] = 0.5
    importance_exponent: Annotated[float, Range(0, 1)] = 0.5


def rainbow(
    env: types.Environment,
    config: RainbowConfig | None = None,
    network: types.Network | None = None,
    hypers: RainbowHypers | None = None,
    *,
    extra_loss: ExtraLoss | None = None,
    replay: MakesPrioritised = prioritised,
) -> Agent:
    """Build Rainbow for the spaces of an environment.

    When acting, each of the N environments draws its own noisy parameters, so choose a small N for
    large networks.

    Args:
        env: whose spaces the agent is built for.
        config: what changes the program; None for the defaults.
        network: puts out logits f32[B, A, atoms]; None for a dueling, noisy `nets.q_network`.
        hypers: what may be swept; None for the defaults, with an epsilon from 1 to 0.01 if the
            network is not noisy.
        extra_loss: a term to add to the loss; its target is probabilities f32[B, atoms].
        replay: makes the replay, with the arguments of `buffers.prioritised`.

    Returns:
        The agent, for `run`, `sweep` and `make_train`.

    Raises:
        ValueError: actions are not Discrete, the network has a memory, sizes do not fit, or nothing
            explores: no noise and no epsilon.

    Example:
        >>> env = pjs.make("Breakout-MinAtar")
        >>> result = pjs.run(pjs.rainbow(env), env, seeds=4, steps=1e5)
    """
    validate.parts(env, network, types.Network)
    given = hypers is not None
    config, hypers = validate.settings(config, hypers, (RainbowConfig(), RainbowHypers()))
    action = check("rainbow", env)
    network = network or nets.q_network(
        env.observation, action, atoms=config.atoms, dueling=True, noisy=True, layer_norm=False
    )
    if not given and not nets.is_noisy(network):
        hypers = hypers._replace(epsilon=1.0, final_epsilon=0.01)
    made = experience(env, config, config.max_n_step, replay)

    def optimizer(hypers: RainbowHypers) -> optax.GradientTransformation:
        return network.constrain(optimizers.adam(hypers.learning_rate, hypers.adam_epsilon))

    def schedule(hypers: RainbowHypers, steps: Array) -> tuple[Any, Any]:
        return hypers.n_step, hypers.gamma

    rule = RainbowRule(optimizer, schedule, made.read, config.double)
    return rainbow_learning(
        "rainbow",
        env,
        config=config,
        hypers=hypers,
        network=network,
        replay=made,
        rule=rule,
        extra_loss=extra_loss,
    )
