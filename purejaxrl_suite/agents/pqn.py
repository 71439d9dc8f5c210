"""PQN: parallelised Q-network (Gallici et al. 2024, arXiv 2407.04811).

Q-learning with lambda-returns on fresh experience of many environments: LayerNorm in the network
takes the place of a target network, parallel environments take the place of a replay buffer.
Defaults are purejaxql's for MinAtar, but values are bootstrapped at time limits.
"""

from functools import partial
from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from purejaxrl_suite import nets
from purejaxrl_suite.agents.shared import estimates, extra_losses
from purejaxrl_suite.agents.shared.q_learning import check_noiseless
from purejaxrl_suite.core import spaces, tree, types, validate
from purejaxrl_suite.core.types import Agent, Array, Key, Learner, Memory, PyTree, Transition
from purejaxrl_suite.core.validate import Range
from purejaxrl_suite.nets.tasks import masked
from purejaxrl_suite.ops import exploration, minibatch, optimizers, returns, schedules, successors
from purejaxrl_suite.ops.descent import Pooled, descend
from purejaxrl_suite.ops.probe import probe as probe_loss
from purejaxrl_suite.ops.probe import samples_of


class PQNConfig(NamedTuple):
    """What changes the compiled program.

    Attributes:
        num_envs: parallel environments of one member (N).
        rollout_length: steps in each of them between updates (T).
        epochs: passes over a rollout.
        minibatches: gradient steps in an epoch; divides N * T, or N if the network is recurrent.
        anneal_learning_rate: decay the learning rate linearly to zero over training.
        exact_permutation: shuffle by sorting instead of by a keyed bijection (slower).
    """

    num_envs: Annotated[int, Range(1)] = 128
    rollout_length: Annotated[int, Range(1)] = 32
    epochs: Annotated[int, Range(1)] = 2
    minibatches: Annotated[int, Range(1)] = 32
    anneal_learning_rate: bool = True
    exact_permutation: bool = False


class PQNHypers(NamedTuple):
    """What may be swept, annealed or differentiated without recompiling.

    Attributes:
        learning_rate: of RAdam, at the start of training.
        gamma: discount per step.
        td_lambda: decay of the lambda-return: 0 is one-step Q-learning, 1 is Monte Carlo.
        epsilon: probability of a random action, at the start of training.
        final_epsilon: the same after the decay.
        epsilon_decay: fraction of training over which epsilon decays linearly.
        max_gradient_norm: gradients are scaled down to this global norm.
        reward_scale: factor on the rewards that are learnt from.
    """

    learning_rate: Annotated[float, Range(0)] = 5e-4
    gamma: Annotated[float, Range(0, 1)] = 0.99
    td_lambda: Annotated[float, Range(0, 1)] = 0.65
    epsilon: Annotated[float, Range(0, 1)] = 1.0
    final_epsilon: Annotated[float, Range(0, 1)] = 0.05
    epsilon_decay: Annotated[float, Range(0, 1)] = 0.1
    max_gradient_norm: Annotated[float, Range(above=0)] = 10.0
    reward_scale: Annotated[float, Range(above=0)] = 1.0


class PQNState(NamedTuple):
    """State of PQN: only its learner."""

    learner: Learner


class Batch(NamedTuple):
    """B sequences of L steps: leaves [L, B, ...], and the memory [B, ...] before their first.

    reward ... next_obs: for an extra loss; None without one.
    """

    obs: Array
    starts: Array
    action: Array
    target: Array
    memory: Memory
    reward: Any = None
    terminated: Any = None
    truncated: Any = None
    next_obs: Any = None


