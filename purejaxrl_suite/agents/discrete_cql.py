"""CQL(H) for discrete actions, on DQN (Kumar et al. 2020, arXiv 2006.04779).

The loss is that of DQN on the data set plus `conservative_weight` * (log sum_a exp Q(s, a) -
Q(s, a) of the data). The paper's Atari experiments have it on QR-DQN; DQN is our setting, with
double Q-learning and Dopamine's optimizer for MinAtar. Values are bootstrapped at time limits.
"""

from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from purejaxrl_suite import nets
from purejaxrl_suite.agents.shared import (
    estimates,
    extra_losses,
    offline_learning,
    replay_learning,
)
from purejaxrl_suite.agents.shared.continuous_learning import Drawn
from purejaxrl_suite.agents.shared.q_learning import check, check_noiseless, taken
from purejaxrl_suite.agents.shared.replay_learning import Target
from purejaxrl_suite.core import types, validate
from purejaxrl_suite.core.types import (
    Agent,
    Array,
    Key,
    Learner,
    LossInputs,
    Memory,
    PyTree,
    Transition,
)
from purejaxrl_suite.core.validate import Range
from purejaxrl_suite.nets.tasks import masked
from purejaxrl_suite.ops import losses, offline, optimizers, value
from purejaxrl_suite.ops.probe import probe as probe_loss
from purejaxrl_suite.ops.probe import samples_of, without_metrics


class DiscreteCQLConfig(NamedTuple):
    """What changes the compiled program.

    Attributes:
        gradient_steps: in an update.
        batch_size: transitions of the data set in a gradient step.
        double: the online network chooses the action whose value the target network gives.
        huber: Huber loss, for errors clipped to 1; else errors are squared.
    """

    gradient_steps: Annotated[int, Range(1)] = 10
    batch_size: Annotated[int, Range(1)] = 32
    double: bool = True
    huber: bool = False


class DiscreteCQLHypers(NamedTuple):
    """What may be swept, annealed or differentiated without recompiling.

    Attributes:
        learning_rate: of Adam.
        adam_epsilon: of Adam's denominator.
        gamma: discount per step.
        target_update_period: gradient steps between changes of the target network.
        target_update_rate: how far it then moves to the online network; 1 copies.
        conservative_weight: of the penalty; 0 is DQN on the data set.
    """

    learning_rate: Annotated[float, Range(0)] = 2.5e-4
    adam_epsilon: Annotated[float, Range(above=0)] = 3.125e-4
    gamma: Annotated[float, Range(0, 1)] = 0.99
    target_update_period: Annotated[float, Range(1, integer=True)] = 250.0
    target_update_rate: Annotated[float, Range(0, 1)] = 1.0
    conservative_weight: Annotated[float, Range(0)] = 1.0


class DiscreteCQLState(NamedTuple):
    """State: online network, parameters of the target network, i32[] gradient steps."""

    learner: Learner
    target: PyTree
    steps: Array


