"""Streams of tasks: phases that follow each other in one run, on the engine's clock.

The clock is not batched over members or environments, so a step computes only the current task.
Where a phase begins, all episodes start anew; the last step of the previous phase counts as
truncated. Agent, optimizer and replay are not told of phases.
"""

import functools
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from purejaxrl_suite.core.argument import instances, integer
from purejaxrl_suite.core.spaces import describe
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
from purejaxrl_suite.envs.common import (
    check_playable,
    common_info,
    common_limit,
    common_space,
    limit_of,
    pad,
    shown,
    with_task,
)
from purejaxrl_suite.envs.recipe import recorded
from purejaxrl_suite.envs.wrappers import transform_observation


class Stream(NamedTuple):
    """Parameters of a stream. task: i32[], the current environment. envs: parameters of each."""

    task: Array | np.int32
    envs: tuple[PyTree, ...]


@recorded
def continual(
    envs: Sequence[Environment], phase_length: int, *, show_task: bool = False
) -> Environment:
    """Play environments in turn, cyclically, for `phase_length` updates each.

    Observations are padded with zeros to one shape; actions must be the same (MinAtar's are with
    `use_minimal_action_set=False`). `info["task"]` is the place of the current task in the list.
    Outside of training, as in evaluation, the task is `params.task`: 0 unless changed. Streams in
    all orders are `[continual(order, n) for order in itertools.permutations(envs)]`.

    Args:
        envs: two or more environments.
        phase_length: updates of a phase.
        show_task: add a one-hot task label to observations.

    Returns:
        The stream.

    Raises:
        ValueError: there are fewer than two, or one agent cannot play them all.

    Example:
        >>> from purejaxrl_suite.envs.continual import continual
        >>> stream = continual([pjs.make("CartPole-v1", length=x) for x in (0.5, 2.0)], 100)
        >>> len(stream.params.envs)
        2
    """
    envs = instances("envs", envs, Environment, least=2)
    integer("phase_length", phase_length, 1)
    check_playable(envs)
    first, *others = envs
    for other in others:
        if other.action != first.action:
            raise ValueError(
                f"envs: {first.name} has actions {describe(first.action)}, {other.name} "
                f"{describe(other.action)}; "
                "expected the same"
            )
    space = common_space(envs)
    told = with_task(space, len(envs)) if show_task else space
    show = shown(space, len(envs)) if show_task else lambda obs, place: pad(obs, space)
    tasks = [
        transform_observation(env, lambda obs, i=i: show(obs, i), told)
        for i, env in enumerate(envs)
    ]
    names = common_info(envs)
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
            info = {name: now.info[name].astype(jnp.float32) for name in names}
            info["task"] = jnp.float32(i)
            return (*states[:i], state, *states[i + 1 :]), now._replace(info=info)

        return jax.lax.switch(params.task, [lambda i=i: play(i) for i in range(len(tasks))])

    def phase(params: Stream, clock: Clock) -> tuple[Stream, Array]:
        task = (clock.update // phase_length) % len(tasks)
        begins = (clock.update % phase_length == 0) & (clock.update > 0)
        return params._replace(task=task), begins

    def limit(params: Stream) -> Array:
        each = [limit_of(env, one) for env, one in zip(envs, params.envs, strict=True)]
        return functools.reduce(jnp.maximum, each)

    name = f"continual({', '.join(env.name for env in envs)}; {phase_length})"
    params, longest = Stream(np.int32(0), tuple(env.params for env in envs)), common_limit(envs)
    return Environment(
        name=name,
        observation=told,
        action=first.action,
        time_limit=longest,
        params=params,
        init=init,
        step=step,
        phase=phase,
        limit=None if longest is None else limit,
    )


class Labels(NamedTuple):
    """Parameters of `label_shuffle`. task: i32[], the current assignment of labels."""

    task: Array | np.int32


@recorded
def label_shuffle(
    phase_length: int, examples: int = 256, features: int = 16, classes: int = 10, seed: int = 0
) -> Environment:
    """Memorise random labels of random inputs; all labels are redrawn in each phase.

    A supervised test of plasticity as an environment: an episode is one step, the observation
    f32[features] is one of `examples` fixed normal vectors, and the action that is its label gets
    reward 1. Guessing returns 1 / classes. After Lyle et al. 2023, arXiv 2303.01486, and the label
    shuffling of Sokar et al. 2023, arXiv 2302.12902; inputs are made on the device.

    Args:
        phase_length: updates of a phase.
        examples: inputs.
        features: numbers of an input.
        classes: labels, the actions.
        seed: of inputs and labels.

    Returns:
        The stream.

    Raises:
        ValueError: a size is not positive.
    """
    sizes = {"phase_length": phase_length, "examples": examples, "features": features}
    for name, size in (sizes | {"classes": classes}).items():
        integer(name, size, 1)
    integer("seed", seed, 0, 2**32 - 1)

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
        return state, TimeStep(
            obs=obs,
            reward=right.astype(jnp.float32),
            terminated=jnp.ones((), bool),
            truncated=jnp.zeros((), bool),
            final_obs=obs,
            info={},
        )

    def phase(params: Labels, clock: Clock) -> tuple[Labels, Array]:
        begins = (clock.update % phase_length == 0) & (clock.update > 0)
        return params._replace(task=clock.update // phase_length), begins

    name = f"label_shuffle({examples} x {features}, {classes}; {phase_length})"
    space, params = Box((features,)), Labels(np.int32(0))
    return Environment(
        name=name,
        observation=space,
        action=Discrete(classes),
        time_limit=1,
        params=params,
        init=init,
        step=step,
        phase=phase,
    )
