"""Our MiniGrid against the `minigrid` package: same state, same actions, nothing may differ."""

import warnings
from collections import Counter

import gymnasium
import jax
import numpy as np
import pytest
from scipy import ndimage

from purejaxrl_suite.envs import minigrid as ours
from purejaxrl_suite.envs import minigrid_view as view

with warnings.catch_warnings():
    # pygame's own imports warn about setuptools on some versions.
    warnings.simplefilter("ignore", DeprecationWarning)
    import minigrid  # noqa: F401
    from minigrid.core.constants import IDX_TO_COLOR
    from minigrid.core.grid import Grid
    from minigrid.core.world_object import Ball, Box, Door, Goal, Key, Lava, Wall

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:gymnasium")

FAST = ("LavaGapS5-v0", "ObstructedMaze-1Dlhb-v0")
BATCH, POOL = 16, 256


def reference(env_id):
    return gymnasium.make(env_id).unwrapped


def object_of(code):
    """minigrid's object of one cell."""
    kind, colour = code & 15, IDX_TO_COLOR.get(code >> 4)
    simple = {view.KEY: Key, view.BALL: Ball, view.BOX: Box, view.WALL: Wall}
    if kind in simple:
        return simple[kind](colour)
    return {
        view.UNSEEN: lambda: None,
        view.EMPTY: lambda: None,
        view.GOAL: Goal,
        view.LAVA: Lava,
        view.OPEN: lambda: Door(colour, is_open=True),
        view.CLOSED: lambda: Door(colour),
        view.LOCKED: lambda: Door(colour, is_locked=True),
        view.BOX_WITH_KEY: lambda: Box("grey", contains=Key(colour)),
    }[kind]()


def transplant(state, env):
    """Put one of our states into minigrid's environment, with what its task remembers."""
    height, width = state.cells.shape
    assert (env.height, env.width) == (height, width)
    env.grid = Grid(width, height)
    for (row, column), code in np.ndenumerate(state.cells):
        env.grid.set(column, row, object_of(int(code)))
    env.agent_pos = (int(state.position[1]), int(state.position[0]))
    env.agent_dir, env.step_count = int(state.direction), int(state.t)
    env.carrying = object_of(int(state.carrying))
    cells = {kind: objects(env, kind) for kind in ("door", "ball", "box", "key")}
    name = type(env).__name__
    if name == "UnlockEnv":
        env.door = cells["door"][0]
    elif name in ("UnlockPickupEnv", "BlockedUnlockPickupEnv"):
        env.obj = cells["box"][0]
    elif name == "KeyCorridorEnv":
        env.obj = cells["ball"][0]
    elif name.startswith("Obstructed"):
        env.obj = next(ball for ball in cells["ball"] if ball.color == "blue")
    elif name == "RedBlueDoorEnv":
        env.red_door, env.blue_door = sorted(cells["door"], key=lambda door: door.color != "red")
    elif name == "MemoryEnv":
        remember(env)


def objects(env, kind):
    return [thing for thing in env.grid.grid if thing is not None and thing.type == kind]


def remember(env):
    middle = env.height // 2
    column = max(
        x
        for x in range(env.width)
        if env.grid.get(x, middle + 2) and env.grid.get(x, middle + 2).type in ("key", "ball")
    )
    above = env.grid.get(column, middle - 2).type == env.grid.get(1, middle - 1).type
    places = [(column, middle - 1), (column, middle + 1)]
    env.success_pos, env.failure_pos = places if above else places[::-1]


def may_open(env_id, code):
    """Whether a start may have this door open: not where that is the end of the task."""
    if "RedBlueDoors" in env_id:
        return code >> 4 != view.BLUE
    return "Unlock-" not in env_id


def scatter(rng, state, env):
    """Half of the starts are anywhere, any time, key in hand, doors open: rare on walks."""
    if rng.random() < 0.5:
        return state
    cells = np.array(state.cells)
    doors = [at for at in np.argwhere(np.isin(cells & 15, (view.CLOSED, view.LOCKED)))]
    keys = [view.cell(view.KEY, view.GREEN)] + [view.KEY + (cells[*at] & 0xF0) for at in doors]
    for at in doors:
        if may_open(env.name, cells[*at]) and rng.random() < 0.5:
            cells[*at] = view.OPEN + (cells[*at] & 0xF0)
    rooms, _ = ndimage.label(cells != view.WALL_CELL)
    free = (cells == view.EMPTY) & (rooms == rooms[*state.position])
    beside = free & ndimage.binary_dilation(np.isin(cells & 15, (view.BALL, view.BOX, view.GOAL)))
    empty = np.argwhere(beside if beside.any() and rng.random() < 0.5 else free)
    return state._replace(
        cells=cells,
        position=empty[rng.integers(len(empty))].astype(np.int32),
        direction=np.int32(rng.integers(4)),
        carrying=np.uint8(rng.choice(keys) if rng.random() < 0.5 else 0),
        t=np.int32(env.time_limit - 1 - rng.integers(min(60, env.time_limit))),
    )


