"""Teachers: what a student asks of another agent, whose parameters are part of its state."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from purejaxrl_suite.agents.shared.configs import BatchConfig
from purejaxrl_suite.buffers import PrioritisedState, Ring, Uniform, uniform
from purejaxrl_suite.core import tree, types
from purejaxrl_suite.core.tree import Constant
from purejaxrl_suite.core.types import Agent, Array, Key
from purejaxrl_suite.envs.common import shortest_limit


class Teacher(NamedTuple):
    """A frozen agent as functions of what is kept of it: its state without its replay.

    init: key -> what is kept of an untrained one. keep: state -> what is kept of it.
    log_policy: (kept, obs[B, ...], temperature) -> log probabilities f32[B, A], by a softmax of
        action values at that temperature; of an agent without values its own policy.
    greedy: (kept, obs[B, ...]) -> actions i32[B].
    """

    init: Callable[[Key], Constant]
    keep: Callable[[Any], Constant]
    log_policy: Callable[[Constant, Array, Array], Array]
    greedy: Callable[[Constant, Array], Array]


def make_teacher(agent: Agent, env: types.Environment) -> Teacher:
    """Make a teacher of an agent of the suite, with the hyper-parameters that it was built with.

    What is kept is a `Constant`, so nothing takes it for moments of the student's parameters.

    Raises:
        ValueError: it has a memory, no estimates of discrete actions, or other spaces than the
            student's environment.
    """
    if (agent.observation, agent.action) != (env.observation, env.action):
        spaces = f"the spaces of {env.name!r}"
        raise ValueError(f"teacher: expected an agent with {spaces}, got {agent.name!r}")
    if jax.tree.leaves(jax.eval_shape(lambda: agent.memory(1))):
        raise ValueError(f"teacher: expected an agent without a memory, got {agent.name!r}")
    if agent.estimate is None or not isinstance(agent.action, types.Discrete):
        raise ValueError(
            f"teacher: expected an agent that tells values or probabilities of discrete actions, "
            f"got {agent.name!r}"
        )
    hypers, estimate = jax.tree.map(jnp.float32, agent.hypers), agent.estimate

    def bare(state: Any) -> Any:
        return tree.without_replay(state)[0]

    def fresh(key: Key) -> Any:
        return bare(agent.init(key, hypers))

    shape = jax.eval_shape(fresh, jax.eval_shape(jax.random.key, 0))

    def log_policy(kept: Constant, obs: Array, temperature: Array) -> Array:
        found = estimate(hypers, kept.like(shape), (), obs)
        if found.q is not None:
            return jax.nn.log_softmax(found.q / temperature)
        assert found.probabilities is not None
        return jnp.log(found.probabilities)

    def greedy(kept: Constant, obs: Array) -> Array:
        # The greedy policy uses none of the noise.
        noise = agent.noise(jax.random.key(0), obs.shape[0])
        return agent.act(noise, hypers, kept.like(shape), (), obs, False)[1]

    return Teacher(
        init=lambda key: Constant.of(fresh(key)),
        keep=lambda state: Constant.of(bare(state)),
        log_policy=log_policy,
        greedy=greedy,
    )


def experience_of(teacher: Agent, env: types.Environment, max_n: int) -> Uniform:
    """Make the uniform replay whose ring is that of a teacher, for windows of up to max_n steps.

    Raises:
        ValueError: the teacher has no replay.
    """
    state = jax.eval_shape(
        lambda: teacher.init(jax.random.key(0), jax.tree.map(jnp.float32, teacher.hypers))
    )
    if "replay" not in state._fields:
        raise ValueError(f"teacher: expected one with a replay to learn from, got {teacher.name!r}")
    config: BatchConfig = teacher.config
    return uniform(
        env.observation,
        env.action,
        capacity=config.capacity,
        num_envs=config.num_envs,
        rollout_length=config.rollout_length,
        max_n=max_n,
        time_limit=shortest_limit(env),
    )


def ring_of(replay: Any) -> Ring:
    """Return the ring of a replay, whatever its kind."""
    return replay.ring if isinstance(replay, PrioritisedState) else replay
