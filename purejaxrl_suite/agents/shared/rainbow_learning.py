"""The loop of Rainbow and its descendants: acting, prioritised replay, groups of gradient steps.

Rainbow, DER, SPR, SR-SPR and BBF are one family: each is a `RainbowRule` with its settings.
"""

from typing import Any

import jax
import jax.numpy as jnp

from purejaxrl_suite import nets
from purejaxrl_suite.agents.shared import estimates, extra_losses, replay_learning
from purejaxrl_suite.agents.shared.configs import CategoricalConfig, ReplayConfig
from purejaxrl_suite.agents.shared.rainbow_loss import (
    RainbowRule,
    RainbowState,
    Weighted,
    categorical_value,
)
from purejaxrl_suite.agents.shared.replay_learning import Target
from purejaxrl_suite.buffers import MakesPrioritised, Prioritised, prioritised
from purejaxrl_suite.core import tree, types, validate
from purejaxrl_suite.core.types import (
    Agent,
    Array,
    ExtraLoss,
    Key,
    Memory,
    Network,
    PyTree,
    Transition,
)
from purejaxrl_suite.envs.common import shortest_limit
from purejaxrl_suite.ops import exploration, schedules, value
from purejaxrl_suite.ops.probe import probe as probe_loss
from purejaxrl_suite.ops.probe import samples_of

SMALLEST_PRIORITY = 1e-10


def experience(
    env: types.Environment,
    config: ReplayConfig,
    max_n: int,
    replay: MakesPrioritised = prioritised,
) -> Prioritised:
    """Make the replay of a member, for windows of up to max_n steps."""
    return replay(
        env.observation,
        env.action,
        capacity=config.capacity,
        num_envs=config.num_envs,
        rollout_length=config.rollout_length,
        max_n=max_n,
        time_limit=shortest_limit(env),
    )


def check_exploration(hypers: Any, noisy: bool) -> None:
    """Raise ValueError where neither epsilon nor a noisy network explores."""
    if not noisy and hypers.epsilon == 0.0 and hypers.final_epsilon == 0.0:
        raise ValueError(
            "hypers: a network without noise explores by epsilon alone: expected epsilon or "
            "final_epsilon above 0, such as epsilon=1.0, final_epsilon=0.01, got 0 and 0"
        )


