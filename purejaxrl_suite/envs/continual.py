"""Tasks that follow each other in one run, on the engine's clock; and labels that change.

The clock is not batched over members or environments, so a step computes the task that is played
and no other. Where a phase begins, all episodes start anew; the last step of the phase before
counts as truncated. Agent, optimizer and replay know nothing of it.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from purejaxrl_suite.core.types import (
    Array,
    Box,
    Clock,
    Discrete,
    Environment,
    Key,
    PyTree,
    TimeStep,
)
from purejaxrl_suite.envs.wrappers import transform_observation


class Stream(NamedTuple):
    """Parameters of a stream. task: i32[], the environment that is played. envs: theirs."""

    task: Array | np.int32
    envs: tuple[PyTree, ...]


def continual(envs: Sequence[Environment], phase_length: int) -> Environment:
    """Play environments in turn, `phase_length` updates each, over and over again.

    Observations are padded with zeros to one shape; actions must be the same (MinAtar's are with
    `use_minimal_action_set=False`). `info["task"]` is the place of the task in the list. The task
    outside of training, as in evaluation, is `params.task`: 0 unless changed. A list of streams in
    all orders is `[continual(order, n) for order in itertools.permutations(envs)]`.

    Raises:
        ValueError: there are not two or more, or they cannot be played by one agent.
    """
    if len(envs) < 2 or phase_length < 1:
        raise ValueError(
            f"envs, phase_length: {len(envs)} environments of {phase_length} updates, expected "
            "two or more and a positive number"
        )
    first, *others = envs
    for other in others:
        if other.action != first.action:
            raise ValueError(
                f"envs: {first.name} has actions {first.action}, {other.name} {other.action}; "
                "expected the same"
            )
    space = _common_space(envs)
    tasks = [_padded(env, space) for env in envs]
    names = set.intersection(*(_info_names(task) for task in tasks))
    blank = [jax.eval_shape(task.init, jax.random.key(0), task.params)[0] for task in tasks]

    def init(key: Key, params: Stream) -> tuple[tuple[PyTree, ...], Array]:
        def start(i: int) -> tuple[tuple[PyTree, ...], Array]:
            states = [jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), one) for one in blank]
            states[i], obs = tasks[i].init(key, params.envs[i])
            return tuple(states), obs

        return jax.lax.switch(params.task, [lambda i=i: start(i) for i in range(len(tasks))])

    def step(
        key: Key, params: Stream, states: tuple[PyTree, ...], action: Array
    ) -> tuple[tuple[PyTree, ...], TimeStep]:
        def play(i: int) -> tuple[tuple[PyTree, ...], TimeStep]:
            state, now = tasks[i].step(key, params.envs[i], states[i], action)
            info = {name: now.info[name].astype(jnp.float32) for name in sorted(names)}
            info["task"] = jnp.float32(i)
            return (*states[:i], state, *states[i + 1 :]), now._replace(info=info)

        return jax.lax.switch(params.task, [lambda i=i: play(i) for i in range(len(tasks))])

    def phase(params: Stream, clock: Clock) -> tuple[Stream, Array]:
        task = (clock.update // phase_length) % len(tasks)
        begins = (clock.update % phase_length == 0) & (clock.update > 0)
        return params._replace(task=task), begins

    limits = [env.time_limit for env in envs]
    limit = None if None in limits else max(x for x in limits if x is not None)
    name = f"continual({', '.join(env.name for env in envs)}; {phase_length})"
    params = Stream(np.int32(0), tuple(env.params for env in envs))
    return Environment(name, space, first.action, limit, params, init, step, phase=phase)


class Labels(NamedTuple):
    """Parameters of `label_shuffle`. task: i32[], the assignment of labels in force."""

    task: Array | np.int32


def label_shuffle(
    phase_length: int, examples: int = 256, features: int = 16, classes: int = 10, seed: int = 0
) -> Environment:
    """Memorise random labels of random inputs, which are all dealt anew in each phase.

    A supervised probe of plasticity as an environment: one step, observation f32[features] of one
    of `examples` fixed normal vectors, reward 1 for the action that is its label. Guessing returns
    1 / classes. After Lyle et al. 2023, arXiv 2303.01486, and the label shuffling of Sokar et al.
    2023, arXiv 2302.12902; inputs are made on the device. A phase has `phase_length` updates.

    Raises:
        ValueError: a size is not positive.
    """
    if min(phase_length, examples, features, classes) < 1:
        raise ValueError(
            f"phase_length, examples, features, classes: {phase_length}, {examples}, {features}, "
            f"{classes}, expected positive numbers"
        )

    def obs_of(example: Array) -> Array:
        return jax.random.normal(jax.random.fold_in(jax.random.key(seed), example), (features,))

    def label_of(task: Array | np.int32, example: Array) -> Array:
        key = jax.random.fold_in(jax.random.fold_in(jax.random.key(seed), 2**31), task)
        return jax.random.randint(jax.random.fold_in(key, example), (), 0, classes)

    def init(key: Key, params: Labels) -> tuple[Array, Array]:
        example = jax.random.randint(key, (), 0, examples)
        return example, obs_of(example)

    def step(key: Key, params: Labels, state: Array, action: Array) -> tuple[Array, TimeStep]:
        obs, right = obs_of(state), action == label_of(params.task, state)
        ends = jnp.ones((), bool), jnp.zeros((), bool)
        return state, TimeStep(obs, right.astype(jnp.float32), *ends, obs, {})

    def phase(params: Labels, clock: Clock) -> tuple[Labels, Array]:
        begins = (clock.update % phase_length == 0) & (clock.update > 0)
        return params._replace(task=clock.update // phase_length), begins

    name = f"label_shuffle({examples} x {features}, {classes}; {phase_length})"
    space, params = Box((features,)), Labels(np.int32(0))
    return Environment(name, space, Discrete(classes), 1, params, init, step, phase=phase)


def _common_space(envs: Sequence[Environment]) -> Box:
    """The smallest Box that holds the observations of all, with zeros for what is missing."""
    spaces = [env.observation for env in envs]
    kinds = {(space.dtype, len(space.shape)) for space in spaces}
    if len(kinds) > 1 or any(space.categories for space in spaces):
        raise ValueError(f"envs: observations {spaces}, expected numbers of one dtype and rank")
    shape = tuple(max(sizes) for sizes in zip(*(space.shape for space in spaces), strict=True))
    zero = [0.0] if any(space.shape != shape for space in spaces) else []
    low = min(zero + [float(np.min(space.low)) for space in spaces])
    high = max(zero + [float(np.max(space.high)) for space in spaces])
    return Box(shape, spaces[0].dtype, low, high)


def _padded(env: Environment, space: Box) -> Environment:
    """The environment with zeros behind its observations, along every axis."""
    shape = env.observation.shape
    widths = [(0, whole - size) for whole, size in zip(space.shape, shape, strict=True)]
    return transform_observation(env, lambda obs: jnp.pad(obs, widths), space)


def _info_names(env: Environment) -> set[str]:
    def info(key: Key) -> object:
        state, _ = env.init(key, env.params)
        action = jnp.zeros(getattr(env.action, "shape", ()), getattr(env.action, "dtype", "int32"))
        return env.step(key, env.params, state, action)[1].info

    return set(jax.eval_shape(info, jax.eval_shape(jax.random.key, 0)))
