"""Environments from objects with brax's interface: `reset(key)`, `step(state, action)`, `done`.

Brax's wrappers are not used: with them `done` is both termination and truncation, every episode
starts in the first episode's start state, and the last observation is lost.
"""

import contextlib
import copy
import io
import warnings
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from purejaxrl_suite.core import tree
from purejaxrl_suite.core.types import Array, Box, Environment, Key, PyTree, TimeStep


class Playing(NamedTuple):
    """State of an episode. game: the object's state. time: i32[], its steps, with repeated ones."""

    game: Any
    time: Array


class Rules(NamedTuple):
    """How parameters change an object.

    world: (object, params) -> a copy of the object with these parameters.
    reward: (object, params, state) -> f32[], of the last step.
    """

    world: Callable[[Any, PyTree], Any]
    reward: Callable[[Any, PyTree, Any], Array]


def environment(
    id: str,
    game: Any,
    params: PyTree,
    rules: Rules,
    *,
    actions: int,
    episode_length: int,
    action_repeat: int,
) -> Environment:
    """Make the Environment of an object with brax's interface.

    Args:
        id: of the environment.
        game: the object.
        params: default parameters.
        rules: how parameters change the object.
        actions: how many numbers in [-1, 1] an action has.
        episode_length: steps of the object until an episode is truncated.
        action_repeat: steps of the object for each action; their rewards are added, and an end
            among them stops the repetition.

    Returns:
        The environment.

    Raises:
        ValueError: a number of steps is not positive, or observations are not one vector.
    """
    if episode_length < 1 or action_repeat < 1:
        raise ValueError(
            f"episode_length={episode_length}, action_repeat={action_repeat}: expected at least 1"
        )

    def init(key: Key, params: PyTree) -> tuple[Playing, Array]:
        with quietly(), jax.numpy_rank_promotion("allow"):
            state = rules.world(game, params).reset(key)
        return tree.strong(Playing(state, jnp.int32(0))), _observe(state)

    def advance(params: PyTree, state: Any, action: Array) -> tuple[Any, Array]:
        with quietly(), jax.numpy_rank_promotion("allow"):
            world = rules.world(game, params)
            # A copy of the tree: these objects write into the dictionaries that they are given.
            after = world.step(jax.tree.map(lambda x: x, state), action)
            return tree.strong((after, jnp.float32(rules.reward(world, params, after))))

    def repeated(params: PyTree, state: Any, action: Array) -> tuple[Any, Array]:
        def again(carry: tuple[Any, Array], _: None) -> tuple[Any, None]:
            old, total = carry
            new, reward = advance(params, old, action)
            over = old.done > 0
            return (tree.where(over, old, new), total + jnp.where(over, 0.0, reward)), None

        first = advance(params, state, action)
        return jax.lax.scan(again, first, None, action_repeat - 1)[0]

    def step(key: Key, params: PyTree, state: Playing, action: Array) -> tuple[Playing, TimeStep]:
        action = jnp.clip(jnp.asarray(action, jnp.float32), -1.0, 1.0)
        take = advance if action_repeat == 1 else repeated
        game_state, reward = take(params, state.game, action)
        time, obs = state.time + action_repeat, _observe(game_state)
        return Playing(game_state, time), TimeStep(
            obs=obs,
            reward=reward,
            terminated=game_state.done > 0,
            truncated=time >= episode_length,
            final_obs=obs,
            info={},
        )

    key = jax.eval_shape(jax.random.key, 0)
    shape = jax.eval_shape(init, key, params)[1].shape
    return Environment(
        name=id,
        observation=Box(shape),
        action=Box((actions,), "float32", -1.0, 1.0),
        time_limit=-(-episode_length // action_repeat),
        params=params,
        init=init,
        step=step,
    )


def _observe(state: Any) -> Array:
    obs = state.obs
    if isinstance(obs, dict) or jnp.ndim(obs) != 1:
        raise ValueError(f"observations: {jax.tree.map(jnp.shape, obs)}, expected one vector")
    return jnp.asarray(obs, jnp.float32)


def altered(game: Any, **attributes: Any) -> Any:
    """Copy the object with other attributes; the object itself is never changed."""
    world = copy.copy(game)
    for name, value in attributes.items():
        setattr(world, name, value)
    return world


def check_numbers(options: dict[str, Any]) -> None:
    """Raise ValueError if an option is not a number."""
    for name, value in options.items():
        if isinstance(value, bool) or not isinstance(value, int | float | np.number):
            raise ValueError(f"{name}: {value!r}, expected a number")


def strong(params: Any) -> Any:
    """Convert parameters to numpy f32[]: making an environment touches no device."""
    return type(params)(*(np.float32(value) for value in params))


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """Silence what these packages print when imported, about maintainers and missing parts."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.simplefilter("ignore", UserWarning)
        yield
