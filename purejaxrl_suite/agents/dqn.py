"""DQN: deep Q-network (Mnih et al. 2013, arXiv 1312.5602; Mnih et al. 2015, Nature 518).

Q-learning on uniformly replayed experience with a target network. With `double` the action of the
target is chosen by the online network (van Hasselt et al. 2016, arXiv 1509.06461); n-step returns
are uncorrected. With `augment` and a dueling network it is DrQ(eps) (Yarats et al. 2021, arXiv
2004.13649; Agarwal et al. 2021, arXiv 2108.13264): `presets`. Defaults are Dopamine's for MinAtar
with its 10M steps: Adam, squared errors, a target that is copied every 1000 environment steps;
values are bootstrapped through time limits.
"""

from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp

from purejaxrl_suite import nets
from purejaxrl_suite.agents.shared.q_learning import Errors, QLearningRule, check, q_learning, taken
from purejaxrl_suite.buffers import Batch, MakesReplay, uniform
from purejaxrl_suite.core import types, validate
from purejaxrl_suite.core.types import Agent, Array, ExtraLoss, Key, PyTree
from purejaxrl_suite.core.validate import Range
from purejaxrl_suite.nets.tasks import masked
from purejaxrl_suite.ops import losses, value
from purejaxrl_suite.ops.augmentation import augmentation


class DQNConfig(NamedTuple):
    """What changes the compiled program.

    Attributes:
        num_envs: parallel environments of one member (N).
        rollout_length: steps in each of them between updates (T).
        gradient_steps: in an update: the replay ratio is gradient_steps / (N * T).
        batch_size: transitions in a gradient step.
        capacity: transitions that the replay holds.
        max_n_step: the largest n_step that hypers may ask for.
        double: the online network chooses the action whose value the target network gives.
        huber: Huber loss, for errors clipped to 1 (Nature 2015); else errors are squared.
        augment: learn from shifted and brightened pixels, as DrQ does; pixels only.
        probe_size: replayed transitions that the probe looks at.
    """

    num_envs: Annotated[int, Range(1)] = 1
    rollout_length: Annotated[int, Range(1)] = 4
    gradient_steps: Annotated[int, Range(1)] = 1
    batch_size: Annotated[int, Range(1, "capacity")] = 32
    capacity: Annotated[int, Range(1)] = 100_000
    max_n_step: Annotated[int, Range(1)] = 1
    double: bool = False
    huber: bool = False
    augment: bool = False
    probe_size: Annotated[int, Range(1)] = 256


class DQNHypers(NamedTuple):
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
    """

    learning_rate: Annotated[float, Range(0)] = 2.5e-4
    adam_epsilon: Annotated[float, Range(above=0)] = 3.125e-4
    gamma: Annotated[float, Range(0, 1)] = 0.99
    n_step: Annotated[float, Range(1, "max_n_step", integer=True)] = 1.0
    epsilon: Annotated[float, Range(0, 1)] = 1.0
    final_epsilon: Annotated[float, Range(0, 1)] = 0.01
    epsilon_decay: Annotated[float, Range(0, 1)] = 0.025
    min_history: Annotated[float, Range(1, "capacity", integer=True)] = 1000.0
    target_update_period: Annotated[float, Range(1, integer=True)] = 250.0
    target_update_rate: Annotated[float, Range(0, 1)] = 1.0
    recent: Annotated[float, Range(above=0, high=1)] = 1.0


def dqn(
    env: types.Environment,
    config: DQNConfig | None = None,
    network: types.Network | None = None,
    hypers: DQNHypers | None = None,
    *,
    extra_loss: ExtraLoss | None = None,
    replay: MakesReplay = uniform,
) -> Agent:
    """Build DQN for the spaces of an environment.

    Args:
        env: whose spaces the agent is built for.
        config: what changes the program; None for the defaults.
        network: None for `nets.q_network`.
        hypers: what may be swept; None for the defaults.
        extra_loss: a term to add to the loss; its target is f32[B], of the taken actions' values.
        replay: makes the replay, with the arguments of `buffers.uniform`.

    Returns:
        The agent, for `run`, `sweep` and `make_train`.

    Raises:
        ValueError: actions are not Discrete, the network has a memory, or sizes do not fit.

    Example:
        >>> env = pjs.make("Breakout-MinAtar")
        >>> result = pjs.run(pjs.dqn(env), env, seeds=4, steps=1e5)
    """
    validate.parts(env, network, types.Network)
    config, hypers = validate.settings(config, hypers, (DQNConfig(), DQNHypers()))
    action = check("dqn", env, masks=True)
    network = network or nets.q_network(env.observation, action, layer_norm=False)
    network = masked(network, env.observation, action)
    rule = dqn_rule(network, double=config.double, huber=config.huber)
    if config.augment:
        rule = rule._replace(augment=augmentation(env.observation))
    return q_learning(
        "dqn",
        env,
        config=config,
        hypers=hypers,
        network=network,
        rule=rule,
        extra_loss=extra_loss,
        replay=replay,
    )


def dqn_rule(network: types.Network, *, double: bool, huber: bool) -> QLearningRule:
    """Make the rule of a network of action values; arguments as in `DQNConfig`."""

    def q_values(hypers: Any, params: PyTree, obs: Array, chance: Any) -> Array:
        return network.apply(params, obs)[0]

    def targets(key: Key, hypers: Any, online: PyTree, target: PyTree, batch: Batch) -> Array:
        """Compute the targets f32[B] of the taken actions' values."""
        following = q_values(hypers, target, batch.next_obs, None)
        selector = q_values(hypers, online, batch.next_obs, None) if double else following
        return jax.vmap(value.q_target)(
            batch.reward, batch.discount, batch.terminated, following, selector
        )

    def errors(key: Key, hypers: Any, params: PyTree, batch: Batch, target: Array, taps: Any):
        values, internals = network.apply(params, batch.obs, (), taps)
        chosen = taken(values, batch.action)
        off = chosen - target
        size = losses.huber(off) if huber else jnp.square(off)
        return Errors(size, chosen, values, internals)

    return QLearningRule(q_values, targets, errors)