def interesting(rng, env):
    """A random action, biased towards those that change something."""
    ahead = env.grid.get(*env.front_pos)
    if rng.random() < 0.3:
        return rng.integers(7)
    if ahead is None:
        return rng.choice([0, 1, 2, 2, 2, 2, 4] if env.carrying else [0, 1, 2, 2, 2])
    if ahead.type == "door":
        return rng.choice([2, 5]) if ahead.is_open else 5
    if ahead.type in ("key", "ball", "box"):
        return rng.choice([0, 1, 3, 3, 5])
    return rng.choice([0, 1, 2]) if ahead.type in ("goal", "lava") else rng.choice([0, 1])


def compare(env_id, steps, seed=0):
    """Run both in lockstep; returns how often what happened."""
    env = ours.make(env_id)
    init = jax.jit(jax.vmap(env.init, (0, None)))
    step = jax.jit(jax.vmap(env.step, (None, None, 0, 0)))
    whole = jax.jit(jax.vmap(lambda s: view.full(s.cells, s.position, s.direction)))
    rng, key = np.random.default_rng(seed), jax.random.key(seed)
    pool = jax.tree.map(np.asarray, init(jax.random.split(key, POOL), ())[0])

    def start():
        i = rng.integers(POOL)
        return scatter(rng, jax.tree.map(lambda leaf: leaf[i], pool), env)

    references = [reference(env_id) for _ in range(BATCH)]
    states = [start() for _ in range(BATCH)]
    for state, ref in zip(states, references, strict=True):
        ref.reset(seed=0)
        transplant(state, ref)
    seen = Counter()
    for _ in range(steps):
        actions = np.asarray([interesting(rng, ref) for ref in references], np.int32)
        batch, out = step(key, (), jax.tree.map(lambda *x: np.stack(x), *states), actions)
        grids = np.asarray(whole(batch))
        batch, out = jax.tree.map(np.asarray, (batch, out))
        states = [jax.tree.map(lambda leaf, i=i: leaf[i], batch) for i in range(BATCH)]
        for i, ref in enumerate(references):
            obs, reward, terminated, truncated, _ = ref.step(int(actions[i]))
            np.testing.assert_array_equal(out.obs[i], obs["image"].swapaxes(0, 1))
            grid = ref.grid.encode()
            grid[ref.agent_pos[0], ref.agent_pos[1]] = (10, 0, ref.agent_dir)
            np.testing.assert_array_equal(grids[i], grid.swapaxes(0, 1))
            np.testing.assert_allclose(out.reward[i], reward, atol=1e-6)
            assert (out.terminated[i], out.truncated[i]) == (terminated, truncated)
            assert out.info["success"][i] == (reward > 0)
            seen["success"] += reward > 0
            seen["failure"] += terminated and reward <= 0
            seen["truncated"] += bool(truncated)
            seen["carrying"] += ref.carrying is not None
            seen["steps"] += 1
            if terminated or truncated or rng.random() < 0.03:
                states[i] = start()
                transplant(states[i], ref)
    return seen


@pytest.mark.parametrize("name", FAST)
def test_no_step_differs_from_minigrid(name):
    seen = compare(f"MiniGrid-{name}", steps=100, seed=1)
    assert seen["carrying"] and seen["truncated"] and (seen["success"] or seen["failure"])


@pytest.mark.slow
@pytest.mark.parametrize("env_id", ours.ids())
def test_no_step_of_any_id_differs_from_minigrid(env_id):
    compare(env_id, steps=400)


def test_sizes_and_time_limits_are_those_of_minigrid():
    """Some of every family; reading the start costs a trace each."""
    for env_id in ours.ids()[::4]:
        env, ref = ours.make(env_id, observation="full"), reference(env_id)
        assert env.observation.shape == (ref.height, ref.width, 3), env_id
        assert env.time_limit == ref.max_steps, env_id


