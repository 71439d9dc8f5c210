"""Plain reference loops: what most end-to-end JAX training scripts do, step for step.

Written from the published settings and structure of PureJaxRL
(https://github.com/luchris429/purejaxrl, commit 31756b1: `ppo.py`) and purejaxql
(https://github.com/mttga/purejaxql, commit 47af6d7: `pqn_minatar.py`, `pqn_gymnax.py` and their
configs). Those projects are scripts, not packages, so a benchmark cannot install them. What a ratio
against these loops isolates is what the suite does differently:

- auto-reset by selection: every environment is reset at every step, nearly always for nothing;
- the statistics of every step are returned (PPO) or stacked and averaged (PQN);
- minibatches from a sorted random permutation and a shuffled copy of the rollout, each epoch;
- observations are stored as the environment gives them (float32), with successors (PQN);
- random keys are split inside the loops; a time limit counts as termination;
- convolutions through `lax.conv`.

Two kindnesses: gymnax 1.x puts `final_observation` into `info`, which the scripts would store (87
times the output of Breakout), and purejaxql computes running moments of its input that nothing
reads; neither is done here. `README.md` beside this file says how these loops compare in speed with
the scripts themselves.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import distrax
import flax.linen as nn
import gymnax
import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax.linen.initializers import constant, he_normal, orthogonal
from flax.training.train_state import TrainState

Array = jax.Array


# Environment ------------------------------------------------------------------------------------


class LogState(NamedTuple):
    env: Any
    episode_return: Array
    episode_length: Array
    last_return: Array
    last_length: Array
    timestep: Array


class LoggedEnvironment(NamedTuple):
    """reset: key -> (obs, state).

    step: (key, state, action) -> (obs, state, reward, done, info).
    """

    reset: Callable[..., Any]
    step: Callable[..., Any]
    obs_shape: tuple[int, ...]
    num_actions: int


def logged_environment(env_id: str, flatten: bool) -> LoggedEnvironment:
    """A gymnax environment with its own auto-reset and per-step episode statistics."""
    env, params = gymnax.make(env_id)
    shape = env.observation_space(params).shape
    view = jnp.ravel if flatten else (lambda obs: obs)

    def reset(key: Array) -> tuple[Array, LogState]:
        obs, state = env.reset(key, params)
        zero, none = jnp.float32(0), jnp.int32(0)
        return view(obs), LogState(state, zero, none, zero, none, none)

    def step(key: Array, log: LogState, action: Array) -> tuple[Any, ...]:
        obs, state, reward, terminated, truncated, info = env.step(key, log.env, action, params)
        done = terminated | truncated
        episode_return, episode_length = log.episode_return + reward, log.episode_length + 1
        log = LogState(
            state,
            jnp.where(done, 0.0, episode_return),
            jnp.where(done, 0, episode_length),
            jnp.where(done, episode_return, log.last_return),
            jnp.where(done, episode_length, log.last_length),
            log.timestep + 1,
        )
        record = {
            "returned_episode_returns": log.last_return,
            "returned_episode_lengths": log.last_length,
            "timestep": log.timestep,
            "returned_episode": done,
        }
        if "discount" in info:
            record["discount"] = info["discount"]
        return view(obs), log, reward, done, record

    shape = (int(np.prod(shape)),) if flatten else tuple(shape)
    return LoggedEnvironment(reset, step, shape, env.action_space(params).n)


def shuffled_minibatches(key: Array, batch: Any, size: int, number: int) -> Any:
    """Sort-based permutation, a shuffled copy, cut into `number` minibatches."""
    order = jax.random.permutation(key, size)

    def cut(leaf: Array) -> Array:
        flat = leaf.reshape((size, *leaf.shape[2:]))
        return jnp.take(flat, order, axis=0).reshape((number, -1, *flat.shape[1:]))

    return jax.tree.map(cut, batch)


# PPO --------------------------------------------------------------------------------------------


class PPOSettings(NamedTuple):
    """PureJaxRL's `ppo.py` defaults (CartPole)."""

    env_id: str = "CartPole-v1"
    num_envs: int = 4
    rollout_length: int = 128
    epochs: int = 4
    minibatches: int = 4
    learning_rate: float = 2.5e-4
    discount: float = 0.99
    gae_lambda: float = 0.95
    clip: float = 0.2
    entropy_coefficient: float = 0.01
    value_coefficient: float = 0.5
    max_grad_norm: float = 0.5
    widths: tuple[int, ...] = (64, 64)
    activation: Callable[[Array], Array] = nn.tanh


