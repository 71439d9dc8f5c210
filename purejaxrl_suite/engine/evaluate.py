"""Evaluate agents inside the compiled program, one episode per environment within a step budget.

Every environment plays its first episode only, so short episodes are not counted more often than
long ones, and nothing is reset. The budget of `Policy.evaluate` and `Result.evaluate` is the
largest time limit among the members, within which every episode ends.
"""

from collections.abc import Callable, Mapping
from contextlib import closing
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from purejaxrl_suite.core import tree
from purejaxrl_suite.core.argument import instance, integer
from purejaxrl_suite.core.interventions import joined
from purejaxrl_suite.core.types import ENDED, Act, Agent, Array, Clock, Environment, Key, PyTree
from purejaxrl_suite.engine.parallel import by_task, check_fit, check_tasks, parallel
from purejaxrl_suite.engine.rollout import info_names

PREFIX = "evaluation_"
RETURN = f"{PREFIX}return"
"""Names of the metrics of evaluations during training begin so."""


class Evaluation(NamedTuple):
    """Results of E episodes, one per environment; of K tasks, episode i plays number i % K.

    episode_return: f32[E], undiscounted.
    episode_length: i32[E].
    completed: bool[E], False where the step budget ended before the episode did; return and length
        are then those so far.
    info: {name: f32[E]}, the environment's `TimeStep.info` at the last step of the episode.
    """

    episode_return: Array
    episode_length: Array
    completed: Array
    info: dict[str, Array]


class Evaluating(NamedTuple):
    """Settings of evaluation during training, which changes no other result.

    every: updates from one evaluation to the next.
    episodes: episodes in each evaluation, in environments of their own.
    explore: act as training does at its end, instead of greedily.
    steps: budget of an episode; None is the largest time limit among the members.

    Example:
        >>> pjs.Evaluating(every=100, episodes=16)
        Evaluating(every=100, episodes=16, explore=False, steps=None)
    """

    every: int
    episodes: int = 32
    explore: bool = False
    steps: int | None = None


def refuse(unknown: Mapping[str, Any], *more: str) -> None:
    """Raise ValueError for unknown arguments of `evaluate`; `more` names others that it has."""
    if unknown:
        names = ", ".join(("episodes", *more, "explore", "steps", "policy"))
        raise ValueError(
            f"{', '.join(unknown)}: expected no such argument of evaluate, which has {names}; "
            "other parameters of the environment are given by policy._replace(env_params=...)"
        )


def make_evaluate(
    agent: Agent,
    env: Environment,
    *,
    episodes: int = 128,
    steps: int | None = None,
    explore: bool = False,
    policy: str | None = None,
) -> Callable[[Key, Any, PyTree, Any], Evaluation]:
    """Make the evaluation of one member, a pure function.

    Args:
        agent: whose policy acts.
        env: in which it acts.
        episodes: how many, one per environment.
        steps: budget of each episode; None is the time limit with the environment's default
            parameters. For members with other parameters see `envs.common.limits`.
        explore: False acts greedily, True samples as in training (with the hypers of its end).
        policy: None is the one that acts in training, else one of `Agent.policies`.

    Returns:
        (key, hypers, env_params, agent state) -> Evaluation. For an environment on the host it is
        no function to compile: it steps copies that it opens and closes.

    Raises:
        ValueError: agent and environment do not fit, there is neither a time limit nor `steps`, or
            the agent has no such policy.
    """
    check_fit(instance("agent", agent, Agent), instance("env", env, Environment))
    act = _policy(agent, policy)
    steps = env.time_limit if steps is None else steps
    if steps is None:
        raise ValueError(f"environment {env.name!r} has no time limit: pass steps=, a budget")
    episodes, steps = integer("episodes", episodes, 1), integer("steps", steps, 1)
    check_tasks(env, "episodes", episodes)
    if env.host is not None:
        return _on_host(agent, env, act, episodes=episodes, steps=steps, explore=explore)
    envs = parallel(env)

    def evaluate(key: Key, hypers: Any, params: PyTree, state: Any) -> Evaluation:
        hypers = agent.anneal(hypers, ENDED)
        init_key, act_key, step_key = jax.random.split(key, 3)
        env_state, obs = envs.init(jax.random.split(init_key, episodes), params)

        def step(carry, xs):
            noise, step_keys = xs
            env_state, obs, memory, result = carry
            memory, action, _ = act(noise, hypers, state, memory, obs, explore)
            env_state, time = envs.step(step_keys, params, env_state, action)
            playing = ~result.completed
            info = {name: jnp.where(playing, x, result.info[name]) for name, x in time.info.items()}
            result = Evaluation(
                result.episode_return + jnp.where(playing, time.reward, 0.0),
                result.episode_length + playing,
                result.completed | time.terminated | time.truncated,
                info,
            )
            return (env_state, time.obs, memory, result), None

        zeros = jnp.zeros(episodes)
        info = {name: zeros for name in info_names(env, params)}
        result = Evaluation(zeros, zeros.astype(jnp.int32), zeros.astype(bool), info)
        noise = jax.vmap(agent.noise, (0, None))(jax.random.split(act_key, steps), episodes)
        step_keys = jax.random.split(step_key, (steps, episodes))
        carry = env_state, obs, agent.memory(episodes), result
        return jax.lax.scan(step, carry, (noise, step_keys))[0][-1]

    return evaluate


