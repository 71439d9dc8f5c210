"""One rollout: N environments, T steps, resets from a pool; the inner loop of every agent."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from purejaxrl_suite.core import spaces, tree
from purejaxrl_suite.core.types import Agent, Array, Environment, Key, PyTree, Run, Transition
from purejaxrl_suite.engine import resets
from purejaxrl_suite.engine.parallel import by_task, parallel
from purejaxrl_suite.stats.inputs import EPISODES, FINISHED


class RolloutKeys(NamedTuple):
    """Parts of the key of a rollout; `reset` is for its own start states."""

    act: Key
    step: Key
    reset: Key


def rollout_keys(key: Key) -> RolloutKeys:
    """Split the key of a rollout."""
    return RolloutKeys(*jax.random.split(key, len(RolloutKeys._fields)))


class Episodes(NamedTuple):
    """Sums over finished episodes, per environment: `count` f32[N], `sums` {name: f32[N]}."""

    count: Array
    sums: dict[str, Array]


@jax.named_scope("resets")
def start(agent: Agent, env: Environment, key: Key, params: PyTree, state: Any) -> Run:
    """Make a Run whose N environments are at the start of their first episodes."""
    n = agent.num_envs
    env_state, obs = parallel(env).init(jax.random.split(key, n), params)
    returns, lengths = jnp.zeros(n, jnp.float32), jnp.zeros(n, jnp.int32)
    return Run(
        agent=state,
        env=env_state,
        obs=obs,
        memory=agent.memory(n),
        episode_return=returns,
        episode_length=lengths,
        finished_once=jnp.zeros(n, bool),
    )


@jax.named_scope("rollout")
def rollout(
    agent: Agent,
    env: Environment,
    key: Key,
    hypers: Any,
    params: PyTree,
    run: Run,
    *,
    reset_pool: int,
) -> tuple[Run, Transition, dict[str, Array]]:
    """Act for T steps in N environments.

    Args:
        agent: whose policy acts.
        env: in which it acts.
        key: of the rollout.
        hypers: in force.
        params: of the environment.
        run: where the environments stand; new episodes start from its pool if it has one.
        reset_pool: start states per environment in a pool of the rollout's own; see
            `engine.resets`.

    Returns:
        The run after the steps, the Transition [T, N], and a row {name: f32[]}: means of return,
        length and `info` over the episodes that ended, NaN if none did; `episodes`, their number;
        `finished_once`, the share of the environments that have finished an episode since all
        started. With several tasks also all of these for each task.
    """
    envs, pool = parallel(env), run.pool
    act_key, step_key, reset_key = rollout_keys(key)
    if pool == ():
        fresh, reset_xs = resets.own(
            agent, envs, key=reset_key, params=params, reset_pool=reset_pool
        )
    else:
        fresh, reset_xs = resets.taken(envs, pool.states, pool.shown), None

    def step(carry: list[Array], xs: Any) -> tuple[list[Array], Transition]:
        run, ends, episodes = unpack(carry)
        noise, step_keys, reset_x = xs
        memory, action, extras = agent.act(noise, hypers, state, run.memory, run.obs, True)
        env_state, time = envs.step(step_keys, params, run.env, action)
        done = time.terminated | time.truncated
        lost = None if time.life_lost is None else time.life_lost & ~done
        terminated = time.terminated if time.life_lost is None else time.terminated | time.life_lost
        transition = Transition(
            obs=run.obs,
            action=action,
            reward=time.reward,
            terminated=terminated,
            truncated=time.truncated,
            next_obs=time.final_obs,
            extras=extras,
            life_lost=lost,
            discount=time.discount,
        )
        returns, lengths = run.episode_return + time.reward, run.episode_length + 1
        ended = {"episode_return": returns, "episode_length": lengths, **time.info}
        episodes = _account(episodes, done, ended)
        with jax.named_scope("resets"):
            new_state, new_obs = fresh(ends, reset_x)
        env_state = envs.each(tree.where, done, new_state, env_state)
        obs = tree.where(done, new_obs, time.obs)
        memory = tree.where(done, agent.memory(agent.num_envs), memory)
        returns, lengths = jnp.where(done, 0.0, returns), jnp.where(done, 0, lengths)
        run = run._replace(env=env_state, obs=obs, memory=memory)
        run = run._replace(episode_return=returns, episode_length=lengths)
        return tree.pack((run, ends + done, episodes))[0], transition

    # Random numbers are drawn before the scan: threefry would be most kernels of its body.
    noise_keys = jax.random.split(act_key, agent.rollout_length)
    noise = jax.vmap(agent.noise, (0, None))(noise_keys, agent.num_envs)
    step_keys = jax.random.split(step_key, (agent.rollout_length, agent.num_envs))
    ends = jnp.zeros(agent.num_envs, jnp.int32) if pool == () else pool.ends
    names = ["episode_return", "episode_length", *info_names(env, params)]
    zeros = jnp.zeros(agent.num_envs)
    state, episodes = run.agent, Episodes(zeros, {name: zeros for name in names})
    once = run.finished_once
    carry, unpack = tree.pack((run._replace(agent=(), finished_once=(), pool=()), ends, episodes))
    carry, transition = jax.lax.scan(step, carry, (noise, step_keys, reset_xs))
    run, ends, episodes = unpack(carry)
    once = once | (episodes.count > 0)
    pool = () if pool == () else pool._replace(ends=ends)
    run = run._replace(agent=state, finished_once=once, pool=pool)
    return run, transition, row_of(episodes, once, env.tasks)


def info_names(env: Environment, params: PyTree) -> list[str]:
    """List the scalars in `TimeStep.info`, without computing a step."""
    if env.host is not None:
        return list(env.host.info)
    params = params[0] if env.tasks else params  # all tasks tell the same

    def info(key: Key, action: Array) -> Any:
        return env.step(key, params, env.init(key, params)[0], action)[1].info

    key = jax.eval_shape(lambda: jax.random.key(0))
    return list(jax.eval_shape(info, key, spaces.abstract(env.action)))


def _account(episodes: Episodes, done: Array, ended: dict[str, Array]) -> Episodes:
    sums = {name: episodes.sums[name] + jnp.where(done, x, 0) for name, x in ended.items()}
    return Episodes(episodes.count + done, sums)


def row_of(episodes: Episodes, once: Array, tasks: tuple[str, ...]) -> dict[str, Array]:
    """Compute means over the episodes of all environments, and of each task.

    once: bool[N], which environments have finished an episode since they started.
    """
    row = _over(episodes, once)
    if tasks:
        grids, grid = jax.tree.map(lambda x: by_task(x, len(tasks)), (episodes, once))
        each = _over(grids, grid).items()
        row |= {f"{name}_{task}": x[i] for i, task in enumerate(tasks) for name, x in each}
    return row


def _over(episodes: Episodes, once: Array) -> dict[str, Array]:
    """Compute means over environments, the first axis."""
    count = jnp.sum(episodes.count, axis=0)
    means = {name: jnp.sum(x, axis=0) / count for name, x in episodes.sums.items()}
    # A share of all must be exactly 1: XLA multiplies by 1 / N, and 41 * (1 / 41) is less.
    share = jnp.where(jnp.all(once, axis=0), 1.0, jnp.mean(once, axis=0, dtype=jnp.float32))
    return means | {EPISODES: count, FINISHED: share}


def counts(env: Environment) -> dict[str, str]:
    """Map each mean over episodes in a row to the name of the number of those episodes."""
    names = ["episode_return", "episode_length", *info_names(env, env.params)]
    ends = ["", *(f"_{task}" for task in env.tasks)]
    return {name + end: EPISODES + end for end in ends for name in names}
