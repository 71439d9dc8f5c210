"""Games of the Arcade Learning Environment: what the emulator does, and what is done here."""

import numpy as np
import pytest

from purejaxrl_suite import envs, stats
from purejaxrl_suite.core.types import Box, Discrete
from purejaxrl_suite.envs import atari
from purejaxrl_suite.envs.remake import remake

pytest.importorskip("ale_py")


def play(env, steps, seeds=(3, 4), action=None):
    """First observations and steps of random actions."""
    copies, drawn = env.host.open(list(seeds)), np.random.default_rng(0)
    first, taken = copies.reset(), []
    for _ in range(steps):
        if isinstance(env.action, Discrete):
            chosen = drawn.integers(env.action.n, size=len(seeds)).astype(np.int32)
        else:
            chosen = drawn.uniform(env.action.low, env.action.high, (len(seeds), 3))
        taken.append(copies.step(chosen if action is None else action))
    copies.close()
    return first, taken


def test_every_option_is_explicit():
    """The emulator's own defaults depend on how it is made, and clip rewards."""
    env = envs.make("ALE/Breakout")
    assert env.observation == Box((84, 84, 4), "uint8", 0.0, 255.0, frames=4)
    assert env.action == Discrete(18) and env.time_limit == 27_000
    for name in ("repeat_action_probability=0.25", "noop_max=0", "max_frames=108000"):
        assert name in env.recipe[0]
    older = envs.make("ALE/Breakout", protocol="noframeskip", noop_max=0)
    assert older.action == Discrete(4) and older.host is not None and older.host.lives
    assert "repeat_action_probability=0.0" in older.recipe[0] and "noop_max=0" in older.recipe[0]
    again = remake(older.recipe)
    assert again is not None and again.recipe == older.recipe
    assert len(atari.ids()) == len(set(atari.ids())) > 100 and "ALE/Pong" in atari.ids()


@pytest.mark.parametrize(
    ("id", "options", "message"),
    [
        ("ALE/Pong-v5", {}, "there is no game 'ALE/Pong-v5'; did you mean ALE/Pong"),
        ("ALE/Pong", {"protocol": "machada"}, "protocol: expected one of machado, noframeskip"),
        ("ALE/Pong", {"sticky": 0.1}, "ALE/Pong has no option sticky; it has"),
        ("ALE/Pong", {"noop_max": -1}, "noop_max: expected an integer of at least 0, got -1"),
        ("ALE/Pong", {"max_frames": 3}, "max_frames: expected an integer of at least 4, got 3"),
        ("ALE/Pong", {"repeat_action_probability": 2.0}, "repeat_action_probability: expected"),
        ("ALE/Pong", {"action_threshold": 0.4}, "action_threshold: expected continuous=True"),
    ],
)
def test_bad_options(id: str, options, message: str):
    with pytest.raises(ValueError, match=message):
        envs.make(id, **options)


def test_lives_scores_and_clipping_are_kept_here():
    """A lost life is no end: the game goes on to its last one, and the score counts on."""
    options = {"protocol": "noframeskip", "clip_reward": True}
    _, clipped = play(envs.make("ALE/SpaceInvaders", **options), 450)
    raw = envs.make("ALE/SpaceInvaders", protocol="noframeskip", clip_reward=False)
    _, plain = play(raw, 450)
    rewards, full = (np.stack([x.reward for x in taken]) for taken in (clipped, plain))
    np.testing.assert_array_equal(rewards, np.clip(full, -1, 1))
    assert full.max() > 1
    done = np.stack([x.terminated | x.truncated for x in plain])
    lost = np.stack([x.life_lost for x in plain])
    assert done.any() and not (done & lost).any()
    for game in range(2):
        ends = np.flatnonzero(done[:, game])
        assert lost[: ends[0], game].sum() == 2  # of three lives, the last one is the end
        total = full[: ends[0] + 1, game].sum()
        assert plain[ends[0]].info["score"][game] == clipped[ends[0]].info["score"][game] == total


