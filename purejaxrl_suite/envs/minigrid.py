"""The environments of the `minigrid` package (version 3), with its rules, rewards and views.

Start states come from navix if it draws them as MiniGrid does (minigrid_starts.py). Steps do not
use navix: on a grid with one byte per cell (minigrid_view.py) MiniGrid's rules are a few selects
and one write, exact for every layout. docs/minigrid_parity.md lists what navix does differently,
what remains different here, and the ids that are left out.

Source: minigrid 3 (arXiv:2306.13831), `MiniGridEnv.step` and `envs/*.py`.
"""

import difflib
import functools
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from purejaxrl_suite.core.types import Array, Discrete, Environment, Key, PyTree, TimeStep
from purejaxrl_suite.envs import minigrid_starts as starts
from purejaxrl_suite.envs import minigrid_view as view
from purejaxrl_suite.envs import navix
from purejaxrl_suite.envs.recipe import called

LEFT, RIGHT, FORWARD, PICKUP, DROP, TOGGLE, DONE = range(7)


class State(NamedTuple):
    """State of an episode.

    cells: u8[height, width] (see minigrid_view). position: i32[2] (row, column). direction: i32[],
    0 east, 1 south, 2 west, 3 north. carrying: u8[], the cell of the carried object, 0 for empty
    hands. t: i32[].
    """

    cells: Array
    position: Array
    direction: Array
    carrying: Array
    t: Array


class Event(NamedTuple):
    """A step, for a task to judge: states before and after it, and the front cell.

    front, left: the front cell's code before and after the step.
    """

    action: Array
    before: State
    after: State
    front: Array
    left: Array


Outcome = tuple[Array, Array]  # success bool[], failure bool[]


class Task(NamedTuple):
    """The rules of one id.

    start: builds the start function (called when the environment is made). time_limit: steps.
    outcome: what ends an episode, beside goals and lava. see_through: walls hide nothing.
    pickup_toggles: picking up also toggles, as in MemoryEnv.
    """

    start: Callable[[], starts.StartFunction]
    time_limit: int
    outcome: Callable[[Event], Outcome] | None = None
    see_through: bool = False
    pickup_toggles: bool = False


def ids() -> tuple[str, ...]:
    """List the ids, `MiniGrid-<name>-v<n>`; all behave as in `minigrid`."""
    return tuple(sorted(_tasks()))


def make(env_id: str, *, observation: str = "partial", max_steps: int | None = None) -> Environment:
    """Make a MiniGrid environment.

    `info["success"]` is 1.0 where the step terminated with a positive reward. `params` is ().

    Args:
        env_id: one of `ids()`.
        observation: "partial" u8[7, 7, 3], MiniGrid's own: the view ahead with hidden cells 0 and
            the carried object in the agent's cell (row 6, column 3); or "full" u8[height, width,
            3], FullyObsWrapper's. Both are codes of object, colour and state, indexed [row,
            column]; MiniGrid's arrays are [x, y], the transpose.
        max_steps: time limit; None is MiniGrid's own. The reward of success is 1 - 0.9 * t /
            max_steps.

    Returns:
        The environment.

    Raises:
        ValueError: the id or observation is unknown, or the time limit is below 1.
    """
    task = _task(env_id)
    views = {"partial": functools.partial(_look, task.see_through), "full": _look_at_all}
    if observation not in views:
        raise ValueError(f"observation={observation!r}: expected one of {sorted(views)}")
    if max_steps is not None and max_steps < 1:
        raise ValueError(f"max_steps={max_steps} must be at least 1")
    limit = task.time_limit if max_steps is None else int(max_steps)
    how = called("make", env_id, observation=observation, max_steps=limit)
    return _environment(env_id, task, limit, views[observation])._replace(recipe=(how,))


def _task(env_id: str) -> Task:
    tasks = _tasks()
    if env_id not in tasks:
        close = difflib.get_close_matches(env_id, tasks, n=3, cutoff=0.4)
        raise ValueError(f"env_id={env_id!r} is not offered; nearest: {', '.join(close)}")
    return tasks[env_id]