PPO_CARTPOLE = PPOSettings()
# PureJaxRL's MinAtar settings, from its `examples/brax_minatar.ipynb`.
PPO_BREAKOUT = PPOSettings(
    "Breakout-MinAtar", num_envs=64, minibatches=8, learning_rate=5e-3, activation=nn.relu
)


class ActorCritic(nn.Module):
    num_actions: int
    widths: tuple[int, ...]
    activation: Callable[[Array], Array]

    @nn.compact
    def __call__(self, obs: Array) -> tuple[distrax.Categorical, Array]:
        def tower(outputs: int, scale: float) -> Array:
            x = obs
            for width in self.widths:
                x = nn.Dense(width, kernel_init=orthogonal(np.sqrt(2)), bias_init=constant(0.0))(x)
                x = self.activation(x)
            return nn.Dense(outputs, kernel_init=orthogonal(scale), bias_init=constant(0.0))(x)

        policy = distrax.Categorical(logits=tower(self.num_actions, 0.01))
        return policy, jnp.squeeze(tower(1, 1.0), axis=-1)


class PPOTransition(NamedTuple):
    done: Array
    action: Array
    value: Array
    reward: Array
    log_prob: Array
    obs: Array
    info: dict[str, Array]


def gae(traj: PPOTransition, last_value: Array, discount: float, decay: float) -> Array:
    """Advantages [T, N]; an end of either kind stops the bootstrap."""

    def step(carry: tuple[Array, Array], x: PPOTransition) -> tuple[tuple[Array, Array], Array]:
        advantage, next_value = carry
        alive = 1 - x.done
        delta = x.reward + discount * next_value * alive - x.value
        advantage = delta + discount * decay * alive * advantage
        return (advantage, x.value), advantage

    start = (jnp.zeros_like(last_value), last_value)
    return jax.lax.scan(step, start, traj, reverse=True, unroll=16)[1]


def ppo_loss(params: Any, apply: Callable[..., Any], batch: Any, s: PPOSettings) -> Any:
    traj, advantages, targets = batch
    policy, value = apply(params, traj.obs)
    clipped = traj.value + jnp.clip(value - traj.value, -s.clip, s.clip)
    value_loss = jnp.maximum(jnp.square(value - targets), jnp.square(clipped - targets))
    value_loss = 0.5 * value_loss.mean()
    ratio = jnp.exp(policy.log_prob(traj.action) - traj.log_prob)
    advantages = (advantages - advantages.mean()) / (advantages.std() + 1e-8)
    surrogate = jnp.minimum(
        ratio * advantages, jnp.clip(ratio, 1.0 - s.clip, 1.0 + s.clip) * advantages
    )
    entropy = policy.entropy().mean()
    loss = -surrogate.mean() + s.value_coefficient * value_loss - s.entropy_coefficient * entropy
    return loss, (value_loss, surrogate.mean(), entropy)


def ppo_rollout(env: LoggedEnvironment, s: PPOSettings, runner: Any) -> tuple[Any, PPOTransition]:
    def step(runner: Any, _: None) -> tuple[Any, PPOTransition]:
        state, env_state, obs, key = runner
        key, action_key = jax.random.split(key)
        policy, value = state.apply_fn(state.params, obs)
        action = policy.sample(seed=action_key)
        log_prob = policy.log_prob(action)
        key, step_key = jax.random.split(key)
        step_keys = jax.random.split(step_key, s.num_envs)
        next_obs, env_state, reward, done, info = jax.vmap(env.step)(step_keys, env_state, action)
        transition = PPOTransition(done, action, value, reward, log_prob, obs, info)
        return (state, env_state, next_obs, key), transition

    return jax.lax.scan(step, runner, None, s.rollout_length)


def ppo_update(env: LoggedEnvironment, s: PPOSettings, runner: Any) -> tuple[Any, Any]:
    """One rollout and its epochs; returns the runner and the info of every step."""
    runner, traj = ppo_rollout(env, s, runner)
    state, env_state, obs, key = runner
    last_value = state.apply_fn(state.params, obs)[1]
    advantages = gae(traj, last_value, s.discount, s.gae_lambda)
    batch = (traj, advantages, advantages + traj.value)

    def minibatch(state: TrainState, batch: Any) -> tuple[TrainState, Any]:
        grad = jax.value_and_grad(ppo_loss, has_aux=True)
        loss, grads = grad(state.params, state.apply_fn, batch, s)
        return state.apply_gradients(grads=grads), loss

    def epoch(carry: Any, _: None) -> tuple[Any, Any]:
        state, key = carry
        key, order_key = jax.random.split(key)
        size = s.num_envs * s.rollout_length
        state, loss = jax.lax.scan(
            minibatch, state, shuffled_minibatches(order_key, batch, size, s.minibatches)
        )
        return (state, key), loss

    (state, key), _ = jax.lax.scan(epoch, (state, key), None, s.epochs)
    return (state, env_state, obs, key), traj.info


