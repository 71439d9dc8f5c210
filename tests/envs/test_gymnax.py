"""The gymnax adapter against gymnax itself, and where it must differ."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from purejaxrl_suite import envs
from purejaxrl_suite.core import tree
from purejaxrl_suite.core.check import sample
from purejaxrl_suite.core.spaces import abstract
from purejaxrl_suite.core.types import Box, Discrete
from purejaxrl_suite.envs.multi_task import family, multi_task
from purejaxrl_suite.search import grid

KEY = jax.random.key(3)


def play(env, actions, key=KEY):
    """Timesteps of one episode [T, ...], actions as given."""

    def step(state, inputs):
        return env.step(inputs[0], env.params, state, inputs[1])

    @jax.jit
    def episode(actions):
        state, _ = env.init(key, env.params)
        return jax.lax.scan(step, state, (jax.random.split(key, len(actions)), actions))[1]

    return jax.device_get(episode(jnp.asarray(actions)))


@pytest.mark.parametrize(
    "id",
    ["CartPole-v1", "Pendulum-v1", "Breakout-MinAtar", "DeepSea-bsuite", "FrozenLake-misc"],
)
def test_raw_step_equals_gymnax_until_the_first_end(id: str):
    """gymnax splits its key into one for the step and one for the reset."""
    import gymnax

    env, (game, params) = envs.make(id), gymnax.make(id)

    def ours(state, inputs):
        return env.step(jax.random.split(inputs[0])[0], env.params, state, inputs[1])

    def theirs(state, inputs):
        _, state, *rest, info = game.step(inputs[0], state, inputs[1], params)
        return state, (info["final_observation"], *rest)

    @jax.jit
    def both():
        keys = jax.random.split(KEY, 250)
        actions = jax.vmap(lambda key: sample(key, env.action))(keys)
        state, first = env.init(KEY, env.params)
        _, now = jax.lax.scan(ours, state, (keys, actions))
        their_first, state = game.reset(KEY, params)
        return first, now, their_first, jax.lax.scan(theirs, state, (keys, actions))[1]

    first, now, their_first, (obs, reward, terminated, truncated) = jax.device_get(both())
    end = int(np.argmax(terminated | truncated)) + 1
    assert (terminated | truncated)[end - 1]

    expected = np.concatenate([np.asarray(their_first)[None], obs])[: end + 1]
    if id == "FrozenLake-misc":
        expected = np.eye(16)[expected]
    found = np.concatenate([first[None], now.final_obs])[: end + 1]
    # Rounding differs between constant and strongly typed parameters, and Pendulum amplifies it.
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(now.reward[:end], reward[:end], rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(now.terminated[:end], terminated[:end])
    np.testing.assert_array_equal(now.truncated[:end], truncated[:end])


def test_cartpole_truncation_is_not_termination():
    """Pushing to both sides in turn keeps the pole up; pushing to one does not."""
    env = envs.make("CartPole-v1", max_steps_in_episode=8)
    assert env.time_limit == 8
    steps = play(env, np.arange(8) % 2)
    np.testing.assert_array_equal(steps.truncated, [False] * 7 + [True])
    assert not np.any(steps.terminated)
    steps = play(envs.make("CartPole-v1"), [1] * 15)
    end = int(np.argmax(steps.terminated))
    assert 7 <= end < 12 and not np.any(steps.truncated)
    # The true successor: the state that fell, not the start of another episode.
    assert abs(steps.final_obs[end, 2]) > 12 * np.pi / 180 >= abs(steps.final_obs[end - 1, 2])


CHANGED = {
    "CartPole-v1": {"length": 2.0, "masspole": 0.7, "masscart": 0.4, "gravity": 5.0, "tau": 0.01},
    "Pendulum-v1": {"g": 4.0, "m": 2.0, "l": 0.6, "dt": 0.02},
    "Acrobot-v1": {"link_length_1": 1.5, "link_mass_2": 0.6, "link_com_pos_1": 0.7, "dt": 0.1},
    "MountainCar-v0": {"force": 0.002, "gravity": 0.003},
}


def by_gymnasium(id, params, state, actions):
    """The states [T, ...] that gymnasium goes through, with the derived numbers of its own."""
    import gymnasium
    from gymnax.visualize import vis_gym

    game = gymnasium.make(id).unwrapped
    game.reset(seed=0)
    for theirs, ours in vis_gym._PARAMETER_MAPPINGS[id].items():
        if ours not in ("total_mass", "polemass_length"):
            setattr(game, theirs, float(getattr(params, ours)))
    if id == "CartPole-v1":  # as in gymnasium's __init__
        game.total_mass = game.masspole + game.masscart
        game.polemass_length = game.masspole * game.length
    game.state, found = np.asarray(vis_gym.get_gym_state(state, id), np.float64), []
    for action in actions:
        game.step(np.atleast_1d(action) if id == "Pendulum-v1" else int(action))
        found.append(np.asarray(game.state))
    return np.stack(found)


@pytest.mark.parametrize("id", sorted(CHANGED))
def test_physics_follows_changed_parameters(id):
    """Made with options, replaced by hand and swept: each as gymnasium moves, for eight steps."""
    from gymnax.visualize import vis_gym

    env, changed, actions = envs.make(id), CHANGED[id], np.arange(8) % 2

    @jax.jit
    @functools.partial(jax.vmap, in_axes=(0, None))
    def ours(params, state):
        def step(state, action):
            action = (
                jnp.reshape(action, env.action.shape) if isinstance(env.action, Box) else action
            )
            state, _ = env.step(KEY, params, state, action)
            return state, state

        return jax.lax.scan(step, state, jnp.asarray(actions, abstract(env.action).dtype))[1]

    one = {
        name: grid(env.params, **{name: [value]}).settings()[0] for name, value in changed.items()
    }
    settings = [
        env.params,
        envs.make(id, **changed).params,
        env.params.replace(**changed),
        *one.values(),
    ]
    state = jax.jit(env.init)(KEY, env.params)[0]
    stacked = jax.tree.map(lambda *xs: np.stack([np.float32(x) for x in xs]), *settings)
    found, paths = jax.device_get(ours(stacked, state)), []
    for i, params in enumerate(settings):
        path = by_gymnasium(id, params, jax.device_get(state), actions)
        steps = [tree.index(found, (i, t)) for t in range(8)]
        steps = [vis_gym.get_gym_state(step, id) for step in steps]
        np.testing.assert_allclose(steps, path, rtol=2e-4, atol=2e-5)
        paths.append(path)
    for path in paths[1:]:  # each of them matters
        assert np.max(np.abs(path - paths[0])) > 1e-4


def test_what_follows_from_other_parameters_is_none():
    params = envs.make("CartPole-v1", length=2.0).params
    assert params.length == 2.0 and not hasattr(params, "polemass_length")
    with pytest.raises(ValueError, match="has no option total_mass"):
        envs.make("CartPole-v1", total_mass=2.0)
    with pytest.raises(ValueError, match="polemass_length"):
        grid(params, polemass_length=[0.1, 0.2])


def test_time_limit_may_be_swept():
    """Parameters are traced: one program, several limits."""
    env = envs.make("CartPole-v1")

    def first_truncation(limit):
        params = env.params.replace(max_steps_in_episode=limit)
        state, _ = env.init(KEY, params)

        def step(state, action):
            state, now = env.step(KEY, params, state, action)
            return state, now.truncated

        return jnp.argmax(jax.lax.scan(step, state, jnp.arange(8) % 2)[1]) + 1

    limits = jnp.array([3, 5, 8])
    np.testing.assert_array_equal(jax.jit(jax.vmap(first_truncation))(limits), limits)


def test_deep_sea_terminates_and_truncates_at_once():
    env = envs.make("DeepSea-bsuite", size=5)
    steps = play(env, [0] * 5)
    np.testing.assert_array_equal(steps.terminated, [False] * 4 + [True])
    np.testing.assert_array_equal(steps.truncated, steps.terminated)


def test_spaces_are_those_of_what_is_emitted():
    """Where gymnax declares another dtype or bounds; the contract test checks the values."""
    boards = envs.make("Asterix-MinAtar").observation, envs.make("Catch-bsuite").observation
    assert [box.dtype for box in boards] == ["uint8", "uint8"]
    assert envs.make("FrozenLake-misc").observation == Box((16,), "float32", 0.0, 1.0)
    assert envs.make("MemoryChain-bsuite").observation.low == (0.0, 0.0, -1.0)
    assert envs.make("FourRooms-misc").observation.dtype == "float32"
    assert envs.make("BernoulliBandit-misc").time_limit == 100
    assert envs.make("CartPole-v1").action == Discrete(2)


@pytest.mark.parametrize(
    ("id", "bound"),
    [
        ("Pendulum-v1", 2.0),
        ("MountainCarContinuous-v0", 1.0),
        ("Swimmer-misc", 1.0),
        ("Reacher-misc", 1.0),
        ("PointRobot-misc", 0.1),
    ],
)
def test_the_bounds_of_actions_are_those_that_count(id, bound):
    env = envs.make(id)
    assert (env.action.low, env.action.high) == pytest.approx((-bound, bound))
    key = jax.random.key(0)
    state, _ = env.init(key, env.params)

    @jax.jit
    @jax.vmap
    def after(share):
        action = jnp.full(env.action.shape, bound) * share
        return env.step(key, env.params, state, action)[1].obs

    half, whole, beyond = after(jnp.array([0.5, 1.0, 7.0]))
    np.testing.assert_array_equal(whole, beyond)
    assert np.any(np.asarray(half) != np.asarray(whole))


def test_actions_are_clipped_before_they_are_charged():
    env = envs.make("MountainCarContinuous-v0")
    np.testing.assert_allclose(play(env, [[7.0], [-0.5]]).reward, [-0.1, -0.025], rtol=1e-6)


def test_options_are_arguments_and_parameters():
    env = envs.make("Catch-bsuite", rows=6, max_steps_in_episode=4)
    assert env.observation.shape == (6, 5) and env.time_limit == 4
    assert env.params.max_steps_in_episode.dtype == np.int32
    assert envs.make("FourRooms-misc", use_visual_obs=True).observation.dtype == "uint8"


@pytest.mark.parametrize(
    ("id", "field"), [("Reacher-misc", "goal_xy"), ("PointRobot-misc", "goal")]
)
def test_goals_are_parameters(id, field):
    """Finite ones are those of every episode, and rewards are for them; others are gymnax's."""
    import gymnax

    env, keys = envs.make(id), jax.random.split(KEY, 8)
    near = dataclasses.replace(env.params, goal_x=0.5, goal_y=-0.25)
    drawn, fixed = (jax.jit(jax.vmap(env.init, (0, None)))(keys, x) for x in (env.params, near))
    game, params = gymnax.make(id)
    theirs = jax.vmap(game.reset_env, (0, None))(keys, params)
    np.testing.assert_array_equal(getattr(drawn[0], field), getattr(theirs[1], field))
    assert len(np.unique(getattr(drawn[0], field), axis=0)) == 8
    np.testing.assert_array_equal(getattr(fixed[0], field), [[0.5, -0.25]] * 8)
    if id == "Reacher-misc":  # whose observations show it, last
        np.testing.assert_array_equal(fixed[1][:, -2:], [[0.5, -0.25]] * 8)
    here = {"pos": jnp.array([0.5, -0.25])} if id == "PointRobot-misc" else {}
    state = jax.tree.map(lambda x: x[0], fixed[0]).replace(**here)
    found = env.step(KEY, near, state, jnp.zeros(2))[1].reward
    if here:
        assert found == 1.0
    else:
        angles = state.angles + near.dt * state.angle_vels
        away = np.sum([(np.cos(angles).sum() - 0.5) ** 2, (np.sin(angles).sum() + 0.25) ** 2])
        np.testing.assert_allclose(found, np.exp(-away), rtol=1e-5)


