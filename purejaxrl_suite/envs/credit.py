"""Tasks of long-term credit assignment: what is rewarded was decided long before.

Most are those of Raposo et al. 2021, "Synthetic returns for long-term credit assignment" (arXiv
2102.12425): catches that are paid at the end of many runs, a key that opens a door after a
distraction, and a chain with a trigger. Delayed Catch and Key-to-Door are as in released code (Ni
et al. 2023, arXiv 2307.03864, and Hung et al. 2019, arXiv 1810.06721); the sizes of the chain are
our setting. The umbrella chain of bsuite is gymnax's.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from purejaxrl_suite.core.argument import integer
from purejaxrl_suite.core.types import Array, Box, Discrete, Environment, Key, PyTree, TimeStep
from purejaxrl_suite.envs.common import timestep
from purejaxrl_suite.envs.key_to_door import key_to_door, key_to_door_tvt
from purejaxrl_suite.envs.recipe import made_by

SIZE = 7
"""Rows and columns of Catch."""
RUN = SIZE
"""Steps from the start of a run of Catch to that of the next."""
PLACES, START, TRIGGER, WALK = 9, 4, 2, 10
"""Of the chain: its states, where episodes start, which is the trigger, and steps of the walk."""


def ids() -> tuple[str, ...]:
    """List the ids that `make` takes."""
    return tuple(_makers())


def make(id: str, **options: Any) -> Environment:
    """Make a task of credit assignment.

    Args:
        id: one of `ids()`.
        **options: of Delayed Catch `runs` (20), of the trigger chain `distractors` (50).

    Returns:
        The environment.

    Raises:
        ValueError: the id or an option is unknown, or an option is out of range.
    """
    return made_by(_makers(), id, options)


def _makers() -> dict[str, Callable[..., Environment]]:
    return {
        "Credit-AliasedStates": aliased_states,
        "Credit-DelayedCatch": delayed_catch,
        "Credit-KeyToDoor": key_to_door,
        "Credit-KeyToDoor-TVT": key_to_door_tvt,
        "Credit-TriggerChain": trigger_chain,
    }


class Catch(NamedTuple):
    """State of Delayed Catch.

    starts: i32[2, runs], columns of ball and basket at the start of each run. ball: i32[2], row and
    column. basket: i32[]. run, time, catches: i32[].
    """

    starts: Array
    ball: Array
    basket: Array
    run: Array
    time: Array
    catches: Array


def delayed_catch(runs: int = 20) -> Environment:
    """Make Catch with many runs in an episode, all of whose catches are paid at the last step.

    A ball falls one row per step on a board of 7 x 7; actions move the basket in the lowest row to
    the left, not at all, or to the right. One step lies between two runs, so an episode has 7 runs
    - 1 steps. Observations f32[7, 7, 1] are -1 at the ball and 1 at the basket, which hides it.
    `info["catches"]` is the share of the balls that were caught.

    Args:
        runs: of an episode.

    Returns:
        The environment; a random policy catches 0.1527 of the balls.

    Raises:
        ValueError: runs < 1.
    """
    limit = RUN * integer("runs", runs, 1) - 1

    def look(state: Catch) -> Array:
        board = jnp.zeros((SIZE, SIZE, 1)).at[state.ball[0], state.ball[1], 0].set(-1.0)
        return board.at[SIZE - 1, state.basket, 0].set(1.0)

    def init(key: Key, params: PyTree) -> tuple[Catch, Array]:
        ball_key, basket_key = jax.random.split(key)
        balls = jax.random.randint(ball_key, (runs,), 0, SIZE - 1)
        starts = jnp.stack([balls, jax.random.randint(basket_key, (runs,), 1, SIZE - 2)])
        zero = jnp.int32(0)
        ball = jnp.stack([zero, starts[0, 0]])
        state = Catch(starts, ball, starts[1, 0], run=zero, time=zero, catches=zero)
        return state, look(state)

    def step(key: Key, params: PyTree, state: Catch, action: Array) -> tuple[Catch, TimeStep]:
        between = state.ball[0] == SIZE - 1
        run = jnp.minimum(state.run + between, runs - 1)
        ball, basket = state.starts[:, run]
        above = jnp.stack([jnp.zeros_like(ball), ball])
        # A step after the end of the episode is meaningless; the ball stays on the board.
        ball = jnp.where(between, above, jnp.stack([state.ball[0] + 1, state.ball[1]]))
        moved = jnp.clip(state.basket + action - 1, 0, SIZE - 1)
        basket = jnp.where(between, basket, moved)
        caught = ~between & (ball[0] == SIZE - 1) & (ball[1] == basket)
        catches, time = state.catches + caught, state.time + 1
        after = Catch(state.starts, ball, basket, run=run, time=time, catches=catches)
        last, total = time >= limit, catches.astype(jnp.float32)
        reward, info = jnp.where(last, total, 0.0), {"catches": total / runs}
        return after, timestep(look(after), reward, last, info=info)

    return Environment(
        name="delayed_catch",
        observation=Box((SIZE, SIZE, 1), "float32", -1.0, 1.0),
        action=Discrete(3),
        time_limit=limit,
        params=(),
        init=init,
        step=step,
    )


class Chain(NamedTuple):
    """State of the trigger chain. place, time: i32[]. triggered: bool[]."""

    place: Array
    time: Array
    triggered: Array


def trigger_chain(distractors: int = 50) -> Environment:
    """Make a walk past a trigger, then noise, then 1 if the trigger was visited.

    Ten steps to the left or right on nine states, from the middle; then steps whose actions do
    nothing and whose rewards are -1 or 1, by a coin; the last one pays. Observations f32[11] are
    one-hot: the place during the walk, then one entry for the noise, and one for the last step. So
    nothing tells after the walk whether the trigger was visited, and no policy can change the
    noise. `info["trigger"]` tells it.

    Args:
        distractors: steps with noise, D. An episode has 10 + D steps.

    Returns:
        The environment; the best expected return is 1, a random walk visits the trigger in 0.549 of
        the episodes.

    Raises:
        ValueError: distractors < 1.
    """
    limit = WALK + integer("distractors", distractors, 1)

    def look(state: Chain) -> Array:
        noise, last = state.time >= WALK, state.time >= limit - 1
        return jax.nn.one_hot(
            jnp.where(last, PLACES + 1, jnp.where(noise, PLACES, state.place)), 11
        )

    def init(key: Key, params: PyTree) -> tuple[Chain, Array]:
        state = Chain(jnp.int32(START), jnp.int32(0), jnp.zeros((), bool))
        return state, look(state)

    def step(key: Key, params: PyTree, state: Chain, action: Array) -> tuple[Chain, TimeStep]:
        walks, last = state.time < WALK, state.time >= limit - 1
        moved = jnp.clip(state.place + 2 * action - 1, 0, PLACES - 1)
        place = jnp.where(walks, moved, state.place)
        triggered = state.triggered | (walks & (place == TRIGGER))
        after = Chain(place, state.time + 1, triggered)
        noise = jnp.where(walks, 0.0, jax.random.rademacher(key, (), jnp.float32))
        visited = triggered.astype(jnp.float32)
        reward = jnp.where(last, visited, noise)
        return after, timestep(look(after), reward, last, info={"trigger": visited})

    return Environment(
        name="trigger_chain",
        observation=Box((PLACES + 2,), "float32", 0.0, 1.0),
        action=Discrete(2),
        time_limit=limit,
        params=(),
        init=init,
        step=step,
    )


class Aliased(NamedTuple):
    """State of the aliased states. place: i32[], 0 is s1, 1 is s2, 2 is s3. ups: i32[]."""

    place: Array
    ups: Array


def aliased_states() -> Environment:
    """Make three states that look alike, where the best policy is a certain mixture.

    Two steps from s1: up (action 1) pays 1 and leads to s2, down pays 0 and leads to s3. Then in s2
    down pays 1 and up -1, in s3 up pays 1 and down -1. The observation f32[1] is always 0. With
    the probability p of up the expected return is -4 p^2 + 5 p - 1, which is 9/16 at most, at
    p = 5/8; without a discount values that bootstrap from the observation lead to p = 3/4, greedy
    ones to 0 or 1. `info["up"]` is the share of ups.

    Our reconstruction of the task of Hessel et al. 2021 (arXiv 2104.06159, figure 2) from the
    numbers that are published.

    Returns:
        The environment.
    """

    def init(key: Key, params: PyTree) -> tuple[Aliased, Array]:
        return Aliased(jnp.int32(0), jnp.int32(0)), jnp.zeros(1)

    def step(key: Key, params: PyTree, state: Aliased, action: Array) -> tuple[Aliased, TimeStep]:
        up, first = action == 1, state.place == 0
        right = jnp.where(up == (state.place == 2), 1.0, -1.0)
        reward = jnp.where(first, up.astype(jnp.float32), right)
        after = Aliased(jnp.where(up, 1, 2).astype(jnp.int32), state.ups + up)
        share = {"up": after.ups.astype(jnp.float32) / 2.0}
        return after, timestep(jnp.zeros(1), reward, ~first, info=share)

    return Environment(
        name="aliased_states",
        observation=Box((1,), "float32", 0.0, 1.0),
        action=Discrete(2),
        time_limit=2,
        params=(),
        init=init,
        step=step,
    )