def _look(see_through: bool, state: State) -> Array:
    cells, position, direction, carrying, _ = state
    return view.partial(cells, position, direction, carrying, see_through)


def _look_at_all(state: State) -> Array:
    return view.full(state.cells, state.position, state.direction)


def _environment(
    name: str, task: Task, limit: int, observe: Callable[[State], Array]
) -> Environment:
    start = navix.as_navix_does(task.start())

    def init(key: Key, params: PyTree) -> tuple[State, Array]:
        cells, position, direction = start(key)
        hands, t = jnp.zeros((), jnp.uint8), jnp.zeros((), jnp.int32)
        state = State(cells=cells, position=position, direction=direction, carrying=hands, t=t)
        return state, observe(state)

    def step(key: Key, params: PyTree, state: State, action: Array) -> tuple[State, TimeStep]:
        event = act(state, action, pickup_toggles=task.pickup_toggles)
        success, failure = judge(event, task.outcome)
        after = event.after
        reward = jnp.where(success, 1.0 - 0.9 * (after.t / limit), 0.0)
        terminated, truncated = success | failure, after.t >= limit
        return after, navix.timestep(observe(after), reward, terminated, truncated)

    def render(params: PyTree, state: State) -> Array:
        return view.render(state.cells, state.position, state.direction)

    _, obs = jax.eval_shape(init, jax.eval_shape(jax.random.key, 0), ())
    return Environment(
        name=name,
        observation=navix.box(obs.shape, navix.SYMBOLIC_CATEGORIES),
        action=Discrete(7),
        time_limit=limit,
        params=(),
        init=init,
        step=step,
        render=render,
    )


def act(state: State, action: Array, *, pickup_toggles: bool = False) -> Event:
    """Take MiniGridEnv.step without reward: turn, move, pick up, drop or toggle."""
    if pickup_toggles:
        action = jnp.where(action == PICKUP, TOGGLE, action)
    front = state.position + jnp.asarray(view.STEPS)[state.direction]
    found = state.cells[front[0], front[1]]
    kind, hands = found & 15, state.carrying

    enter = (kind == view.EMPTY) | (kind == view.GOAL) | (kind == view.LAVA) | (kind == view.OPEN)
    portable = (kind >= view.KEY) & (kind <= view.BOX) | (kind == view.BOX_WITH_KEY)
    take = (action == PICKUP) & portable & (hands == 0)
    drop = (action == DROP) & (kind == view.EMPTY) & (hands != 0)

    left = jnp.where(action == TOGGLE, _toggle(found, hands), found)
    left = jnp.where(take, view.EMPTY, jnp.where(drop, hands, left)).astype(jnp.uint8)
    turn = jnp.where(action == LEFT, 3, jnp.where(action == RIGHT, 1, 0))
    after = State(
        cells=state.cells.at[front[0], front[1]].set(left),
        position=jnp.where((action == FORWARD) & enter, front, state.position),
        direction=(state.direction + turn) % 4,
        carrying=jnp.where(take, found, jnp.where(drop, 0, hands)).astype(jnp.uint8),
        t=state.t + 1,
    )
    return Event(action=action, before=state, after=after, front=found, left=left)


def _toggle(found: Array, hands: Array) -> Array:
    """Toggle the front cell: doors open or close, the right key unlocks, boxes leave contents."""
    kind, colour = found & 15, found >> 4
    fits = hands == view.cell(view.KEY, colour)
    opens = (kind == view.CLOSED) | (kind == view.LOCKED) & fits
    toggled = jnp.where(opens, view.cell(view.OPEN, colour), found)
    toggled = jnp.where(kind == view.OPEN, view.cell(view.CLOSED, colour), toggled)
    toggled = jnp.where(kind == view.BOX, view.EMPTY, toggled)
    return jnp.where(kind == view.BOX_WITH_KEY, view.cell(view.KEY, colour), toggled)


