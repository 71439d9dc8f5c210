"""Learn action values from uniform replay: the loop of DQN, C51, QR-DQN, IQN and M-DQN.

Each of them is a `QLearningRule`: the meaning of its network's output, its targets and its errors.
Acting (epsilon-greedy), replay (n-step windows), the target network and the gradient steps are
here.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import optax

from purejaxrl_suite import nets
from purejaxrl_suite.agents.shared import estimates, extra_losses, replay_learning
from purejaxrl_suite.agents.shared.configs import ReplayConfig
from purejaxrl_suite.agents.shared.replay_learning import Metrics, ReplayState, Target
from purejaxrl_suite.buffers import Batch, MakesReplay, Uniform, uniform
from purejaxrl_suite.core import spaces, types
from purejaxrl_suite.core.types import (
    Agent,
    Array,
    ExtraLoss,
    Internals,
    Key,
    LossInputs,
    Memory,
    Network,
    PyTree,
    Transition,
)
from purejaxrl_suite.envs.common import shortest_limit
from purejaxrl_suite.ops import exploration, optimizers, schedules
from purejaxrl_suite.ops.probe import probe as probe_loss
from purejaxrl_suite.ops.probe import samples_of, without_metrics


class Errors(NamedTuple):
    """Results of a forward pass on a batch.

    losses: f32[B]. q: f32[B], values of the taken actions. output: of the network.
    """

    losses: Array
    q: Array
    output: PyTree
    internals: Internals


class QLearningRule(NamedTuple):
    """The part of an algorithm of the DQN family that is its own.

    q_values: (hypers, params, obs[B, ...], chance) -> f32[B, A], to act on. `chance` is the result
        of the function of that name, or None for deterministic values.
    targets: (key, hypers, online, target, batch) -> leaves [B, ...], from the parameters of both
        networks; outside the gradient.
    errors: (key, hypers, params, batch, targets, taps) -> Errors.
    chance: (key, B) -> leaves [B, ...], random numbers that action values need; often ().
    augment: (key, obs[B, ...]) -> augmented obs to learn from.
    learning_rate: hypers -> that of the optimizer.
    beside: what else is learnt in each gradient step; None for nothing.
    """

    q_values: Callable[[Any, PyTree, Array, Any], Array]
    targets: Callable[[Key, Any, PyTree, PyTree, Batch], PyTree]
    errors: Callable[[Key, Any, PyTree, Batch, PyTree, Any], Errors]
    chance: Callable[[Key, int], PyTree] = lambda key, batch: ()
    augment: Callable[[Key, Array], Array] = lambda key, obs: obs
    learning_rate: Callable[[Any], Any] = lambda hypers: hypers.learning_rate
    beside: "Beside | None" = None


class Beside(Protocol):
    """Type of `QLearningRule.beside`."""

    def __call__(
        self, hypers: Any, key: Key, before: Any, after: Any, ready: Array, /
    ) -> tuple[Any, Metrics]:
        """Learn beside a gradient step, `key` its own, if `ready`: (state after it, metrics).

        before, after: the agent's states, with the target that followed.
        """
        ...


class StepKeys(NamedTuple):
    """Parts of the key of a gradient step.

    draw: for its batch. target, error: for those. obs, next_obs: to augment these.
    """

    draw: Key
    target: Key
    error: Key
    obs: Key
    next_obs: Key


def step_keys(key: Key) -> StepKeys:
    """Split the key of a gradient step."""
    return StepKeys(*jax.random.split(key, len(StepKeys._fields)))


def check(name: str, env: types.Environment, *, masks: bool = False) -> types.Discrete:
    """Return the action space; ValueError unless it is Discrete.

    masks: whether the agent masks invalid actions, if tasks differ in their actions.
    """
    if not isinstance(env.action, types.Discrete):
        raise ValueError(
            f"{name} needs Discrete actions, environment {env.name!r} has {env.action}"
        )
    if env.action.valid and not masks:
        raise ValueError(f"{name}: the tasks of {env.name} differ in actions, expected all alike")
    return env.action


def check_noiseless(name: str, network: Network) -> None:
    """Raise ValueError for a noisy network, to which the agent `name` would add no noise."""
    if nets.is_noisy(network):
        raise ValueError(f"network: expected one without noisy layers, {name} draws no noise")


def experience(
    env: types.Environment, config: ReplayConfig, replay: MakesReplay = uniform
) -> Uniform:
    """Make the replay of a member."""
    return replay(
        env.observation,
        env.action,
        capacity=config.capacity,
        num_envs=config.num_envs,
        rollout_length=config.rollout_length,
        max_n=config.max_n_step,
        time_limit=shortest_limit(env),
    )


def whole_steps(hypers: Any) -> Array:
    """Return hypers.n_step as i32[]."""
    return jnp.asarray(hypers.n_step).astype(jnp.int32)


def taken(values: Array, action: Array) -> Array:
    """Select values[i, action[i]]: of f32[B, A, ...] and i32[B], f32[B, ...]."""
    return jax.vmap(lambda x, a: x[a])(values, action)


def optimizer_of(
    network: Network, rule: QLearningRule, hypers: Any
) -> optax.GradientTransformation:
    """Make the optimizer of a network that learns by a rule."""
    rate = rule.learning_rate(hypers)
    return network.constrain(optimizers.adam(rate, hypers.adam_epsilon))


def mean_error(batch: Batch, found: Errors) -> tuple[Array, Metrics]:
    """Compute the mean error f32[] of a batch, and its metrics."""
    error = jnp.mean(batch.weight * found.losses)
    return error, {"td_loss": error, "q_value": jnp.mean(found.q)}


def q_learning(
    name: str,
    env: types.Environment,
    config: ReplayConfig,
    hypers: Any,
    network: Network,
    rule: QLearningRule,
    extra_loss: ExtraLoss | None = None,
    replay: MakesReplay = uniform,
) -> Agent:
    """Build the agent of a rule.

    Args:
        name: of the agent.
        env: whose spaces it is built for.
        config: sizes.
        hypers: defaults, with the fields of `DQNHypers`.
        network: of action values, or of their distributions.
        rule: the algorithm's own part.
        extra_loss: a term to add to the loss; its target is the result of `QLearningRule.targets`.
        replay: makes the replay, with the arguments of `buffers.uniform`.

    Returns:
        The agent.

    Raises:
        ValueError: the network has a memory or noise, or sizes do not fit.
    """
    replay_learning.check_network(name, network)
    check_noiseless(name, network)
    extra_losses.check(extra_loss)
    made = experience(env, config, replay)

    def optimizer(hypers: Any) -> optax.GradientTransformation:
        return optimizer_of(network, rule, hypers)

    def init(key: Key, hypers: Any) -> ReplayState:
        return replay_learning.initial_state(network.init(key), optimizer(hypers), made.init())

    def ready(hypers: Any, state: ReplayState) -> Array:
        return made.ready(state.replay, hypers.min_history, whole_steps(hypers))

    def epsilon(hypers: Any, state: ReplayState) -> Array:
        return jnp.where(ready(hypers, state), hypers.epsilon, 1.0)

    def noise(key: Key, batch: int) -> Any:
        explore_key, chance_key = jax.random.split(key)
        return exploration.uniform(explore_key, batch), rule.chance(chance_key, batch)

    def act(noise: Any, hypers: Any, state: ReplayState, memory: Memory, obs: Array, explore: bool):
        uniforms, chance = noise
        params = state.learner.params
        q_values = rule.q_values(hypers, params, obs, chance if explore else None)
        rate = epsilon(hypers, state) if explore else 0.0
        valid = spaces.valid_actions(env.observation, env.action, obs)
        return memory, exploration.epsilon_greedy(uniforms, q_values, rate, valid), {}

    def objective(key: Key, hypers: Any, state: ReplayState, size: int):
        """Make the loss on a new batch: (params, taps) -> (f32[], (metrics, features))."""
        keys, n = step_keys(key), whole_steps(hypers)
        drawn = made.draw(keys.draw, state.replay, size, n, hypers.recent)
        batch = made.read(state.replay, drawn.slot, n, hypers.gamma)
        obs, next_obs = map(rule.augment, keys[-2:], (batch.obs, batch.next_obs))
        batch = batch._replace(obs=obs, next_obs=next_obs)
        target = rule.targets(keys.target, hypers, state.learner.params, state.target, batch)
        own = extra_losses.own_key(extra_loss, key)

        def loss(params: PyTree, taps: Any):
            found = rule.errors(keys.error, hypers, params, batch, target, taps)
            error, metrics = mean_error(batch, found)
            seen = {"output": found.output, "internals": found.internals}
            known = {"batch": batch, "target": target, "hypers": hypers, "key": own}
            known |= {"target_params": state.target}
            inputs = LossInputs(params=params, network=network, **seen, **known)
            total = error + found.internals.aux_loss
            total, metrics = extra_losses.add(extra_loss, total, metrics, inputs)
            return total, (metrics, found.internals.features)

        return loss

    def update(key: Key, hypers: Any, state: ReplayState, transition: Transition):
        state = state._replace(replay=made.add(state.replay, transition))

        def step(key: Key, state: ReplayState):
            loss = objective(key, hypers, state, config.batch_size)
            return replay_learning.gradient_step(loss, optimizer(hypers), state.learner)

        follow = Target(hypers.target_update_period, hypers.target_update_rate)
        beside = None if rule.beside is None else partial(rule.beside, hypers)
        keys = jax.random.split(key, config.gradient_steps)
        state, metrics, _ = replay_learning.learn(
            keys, state, ready(hypers, state), rule=follow, step=step, beside=beside
        )
        steps = state.steps.astype(jnp.float32)
        metrics |= {"epsilon": epsilon(hypers, state), "gradient_steps": steps}
        return state, extra_losses.named(metrics)

    def probe(key: Key, hypers: Any, state: ReplayState, transition: Transition) -> types.Probe:
        """Probe on replayed experience; meaningless before there is any."""
        loss, params = objective(key, hypers, state, config.probe_size), state.learner.params
        # Those that the loss has drawn, without its augmentation.
        draw, n = step_keys(key).draw, whole_steps(hypers)
        drawn = made.draw(draw, state.replay, config.probe_size, n, hypers.recent)
        batch = made.read(state.replay, drawn.slot, n, hypers.gamma)
        q = rule.q_values(hypers, params, batch.obs, None)

        return probe_loss(without_metrics(loss), params, samples_of(batch, jnp.max(q, axis=-1)))

    def anneal(hypers: Any, clock: types.Clock) -> Any:
        """Anneal epsilon by the steps taken so far; it is constant until learning begins."""
        each = config.num_envs * config.rollout_length
        steps, total = (jnp.asarray(x, jnp.float32) * each for x in clock)
        duration, delay = hypers.epsilon_decay * total, hypers.min_history
        return hypers._replace(
            epsilon=schedules.linear(steps, hypers.epsilon, hypers.final_epsilon, duration, delay)
        )

    def q_values(hypers: Any, state: ReplayState, memory: Memory, obs: Array) -> Array:
        return rule.q_values(hypers, state.learner.params, obs, None)

    return Agent(
        name=name,
        observation=env.observation,
        action=env.action,
        hypers=hypers,
        num_envs=config.num_envs,
        rollout_length=config.rollout_length,
        init=init,
        act=act,
        update=update,
        probe=probe,
        noise=noise,
        memory=network.memory,
        anneal=anneal,
        network=network,
        config=config,
        gradient_steps=config.gradient_steps,
        estimate=estimates.of_q(q_values),
    )
