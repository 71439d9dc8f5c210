"""Builders of contestants: ours, the reference loops, and the peers that are packages."""

import copy
from collections.abc import Callable
from typing import Any, NamedTuple

import gymnax
import jax
import jax.numpy as jnp

from benchmarks import reference
from benchmarks.harness import Contestant
from purejaxrl_suite import nets
from purejaxrl_suite.agents.dqn import DQNConfig, DQNHypers, dqn
from purejaxrl_suite.agents.ppo import PPOConfig, PPOHypers, ppo
from purejaxrl_suite.agents.pqn import PQNConfig, PQNHypers, pqn
from purejaxrl_suite.core.types import Agent, Clock, Environment, Learner, Network
from purejaxrl_suite.engine.rollout import rollout, start
from purejaxrl_suite.engine.train import make_train
from purejaxrl_suite.envs import make
from purejaxrl_suite.sweeps.fleet import train_members

Array = jax.Array


def fleet(train: Callable[..., Any], members: int) -> Callable[..., Any]:
    """`train` of one member (key, *data) for `members` of them; one member is not vmapped."""
    if members == 1:
        return train

    def many(key: Array, *data: Any) -> Any:
        return jax.vmap(lambda key: train(key, *data))(jax.random.split(key, members))

    return many


# Ours -------------------------------------------------------------------------------------------


def ours(
    agent: Agent, env: Environment, updates: int, members: int = 1, reset_pool: int = 1
) -> Contestant:
    """Initialise and train; hyper-parameters and clock are traced, as in a sweep."""
    ours = make_train(agent, env, updates_per_call=updates, reset_pool=reset_pool)

    def member(key: Array, hypers: Any, params: Any, clock: Clock) -> Any:
        return ours.train(key, hypers, params, ours.init(key, hypers, params), clock)

    def many(key: Array, hypers: Any, params: Any, clock: Clock) -> Any:
        seeds = jax.random.bits(key, members, jnp.uint32)
        hypers = jax.tree.map(lambda x: jnp.full(members, x), hypers)
        keys = jax.vmap(jax.random.key)(seeds)
        run = jax.vmap(ours.init, (0, 0, None))(keys, hypers, params)
        alike = jax.tree.map(lambda _: False, params)
        return train_members(ours, alike)(seeds, hypers, params, run, clock)

    hypers = jax.tree.map(jnp.float32, agent.hypers)
    clock = Clock(jnp.int32(0), jnp.int32(updates))
    steps = members * updates * agent.num_envs * agent.rollout_length
    whole = member if members == 1 else many
    return Contestant("purejaxrl_suite", whole, steps, (hypers, env.params, clock))


def mlp(env: Environment, **options: Any) -> Network:
    """Separate actor and critic, 64-64 tanh, on the flattened observation."""
    return nets.actor_critic(
        env.observation, env.action, encoder=nets.flat(one_hot=False), **options
    )


def ppo_at(settings: reference.PPOSettings) -> tuple[Agent, Environment]:
    """PPO at the settings of the reference loop, and their environment."""
    s, env = settings, make(settings.env_id)
    config = PPOConfig(
        num_envs=s.num_envs,
        rollout_length=s.rollout_length,
        epochs=s.epochs,
        minibatches=s.minibatches,
    )
    network = mlp(env, hidden=s.widths, activation=s.activation)
    return ppo(env, config, network, PPOHypers(learning_rate=s.learning_rate)), env


def our_ppo(settings: reference.PPOSettings, updates: int, members: int = 1) -> Contestant:
    """`ppo_at` as a contestant."""
    return ours(*ppo_at(settings), updates, members)


def pqn_at(settings: reference.PQNSettings) -> tuple[Agent, Environment]:
    """PQN at the settings of the reference loop, and their environment."""
    s, env = settings, make(settings.env_id)
    agent = pqn(
        env,
        PQNConfig(
            num_envs=s.num_envs,
            rollout_length=s.rollout_length,
            epochs=s.epochs,
            minibatches=s.minibatches,
        ),
        nets.q_network(
            env.observation,
            env.action,
            hidden=s.widths,
            encoder=nets.minatar_cnn() if s.convolution else nets.flat(),
        ),
        PQNHypers(
            learning_rate=s.learning_rate,
            td_lambda=s.trace_decay,
            final_epsilon=s.epsilon_end,
            epsilon_decay=s.epsilon_fraction,
            reward_scale=s.reward_scale,
        ),
    )
    return agent, env


def our_pqn(settings: reference.PQNSettings, updates: int, members: int = 1) -> Contestant:
    """`pqn_at` as a contestant."""
    return ours(*pqn_at(settings), updates, members)


class DQNSettings(NamedTuple):
    """Double DQN with a dueling MLP and an averaged target, in rejax's terms.

    gradient_steps: after one step of each environment; the target moves once, after them.
    fill: environment steps before learning begins.
    """

    env_id: str
    num_envs: int
    gradient_steps: int
    batch_size: int
    capacity: int
    fill: int
    learning_rate: float = 1e-3
    target_rate: float = 0.02