def make_ppo(settings: PPOSettings, updates: int) -> Callable[[Array], Any]:
    """`train(key) -> (runner, info [updates, T, N])`, a whole run in one program."""
    s, env = settings, logged_environment(settings.env_id, flatten=True)

    def schedule(count: Array) -> Array:
        return s.learning_rate * (1.0 - (count // (s.minibatches * s.epochs)) / updates)

    def train(key: Array) -> Any:
        network = ActorCritic(env.num_actions, s.widths, s.activation)
        key, init_key, reset_key = jax.random.split(key, 3)
        state = TrainState.create(
            apply_fn=network.apply,
            params=network.init(init_key, jnp.zeros(env.obs_shape)),
            tx=optax.chain(
                optax.clip_by_global_norm(s.max_grad_norm), optax.adam(schedule, eps=1e-5)
            ),
        )
        obs, env_state = jax.vmap(env.reset)(jax.random.split(reset_key, s.num_envs))
        runner = (state, env_state, obs, key)
        return jax.lax.scan(lambda r, _: ppo_update(env, s, r), runner, None, updates)

    return train


# PQN --------------------------------------------------------------------------------------------


class PQNSettings(NamedTuple):
    """purejaxql's MinAtar configuration."""

    env_id: str = "Breakout-MinAtar"
    num_envs: int = 128
    rollout_length: int = 32
    epochs: int = 2
    minibatches: int = 32
    learning_rate: float = 5e-4
    discount: float = 0.99
    trace_decay: float = 0.65
    epsilon_end: float = 0.05
    epsilon_fraction: float = 0.1
    reward_scale: float = 1.0
    max_grad_norm: float = 10.0
    convolution: bool = True
    widths: tuple[int, ...] = (128,)


PQN_BREAKOUT = PQNSettings()
PQN_CARTPOLE = PQNSettings(
    "CartPole-v1",
    num_envs=32,
    rollout_length=64,
    epochs=4,
    minibatches=16,
    learning_rate=1e-4,
    trace_decay=0.95,
    epsilon_end=0.2,
    epsilon_fraction=0.2,
    reward_scale=0.1,
    convolution=False,
    widths=(256, 256),
)


class QNetwork(nn.Module):
    num_actions: int
    widths: tuple[int, ...]
    convolution: bool

    @nn.compact
    def __call__(self, obs: Array) -> Array:
        x = obs / 255.0
        if self.convolution:
            x = nn.Conv(16, (3, 3), padding="VALID", kernel_init=he_normal())(x)
            x = nn.relu(nn.LayerNorm()(x))
            x = x.reshape((x.shape[0], -1))
        for width in self.widths:
            kernel_init = he_normal() if self.convolution else nn.initializers.lecun_normal()
            x = nn.relu(nn.LayerNorm()(nn.Dense(width, kernel_init=kernel_init)(x)))
        return nn.Dense(self.num_actions)(x)


class PQNTransition(NamedTuple):
    obs: Array
    action: Array
    reward: Array
    done: Array
    next_obs: Array
    q: Array


def epsilon_greedy(key: Array, q: Array, epsilon: Array) -> Array:
    random_key, choice_key = jax.random.split(key)
    greedy = jnp.argmax(q, axis=-1)
    random = jax.random.randint(random_key, greedy.shape, 0, q.shape[-1])
    return jnp.where(jax.random.uniform(choice_key, greedy.shape) < epsilon, random, greedy)


def lambda_targets(traj: PQNTransition, last_q: Array, s: PQNSettings) -> Array:
    """Q(lambda) targets [T, N]; `last_q` f32[N] is the greedy value after the rollout."""
    last_q = last_q * (1 - traj.done[-1])
    last = traj.reward[-1] + s.discount * last_q

    def step(carry: tuple[Array, Array], x: PQNTransition) -> tuple[tuple[Array, Array], Array]:
        target, next_q = carry
        bootstrap = x.reward + s.discount * (1 - x.done) * next_q
        target = bootstrap + s.discount * s.trace_decay * (target - next_q)
        target = (1 - x.done) * target + x.done * x.reward
        return (target, jnp.max(x.q, axis=-1)), target

    head = jax.tree.map(lambda leaf: leaf[:-1], traj)
    _, targets = jax.lax.scan(step, (last, last_q), head, reverse=True)
    return jnp.concatenate((targets, last[None]))


def pqn_rollout(
    env: LoggedEnvironment, s: PQNSettings, state: TrainState, epsilon: Array, runner: Any
) -> tuple[Any, Any]:
    def step(runner: Any, _: None) -> tuple[Any, Any]:
        obs, env_state, key = runner
        key, action_key, step_key = jax.random.split(key, 3)
        q = state.apply_fn(state.params, obs)
        keys = jax.random.split(action_key, s.num_envs)
        action = jax.vmap(epsilon_greedy)(keys, q, jnp.full(s.num_envs, epsilon))
        keys = jax.random.split(step_key, s.num_envs)
        next_obs, env_state, reward, done, info = jax.vmap(env.step)(keys, env_state, action)
        reward = s.reward_scale * reward
        transition = PQNTransition(obs, action, reward, done, next_obs, q)
        return (next_obs, env_state, key), (transition, info)

    return jax.lax.scan(step, runner, None, s.rollout_length)


def pqn_epoch(s: PQNSettings, batch: tuple[PQNTransition, Array], carry: Any) -> tuple[Any, Any]:
    def loss_of(params: Any, apply: Callable[..., Any], traj: PQNTransition, target: Array) -> Any:
        q = apply(params, traj.obs)
        chosen = jnp.take_along_axis(q, traj.action[:, None], axis=-1)[:, 0]
        return 0.5 * jnp.square(chosen - target).mean(), chosen

    def minibatch(state: TrainState, batch: Any) -> tuple[TrainState, Any]:
        grad = jax.value_and_grad(loss_of, has_aux=True)
        loss, grads = grad(state.params, state.apply_fn, *batch)
        return state.apply_gradients(grads=grads), loss

    state, key = carry
    key, order_key = jax.random.split(key)
    size = s.num_envs * s.rollout_length
    batches = shuffled_minibatches(order_key, batch, size, s.minibatches)
    state, losses = jax.lax.scan(minibatch, state, batches)
    return (state, key), losses


def pqn_update(env: LoggedEnvironment, s: PQNSettings, epsilon: Any, carry: Any, i: Array) -> Any:
    """One rollout and its epochs; metrics are means over the update."""
    state, runner = carry
    runner, (traj, info) = pqn_rollout(env, s, state, epsilon(i), runner)
    last_q = jnp.max(state.apply_fn(state.params, traj.next_obs[-1]), axis=-1)
    batch = (traj, lambda_targets(traj, last_q, s))
    obs, env_state, key = runner
    (state, key), (loss, q) = jax.lax.scan(
        lambda carry, _: pqn_epoch(s, batch, carry), (state, key), None, s.epochs
    )
    metrics = {name: value.mean() for name, value in info.items()}
    metrics |= {"loss": loss.mean(), "q": q.mean()}
    return (state, (obs, env_state, key)), metrics


def make_pqn(settings: PQNSettings, updates: int) -> Callable[[Array], Any]:
    """`train(key) -> (carry, metrics [updates])`, a whole run in one program."""
    s, env = settings, logged_environment(settings.env_id, flatten=not settings.convolution)
    epsilon = optax.linear_schedule(1.0, s.epsilon_end, int(s.epsilon_fraction * updates) or 1)
    rate = optax.linear_schedule(s.learning_rate, 1e-20, updates * s.minibatches * s.epochs)

    def train(key: Array) -> Any:
        network = QNetwork(env.num_actions, s.widths, s.convolution)
        key, init_key, reset_key = jax.random.split(key, 3)
        state = TrainState.create(
            apply_fn=network.apply,
            params=network.init(init_key, jnp.zeros((1, *env.obs_shape))),
            tx=optax.chain(optax.clip_by_global_norm(s.max_grad_norm), optax.radam(rate)),
        )
        obs, env_state = jax.vmap(env.reset)(jax.random.split(reset_key, s.num_envs))
        start = (state, (obs, env_state, key))
        return jax.lax.scan(
            lambda carry, i: pqn_update(env, s, epsilon, carry, i), start, jnp.arange(updates)
        )

    return train