def rainbow_learning(
    name: str,
    env: types.Environment,
    config: CategoricalConfig,
    hypers: Any,
    network: Network,
    replay: Prioritised,
    rule: RainbowRule,
    extra_loss: ExtraLoss | None = None,
) -> Agent:
    """Build the agent of a rule; hypers have the fields of `RainbowHypers`.

    Raises:
        ValueError: the network has a memory, groups do not divide the gradient steps, or nothing
            explores.
    """
    replay_learning.check_network(name, network)
    validate.divides("group", rule.group, config.gradient_steps, "gradient steps of an update")
    noisy = nets.is_noisy(network)
    check_exploration(hypers, noisy)
    extra_losses.check(extra_loss)
    draw_noise, q_values, objective = categorical_value(network, config.atoms, rule, extra_loss)

    def init(key: Key, hypers: Any) -> RainbowState:
        start = replay_learning.initial_state(
            network.init(key), rule.optimizer(hypers), replay.init()
        )
        return RainbowState(**start._asdict(), updates=jnp.int32(0))

    def ready(hypers: Any, state: RainbowState) -> Array:
        return replay.ready(state.replay, hypers.min_history, 1)

    def epsilon(hypers: Any, state: RainbowState) -> Array:
        duration, delay = hypers.epsilon_decay_steps, hypers.min_history
        steps = state.updates.astype(jnp.float32) * (config.num_envs * config.rollout_length)
        first, last = hypers.epsilon, hypers.final_epsilon
        decayed = schedules.linear(steps, first, last, duration, delay)
        # A noisy network explores from the first step on; any other first acts at random.
        return jnp.where(ready(hypers, state), decayed, hypers.epsilon if noisy else 1.0)

    def noise(key: Key, batch: int) -> Any:
        explore_key, network_key = jax.random.split(key)
        drawn = jax.vmap(draw_noise)(jax.random.split(network_key, batch))
        return exploration.uniform(explore_key, batch), drawn

    def act(noise: Any, hypers: Any, state: Any, memory: Memory, obs: Array, explore: bool):
        uniforms, drawn = noise
        params = rule.acting(state)

        def one(drawn: Any, obs: Array) -> Array:
            return q_values(hypers, nets.add_noise(params, drawn), obs[None])[0]

        own = explore and noisy  # then each environment has its own noise
        q = jax.vmap(one)(drawn, obs) if own else q_values(hypers, params, obs)
        rate = epsilon(hypers, state) if explore else 0.0
        return memory, exploration.epsilon_greedy(uniforms, q, rate), {}

    def window(hypers: Any, state: RainbowState) -> tuple[Array, Array]:
        n, gamma = rule.schedule(hypers, state.steps)
        return jnp.asarray(n).astype(jnp.int32), gamma

    def draw(key: Key, hypers: Any, state: RainbowState, groups: int, size: int) -> Weighted:
        """Draw windows, leaves [groups, size]: each batch has its share of all strata."""
        drawn = replay.draw(key, state.replay, groups * size)
        weight = value.importance_weights(drawn.probability, hypers.importance_exponent)
        both = Weighted(drawn.slot, weight)
        return jax.tree.map(lambda x: jnp.reshape(x, (size, groups)).T, both)

    def learn(key: Key, hypers: Any, state: RainbowState, ready: Array):
        """Make the gradient steps of one group, then set its priorities."""
        draw_key, learn_key = jax.random.split(key)
        drawn = draw(draw_key, hypers, state, rule.group, config.batch_size)
        now = window(hypers, state)

        def step(inputs: tuple[Key, Weighted], state: RainbowState):
            loss = objective(inputs[0], hypers, state, inputs[1], now)
            optimizer = rule.optimizer(hypers)
            learner, metrics, (errors, _) = replay_learning.gradient_step(
                loss, optimizer, state.learner
            )
            return learner, metrics, errors

        inputs = jax.random.split(learn_key, rule.group), drawn
        follow = Target(hypers.target_update_period, hypers.target_update_rate)
        state, metrics, errors = replay_learning.learn(inputs, state, ready, rule=follow, step=step)
        slot, priority = map(jnp.ravel, rule.priorities(drawn.slot, errors))
        replayed = replay.update(
            state.replay,
            slot=slot,
            priority=priority + SMALLEST_PRIORITY,
            alpha=hypers.priority_exponent,
            where=ready,
        )
        return state._replace(replay=replayed), metrics

    def update(key: Key, hypers: Any, state: RainbowState, transition: Transition):
        learn_key, finish_key = jax.random.split(key)
        state = state._replace(
            replay=replay.add(state.replay, transition, hypers.priority_exponent),
            updates=state.updates + 1,
        )
        now, (n, gamma) = ready(hypers, state), window(hypers, state)
        keys = jax.random.split(learn_key, config.gradient_steps // rule.group)
        state, metrics = jax.lax.scan(
            lambda state, key: learn(key, hypers, state, now), state, keys
        )
        state = rule.finish(finish_key, hypers, state)
        metrics = {name: jnp.mean(x) for name, x in metrics.items()} | {
            "epsilon": epsilon(hypers, state),
            "gradient_steps": state.steps.astype(jnp.float32),
            "n_step": n.astype(jnp.float32),
            "gamma": jnp.float32(gamma),
        }
        return state, extra_losses.named(metrics)

    def probe(key: Key, hypers: Any, state: RainbowState, transition: Transition) -> types.Probe:
        """Probe on replayed experience; meaningless before there is any."""
        draw_key, loss_key = jax.random.split(key)
        drawn = tree.index(draw(draw_key, hypers, state, 1, config.probe_size), 0)
        loss = objective(loss_key, hypers, state, drawn, window(hypers, state))
        batch = rule.read(state.replay, drawn.slot, *window(hypers, state))
        params = state.learner.params
        value = jnp.max(q_values(hypers, params, batch.obs), axis=-1)

        def features(params: PyTree, taps: Any):
            total, (_, (_, found)) = loss(params, taps)
            return total, found

        return probe_loss(features, params, samples_of(batch, value))

    def acting_values(hypers: Any, state: Any, memory: Memory, obs: Array) -> Array:
        return q_values(hypers, rule.acting(state), obs)

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
        network=network,
        config=config,
        gradient_steps=config.gradient_steps,
        estimate=estimates.of_q(acting_values),
    )