# rejax's own configs/gymnax/cartpole.yaml, but for `fill`: learning is what is to be timed.
DQN_CARTPOLE = DQNSettings("CartPole-v1", 10, 5, 100, 50_000, 10)
# rejax draws without replacement, which sorts its whole replay: with a small one it is at its best.
DQN_CARTPOLE_SMALL = DQN_CARTPOLE._replace(capacity=1_000)
DQN_BREAKOUT_SMALL = DQNSettings("Breakout-MinAtar", 10, 5, 100, 1_000, 10)


def our_dqn(settings: DQNSettings, updates: int, members: int = 1) -> Contestant:
    """DQN at these settings."""
    s, env = settings, make(settings.env_id)
    config = DQNConfig(
        num_envs=s.num_envs,
        rollout_length=1,
        gradient_steps=s.gradient_steps,
        batch_size=s.batch_size,
        capacity=s.capacity,
        double=True,
    )
    hypers = DQNHypers(
        learning_rate=s.learning_rate,
        adam_epsilon=1e-8,
        final_epsilon=0.05,
        epsilon_decay=0.5,
        min_history=s.fill,
        target_update_period=s.gradient_steps,
        target_update_rate=s.target_rate,
    )
    network = nets.q_network(
        env.observation,
        env.action,
        hidden=(64, 64),  # what rejax has, whatever one asks for
        activation=jax.nn.swish,
        encoder=nets.flat(),
        dueling=True,
        layer_norm=False,
    )
    return ours(dqn(env, config, network, hypers), env, updates, members)


def our_navix_ppo(env_id: str, updates: int, observation: str) -> Contestant:
    """PPO at the defaults of navix's `PPOHparams` and `MLPEncoder`: codes as plain numbers."""
    env = make(env_id, observation=observation)
    config = PPOConfig(num_envs=16, rollout_length=128, epochs=1, minibatches=8)
    return ours(ppo(env, config, mlp(env)), env, updates)


def random_agent(env: Environment, num_envs: int, rollout_length: int) -> Agent:
    """Acts uniformly at random and learns nothing."""

    def noise(key: Array, n: int) -> Array:
        shape = (n, *getattr(env.action, "shape", ()))
        if hasattr(env.action, "n"):
            return jax.random.randint(key, shape, 0, env.action.n)
        low, high = (jnp.clip(jnp.asarray(x), -1e3, 1e3) for x in env.action[2:4])
        return jax.random.uniform(key, shape, jnp.float32, low, high)

    def act(noise: Array, hypers: Any, state: Any, memory: Any, obs: Array, explore: bool) -> Any:
        return (), noise, {}

    def init(key: Array, hypers: Any) -> Learner:
        return Learner((), ())

    def update(key: Array, hypers: Any, state: Any, transition: Any) -> Any:
        return state, seen(transition.obs, transition.reward, transition.done)

    def no_probe(*_: Any) -> Any:
        raise NotImplementedError("a random policy has nothing to probe")

    spaces = env.observation, env.action
    return Agent(
        "random", *spaces, (), num_envs, rollout_length, init, act, update, no_probe, noise
    )


def seen(obs: Array, reward: Array, done: Array) -> dict[str, Array]:
    """Read a little of a rollout [T, N], so that none of it is dead code and reading is cheap."""
    last = jnp.max(obs[-1]).astype(jnp.float32)
    return {"obs": last, "reward": jnp.sum(reward), "done": jnp.sum(done, dtype=jnp.float32)}


def our_stepping(
    env_id: str, rollouts: int, seeds: int = 8, num_envs: int = 32, length: int = 100
) -> Contestant:
    """A random policy in our rollout, resets from a pool of one start state per environment."""
    env = make(env_id)
    agent = random_agent(env, num_envs, length)

    def member(key: Array, params: Any) -> Any:
        def one(run: Any, key: Array) -> Any:
            run, transition, means = rollout(agent, env, key, (), params, run, reset_pool=1)
            return run, means | seen(transition.obs, transition.reward, transition.done)

        start_key, key = jax.random.split(key)
        run = start(agent, env, start_key, params, Learner((), ()))
        return jax.lax.scan(one, run, jax.random.split(key, rollouts))

    steps = seeds * rollouts * num_envs * length
    return Contestant("purejaxrl_suite", fleet(member, seeds), steps, (env.params,))


# The reference loops ----------------------------------------------------------------------------


def reference_ppo(settings: reference.PPOSettings, updates: int, members: int = 1) -> Contestant:
    """The PureJaxRL-style loop."""
    steps = members * updates * settings.num_envs * settings.rollout_length
    return Contestant("reference PPO", fleet(reference.make_ppo(settings, updates), members), steps)


def reference_pqn(settings: reference.PQNSettings, updates: int, members: int = 1) -> Contestant:
    """The purejaxql-style loop."""
    steps = members * updates * settings.num_envs * settings.rollout_length
    return Contestant("reference PQN", fleet(reference.make_pqn(settings, updates), members), steps)


