"""Collect data sets on the device: members act in environments of their own, in one program."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from purejaxrl_suite.agents.shared import acting
from purejaxrl_suite.core import spaces, tree
from purejaxrl_suite.core.argument import boolean, integer
from purejaxrl_suite.core.types import (
    ENDED,
    Agent,
    Array,
    Box,
    Environment,
    Key,
    Memory,
    PyTree,
    Transition,
)
from purejaxrl_suite.datasets.experience import (
    Experience,
    Record,
    cut,
    ends,
    episodes,
    scored,
    taken,
)
from purejaxrl_suite.datasets.members import Batch, Who, batches, environment
from purejaxrl_suite.engine.parallel import check_fit
from purejaxrl_suite.engine.rollout import rollout, start
from purejaxrl_suite.sweeps.policy import Policy

LENGTH, POOL = 128, 16
"""Steps of each environment for which start states are drawn at once, and how many: the k-th end
of an episode takes the k-th, so none is reused where episodes have eight steps on average."""


def collect(
    policy: Who,
    steps: int | float,
    *,
    num_envs: int = 8,
    explore: bool = True,
    seed: int = 0,
    name: str = "",
) -> Experience:
    """Collect steps of one or several trained members, in equal parts.

    Each member acts in `num_envs` environments, side by side, in one compiled program for all
    members that share one. Each environment plays one episode after the other and is cut at the
    end, where the last step is truncated: with `steps` for ten episodes or more in each environment
    the share of early steps is about that of whole episodes. Actions beyond the bounds of their
    space, as PPO samples them, are recorded as environments take them, at the bounds.

    Args:
        policy: a Policy, a list of them, or a Result, whose members all act.
        steps: E, of all members together.
        num_envs: environments of each member.
        explore: True samples as in training, with the hypers of its end; False acts greedily.
        seed: of start states, environments and exploration.
        name: of the set, such as "medium".

    Returns:
        The data set: member after member, environment after environment, in the order of time.
        `extras` are empty: what an agent notes when it acts is for its own learning.

    Raises:
        ValueError: an argument does not fit, members are of different environments, or the
            parameters of the environment change with time.

    Example:
        >>> env = pjs.make("CartPole-v1")
        >>> result = pjs.run(pjs.dqn, env, seeds=4, steps=1e5)
        >>> medium = pjs.datasets.collect(result, 1e5, name="medium")
        >>> offline = pjs.run(pjs.dqn, env, seeds=4, steps=1e5, source=medium.source)
    """
    count, num_envs = _whole("steps", steps), integer("num_envs", num_envs, 1)
    seed, explore = integer("seed", seed, 0, 2**32 - 1), boolean("explore", explore)
    _check_stays(environment(policy))
    found = list(batches(policy))
    streams = num_envs * sum(one.size for one in found)
    length = -(-count // streams)
    keys = jax.random.split(jax.random.key(seed), len(found))
    size = {"length": length, "num_envs": num_envs}
    parts = [_acted(key, one, explore, **size) for key, one in zip(keys, found, strict=True)]
    whole = jax.tree.map(lambda *leaves: np.concatenate(leaves)[:count], *parts)
    made = ends(whole)
    last = np.arange(count) % length == length - 1
    last[-1] = True
    cut_steps = cut(whole, last)
    record = Record(
        name=name,
        environment=found[0].env.name,
        policy=", ".join(dict.fromkeys(one.agent.name for one in found)),
        seeds=(seed,),
    )
    return scored(cut_steps, made[episodes(cut_steps).last], record)


def random(
    env: Environment,
    steps: int | float,
    *,
    num_envs: int = 8,
    seed: int = 0,
    name: str = "random",
) -> Experience:
    """Collect steps of uniformly random actions, of those that the task has.

    Args:
        env: the environment, with its default parameters.
        steps: as in `collect`.
        num_envs: as in `collect`.
        seed: as in `collect`.
        name: as in `collect`.

    Returns:
        The data set.

    Raises:
        ValueError: an argument does not fit, or actions have no finite bounds.

    Example:
        >>> found = pjs.datasets.random(pjs.make("CartPole-v1"), 1000)
        >>> found.steps.obs.shape
        (1000, 4)
    """
    who = Policy(_uniform(env), env, state=(jnp.zeros(()),), hypers=(), env_params=env.params)
    return collect(who, steps, num_envs=num_envs, seed=seed, name=name)


def _whole(name: str, value: Any) -> int:
    """Return a number of steps, which may be written as 1e5."""
    whole = isinstance(value, float) and value.is_integer()
    return integer(name, int(value) if whole else value, 1)


def _check_stays(env: Environment) -> None:
    """Raise ValueError where parameters change with time, or steps have discounts."""
    if env.discounted:
        raise ValueError(
            f"policy: steps of {env.name} have discounts of their own, which data sets do not keep"
        )
    if env.phase is not None:
        raise ValueError(
            f"policy: expected an environment whose parameters stay, {env.name} is a stream of "
            "tasks: choose one with policy._replace(env=..., env_params=...)"
        )


def _acted(key: Key, batch: Batch, explore: bool, *, length: int, num_envs: int) -> Transition:
    """Act for `length` steps in each environment: steps [B * N * length, ...] on the host."""
    agent, env = _acting(batch.agent, explore, min(length, LENGTH), num_envs), batch.env
    check_fit(agent, env)

    def one(key: Key, hypers: Any, params: PyTree, state: Any) -> Transition:
        start_key, act_key = jax.random.split(key)
        hypers = agent.anneal(hypers, ENDED)
        run = start(agent, env, key=start_key, params=params, state=())

        def play(run: Any, key: Key):
            run = run._replace(agent=state)
            given = {"hypers": hypers, "params": params, "run": run}
            run, steps, _ = rollout(agent, env, key=key, **given, reset_pool=POOL)
            return run._replace(agent=()), steps._replace(extras={})

        keys = jax.random.split(act_key, -(-length // agent.rollout_length))
        steps = jax.lax.scan(play, tree.strong(run), keys)[1]
        return jax.tree.map(lambda x: _by_environment(x, length), _typed(env, steps))

    keys = jax.random.split(key, batch.size)
    act = jax.jit(jax.vmap(one, (0, 0, batch.axes, 0)))
    steps = act(keys, batch.hypers, batch.params, batch.states)
    return jax.tree.map(lambda x: np.asarray(x).reshape(-1, *x.shape[2:]), steps)


def _acting(agent: Agent, explore: bool, length: int, num_envs: int) -> Agent:
    """Let an agent act with exploration or without, whatever it is told, in other sizes."""

    def act(noise: Any, hypers: Any, state: Any, memory: Memory, obs: Array, _: bool):
        return agent.act(noise, hypers, state, memory, obs, explore)

    return agent._replace(act=act, num_envs=num_envs, rollout_length=length)


def _typed(env: Environment, steps: Transition) -> Transition:
    """Convert steps to the dtypes of the spaces."""
    seen = spaces.abstract(env.observation).dtype
    return steps._replace(
        obs=steps.obs.astype(seen),
        next_obs=steps.next_obs.astype(seen),
        action=taken(env.action, steps.action),
        reward=steps.reward.astype(jnp.float32),
    )


def _by_environment(x: Array, length: int) -> Array:
    """Order what rollouts [S, T, N, ...] have by environment, then time: [N * length, ...]."""
    n, rest = x.shape[2], x.shape[3:]
    by_time = jnp.reshape(x, (-1, n, *rest))[:length]
    return jnp.reshape(jnp.moveaxis(by_time, 1, 0), (n * length, *rest))


def _uniform(env: Environment) -> Agent:
    """Make an agent that only acts, with uniformly random actions."""
    box = env.action
    if isinstance(box, Box) and not np.isfinite([*np.ravel(box.low), *np.ravel(box.high)]).all():
        raise ValueError(f"env: expected finite bounds of actions, {env.name} has {box}")

    act, noise = acting.at_random(env.observation, box)
    return acting.only_acting("uniform", env, act=act, noise=noise)