def test_goals_are_tasks_of_a_family_and_options():
    env = envs.make("Reacher-misc", goal_x=1.0, goal_y=0.0)
    assert env.params.goal_x == 1.0 and env.params.goal_x.dtype == np.float32
    goals = [dataclasses.replace(env.params, goal_x=x) for x in (0.5, -0.5)]
    together = multi_task(family(env, goals))
    starts = [together.init(KEY, params)[0].goal_xy for params in together.params]
    np.testing.assert_array_equal(starts, [[0.5, 0.0], [-0.5, 0.0]])


@pytest.mark.parametrize(
    ("id", "options", "message"),
    [
        ("CartPole-v1", {"gravitas": 1}, "no option gravitas; .*gravity"),
        ("CartPole-v1", {"max_steps_in_episode": 0}, "max_steps_in_episode: 0"),
        (
            "CartPole-v1",
            {"max_steps_in_episode": 1.5},
            "max_steps_in_episode: expected a value of",
        ),
        (
            "CartPole-v1",
            {"gravity": "low"},
            "gravity: expected a finite .* got 'low'",
        ),
        (
            "Acrobot-v1",
            {"available_torque": [1.0]},
            r"torque: .* float32\[3\], got",
        ),
        ("MetaMaze-misc", {"maze_size": 4}, "cannot build it with .*maze_size"),
        ("Reacher-misc", {"num_joints": 3}, "cannot build it with .*num_joints"),
    ],
)
def test_bad_options(id: str, options: dict, message: str):
    with pytest.raises(ValueError, match=message):
        envs.make(id, **options)


def test_boards_are_drawn():
    env = envs.make("Breakout-MinAtar")
    state, obs = env.init(KEY, env.params)
    picture = env.render(env.params, state)
    assert picture.shape == (160, 160, 3) and picture.dtype == jnp.uint8
    np.testing.assert_array_equal(
        np.any(picture[::16, ::16] > 0, -1), np.any(np.asarray(obs) > 0, -1)
    )
    assert envs.make("DiscountingChain-bsuite").render is None


@pytest.mark.parametrize(
    ("id", "shape"), [("CartPole-v1", (400, 600)), ("Pendulum-v1", (500, 500))]
)
def test_classic_control_is_drawn_by_gymnasium(id: str, shape: tuple):
    env = envs.make(id)
    starts = jax.vmap(env.init, (0, None))(jax.random.split(KEY, 2), env.params)[0]
    pictures = np.asarray(jax.jit(jax.vmap(env.render, (None, 0)))(env.params, starts))
    assert pictures.shape == (2, *shape, 3) and pictures.dtype == np.uint8
    assert (pictures[0] != pictures[1]).any() and pictures.std() > 10