def pqn(
    env: types.Environment,
    config: PQNConfig | None = None,
    network: types.Network | None = None,
    hypers: PQNHypers | None = None,
    *,
    extra_loss: types.ExtraLoss | None = None,
) -> Agent:
    """Build PQN for the spaces of an environment.

    Args:
        env: whose spaces the agent is built for.
        config: what changes the program; None for the defaults.
        network: None for `nets.q_network`; recurrent with `memory_units`.
        hypers: what may be swept; None for the defaults.
        extra_loss: a term to add to the loss; its target is f32[L, B], of the taken actions'
            values.

    Returns:
        The agent, for `run`, `sweep` and `make_train`.

    Raises:
        ValueError: actions are not Discrete, the network is noisy, or the minibatches do not divide
            the rollout.

    Example:
        >>> env = pjs.make("Breakout-MinAtar")
        >>> result = pjs.run(pjs.pqn(env), env, seeds=4, steps=1e5)
    """
    validate.parts(env, network, types.Network)
    extra_losses.check(extra_loss)
    if not isinstance(env.action, types.Discrete):
        raise ValueError(f"pqn needs Discrete actions, environment {env.name!r} has {env.action}")
    config, hypers = validate.settings(config, hypers, (PQNConfig(), PQNHypers()))
    network = network or nets.q_network(env.observation, env.action)
    check_noiseless("pqn", network)
    network = masked(network, env.observation, env.action)
    recurrent = bool(jax.tree.leaves(jax.eval_shape(lambda: network.memory(1))))
    # A minibatch has single steps, or for recurrent networks whole rollouts of environments.
    sequences = config.num_envs * (1 if recurrent else config.rollout_length)
    validate.divides("minibatches", config.minibatches, sequences, "sequences of a rollout")
    permutation = minibatch.exact_permutation if config.exact_permutation else minibatch.permutation

    def optimizer(hypers: PQNHypers) -> optax.GradientTransformation:
        clip = optimizers.clip_by_global_norm(hypers.max_gradient_norm)
        return network.constrain(Pooled(*optax.chain(clip, optimizers.radam(hypers.learning_rate))))

    def init(key: Key, hypers: PQNHypers) -> PQNState:
        params = network.init(key)
        return PQNState(Learner(params, optimizer(hypers).init(params)))

    def act(noise: Any, hypers: Any, state: PQNState, memory: Memory, obs: Array, explore: bool):
        q_values, internals = network.apply(state.learner.params, obs, memory, {})
        epsilon = hypers.epsilon if explore else 0.0
        valid = spaces.valid_actions(env.observation, env.action, obs)
        action = exploration.epsilon_greedy(noise, q_values, epsilon, valid)
        value = jnp.max(q_values, axis=-1)
        return internals.memory, action, {"value": value, "memory": (memory, internals.memory)}

    def prepare(hypers: PQNHypers, params: PyTree, transition: Transition) -> Batch:
        """Compute targets outside the loss: Peng's Q(lambda) with the greedy action's value."""
        obs, action, reward, terminated, truncated, next_obs, extras, *_ = transition
        before, after = extras["memory"]
        done = transition.done

        def value(params: PyTree, successor: tuple[Array, Memory]) -> Array:
            return jnp.max(network.apply(params, *successor, {})[0], axis=-1)

        following = successors.next_values(
            value, params, extras["value"], (next_obs, after), terminated, truncated
        )
        lambda_returns = jax.vmap(returns.lambda_returns, (1, 1, 1, 1, None, None), 1)
        reward = hypers.reward_scale * reward
        target = lambda_returns(reward, following, terminated, done, hypers.gamma, hypers.td_lambda)
        memory = tree.index(before, 0)
        batch = Batch(
            obs=obs,
            starts=transition.starts,
            action=action,
            target=target,
            memory=memory,
            **extra_losses.seen(extra_loss, transition._replace(reward=reward)),
        )
        return batch if recurrent else minibatch.single_steps(batch)

    def loss(hypers: PQNHypers, params: PyTree, batch: Batch, taps: Any, key: Any):
        q_values, internals = network.unroll(params, batch.obs, batch.memory, batch.starts, taps)
        chosen = jnp.take_along_axis(q_values, batch.action[..., None], axis=-1)[..., 0]
        error = 0.5 * jnp.mean(jnp.square(chosen - batch.target))
        metrics = {"td_loss": error, "q_value": jnp.mean(chosen)}
        seen = {"output": q_values, "internals": internals, "batch": batch, "target": batch.target}
        inputs = types.LossInputs(params=params, network=network, hypers=hypers, key=key, **seen)
        total = error + internals.aux_loss
        total, metrics = extra_losses.add(extra_loss, total, metrics, inputs)
        return total, (metrics, internals.features)

    def update(key: Key, hypers: PQNHypers, state: PQNState, transition: Transition):
        with jax.named_scope("returns"):
            batch = prepare(hypers, state.learner.params, transition)
        index = minibatch.epochs(key, config.epochs, sequences, config.minibatches, permutation)
        keys = extra_losses.own_keys(extra_loss, key, len(index))
        objective, rule = partial(loss, hypers), optimizer(hypers)
        learner, metrics = descend(objective, rule, state.learner, batch, index, keys)
        metrics["epsilon"] = jnp.float32(hypers.epsilon)
        return PQNState(learner), extra_losses.named(metrics)

    def probe(key: Key, hypers: PQNHypers, state: PQNState, transition: Transition) -> types.Probe:
        batch = prepare(hypers, state.learner.params, transition)
        own = extra_losses.own_key(extra_loss, key)

        def objective(params: PyTree, taps: Any):
            total, (_, features) = loss(hypers, params, batch, taps, own)
            return total, features

        params, seen = state.learner.params, (batch.obs, batch.memory, batch.starts)
        value = jnp.max(network.unroll(params, *seen, {})[0], axis=-1)
        value = jnp.reshape(value, transition.reward.shape)
        return probe_loss(objective, params, samples_of(transition, value))

    def anneal(hypers: PQNHypers, clock: types.Clock) -> PQNHypers:
        left = 1.0 - clock.progress if config.anneal_learning_rate else 1.0
        epsilon = schedules.linear(
            clock.progress, hypers.epsilon, hypers.final_epsilon, hypers.epsilon_decay
        )
        return hypers._replace(learning_rate=hypers.learning_rate * left, epsilon=epsilon)

    def q_values(hypers: Any, state: PQNState, memory: Memory, obs: Array) -> Array:
        return network.apply(state.learner.params, obs, memory, {})[0]

    return Agent(
        name="pqn",
        observation=env.observation,
        action=env.action,
        hypers=hypers,
        num_envs=config.num_envs,
        rollout_length=config.rollout_length,
        init=init,
        act=act,
        update=update,
        probe=probe,
        noise=exploration.uniform,
        memory=network.memory,
        anneal=anneal,
        network=network,
        config=config,
        gradient_steps=config.epochs * config.minibatches,
        estimate=estimates.of_q(q_values),
    )