def test_successors_and_the_limit_of_frames():
    env = envs.make("ALE/Pong", max_frames=40)
    assert env.time_limit == 10
    first, steps = play(env, 12)
    assert not first[..., :3].any() and first[..., 3].any()  # newest last, zeros before
    assert [x.truncated.all() for x in steps].index(True) == 9
    last, after = steps[9], steps[10]
    assert not last.terminated.any()
    np.testing.assert_array_equal(last.obs, first)
    assert last.final_obs[..., 0].any() and not np.array_equal(last.final_obs, last.obs)
    np.testing.assert_array_equal(last.final_obs[..., :3], steps[8].obs[..., 1:])
    np.testing.assert_array_equal(after.obs, after.final_obs)
    np.testing.assert_array_equal(after.obs[..., 2], first[..., 3])


@pytest.mark.slow
def test_games_depend_on_their_own_seed_only():
    env = envs.make("ALE/Breakout", protocol="noframeskip")
    up = np.array([1, 1], np.int32)
    _, one = play(env, 30, seeds=(3, 4), action=up)
    _, two = play(env, 30, seeds=(4, 3), action=up)
    for a, b in zip(one, two, strict=True):
        np.testing.assert_array_equal(a.obs, b.obs[[1, 0]])
    assert not np.array_equal(one[-1].obs[0], one[-1].obs[1])


def test_continuous_actions():
    """(radius, angle, fire); a radius below the threshold moves nothing."""
    env = envs.make("ALE/Breakout", continuous=True, repeat_action_probability=0.0)
    pi = float(np.float32(np.pi))
    assert env.action == Box((3,), "float32", (0.0, -pi, 0.0), (1.0, pi, 1.0))
    right, still = np.array([[1.0, 0.0, 0.0]]), np.array([[0.4, 0.0, 0.0]])
    discrete = envs.make("ALE/Breakout", repeat_action_probability=0.0)
    _, moved = play(env, 6, seeds=(3,), action=right)
    _, stayed = play(env, 6, seeds=(3,), action=still)
    _, button = play(discrete, 6, seeds=(3,), action=np.array([3], np.int32))
    _, nothing = play(discrete, 6, seeds=(3,), action=np.array([0], np.int32))
    np.testing.assert_array_equal(moved[-1].obs, button[-1].obs)
    np.testing.assert_array_equal(stayed[-1].obs, nothing[-1].obs)
    assert not np.array_equal(moved[-1].obs, stayed[-1].obs)


def assert_stacked(env, steps):
    """Older frames are the newest ones of earlier steps, or all zero; so also at ends."""
    first, taken = play(env, steps, seeds=(3,))
    assert not first[..., :3].any() and first[..., 3].any()
    shown = [first, *(x.obs for x in taken)]
    for t, step in enumerate(taken):
        for found, newest in ((shown[t], 0), (step.final_obs, 1)):
            for k in range(1, 4):
                older = found[..., 3 - k]
                if older.any():
                    back = t + newest - k
                    np.testing.assert_array_equal(older, shown[back][..., 3])
    return taken


@pytest.mark.parametrize("protocol", ["machado", "noframeskip"])
def test_stacks_are_what_a_replay_takes_them_for(protocol: str):
    """Also after no-ops and FIRE at the start, across lost lives and ends of episodes."""
    taken = assert_stacked(envs.make("ALE/Breakout", protocol=protocol, max_frames=160), 90)
    assert sum(int(x.truncated.any()) for x in taken) >= 2
    if protocol == "noframeskip":
        lives = envs.make("ALE/Breakout", protocol=protocol)
        assert any(x.life_lost.any() for x in assert_stacked(lives, 120))


def test_human_normalised_scores():
    """(score - random) / (human - random), of the games' own scores."""
    assert set(stats.ATARI) < set(atari.ids()) and len(stats.ATARI) == 55
    scores = {"ALE/Pong": [14.6, -20.7], "ALE/Breakout": [16.1, 30.5]}
    found = stats.normalize_tasks(scores, stats.ATARI)
    np.testing.assert_allclose(found["ALE/Pong"], [1.0, 0.0], atol=1e-6)
    np.testing.assert_allclose(found["ALE/Breakout"], [0.5, 1.0], rtol=1e-6)