def _on_host(
    agent: Agent, env: Environment, act: Act, *, episodes: int, steps: int, explore: bool
) -> Callable[[Key, Any, PyTree, Any], Evaluation]:
    """Make the evaluation in copies of an environment on the host; only acting is compiled."""

    @jax.jit
    def choose(key: Key, hypers: Any, state: Any, memory: Any, obs: Array) -> Any:
        noise = agent.noise(key, episodes)
        return act(noise, agent.anneal(hypers, ENDED), state, memory, obs, explore)[:2]

    def evaluate(key: Key, hypers: Any, params: PyTree, state: Any) -> Evaluation:
        act_key, seed_key = jax.random.split(key)
        seeds = np.asarray(jax.random.randint(seed_key, (episodes,), 0, 2**31 - 1, jnp.int32))
        assert env.host is not None
        info: Any = {name: np.zeros(episodes, np.float32) for name in env.host.info}
        returns: Any = np.zeros(episodes)
        lengths: Any = np.zeros(episodes, np.int32)
        completed: Any = np.zeros(episodes, bool)
        with closing(env.host.open(seeds.tolist())) as copies:
            obs, memory = copies.reset(), agent.memory(episodes)
            for t in range(steps):
                now_key = jax.random.fold_in(act_key, t)
                memory, action = choose(now_key, hypers, state, memory, obs)
                now, playing = copies.step(np.asarray(action)), ~completed
                returns[playing] += now.reward[playing]
                lengths += playing
                for name, x in now.info.items():
                    info[name][playing] = x[playing]
                completed, obs = completed | now.terminated | now.truncated, now.obs
                if completed.all():
                    break
        return Evaluation(returns.astype(np.float32), lengths, completed, info)

    return evaluate


def _policy(agent: Agent, name: str | None) -> Act:
    """Return `agent.act`, or another policy of the agent by its name."""
    if name is None:
        return agent.act
    if name not in agent.policies:
        known = ", ".join(map(repr, agent.policies))
        expected = f"None or one of {known}" if known else f"None, as {agent.name!r} has no others"
        raise ValueError(f"policy: expected {expected}, got {name!r}")
    return agent.policies[name]


def make_evaluating(
    agent: Agent, env: Environment, how: Evaluating
) -> Callable[[Key, Any, PyTree, Any, Clock], dict[str, Array]]:
    """Make the evaluation of one member during training, a pure function.

    Its row has the mean `evaluation_return` over episodes, `evaluation_X` for each X in the
    environment's `TimeStep.info` at the last step of an episode, and with several tasks also these
    of each task. Further policies of the agent play the same number of episodes, drawn for each of
    them: `evaluation_return_NAME`. Between evaluations all are NaN, and nothing is computed.

    Args:
        agent: whose policy acts.
        env: in which it acts.
        how: when, for how many episodes.

    Returns:
        (key, hypers, env_params, agent state, clock) -> row {name: f32[]}.
    """
    every = integer("evaluate_every", how.every, 1)
    row = make_row(agent, env, how)

    @jax.named_scope("evaluation")
    def evaluating(key: Key, hypers: Any, params: PyTree, state: Any, clock: Clock):
        shapes = jax.eval_shape(row, key, hypers, params, state)
        missing = jax.tree.map(lambda x: jnp.full(x.shape, jnp.nan), shapes)
        due = _due(clock, every)
        return jax.lax.cond(due, row, lambda *_: missing, key, hypers, params, state)

    return evaluating


def row_names(agent: Agent, env: Environment) -> list[str]:
    """List the metrics of an evaluation during training."""
    known = [RETURN, *(PREFIX + name for name in info_names(env, env.params))]
    each = [name + end for end in ("", *(f"_{x}" for x in agent.policies)) for name in known]
    return [name + end for name in each for end in ("", *(f"_{task}" for task in env.tasks))]


def make_row(
    agent: Agent, env: Environment, how: Evaluating
) -> Callable[[Key, Any, PyTree, Any], dict[str, Array]]:
    """Make (key, hypers, env_params, agent state) -> the row of one evaluation {name: f32[]}.

    Args:
        agent: whose policy acts.
        env: in which it acts; on the host the function cannot be compiled.
        how: for how many episodes.

    Returns:
        The function.
    """
    episodes, explore, steps = how[1:]
    settings = {"episodes": episodes, "explore": explore, "steps": steps}
    own, *others = (
        make_evaluate(agent, env, policy=name, **settings) for name in (None, *agent.policies)
    )

    def means(end: str, found: Evaluation) -> dict[str, Array]:
        told = {PREFIX + name + end: x for name, x in found.info.items()}
        values = {RETURN + end: found.episode_return, **told}
        row = {name: jnp.mean(x) for name, x in values.items()}
        for name, x in values.items() if env.tasks else ():
            each = jnp.mean(by_task(x, len(env.tasks)), axis=0)
            row |= {f"{name}_{task}": each[i] for i, task in enumerate(env.tasks)}
        return row

    def row(key: Key, hypers: Any, params: PyTree, state: Any) -> dict[str, Array]:
        parts = {"the agent": means("", own(key, hypers, params, state))}
        for i, (name, evaluate) in enumerate(zip(agent.policies, others, strict=True)):
            # A number beyond those of any split, whose keys it would otherwise repeat.
            other = jax.random.fold_in(key, np.uint32(2**31 + i))
            found = evaluate(other, hypers, params, state)
            parts[f"policy {name!r}"] = means(f"_{name}", found)
        return joined(parts)

    return row


def tell(
    agent: Agent, how: Evaluating, hypers: Any, state: Any, means: dict[str, Array], clock: Clock
) -> Any:
    """Give an agent the row of an evaluation, if it reads any and one has just been made.

    Returns:
        Its state (`Agent.evaluated`).
    """
    if agent.evaluated is None:
        return state
    bare, replay = tree.without_replay(state)
    hear = partial(agent.evaluated, hypers)
    bare = jax.lax.cond(_due(clock, how.every), hear, lambda state, means: state, bare, means)
    return bare._replace(**replay)


def _due(clock: Clock, every: int) -> Array:
    return (clock.update + 1) % every == 0