# Peers that are packages ------------------------------------------------------------------------


class FiveValues:
    """gymnax 1.x with the five-value step of 0.0.x, which rejax 0.1 expects.

    gymnax's own `LegacyStepAPIWrapper` recurses for ever when it is copied, as rejax does.
    """

    def __init__(self, env: Any) -> None:
        self.env = env

    def __getattr__(self, name: str) -> Any:
        if name == "env" or name.startswith("__"):
            raise AttributeError(name)
        return getattr(self.env, name)

    def __deepcopy__(self, memo: Any) -> "FiveValues":
        return FiveValues(copy.copy(self.env))

    def reset(self, key: Array, params: Any) -> Any:
        return self.env.reset(key, params)

    def step(self, key: Array, state: Any, action: Array, params: Any) -> Any:
        obs, state, reward, terminated, truncated, info = self.env.step(key, state, action, params)
        return obs, state, reward, terminated | truncated, info


def rejax_ppo(settings: reference.PPOSettings, updates: int, members: int = 1) -> Contestant | None:
    """rejax's own PPO without evaluation; None where rejax is not installed."""
    try:
        import rejax
    except ImportError:
        return None
    s = settings
    env, params = gymnax.make(s.env_id)
    steps = updates * s.num_envs * s.rollout_length
    algorithm = rejax.PPO.create(
        env=FiveValues(env),
        env_params=params,
        num_envs=s.num_envs,
        num_steps=s.rollout_length,
        num_epochs=s.epochs,
        num_minibatches=s.minibatches,
        learning_rate=s.learning_rate,
        max_grad_norm=s.max_grad_norm,
        total_timesteps=steps,
        eval_freq=steps,
        skip_initial_evaluation=True,
        agent_kwargs={"activation": s.activation.__name__, "hidden_layer_sizes": s.widths},
    )
    algorithm = algorithm.replace(eval_callback=lambda *_: ())
    return Contestant(
        "rejax PPO", fleet(lambda key: algorithm.train(key), members), members * steps
    )


def rejax_dqn(settings: DQNSettings, updates: int, members: int = 1) -> Contestant | None:
    """rejax's own DQN without evaluation; None where rejax is not installed."""
    try:
        import rejax
    except ImportError:
        return None
    s = settings
    env, params = gymnax.make(s.env_id)
    steps = updates * s.num_envs
    algorithm = rejax.DQN.create(
        env=FiveValues(env),
        env_params=params,
        agent="DuelingQNetwork",
        agent_kwargs={"activation": "swish"},
        num_envs=s.num_envs,
        num_epochs=s.gradient_steps,
        batch_size=s.batch_size,
        buffer_size=s.capacity,
        fill_buffer=s.fill,
        learning_rate=s.learning_rate,
        polyak=1.0 - s.target_rate,
        exploration_fraction=0.5,
        total_timesteps=steps,
        eval_freq=steps,
        skip_initial_evaluation=True,
        ddqn=True,
    )
    algorithm = algorithm.replace(eval_callback=lambda *_: ())
    return Contestant(
        "rejax DQN", fleet(lambda key: algorithm.train(key), members), members * steps
    )


def navix_ppo(env_id: str, updates: int, observation: str) -> Contestant:
    """navix's own PPO with its own defaults, on flattened observations; nothing is logged."""
    import navix
    from navix.agents import PPO, PPOHparams
    from navix.agents.models import ActorCritic

    observe = getattr(navix.observations, observation)
    default = navix.make(env_id, observation_fn=observe)
    shape = jax.eval_shape(default.reset, jax.random.key(0)).observation.size
    env = navix.make(
        env_id,
        observation_fn=lambda state: jnp.ravel(observe(state)),
        observation_space=navix.spaces.Discrete.create(256, shape=(shape,), dtype=jnp.uint8),
    )
    hparams = PPOHparams(budget=updates * 16 * 128)
    agent = PPO(hparams=hparams, network=ActorCritic(len(env.action_set)), env=env)
    return Contestant("navix PPO", agent.train, hparams.budget)


def navix_stepping(
    env_id: str, rollouts: int, seeds: int = 8, num_envs: int = 32, length: int = 100
) -> Contestant:
    """A random policy in navix's own auto-resetting `env.step`."""
    import navix

    env = navix.make(env_id)

    def one(timestep: Any, key: Array) -> Any:
        def step(timestep: Any, key: Array) -> Any:
            action = jax.random.randint(key, (num_envs,), 0, len(env.action_set))
            following = jax.vmap(env.step)(timestep, action)
            return following, (timestep.observation, following.reward, following.is_done())

        timestep, stacked = jax.lax.scan(step, timestep, jax.random.split(key, length))
        return timestep, seen(*stacked)

    def member(key: Array) -> Any:
        start_key, key = jax.random.split(key)
        timestep = jax.vmap(env.reset)(jax.random.split(start_key, num_envs))
        return jax.lax.scan(one, timestep, jax.random.split(key, rollouts))

    return Contestant("navix step", fleet(member, seeds), seeds * rollouts * num_envs * length)