def test_both_flags_when_the_goal_is_reached_at_the_time_limit():
    env = ours.make("MiniGrid-Empty-5x5-v0", max_steps=5)
    state, _ = jax.jit(env.init)(jax.random.key(0), ())
    step = jax.jit(env.step)
    flags = []
    for action in (ours.FORWARD, ours.FORWARD, ours.RIGHT, ours.FORWARD, ours.FORWARD):
        state, out = step(jax.random.key(0), (), state, action)
        flags.append((bool(out.terminated), bool(out.truncated)))
    assert flags == [(False, False)] * 4 + [(True, True)]
    np.testing.assert_allclose(out.reward, 0.1, atol=1e-6)  # 1 - 0.9 * 5 / 5


def test_visibility_is_process_vis():
    """Random 7 x 7 views with every kind of cell against minigrid's own flood."""
    rng = np.random.default_rng(0)
    codes = [view.EMPTY, view.WALL_CELL, view.LAVA, view.OPEN, view.CLOSED, view.LOCKED, view.KEY]
    views = rng.choice(codes, (500, 7, 7), p=[0.5, 0.2, 0.1, 0.05, 0.05, 0.05, 0.05])
    views[:, 6, 3] = view.EMPTY
    lit = jax.jit(jax.vmap(view.visible))(views.astype(np.uint8))
    for codes_of_view, mask in zip(views, np.asarray(lit), strict=True):
        grid = Grid(7, 7)
        for (row, column), code in np.ndenumerate(codes_of_view):
            grid.set(column, row, object_of(int(code)))
        np.testing.assert_array_equal(mask, grid.process_vis((3, 6)).T)


@pytest.mark.parametrize("name", ["DoorKey-5x5-v0", "KeyCorridorS3R2-v0"])
def test_starts_are_drawn_as_in_minigrid(name):
    """How often each cell holds what, agent included: no frequency is off by 4.5 sigma."""
    env_id, n, m = f"MiniGrid-{name}", 400, 4000
    env, ref = ours.make(env_id, observation="full"), reference(env_id)
    obs = jax.jit(jax.vmap(env.init, (0, None)))(jax.random.split(jax.random.key(0), m), ())[1]
    theirs = []
    for seed in range(n):
        ref.reset(seed=seed)
        grid = ref.grid.encode()
        grid[ref.agent_pos[0], ref.agent_pos[1]] = (10, 0, ref.agent_dir)
        theirs.append(grid.swapaxes(0, 1))

    def frequencies(grids):
        codes = np.asarray(grids).astype(int) @ (1, 16, 128)
        return np.stack([(codes == code).mean(axis=0) for code in range(512)])

    p, q = frequencies(obs), frequencies(theirs)
    pooled = (m * p + n * q) / (m + n)
    sigma = np.sqrt(pooled * (1 - pooled) * (1 / n + 1 / m))
    common = pooled * (1 - pooled) * n > 8
    assert common.any()
    assert (np.abs(p - q)[common] / sigma[common]).max() < 4.5
    assert ((p > 0) == (q > 0))[pooled > 0.02].all()


def test_four_rooms_never_starts_on_the_goal():
    keys = jax.random.split(jax.random.key(0), 2000)
    env = ours.make("MiniGrid-FourRooms-v0", observation="full")
    obs = np.asarray(jax.jit(jax.vmap(env.init, (0, None)))(keys, ())[1])
    assert ((obs[..., 0] == view.GOAL).sum(axis=(1, 2)) == 1).all()


def test_pictures_and_bad_arguments():
    env = ours.make("MiniGrid-DoorKey-5x5-v0")
    state, _ = jax.jit(env.init)(jax.random.key(0), ())
    image = np.asarray(jax.jit(env.render)((), state))
    assert image.shape == (40, 40, 3) and image.dtype == np.uint8
    assert len(np.unique(image.reshape(-1, 3), axis=0)) > 5
    with pytest.raises(ValueError, match="MiniGrid-DoorKey-7x7-v0.*DoorKey"):
        ours.make("MiniGrid-DoorKey-7x7-v0")
    with pytest.raises(ValueError, match="observation='rgb'.*full"):
        ours.make("MiniGrid-Empty-5x5-v0", observation="rgb")
    with pytest.raises(ValueError, match="max_steps=0"):
        ours.make("MiniGrid-Empty-5x5-v0", max_steps=0)
