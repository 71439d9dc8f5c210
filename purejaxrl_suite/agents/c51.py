"""C51: a distributional perspective on RL (Bellemare et al. 2017, arXiv 1707.06887).

DQN with the distribution of the return on fixed atoms in place of its mean: the target's
distribution is projected onto the atoms, and the loss is the cross-entropy. The learning rate,
Adam's epsilon and the atoms are the paper's; all other settings are those of `dqn`.
"""

from typing import Annotated, Any, NamedTuple

import jax

from purejaxrl_suite import nets
from purejaxrl_suite.agents.shared.q_learning import Errors, QLearningRule, check, q_learning, taken
from purejaxrl_suite.buffers import Batch, MakesReplay, uniform
from purejaxrl_suite.core import types, validate
from purejaxrl_suite.core.types import Agent, Array, ExtraLoss, Key, PyTree
from purejaxrl_suite.core.validate import Range
from purejaxrl_suite.ops import distributional


class C51Config(NamedTuple):
    """What changes the compiled program.

    Attributes:
        num_envs: parallel environments of one member (N).
        rollout_length: steps in each of them between updates (T).
        gradient_steps: in an update: the replay ratio is gradient_steps / (N * T).
        batch_size: transitions in a gradient step.
        capacity: transitions that the replay holds.
        max_n_step: the largest n_step that hypers may ask for.
        probe_size: replayed transitions that the probe looks at.
        atoms: of a distribution.
        double: the online network chooses the action whose returns the target network gives.
    """

    num_envs: Annotated[int, Range(1)] = 1
    rollout_length: Annotated[int, Range(1)] = 4
    gradient_steps: Annotated[int, Range(1)] = 1
    batch_size: Annotated[int, Range(1, "capacity")] = 32
    capacity: Annotated[int, Range(1)] = 100_000
    max_n_step: Annotated[int, Range(1)] = 1
    probe_size: Annotated[int, Range(1)] = 256
    atoms: Annotated[int, Range(2)] = 51
    double: bool = False


class C51Hypers(NamedTuple):
    """What may be swept, annealed or differentiated without recompiling.

    Attributes:
        learning_rate: of Adam.
        adam_epsilon: of Adam's denominator.
        gamma: discount per step.
        n_step: rewards in a return, at most max_n_step.
        epsilon: probability of a random action when learning begins.
        final_epsilon: the same after the decay.
        epsilon_decay: fraction of training over which it decays linearly, after min_history.
        min_history: transitions before learning begins; until then actions are random.
        target_update_period: gradient steps between changes of the target network.
        target_update_rate: how far it then moves to the online network; 1 copies.
        recent: fraction of the capacity that is sampled, newest first.
        value_low: return of the first atom; returns below count as this.
        value_high: return of the last atom.
    """

    learning_rate: Annotated[float, Range(0)] = 2.5e-4
    adam_epsilon: Annotated[float, Range(above=0)] = 3.125e-4
    gamma: Annotated[float, Range(0, 1)] = 0.99
    n_step: Annotated[float, Range(1, "max_n_step", integer=True)] = 1.0
    epsilon: Annotated[float, Range(0, 1)] = 1.0
    final_epsilon: Annotated[float, Range(0, 1)] = 0.01
    epsilon_decay: Annotated[float, Range(0, 1)] = 0.1
    min_history: Annotated[float, Range(1, "capacity", integer=True)] = 1000.0
    target_update_period: Annotated[float, Range(1, integer=True)] = 1000.0
    target_update_rate: Annotated[float, Range(0, 1)] = 1.0
    recent: Annotated[float, Range(above=0, high=1)] = 1.0
    value_low: Annotated[float, Range(below="value_high")] = -10.0
    value_high: Annotated[float, Range(above="value_low")] = 10.0


def c51(
    env: types.Environment,
    config: C51Config | None = None,
    network: types.Network | None = None,
    hypers: C51Hypers | None = None,
    *,
    extra_loss: ExtraLoss | None = None,
    replay: MakesReplay = uniform,
) -> Agent:
    """Build C51 for the spaces of an environment.

    Args:
        env: whose spaces the agent is built for.
        config: what changes the program; None for the defaults.
        network: puts out logits f32[B, A, atoms]; None for `nets.q_network`.
        hypers: what may be swept; None for the defaults.
        extra_loss: a term to add to the loss; its target is probabilities f32[B, atoms].
        replay: makes the replay, with the arguments of `buffers.uniform`.

    Returns:
        The agent, for `run`, `sweep` and `make_train`.

    Raises:
        ValueError: actions are not Discrete, the network has a memory, or sizes do not fit.

    Example:
        >>> env = pjs.make("Breakout-MinAtar")
        >>> result = pjs.run(pjs.c51(env), env, seeds=4, steps=1e5)
    """
    validate.parts(env, network, types.Network)
    config, hypers = validate.settings(config, hypers, (C51Config(), C51Hypers()))
    action = check("c51", env)
    network = network or nets.q_network(
        env.observation, action, atoms=config.atoms, layer_norm=False
    )

    def support(hypers: C51Hypers) -> Array:
        return distributional.support(hypers.value_low, hypers.value_high, config.atoms)

    def q_values(hypers: C51Hypers, params: PyTree, obs: Array, chance: Any) -> Array:
        return distributional.expectation(network.apply(params, obs)[0], support(hypers))

    def targets(key: Key, hypers: C51Hypers, online: PyTree, target: PyTree, batch: Batch) -> Array:
        """Compute the target probabilities f32[B, atoms] of the atoms."""
        judge = q_values(hypers, online if config.double else target, batch.next_obs, None)
        following = network.apply(target, batch.next_obs)[0]
        reward, discount, ended = batch.reward, batch.discount, batch.terminated
        bound = jax.vmap(distributional.categorical_q_target, (0, 0, 0, 0, 0, None))
        return bound(reward, discount, ended, following, judge, support(hypers))

    def errors(key: Key, hypers: C51Hypers, params: PyTree, batch: Batch, target: Array, taps: Any):
        logits, internals = network.apply(params, batch.obs, (), taps)
        chosen = taken(logits, batch.action)
        q = distributional.expectation(chosen, support(hypers))
        losses = jax.vmap(distributional.cross_entropy)(target, chosen)
        return Errors(losses, q, logits, internals)

    rule = QLearningRule(q_values, targets, errors)
    return q_learning(
        "c51",
        env,
        config=config,
        hypers=hypers,
        network=network,
        rule=rule,
        extra_loss=extra_loss,
        replay=replay,
    )