def discrete_cql(
    env: types.Environment,
    config: DiscreteCQLConfig | None = None,
    network: types.Network | None = None,
    hypers: DiscreteCQLHypers | None = None,
    *,
    extra_loss: types.ExtraLoss | None = None,
) -> Agent:
    """Build CQL(H) for the spaces of an environment with discrete actions.

    Args:
        env: whose spaces the agent is built for.
        config: what changes the program; None for the defaults.
        network: None for `nets.q_network(layer_norm=False)`.
        hypers: what may be swept; None for the defaults.
        extra_loss: a term to add to the loss; its target is f32[B], of the taken actions' values.

    Returns:
        The agent, which learns from a data set only.

    Raises:
        ValueError: actions are not Discrete, or the network has a memory or noise.

    Example:
        >>> from functools import partial
        >>> env, steps = pjs.make("Breakout-MinAtar"), ...
        >>> source = partial(pjs.engine.dataset, steps=steps)
        >>> result = pjs.run(pjs.discrete_cql, env, seeds=4, steps=32e5, source=source)
    """
    validate.parts(env, network, types.Network)
    extra_losses.check(extra_loss)
    defaults = DiscreteCQLConfig(), DiscreteCQLHypers()
    config, hypers = validate.settings(config, hypers, defaults)
    action = check("discrete_cql", env, masks=True)
    network = network or nets.q_network(env.observation, action, layer_norm=False)
    replay_learning.check_network("discrete_cql", network)
    check_noiseless("discrete_cql", network)
    network = masked(network, env.observation, action)

    def optimizer(hypers: DiscreteCQLHypers) -> optax.GradientTransformation:
        return network.constrain(optimizers.adam(hypers.learning_rate, hypers.adam_epsilon))

    def init(key: Key, hypers: DiscreteCQLHypers) -> DiscreteCQLState:
        params = network.init(key)
        target = jax.tree.map(jnp.copy, params)
        return DiscreteCQLState(
            Learner(params, optimizer(hypers).init(params)), target, jnp.int32(0)
        )

    def q_values(hypers: Any, state: DiscreteCQLState, memory: Memory, obs: Array) -> Array:
        return network.apply(state.learner.params, obs)[0]

    def act(noise: Any, hypers: Any, state: Any, memory: Memory, obs: Array, explore: bool):
        values = q_values(hypers, state, memory, obs)
        return memory, jnp.argmax(values, axis=-1).astype(jnp.int32), {}

    def objective(hypers: DiscreteCQLHypers, state: DiscreteCQLState, drawn: Drawn):
        """Make (params, taps) -> (f32[], (metrics, features)); the target is outside the loss."""
        batch, own = drawn.batch, extra_losses.own_key(extra_loss, drawn.key)
        following = network.apply(state.target, batch.next_obs)[0]
        online = network.apply(state.learner.params, batch.next_obs)[0]
        selector = online if config.double else following
        target = jax.vmap(value.q_target)(
            batch.reward, batch.discount, batch.terminated, following, selector
        )

        def loss(params: PyTree, taps: Any):
            values, internals = network.apply(params, batch.obs, (), taps)
            chosen = taken(values, batch.action)
            off = chosen - target
            error = jnp.mean(losses.huber(off) if config.huber else jnp.square(off))
            penalty = jnp.mean(jax.vmap(offline.conservative_penalty)(values, batch.action))
            total = error + internals.aux_loss + hypers.conservative_weight * penalty
            metrics = {"td_loss": error, "q_value": jnp.mean(chosen)}
            metrics |= {"conservative_penalty": penalty}
            seen = {"params": params, "network": network, "output": values, "internals": internals}
            seen |= {"target_params": state.target}
            inputs = LossInputs(batch=batch, target=target, hypers=hypers, key=own, **seen)
            total, metrics = extra_losses.add(extra_loss, total, metrics, inputs)
            return total, (metrics, internals.features)

        return loss

    def dealt(key: Key, hypers: Any, windows: Transition, shape: tuple[int, ...]) -> Drawn:
        return offline_learning.dealt(key, hypers, lambda action: action, windows, shape, 0)

    def update(key: Key, hypers: DiscreteCQLHypers, state: Any, windows: Transition):
        drawn = dealt(key, hypers, windows, (config.gradient_steps, config.batch_size))

        def step(drawn: Drawn, state: DiscreteCQLState):
            loss = objective(hypers, state, drawn)
            return replay_learning.gradient_step(loss, optimizer(hypers), state.learner)

        rule = Target(hypers.target_update_period, hypers.target_update_rate)
        state, metrics, _ = replay_learning.learn(
            drawn, state, jnp.bool_(True), rule=rule, step=step
        )
        metrics["gradient_steps"] = state.steps.astype(jnp.float32)
        return state, extra_losses.named(metrics)

    def probe(key: Key, hypers: DiscreteCQLHypers, state: Any, windows: Transition) -> types.Probe:
        drawn, params = dealt(key, hypers, windows, windows.reward.shape[1:]), state.learner.params
        loss = objective(hypers, state, drawn)
        value = jnp.max(network.apply(params, drawn.batch.obs)[0], axis=-1)

        return probe_loss(without_metrics(loss), params, samples_of(drawn.batch, value))

    return offline_learning.assemble(
        env,
        config,
        name="discrete_cql",
        network=network,
        hypers=hypers,
        init=init,
        act=act,
        update=update,
        probe=probe,
        estimate=estimates.of_q(q_values),
    )