def judge(event: Event, outcome: Callable[[Event], Outcome] | None) -> Outcome:
    """Judge success and failure: goals and lava end every episode, `outcome` adds other ends."""
    walked, kind = event.action == FORWARD, event.front & 15
    success, failure = walked & (kind == view.GOAL), walked & (kind == view.LAVA)
    if outcome is None:
        return success, failure
    task_success, task_failure = outcome(event)
    return success | task_success, failure | task_failure


def _nothing(event: Event) -> Array:
    return jnp.zeros_like(event.action, dtype=bool)


def _door_opened(event: Event) -> Outcome:
    opened = (event.action == TOGGLE) & (event.left & 15 == view.OPEN)
    return opened, _nothing(event)


def _picked_up(kind: int, colour: int | None, event: Event) -> Outcome:
    """Succeed when an object of this kind is picked up, and of this colour unless None."""
    wanted = event.front & 15 == kind
    if colour is not None:
        wanted = event.front == view.cell(kind, colour)
    return (event.action == PICKUP) & wanted & (event.front != event.left), _nothing(event)


def _red_then_blue(event: Event) -> Outcome:
    blue = event.left == view.cell(view.OPEN, view.BLUE)
    opened_blue = (event.action == TOGGLE) & blue
    red_open = jnp.any(event.before.cells == view.cell(view.OPEN, view.RED))
    return opened_blue & red_open, opened_blue & ~red_open


def _remembered(event: Event) -> Outcome:
    """MemoryEnv: succeed beside the object that matches the one in the start room."""
    cells, middle = event.after.cells, event.after.cells.shape[0] // 2
    row, column = event.after.position
    beside = cells[jnp.where(row < middle, middle - 2, middle + 2), column]
    kind = beside & 15
    arrived = (jnp.abs(row - middle) == 1) & ((kind == view.KEY) | (kind == view.BALL))
    same = beside == cells[middle - 1, 1]
    return arrived & same, arrived & ~same


_pick_box = functools.partial(_picked_up, view.BOX, None)
_pick_ball = functools.partial(_picked_up, view.BALL, None)
_pick_blue_ball = functools.partial(_picked_up, view.BALL, view.BLUE)


def _tasks() -> dict[str, Task]:
    """Return every id with its task; kwargs as registered in `minigrid/__init__.py`."""
    groups = (_goal_tasks(), _lava_tasks(), _door_tasks(), _corridor_tasks(), _maze_tasks())
    return {f"MiniGrid-{name}": task for group in groups for name, task in group.items()}


def _from_navix(name: str) -> Callable[[], starts.StartFunction]:
    return functools.partial(starts.from_navix, f"Navix-{name}")


def _goal_tasks() -> dict[str, Task]:
    tasks = {}
    for size in (5, 6, 8, 16):
        name = f"Empty-{size}x{size}-v0"
        tasks[name] = Task(_from_navix(name), 4 * size**2, see_through=True)
    for size in (5, 6):
        start = functools.partial(starts.empty_random, size)
        tasks[f"Empty-Random-{size}x{size}-v0"] = Task(start, 4 * size**2, see_through=True)
    for size in (5, 6, 8, 16):
        start = functools.partial(starts.door_key, size)
        tasks[f"DoorKey-{size}x{size}-v0"] = Task(start, 10 * size**2)
    for size, rivers in ((9, 1), (9, 2), (9, 3), (11, 5)):
        name = f"SimpleCrossingS{size}N{rivers}-v0"
        tasks[name] = Task(_from_navix(name), 4 * size**2)
    rooms = {"N2-S4-v0": ("N2-S4-v0", 2), "N4-S5-v1": ("N4-S5-v0", 4), "N6-v0": ("N6-v0", 6)}
    for name, (navix_name, n) in rooms.items():
        start = functools.partial(starts.multi_room, f"Navix-MultiRoom-{navix_name}")
        tasks[f"MultiRoom-{name}"] = Task(start, 20 * n)
    tasks["FourRooms-v0"] = Task(lambda: starts.four_rooms, 100)
    tasks["LockedRoom-v0"] = Task(_from_navix("LockedRoom-v0"), 190)
    tasks["Playground-v0"] = Task(_from_navix("Playground-v0"), 100)
    return tasks


