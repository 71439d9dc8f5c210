"""The navix adapter against navix's own step, and what the adapter adds: flags, memory, spaces."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from purejaxrl_suite.envs import navix as ours

STOCHASTIC, LAVA, MISSION = (
    "Navix-Dynamic-Obstacles-5x5-v0",
    "Navix-LavaGapS5-v0",
    "Navix-Fetch-5x5-N2-v0",
)
FORWARD, RIGHT = 2, 1


def size_in_bytes(env):
    state, _ = jax.eval_shape(env.init, jax.eval_shape(jax.random.key, 0), ())
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(state))


def play(env, actions, key=0):
    """One episode's TimeSteps for a list of actions."""
    state, _ = jax.jit(env.init)(jax.random.key(key), ())
    step = jax.jit(env.step)
    for action in actions:
        state, out = step(jax.random.key(1), (), state, action)
        yield state, out


@pytest.mark.parametrize(
    ("env_id", "observation"),
    [
        (LAVA, "symbolic_first_person"),
        pytest.param(STOCHASTIC, "symbolic", marks=pytest.mark.slow),
        pytest.param(MISSION, "symbolic", marks=pytest.mark.slow),
    ],
)
def test_steps_as_navix_does_until_the_episode_ends(env_id, observation):
    import navix

    env = ours.make(env_id, max_steps=30, observation=observation)
    shown = getattr(navix.observations, observation)
    engine = navix.make(env_id, max_steps=30, observation_fn=shown)

    @jax.jit
    @jax.vmap
    def both(key):
        key_start, key_actions = jax.random.split(key)
        state, obs = env.init(key_start, ())
        with jax.numpy_rank_promotion("allow"):
            theirs = engine.reset(key_start)

        def step(carry, action):
            state, theirs, alive = carry
            state, out = env.step(theirs.state.key, (), state, action)
            with jax.numpy_rank_promotion("allow"):
                theirs = engine.step(theirs, action)
            same = (
                jnp.all(out.obs == theirs.observation)
                & (out.reward == theirs.reward)
                & (out.terminated == theirs.is_termination())
                & ((out.truncated & ~out.terminated) == theirs.is_truncation())
            )
            ended = out.terminated | out.truncated
            return (state, theirs, alive & ~ended), (alive, same, ended)

        actions = jax.random.randint(key_actions, (30,), 0, 7)
        carry = (state, theirs, jnp.asarray(True))
        _, (alive, same, ended) = jax.lax.scan(step, carry, actions)
        return jnp.all(obs == theirs.observation), alive, same, ended

    first, alive, same, ended = map(np.asarray, both(jax.random.split(jax.random.key(0), 256)))
    assert first.all()
    assert same[alive].all()
    assert (ended & alive).sum() == 256  # at the latest by the time limit


def test_time_limit_truncates_and_does_not_terminate():
    env = ours.make("Navix-Empty-5x5-v0", max_steps=3)
    steps = [out for _, out in play(env, [RIGHT] * 3)]
    assert [bool(out.truncated) for out in steps] == [False, False, True]
    assert not any(bool(out.terminated) for out in steps)
    assert steps[-1].info["success"] == 0.0


def test_goal_at_the_time_limit_sets_both_flags():
    # From (1, 1) facing east to the goal at (3, 3): two steps, a turn, two steps.
    way = [FORWARD, FORWARD, RIGHT, FORWARD, FORWARD]
    *_, (_, out) = play(ours.make("Navix-Empty-5x5-v0", max_steps=5), way)
    assert bool(out.terminated) and bool(out.truncated)
    assert out.reward == 1.0 and out.info["success"] == 1.0
    *_, (_, out) = play(ours.make("Navix-Empty-5x5-v0", max_steps=6), way)
    assert bool(out.terminated) and not bool(out.truncated)


def test_state_is_small():
    assert size_in_bytes(ours.make("Navix-DoorKey-8x8-v0")) == 361  # 13,157 in navix
    assert size_in_bytes(ours.make("Navix-FourRooms-v0")) == 1747  # 72,678 in navix


@pytest.mark.parametrize("env_id", ["Navix-DoorKey-8x8-v0", "Navix-Playground-v0", STOCHASTIC])
def test_state_structure_is_the_same_after_a_step(env_id):
    env, key = ours.make(env_id), jax.eval_shape(jax.random.key, 0)
    state, _ = jax.eval_shape(env.init, key, ())
    action = jax.ShapeDtypeStruct((), jnp.int32)
    after, out = jax.eval_shape(env.step, key, (), state, action)

    def signature(tree):
        leaves = jax.tree_util.tree_leaves_with_path(tree)
        return [(path, x.shape, x.dtype, x.weak_type) for path, x in leaves]

    assert signature(state) == signature(after)
    assert (out.reward.dtype, out.terminated.dtype, out.truncated.dtype) == (
        jnp.float32,
        bool,
        bool,
    )


def test_every_id_is_there_and_can_be_traced():
    assert len(ours.ids()) == 83
    for env_id in ours.ids()[::9]:  # making an environment traces its reset
        env = ours.make(env_id)
        assert env.observation.dtype == "uint8" and env.action.n == 7


def test_observations_stay_within_their_spaces():
    """All observation functions of one environment, in one program."""
    names = ("symbolic", "symbolic_first_person", "categorical", "categorical_first_person")
    names += ("rgb", "rgb_first_person")
    envs = {name: ours.make("Navix-DoorKey-6x6-v0", observation=name) for name in names}

    @jax.jit
    @jax.vmap
    def look(key):
        return {name: env.init(key, ())[1] for name, env in envs.items()}

    for name, obs in look(jax.random.split(jax.random.key(0), 64)).items():
        box = envs[name].observation
        assert obs.shape[1:] == box.shape and str(obs.dtype) == box.dtype == "uint8", name
        assert len(box.categories) in (0, box.shape[-1]), name
        for channel, n in enumerate(box.categories):
            assert obs[..., channel].max() < n, name


def test_starts_are_spread():
    """DoorKey-Random-5x5: one agent, key and goal each; the agent in any row of the left column."""
    env = ours.make("Navix-DoorKey-Random-5x5-v0")
    keys = jax.random.split(jax.random.key(3), 512)
    obs = np.asarray(jax.jit(jax.vmap(env.init, (0, None)))(keys, ())[1])
    agent, key, goal = (obs[..., 0] == code for code in (10, 5, 8))
    for thing in (agent, key, goal):
        assert (thing.sum(axis=(1, 2)) == 1).all()
    np.testing.assert_allclose(agent.mean(axis=0)[1:4, 1], 1 / 3, atol=0.08)


def test_pictures():
    env = ours.make("Navix-Empty-5x5-v0")
    state, _ = jax.jit(env.init)(jax.random.key(0), ())
    image = jax.jit(env.render)((), state)
    assert image.shape == (40, 40, 3) and image.dtype == jnp.uint8
    assert len(np.unique(np.asarray(image).reshape(-1, 3), axis=0)) > 3


def test_bad_arguments_are_named():
    with pytest.raises(ValueError, match=r"Navix-DoorKey-7x7-v0.*Navix-DoorKey-.x.-v0"):
        ours.make("Navix-DoorKey-7x7-v0")
    with pytest.raises(ValueError, match=r"observation='pixels'.*rgb"):
        ours.make("Navix-Empty-5x5-v0", observation="pixels")
    with pytest.raises(ValueError, match="max_steps=0"):
        ours.make("Navix-Empty-5x5-v0", max_steps=0)