def _lava_tasks() -> dict[str, Task]:
    tasks = {}
    for size in (5, 6, 7):
        name = f"LavaGapS{size}-v0"
        tasks[name] = Task(_from_navix(name), 4 * size**2)
    for size, rivers in ((9, 1), (9, 2), (9, 3), (11, 5)):
        name = f"LavaCrossingS{size}N{rivers}-v0"
        tasks[name] = Task(_from_navix(name), 4 * size**2)
    for name in ("DistShift1-v0", "DistShift2-v0"):
        tasks[name] = Task(_from_navix(name), 4 * 9 * 7, see_through=True)
    return tasks


def _door_tasks() -> dict[str, Task]:
    unlock = functools.partial(starts.two_rooms, None)
    pickup = functools.partial(starts.two_rooms, view.BOX)
    blocked = functools.partial(starts.two_rooms, view.BOX, blocked=True)
    tasks = {
        "Unlock-v0": Task(unlock, 288, _door_opened),
        "UnlockPickup-v0": Task(pickup, 288, _pick_box),
        "BlockedUnlockPickup-v0": Task(blocked, 576, _pick_box),
    }
    for size in (6, 8):
        start = functools.partial(starts.red_blue_doors, size)
        tasks[f"RedBlueDoors-{size}x{size}-v0"] = Task(start, 20 * size**2, _red_then_blue)
    return tasks


def _corridor_tasks() -> dict[str, Task]:
    tasks = {}
    for size, rows in ((3, 1), (3, 2), (3, 3), (4, 3), (5, 3), (6, 3)):
        start = functools.partial(starts.key_corridor, size, rows)
        tasks[f"KeyCorridorS{size}R{rows}-v0"] = Task(start, 30 * size**2, _pick_ball)
    for name, size in (
        ("7", 7),
        ("9", 9),
        ("11", 11),
        ("13", 13),
        ("13Random", 13),
        ("17Random", 17),
    ):
        start = _from_navix(f"MemoryS{name}-v0")
        tasks[f"MemoryS{name}-v0"] = Task(start, 5 * size**2, _remembered, pickup_toggles=True)
    return tasks


def _maze_tasks() -> dict[str, Task]:
    def task(
        rooms: int, build: Callable[..., starts.StartFunction], *args: object, **options: bool
    ):
        start = functools.partial(build, *args, **options)
        return Task(start, 4 * rooms * 36, _pick_blue_ball)

    one = functools.partial(task, 2, starts.two_rooms, view.BALL, maze=True)
    maze = starts.obstructed_maze
    side, centre = (1, 2), (1, 1)
    tasks = {
        "1Dl-v0": one(key_in_box=False, blocked=False),
        "1Dlh-v0": one(key_in_box=True, blocked=False),
        "1Dlhb-v0": one(key_in_box=True, blocked=True),
        "2Dl-v0": task(4, maze, 1, side, key_in_box=False, blocked=False),
        "2Dlh-v0": task(4, maze, 1, side, key_in_box=True, blocked=False),
        "2Dlhb-v1": task(4, maze, 1, side, key_in_box=True, blocked=True),
        "1Q-v1": task(5, maze, 1, centre, key_in_box=True, blocked=True),
        "2Q-v1": task(11, maze, 2, side, key_in_box=True, blocked=True),
        "Full-v1": task(25, maze, 4, centre, key_in_box=True, blocked=True),
    }
    return {f"ObstructedMaze-{name}": t for name, t in tasks.items()}
